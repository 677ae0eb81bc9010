//! Counts what the ledger says of runs, by job. A handle is made once for a job, not for each record.

use std::collections::HashMap;

use gridloom_shared::ledger::fold::Counts;
use gridloom_shared::ledger::summary::RunState;
use gridloom_shared::limits::LABELS_MAX;
use gridloom_shared::telemetry::Metric;
use metrics::Counter;

use crate::book::Moved;
use crate::metrics as ours;
use crate::run::Run;

/// A metric, and where a run's numbers have it.
type Number = (Metric, fn(&Counts) -> u64);

/// What is counted of shards.
const SHARDS: [Number; 8] = [
    (ours::SHARDS_PLANNED, |counts| counts.planned),
    (ours::SHARDS_DONE, |counts| counts.done),
    (ours::SHARDS_FAILED, |counts| counts.failures),
    (ours::SHARDS_DEAD, |counts| counts.dead),
    (ours::SHARDS_LATE, |counts| counts.late),
    (ours::SHARDS_RETRIED, |counts| counts.retried),
    (ours::SHARDS_TAKEN_OVER, |counts| counts.taken_over),
    (ours::SHARDS_UNEXPECTED, |counts| counts.unexpected),
];

/// The counters of the jobs of which something was read lately.
#[derive(Default)]
pub(super) struct Counted {
    jobs: HashMap<String, [Counter; SHARDS.len()]>,
}

impl Counted {
    /// A record changed a run's numbers.
    pub(super) fn moved(&mut self, moved: &Moved) {
        let job = moved.run.job();
        if !self.jobs.contains_key(job) {
            // Those that are not asked for any more go; the others come back.
            if self.jobs.len() >= LABELS_MAX {
                self.jobs.clear();
            }
            let counters = SHARDS.map(|(metric, _)| metric.counter(&[job]));
            self.jobs.insert(job.to_owned(), counters);
        }
        let Some(counters) = self.jobs.get(job) else {
            return;
        };
        for (counter, (_, of)) in counters.iter().zip(SHARDS) {
            let more = of(&moved.after).saturating_sub(of(&moved.before));
            if more > 0 {
                counter.increment(more);
            }
        }
    }

    /// A run is over.
    pub(super) fn closed(&self, run: &Run) {
        let fold = run.fold();
        if let Some((_, closed)) = fold.closing() {
            let state = RunState::from(closed.state).as_str();
            tracing::info!(run = %fold.run(), state, "closed");
            let labels = [fold.run().job(), state];
            ours::RUNS_CLOSED.counter(&labels).increment(1);
        }
    }

    /// Nothing is led: no run is open here, also on a planner that never led.
    pub(super) fn rest(&self) {
        ours::RUNS.gauge(&["running"]).set(0.0);
    }

    /// A run is lost.
    pub(super) fn lost(&self) {
        ours::RUNS_LOST.counter(&[]).increment(1);
    }
}
