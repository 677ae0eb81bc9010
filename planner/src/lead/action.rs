//! What one leadership has done by the shell. Closed, and known to everybody: it knows nobody.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use gridloom_shared::broker::Subject;
use gridloom_shared::broker::term::Register;
use gridloom_shared::command::Answer;
use gridloom_shared::id::{Nonce, QueueName, RunId, Session, Term};
use gridloom_shared::lane::Lane;
use gridloom_shared::ledger::record::{Closed, PlanRecord, Wave};
use gridloom_shared::tile::Tile;
use gridloom_shared::trace::Traceparent;

use crate::book::Life;
use crate::census::Gone;
use crate::failover::refill::Listing;

/// Something to be done, and for which life of its run: what comes of it is told to that life alone.
#[derive(Debug)]
pub struct Ordered {
    /// What.
    pub action: Action,
    /// Of its run; `None` where it is for no open run.
    pub life: Option<Life>,
}

/// What is to be done. Whatever has an end that matters comes back as a [`super::Report`].
#[derive(Debug)]
pub enum Action {
    /// Write a wave to the ledger, then put its tiles on the queue.
    Issue(Issue),
    /// Put the first tiles of runs on the queue, which their first records have issued.
    Begin {
        /// The runs; all together have at most as many tiles as a wave.
        runs: Vec<Begun>,
        /// The register as it stands.
        register: Register,
    },
    /// List what the queue holds of a run.
    List {
        /// The run.
        run: RunId,
        /// Its queue.
        queue: QueueName,
        /// The register as it stands.
        register: Register,
    },
    /// Ask the workers which tiles of a run they hold, as its listing lacks some.
    Ask {
        /// The run.
        run: RunId,
        /// Its queue.
        queue: QueueName,
        /// What the queue holds.
        listing: Listing,
        /// The register as it stood when the queue was listed.
        register: Register,
    },
    /// Put tiles on the queue that it lacks, marked so.
    Refill {
        /// The run.
        run: RunId,
        /// Where its tiles go.
        lane: Lane,
        /// The tiles.
        tiles: Vec<Tile>,
        /// The register as it stands.
        register: Register,
    },
    /// Read waves of a run again.
    Recall {
        /// The run.
        run: RunId,
        /// The queue of its ledger.
        queue: QueueName,
        /// Their ledger sequences.
        waves: BTreeSet<u64>,
    },
    /// Empty the queue of a cancelled run, and have everything of it stopped.
    Halt {
        /// The run.
        run: RunId,
        /// Its queue.
        queue: QueueName,
        /// Sequence of the planner's last record of it.
        sequence: u64,
        /// Who may hold tiles of it; `None` while that is not known.
        holders: Option<HashSet<Session>>,
    },
    /// Write a record that is no wave and no end: an order.
    Write(Order),
    /// Write the last record of a run.
    Close {
        /// The run.
        run: RunId,
        /// The queue of its ledger.
        queue: QueueName,
        /// The record.
        closed: Closed,
        /// Sequence of the planner's previous record.
        expected: u64,
    },
    /// Write the term register anew.
    Claim(Term),
    /// Read the ledger of a run that is over, at least up to a sequence.
    Load {
        /// The run.
        run: RunId,
        /// The sequence.
        position: u64,
    },
    /// Answer somebody who gave an order.
    Answer {
        /// Where to.
        reply: Subject,
        /// What.
        answer: Answer,
    },
    /// Keep on record that a run is lost, and close what is left of it.
    Bury {
        /// The run.
        run: RunId,
        /// How it was lost.
        why: String,
        /// What of it has gone; `None` where another run took its place.
        gone: Option<Gone>,
    },
    /// Ask all workers to announce themselves.
    CallWorkers,
}

impl Action {
    /// The run that it is for.
    pub fn run(&self) -> Option<&RunId> {
        match self {
            Action::Issue(Issue { run, .. })
            | Action::Write(Order { run, .. })
            | Action::List { run, .. }
            | Action::Ask { run, .. }
            | Action::Refill { run, .. }
            | Action::Recall { run, .. }
            | Action::Halt { run, .. }
            | Action::Close { run, .. } => Some(run),
            Action::Begin { .. }
            | Action::Load { .. }
            | Action::Claim(_)
            | Action::Answer { .. }
            | Action::Bury { .. }
            | Action::CallWorkers => None,
        }
    }
}

/// A wave to be decided and published.
#[derive(Debug)]
pub struct Issue {
    /// The run.
    pub run: RunId,
    /// Where its tiles go.
    pub lane: Lane,
    /// The run's nonce.
    pub nonce: Nonce,
    /// Ledger sequence of the run's first record.
    pub opened: u64,
    /// The wave.
    pub wave: Arc<Wave>,
    /// What its tiles carry of the run's first record.
    pub frozen: Option<Bytes>,
    /// The run's place in a trace.
    pub traceparent: Option<Traceparent>,
    /// Sequence of the planner's previous record.
    pub expected: u64,
    /// The register as it stands.
    pub register: Register,
}

/// A run whose first record has issued its first wave.
#[derive(Debug)]
pub struct Begun {
    /// The run.
    pub run: RunId,
    /// Which life of it.
    pub life: Option<Life>,
    /// Where its tiles go.
    pub lane: Lane,
    /// Ledger sequence of the record.
    pub sequence: u64,
    /// The run's nonce.
    pub nonce: Nonce,
    /// The wave.
    pub wave: Wave,
    /// What its tiles carry of the record.
    pub frozen: Option<Bytes>,
    /// The run's place in a trace.
    pub traceparent: Option<Traceparent>,
}

/// An order to be written.
#[derive(Debug)]
pub struct Order {
    /// The run.
    pub run: RunId,
    /// The queue of its ledger.
    pub queue: QueueName,
    /// The record.
    pub record: PlanRecord,
    /// Sequence of the planner's previous record.
    pub expected: u64,
    /// Number of the request; 0 where nobody asked.
    pub request: u64,
}
