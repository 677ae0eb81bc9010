//! What the engine counts. Handles are taken once: looking them up costs more than counting.

use std::time::Duration;

use gridloom_shared::id::HandlerName;
use gridloom_shared::ledger::record::Reason;
use gridloom_shared::telemetry::names;
use metrics::{Counter, Gauge, Histogram};

use crate::lease::Loss;

pub(super) struct Meters {
    done: Counter,
    failed: Counter,
    append: Histogram,
    running: Gauge,
    slots_lost: Gauge,
}

impl Meters {
    pub(super) fn new() -> Meters {
        Meters {
            done: metrics::counter!(names::WORKER_SHARDS, "outcome" => "done"),
            failed: metrics::counter!(names::WORKER_SHARDS, "outcome" => "failed"),
            append: metrics::histogram!(names::LEDGER_APPEND),
            running: metrics::gauge!(names::TILES_RUNNING),
            slots_lost: metrics::gauge!(names::SLOTS_LOST),
        }
    }

    /// Shards came to an end.
    pub(super) fn ended(&self, done: u64, failed: u64) {
        self.done.increment(done);
        self.failed.increment(failed);
    }

    /// A record was confirmed so long after it was sent.
    pub(super) fn appended(&self, took: Duration) {
        self.append.record(took.as_secs_f64());
    }

    /// So many tiles run.
    pub(super) fn running(&self, tiles: u32) {
        self.running.set(f64::from(tiles));
    }

    /// So many slots have a handler in them that does not end.
    pub(super) fn slots_lost(&self, slots: u32) {
        self.slots_lost.set(f64::from(slots));
    }
}

pub(super) fn duration_of(handler: &HandlerName) -> Histogram {
    metrics::histogram!(names::SHARD_DURATION, "handler" => handler.to_string())
}

pub(super) fn count_lost(loss: Loss) {
    metrics::counter!(names::LEASES_LOST, "reason" => loss.text()).increment(1);
}

pub(super) fn count_taken_over(reason: Reason, tiles: usize) {
    let reason = match reason {
        Reason::Count => "count",
        Reason::Floor => "floor",
        Reason::Again => "again",
        Reason::Returned => "returned",
    };
    metrics::counter!(names::TILES_TAKEN_OVER, "reason" => reason).increment(tiles as u64);
}
