//! What a job names and the configuration of this worker does not have: a database, a command, a service. Another worker of the
//! queue may have it, so the attempt is not used up; meanwhile the job rests, as its shards would only come back here.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gridloom_shared::job::handlers::named::Named;

use crate::failure::Failure;
use crate::shard::Shard;

/// So many attempts of a shard may end without being used up: hours, not for ever.
pub(super) const HOLDS_MAX: u32 = 1_000;
/// For how long the job rests: longer with each attempt of a shard that finds nobody, which few are where some
/// workers have what it needs.
const REST_MIN: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(30);
const REST_EACH: Duration = Duration::from_millis(250);
/// Names that the log tells, each once: jobs have as many as they like.
const TOLD_MAX: usize = 1_000;

/// What of one kind was asked for in vain.
#[derive(Clone, Debug)]
pub(super) struct Lacking {
    of: Named,
    told: Arc<Mutex<BTreeSet<String>>>,
}

impl Lacking {
    pub(super) fn new(of: Named) -> Lacking {
        Lacking {
            of,
            told: Arc::default(),
        }
    }

    /// What becomes of a shard whose job names `name` where there are only `known`.
    pub(super) fn failure<'k>(
        &self,
        name: &str,
        known: impl Iterator<Item = &'k String>,
        shard: &Shard,
    ) -> Failure {
        let known: Vec<&str> = known.map(String::as_str).collect();
        let known = match known.is_empty() {
            true => "none".to_owned(),
            false => known.join(", "),
        };
        let kind = self.of.kind();
        let text = format!(
            "find {kind} {name:?} in the configuration of this worker, which has {known}: another worker may have it; {}",
            self.of.advice(name)
        );
        if self.is_new(name) {
            tracing::warn!(
                kind,
                name,
                known,
                "this is not in the configuration of this worker: shards that name it are left to other workers"
            );
        }
        let attempt = shard.attempt();
        if attempt > HOLDS_MAX {
            return Failure::retry(text);
        }
        Failure::hold((REST_EACH * attempt).clamp(REST_MIN, REST_MAX), text)
    }

    fn is_new(&self, name: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < TOLD_MAX && told.insert(name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_as_the_documentation_says() {
        assert_eq!((REST_MIN.as_secs(), REST_MAX.as_secs()), (1, 30));
        assert_eq!(HOLDS_MAX, 1_000);
    }

    #[test]
    fn each_name_is_told_once() {
        let lacking = Lacking::new(Named::Database);
        let of_a_clone = lacking.clone();
        assert!(lacking.is_new("a") && lacking.is_new("b"));
        assert!(!lacking.is_new("a") && !of_a_clone.is_new("b"));
    }
}
