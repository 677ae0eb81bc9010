//! What the engine counts. Handles are taken once: looking them up costs more than counting.

use gridloom_shared::id::HandlerName;
use gridloom_shared::ledger::record::Reason;
use gridloom_shared::telemetry::names;
use metrics::{Counter, Gauge, Histogram};

use crate::lease::Loss;

pub(super) struct Meters {
    pub(super) done: Counter,
    pub(super) failed: Counter,
    pub(super) append: Histogram,
    pub(super) running: Gauge,
    pub(super) slots_lost: Gauge,
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
