//! What the engine counts. Handles are taken once: looking them up costs more than counting.

use std::time::Duration;

use gridloom_shared::ledger::record::Reason;
use metrics::{Counter, Gauge, Histogram};

use super::Engine;
use crate::lease::Loss;
use crate::metrics as ours;

pub(super) struct Meters {
    done: Counter,
    failed: Counter,
    append: Histogram,
    batch: Histogram,
    running: Gauge,
    held: Gauge,
    slots: Gauge,
    slots_lost: Gauge,
    ledger_full: Gauge,
}

impl Meters {
    pub(super) fn new() -> Meters {
        Meters {
            done: ours::WORKER_SHARDS.counter(&["done"]),
            failed: ours::WORKER_SHARDS.counter(&["failed"]),
            append: ours::LEDGER_APPEND.histogram(&[]),
            batch: ours::LEDGER_BATCH.histogram(&[]),
            running: ours::TILES_RUNNING.gauge(&[]),
            held: ours::LEASES_HELD.gauge(&[]),
            slots: ours::SLOTS.gauge(&[]),
            slots_lost: ours::SLOTS_LOST.gauge(&[]),
            ledger_full: ours::LEDGER_FULL.gauge(&[]),
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

    /// A record has outcomes of so many tiles.
    pub(super) fn batch(&self, tiles: usize) {
        self.batch.record(tiles as f64);
    }
}

impl Engine {
    /// Shows how the worker stands, at each tick: what is not shown any more goes away.
    pub(super) fn show(&self) {
        let meters = &self.meters;
        let slots = self.settings.concurrency;
        meters.running.set(f64::from(self.tiles.running()));
        meters.held.set(self.tiles.len() as f64);
        meters.slots.set(f64::from(slots));
        meters
            .slots_lost
            .set(f64::from(slots - self.lost.left().min(slots)));
        let full = f64::from(u8::from(self.ledger.is_full()));
        meters.ledger_full.set(full);
    }
}

pub(super) fn count_lost(loss: Loss) {
    ours::LEASES_LOST.counter(&[loss.text()]).increment(1);
}

pub(super) fn count_taken_over(reason: Reason, tiles: usize) {
    let reason = match reason {
        Reason::Count => "count",
        Reason::Floor => "floor",
        Reason::Again => "again",
        Reason::Returned => "returned",
    };
    ours::TILES_TAKEN_OVER
        .counter(&[reason])
        .increment(tiles as u64);
}
