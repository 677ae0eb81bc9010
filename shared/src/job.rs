//! What a job says, once its file was found free of faults ([`parse`] lists every fault at once, and
//! [`handlers`] what the built-in handlers could not do).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{HandlerName, JobName, QueueName};

#[cfg(feature = "runs")]
pub mod difference;
mod fault;
pub mod given;
#[cfg(feature = "handlers")]
pub mod handlers;
mod limits;
#[cfg(feature = "runs")]
pub mod parse;
mod shares;
mod submit;

pub use fault::Fault;
pub use limits::{
    AbortAfter, CONCURRENCY_MAX, LimitsSpec, PRIORITY_MAX, Period, Priority, RATE_MAX, Rate,
    RateError,
};
pub use shares::{Shares, WEIGHT_MAX, WEIGHT_MIN, WeightError};
pub use submit::{Allowed, AllowedError, SubmitSpec};

pub use crate::limits::{
    ALLOWED_MAX, ATTEMPTS_MAX, PAGES_MAX, PARAM_NAME_MAX, PARAMS_DEPTH, PARAMS_MAX, SETTINGS_MAX,
    SLICES_MAX, TILE_MAX,
};

/// A named definition of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct JobSpec {
    /// Its name.
    pub name: JobName,
    /// The code that executes a shard.
    pub handler: HandlerName,
    /// The pool of workers that it goes to.
    pub queue: QueueName,
    /// Its cells.
    pub grid: GridSpec,
    /// What happens after a failed attempt.
    pub retry: RetrySpec,
    /// What it may take, and its place among other jobs.
    pub limits: LimitsSpec,
    /// What the handler is told by the job alone: statements, databases, commands. Always a JSON object.
    pub settings: serde_json::Value,
    /// What the handler is given, by the job and by the submission. Always a JSON object.
    pub params: serde_json::Value,
    /// What a submission may change.
    pub submit: SubmitSpec,
    /// When it fires by the clock, as its file says ([`crate::schedule::Spec`] reads it). `None`: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<serde_json::Value>,
}

/// A definition as it may stand in the bucket or in a run's first record.
#[derive(Deserialize)]
struct Stored {
    name: JobName,
    handler: HandlerName,
    queue: QueueName,
    grid: GridSpec,
    retry: RetrySpec,
    limits: LimitsSpec,
    settings: Option<serde_json::Value>,
    params: serde_json::Value,
    submit: Option<SubmitSpec>,
    schedule: Option<serde_json::Value>,
}

/// A definition that was written before handlers had settings: what may be changed of it is not known, so
/// nothing is made of it.
#[derive(Debug, thiserror::Error)]
#[error("of an earlier form, in which its handler's settings stood among its params")]
struct EarlierForm;

impl TryFrom<Stored> for JobSpec {
    type Error = EarlierForm;

    fn try_from(stored: Stored) -> Result<Self, EarlierForm> {
        Ok(JobSpec {
            name: stored.name,
            handler: stored.handler,
            queue: stored.queue,
            grid: stored.grid,
            retry: stored.retry,
            limits: stored.limits,
            settings: stored.settings.ok_or(EarlierForm)?,
            params: stored.params,
            submit: stored.submit.ok_or(EarlierForm)?,
            schedule: stored.schedule,
        })
    }
}

/// The cells of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GridSpec {
    /// Rows of the grid, 1 to [`SLICES_MAX`].
    pub slices: u32,
    /// Columns of the grid.
    pub pages: PagesSpec,
    /// Pages a tile, 1 to [`TILE_MAX`]. `None`: one.
    pub tile: Option<u32>,
}

/// How many pages a slice has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PagesSpec {
    /// The same fixed number of pages in each slice.
    Count {
        /// Pages a slice, at least 1.
        count: u32,
    },
    /// As many pages as the rows of a slice need. The last page of each slice has no end, so that
    /// rows above the estimate are in it.
    Rows {
        /// Rows in each slice; one number for every slice.
        rows: Vec<u64>,
        /// Rows a page, at least 1.
        page_size: u64,
    },
    /// The handler is asked for the pages of each slice.
    Probe,
}

/// What happens after a failed attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetrySpec {
    /// Attempts of one shard before it is dead, 1 to [`ATTEMPTS_MAX`].
    pub max_attempts: u32,
    /// How long to wait between attempts.
    pub backoff: Backoff,
}

/// Waits between attempts: `initial × factor^(attempt-1)`, at most `max`, spread by `jitter`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backoff {
    /// Wait after the first failed attempt, in milliseconds.
    pub initial_ms: u64,
    /// Growth from attempt to attempt, at least 1.
    pub factor: f64,
    /// Longest wait, in milliseconds.
    pub max_ms: u64,
    /// Share of the wait by which it may vary either way, 0 to 1.
    pub jitter: f64,
}

impl Default for RetrySpec {
    fn default() -> Self {
        RetrySpec {
            max_attempts: 3,
            backoff: Backoff {
                initial_ms: 1_000,
                factor: 2.0,
                max_ms: 300_000,
                jitter: 0.2,
            },
        }
    }
}

impl Backoff {
    /// The wait after failed attempt number `attempt` (from 1). `spread` picks the point inside the
    /// jitter; the same `spread` gives the same wait, so that every leader agrees.
    pub fn after(&self, attempt: u32, spread: u64) -> Duration {
        let power = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let plain = (self.initial_ms as f64 * self.factor.powi(power)).min(self.max_ms as f64);
        let point = (spread % 2_001) as f64 / 1_000.0 - 1.0;
        Duration::from_millis((plain * (1.0 + self.jitter * point)).max(0.0) as u64)
    }
}

impl JobSpec {
    /// What a run is frozen to: all of it but when others like it are opened.
    pub fn frozen(&self) -> JobSpec {
        JobSpec {
            schedule: None,
            ..self.clone()
        }
    }
}

impl GridSpec {
    /// Pages a tile.
    pub fn tile_pages(&self) -> u32 {
        self.tile.unwrap_or(1)
    }
}

crate::wire::coded!(JobSpec);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_its_bound_and_stays_within_its_jitter() {
        let backoff = Backoff {
            initial_ms: 1_000,
            factor: 2.0,
            max_ms: 5_000,
            jitter: 0.2,
        };
        assert_eq!(backoff.after(1, 1_000), Duration::from_secs(1));
        assert_eq!(backoff.after(3, 1_000), Duration::from_secs(4));
        assert_eq!(backoff.after(9, 1_000), Duration::from_secs(5));
        assert_eq!(backoff.after(1, 0), Duration::from_millis(800));
        assert_eq!(backoff.after(1, 2_000), Duration::from_millis(1_200));
        assert_eq!(backoff.after(u32::MAX, 1_000), Duration::from_secs(5));
    }
}
