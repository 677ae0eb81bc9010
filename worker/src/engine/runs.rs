//! The runs whose tiles this worker holds or held lately: their frozen jobs, read once, and what is
//! to be written about them. Bounded: runs without tiles go, the longest unused first.

use std::collections::HashMap;
use std::sync::Arc;

use gridloom_shared::broker::Subject;
use gridloom_shared::broker::Subjects;
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::ledger::record::{Author, Reason};
use gridloom_shared::quick::QuickMap;
use gridloom_shared::tile::TileRef;

use super::held::{Holding, Receipt, TileKey};
use crate::crew::pace::Pace;
use crate::handler::{ProbedPages, SharedHandler};
use crate::outcomes::outbox::Outbox;
use crate::shard::RunContext;

/// Runs without tiles that are remembered.
const IDLE_MAX: usize = 256;

/// What is known of a run's frozen job.
#[derive(Clone)]
pub(super) enum Context {
    Unknown,
    Reading,
    Known(Arc<RunContext>, Option<Registered>),
}

/// A handler and its metric.
#[derive(Clone)]
pub(super) struct Registered {
    pub(super) handler: SharedHandler,
    pub(super) pace: Arc<Pace>,
    pub(super) duration: metrics::Histogram,
}

/// A tile that is given back: its place, and the messages to NAK once that is recorded.
#[derive(Debug)]
pub(super) struct Return {
    pub(super) place: TileRef,
    pub(super) receipts: Vec<Receipt>,
}

pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) queue: QueueName,
    /// Where workers report.
    pub(super) work: Subject,
    /// Where takeovers stand.
    pub(super) takeover: Subject,
    pub(super) context: Context,
    /// Whether that was read from the ledger, and not brought along by a tile.
    pub(super) certain: bool,
    /// Tiles that wait for the context.
    pub(super) waiting: Vec<TileKey>,
    /// Tiles held.
    pub(super) held: u32,
    pub(super) outbox: Outbox<Holding>,
    pub(super) answers: Vec<(Holding, ProbedPages)>,
    pub(super) claims: Vec<(Reason, Holding)>,
    pub(super) returns: Vec<Return>,
    /// Pages that are to be announced before they are executed.
    pub(super) starts: Vec<(Holding, u64)>,
    /// Up to which ledger sequence its takeovers were read.
    pub(super) takeovers_read: u64,
    pub(super) looking: bool,
    /// Whether it is in the list of runs with something to write.
    pub(super) dirty: bool,
    /// Records on their way, of whatever kind.
    pub(super) in_flight: u32,
    used: u64,
}

impl Run {
    fn is_idle(&self) -> bool {
        self.held == 0
            && self.in_flight == 0
            && self.outbox.is_idle()
            && self.answers.is_empty()
            && self.returns.is_empty()
            && self.starts.is_empty()
            && !matches!(self.context, Context::Reading)
    }
}

/// All of them, by the ledger sequence of their `opened` record.
#[derive(Default)]
pub(super) struct Runs {
    runs: QuickMap<u64, Run>,
    by_id: HashMap<RunId, u64>,
    clock: u64,
}

impl Runs {
    pub(super) fn get(&self, opened: u64) -> Option<&Run> {
        self.runs.get(&opened)
    }

    pub(super) fn get_mut(&mut self, opened: u64) -> Option<&mut Run> {
        self.runs.get_mut(&opened)
    }

    pub(super) fn opened_of(&self, run: &RunId) -> Option<u64> {
        self.by_id.get(run).copied()
    }

    /// Whether there is nothing left to write or to hear about any run.
    pub(super) fn are_idle(&self) -> bool {
        self.runs.values().all(Run::is_idle)
    }

    /// The run whose `opened` record stands at `opened`, made if it is new.
    pub(super) fn touch(
        &mut self,
        opened: u64,
        id: &RunId,
        queue: &QueueName,
        subjects: &Subjects,
    ) -> &mut Run {
        self.clock += 1;
        let used = self.clock;
        if !self.runs.contains_key(&opened) {
            self.make_room();
            self.by_id.insert(id.clone(), opened);
        }
        let run = self.runs.entry(opened).or_insert_with(|| Run {
            id: id.clone(),
            queue: queue.clone(),
            work: subjects.ledger_of(queue, id, Author::Work).into(),
            takeover: subjects.ledger_of(queue, id, Author::Takeover).into(),
            context: Context::Unknown,
            certain: false,
            waiting: Vec::new(),
            held: 0,
            outbox: Outbox::default(),
            answers: Vec::new(),
            claims: Vec::new(),
            returns: Vec::new(),
            starts: Vec::new(),
            takeovers_read: 0,
            looking: false,
            dirty: false,
            in_flight: 0,
            used: 0,
        });
        run.used = used;
        run
    }

    /// Forgets a run that turned out to be none.
    pub(super) fn forget(&mut self, opened: u64) {
        if self.runs.get(&opened).is_some_and(Run::is_idle)
            && let Some(run) = self.runs.remove(&opened)
            && self.by_id.get(&run.id) == Some(&opened)
        {
            self.by_id.remove(&run.id);
        }
    }

    fn make_room(&mut self) {
        if self.runs.len() < IDLE_MAX {
            return;
        }
        let idle = self.runs.iter().filter(|(_, run)| run.is_idle());
        let oldest = idle.min_by_key(|(_, run)| run.used);
        let Some(opened) = oldest.map(|(opened, _)| *opened) else {
            return;
        };
        self.forget(opened);
    }
}
