//! Keys of the `state` bucket for what people ask for beside schedules.

use super::Subjects;
use crate::id::{JobName, RunId};
#[cfg(feature = "schedules")]
use crate::schedule::BackfillName;

impl Subjects {
    /// A backfill of `job`.
    #[cfg(feature = "schedules")]
    pub fn backfill_key(&self, job: &JobName, name: &BackfillName) -> String {
        format!("asked.backfill.{job}.{name}")
    }

    /// The backfill whose [`Subjects::backfill_key`] `key` is.
    #[cfg(feature = "schedules")]
    pub fn parse_backfill_key(&self, key: &str) -> Option<(JobName, BackfillName)> {
        let (job, name) = key.strip_prefix("asked.backfill.")?.split_once('.')?;
        let name = BackfillName::new(name).ok()?;
        Some((JobName::new(job).ok()?, name))
    }

    /// All backfills of `job`, as a filter of keys.
    pub fn backfills_of(&self, job: &JobName) -> String {
        format!("asked.backfill.{job}.*")
    }

    /// A run that was asked for with an overlap policy, until it is opened or refused.
    pub fn asked_key(&self, run: &RunId) -> String {
        format!("asked.run.{run}")
    }

    /// The run whose [`Subjects::asked_key`] `key` is.
    pub fn parse_asked_key(&self, key: &str) -> Option<RunId> {
        RunId::new(key.strip_prefix("asked.run.")?).ok()
    }

    /// All runs that were asked for with an overlap policy and are not answered for good, as a filter of keys.
    pub fn all_asked_runs(&self) -> &'static str {
        "asked.run.>"
    }

    /// All that people asked for beside schedules, as a filter of keys.
    pub fn all_asked(&self) -> &'static str {
        "asked.>"
    }
}
