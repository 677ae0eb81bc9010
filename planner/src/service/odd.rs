//! What workers write that makes no sense: counted, and told in the log once a minute at most, since whoever has a
//! worker's password may write as many as the broker takes.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::id::RunId;

use crate::metrics::RECORDS_ODD;

/// So often it is told at most.
const TOLD_EACH: Duration = Duration::from_secs(60);
/// Most bytes that are kept of the last of them, for people.
const SAID_MAX: usize = 512;

/// What was odd, of all tasks of a planner.
#[derive(Clone, Debug, Default)]
pub(super) struct Odd(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    all: u64,
    last: String,
    /// When it was told, and how many there were then.
    told: Option<(Boot, u64)>,
}

impl Seen {
    /// Takes in one more. How many were not told before it, if it is to be told.
    fn note(&mut self, said: String, now: Boot) -> Option<u64> {
        self.all += 1;
        self.last = said;
        self.last.truncate(self.last.floor_char_boundary(SAID_MAX));
        let since = match self.told {
            Some((at, _)) if now.since(at) < TOLD_EACH => return None,
            Some((_, all)) => all,
            None => 0,
        };
        self.told = Some((now, self.all));
        Some(self.all - since)
    }
}

impl Odd {
    /// Something of this kind came on `subject` that makes no sense.
    pub(super) fn note(&self, kind: &'static str, subject: &str, why: impl Display) {
        self.note_of(None, kind, subject, why);
    }

    /// The same, in the ledger of a run.
    pub(super) fn note_of(
        &self,
        run: Option<&RunId>,
        kind: &'static str,
        subject: &str,
        why: impl Display,
    ) {
        RECORDS_ODD.counter(&[kind]).increment(1);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = format!("{kind} on {subject}: {why}");
        if let Some(since) = seen.note(said, Boot::now()) {
            let run = run.map(RunId::as_str);
            tracing::warn!(run, kind, subject, reason = %why, since, "what a worker wrote makes no sense; told once a minute");
        }
    }

    /// How many there were, and the last of them.
    pub(super) fn all(&self) -> (u64, String) {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.all, seen.last.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oddities_are_told_once_a_minute_with_their_number_and_all_are_counted() {
        let at = |seconds| Boot(Duration::from_secs(seconds));
        let mut seen = Seen::default();
        assert_eq!(seen.note("one".into(), at(1)), Some(1));
        for _ in 0..1_000 {
            assert_eq!(seen.note("x".repeat(10_000), at(2)), None);
        }
        assert_eq!(seen.last.len(), SAID_MAX);
        assert_eq!(seen.note("last".into(), at(61)), Some(1_001));
        assert_eq!((seen.all, seen.last.as_str()), (1_002, "last"));
    }
}
