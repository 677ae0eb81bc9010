//! Shows how a leadership stands, as long as it lasts: its numbers are 0 on a planner that does not lead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::telemetry::board::{Board, Round};

use crate::admission::QueueStanding;
use crate::lead::Lead;
use crate::lead::standing::Standing;
use crate::metrics;
use crate::now::Now;

/// How often it is shown.
const SHOWN: Duration = Duration::from_secs(2);

/// Ledger sequence up to which the leader has read.
#[derive(Clone, Debug, Default)]
pub(super) struct Position(Arc<AtomicU64>);

impl Position {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is shown of a leadership.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    board: Board,
    position: Position,
    shown: Option<Boot>,
}

impl Gauges {
    pub(super) fn of(position: Position) -> Gauges {
        Gauges {
            position,
            ..Gauges::default()
        }
    }

    /// Shows it, if that is due.
    pub(super) fn follow(&mut self, lead: &mut Lead, now: Now) {
        self.position.0.store(lead.position(), Ordering::Relaxed);
        if self.shown.is_some_and(|at| now.boot.since(at) < SHOWN) {
            return;
        }
        self.shown = Some(now.boot);
        self.board.show(round(&lead.standing(now)));
    }
}

fn round(standing: &Standing) -> Round {
    let mut round = Round::default();
    let still = standing.aside + standing.newer;
    let running = standing.runs.saturating_sub(still);
    round.add(&metrics::RUNS, &["running"], running as f64);
    round.add(&metrics::RUNS, &["aside"], standing.aside as f64);
    let newer = standing.newer + standing.unread;
    round.add(&metrics::RUNS, &["newer"], newer as f64);
    round.add(&metrics::FOLD_MEMORY, &[], standing.memory as f64);
    round.add(
        &metrics::QUEUE_FULL,
        &[],
        f64::from(u8::from(standing.no_room)),
    );
    for queue in &standing.full {
        round.most(&metrics::QUEUE_CLOSED, &[queue.as_str()], 1.0);
    }
    for queue in &standing.queues {
        tell(queue, &mut round);
    }
    for (job, left) in &standing.holds.jobs {
        round.most(&metrics::JOB_HOLD, &[job.as_str()], left.as_secs_f64());
    }
    for (resource, left) in &standing.holds.resources {
        let labels = [resource.as_str()];
        round.most(&metrics::RESOURCE_HOLD, &labels, left.as_secs_f64());
    }
    round
}

fn tell(standing: &QueueStanding, round: &mut Round) {
    let queue = standing.queue.as_str();
    round.add(&metrics::QUEUE_WORKERS, &[queue], standing.workers as f64);
    for (reason, runs) in &standing.waiting {
        round.add(&metrics::RUNS_WAITING, &[queue, reason], *runs as f64);
    }
    for lane in &standing.lanes {
        let labels = [queue, lane.handler.as_str()];
        for (metric, value) in [
            (&metrics::LANE_WORKERS, lane.workers),
            (&metrics::LANE_SLOTS, lane.slots),
            (&metrics::LANE_RUNS, lane.runs),
            (&metrics::LANE_WINDOW, lane.window),
            (&metrics::LANE_OUTSTANDING, lane.outstanding),
        ] {
            round.add(metric, &labels, value as f64);
        }
    }
}
