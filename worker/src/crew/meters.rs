//! What is recorded of the shards of one job. Its handles are made once for a job, not for each shard.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gridloom_shared::ledger::outcomes::{Column, Entry, ROWS, Status};
use metrics::{Counter, Histogram};

use crate::metrics as ours;

/// Most counters of one job whose handles are kept.
const COUNTERS: usize = 100;

/// The handles of one job and handler.
pub(crate) struct JobMeters {
    job: String,
    duration: Histogram,
    wait: Histogram,
    rows: Counter,
    /// By their names.
    counted: Mutex<BTreeMap<String, Counter>>,
}

impl JobMeters {
    pub(crate) fn of(job: &str, handler: &str) -> JobMeters {
        JobMeters {
            job: job.to_owned(),
            duration: ours::SHARD_DURATION.histogram(&[job, handler]),
            wait: ours::TILE_WAIT.histogram(&[job, handler]),
            rows: ours::ROWS.counter(&[job]),
            counted: Mutex::default(),
        }
    }

    /// A tile has waited so long until it was started.
    pub(crate) fn waited(&self, wait: Duration) {
        self.wait.record(wait.as_secs_f64());
    }

    /// Shards have run, each for so long in the mean, with these outcomes.
    pub(super) fn ran(&self, each: f64, entries: &[Entry]) {
        self.duration.record(each);
        let done = entries.iter().filter(|entry| entry.status == Status::Done);
        for entry in done {
            let columns = entry.columns.iter();
            columns.for_each(|column| self.count(column, entry.pages));
        }
    }

    fn count(&self, column: &Column, pages: u32) {
        // What handlers take away again is no counter of Prometheus.
        let Some(sum) = u64::try_from(column.sum(0, pages))
            .ok()
            .filter(|sum| *sum > 0)
        else {
            return;
        };
        if column.name == ROWS {
            return self.rows.increment(sum);
        }
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = counted.get(&column.name) {
            return counter.increment(sum);
        }
        let counter = ours::COUNTED.counter(&[&self.job, &column.name]);
        counter.increment(sum);
        if counted.len() < COUNTERS {
            counted.insert(column.name.clone(), counter);
        }
    }
}
