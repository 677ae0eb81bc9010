//! A run keeps its job as it was when the run was opened: whoever has mended the job since and tries the dead shards
//! again has them die of the old one, so a retry says what it runs.

use std::collections::BTreeMap;

use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::job::JobSpec;
use gridloom_shared::job::difference;
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::PlanRecord;
use gridloom_shared::reads::jobs::{self, StoredJob};
use gridloom_shared::reads::ledger::{Pages, Span};
use serde::Serialize;

/// Keys that are named.
const NAMED: usize = 5;
/// What a run that is open does not go by.
const NOT_OF_RUNS: &[&str] = &["schedule", "submit"];

/// The job of a run has been changed since the run was opened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Changed {
    #[serde(skip)]
    job: JobName,
    /// The revision that a new run takes.
    revision: u64,
    /// When that was applied, RFC 3339.
    applied_at: String,
    /// When the run took the job as it was, RFC 3339.
    opened_at: String,
    /// What differs, as keys of the file: `sql.statement`.
    keys: Vec<String>,
}

impl Changed {
    /// What was changed of `kept`, the job of a run that was opened `at`, by what stands there now.
    fn of(kept: &JobSpec, at: UnixMs, now: Option<&StoredJob>) -> Option<Changed> {
        let now = now.filter(|now| now.applied_at > at)?;
        let mut keys = difference::keys(kept, now.spec.as_ref().ok()?);
        let root = |key: &str| key.split('.').next().map(ToOwned::to_owned);
        keys.retain(|key| root(key).is_none_or(|root| !NOT_OF_RUNS.contains(&root.as_str())));
        (!keys.is_empty()).then(|| Changed {
            job: kept.name.clone(),
            revision: now.revision,
            applied_at: now.applied_at.rfc3339(),
            opened_at: at.rfc3339(),
            keys,
        })
    }

    /// In words, of whichever run or runs are meant.
    pub(super) fn words(&self, who: &str) -> String {
        let Changed {
            job,
            revision,
            opened_at,
            keys,
            ..
        } = self;
        let named = keys.iter().take(NAMED).map(String::as_str);
        let mut named = named.collect::<Vec<_>>().join(", ");
        if keys.len() > NAMED {
            named.push_str(", ...");
        }
        format!(
            "{who} the job as it was at {opened_at}, and {job} was changed since (revision {revision}: {named}): a new \
             run takes that: gridloom run {job}"
        )
    }
}

/// What was changed since `run` was opened.
pub(super) async fn of_run(broker: &Broker, run: &RunId) -> anyhow::Result<Option<Changed>> {
    let mut pages = Pages::of(broker, Span::anywhere(broker.subjects(), run));
    let first = pages.next().await?.unwrap_or_default();
    let opened = first.iter().find_map(|entry| match entry.plan()? {
        PlanRecord::Opened(opened) => Some((&opened.job, entry.at)),
        _ => None,
    });
    let Some((kept, at)) = opened else {
        return Ok(None);
    };
    let now = jobs::get(broker, &kept.name).await?;
    Ok(Changed::of(kept, at, now.as_ref()))
}

/// All jobs as they stand now.
#[derive(Debug, Default)]
pub(super) struct Jobs(BTreeMap<String, StoredJob>);

impl Jobs {
    pub(super) async fn now(broker: &Broker) -> anyhow::Result<Jobs> {
        let all = jobs::list(broker).await?.into_iter();
        Ok(Jobs(all.map(|job| (job.name.clone(), job)).collect()))
    }

    /// What was changed since the run of `fold` was opened.
    pub(super) fn changed_since(&self, fold: &Fold) -> Option<Changed> {
        let opening = fold.opening()?;
        let kept = &opening.record.job;
        Changed::of(kept, opening.at, self.0.get(kept.name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::job::parse::from_value;
    use serde_json::json;

    use super::*;

    fn job(more: &serde_json::Value) -> JobSpec {
        let mut job = json!({ "name": "a", "handler": "noop" });
        if let (Some(job), Some(more)) = (job.as_object_mut(), more.as_object()) {
            job.extend(more.clone());
        }
        from_value(job).unwrap()
    }

    fn stored(spec: JobSpec, at: u64) -> StoredJob {
        StoredJob {
            name: "a".to_owned(),
            spec: Ok(spec),
            revision: 35,
            applied_at: UnixMs(at),
        }
    }

    #[test]
    fn change_of_what_runs_go_by_is_told_and_no_other() {
        let kept = job(&json!({}));
        let limits = json!({ "limits": { "concurrency": 4 } });
        let since = |more: &serde_json::Value, at| {
            Changed::of(&kept, UnixMs(1_000), Some(&stored(job(more), at)))
        };
        let told = since(&limits, 2_000).unwrap();
        assert_eq!((told.revision, told.keys.len()), (35, 1), "{told:?}");
        assert!(told.words("run x keeps").contains("gridloom run a"));
        // It stood there when the run was opened: the run brought what differs.
        assert_eq!(since(&limits, 1_000), None);
        assert_eq!(since(&json!({}), 2_000), None);
        let schedule = json!({ "schedule": { "every": "1h" } });
        assert_eq!(since(&schedule, 2_000), None);
        assert_eq!(Changed::of(&kept, UnixMs(1_000), None), None);
    }
}
