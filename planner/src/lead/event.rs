//! What one leadership hears. Closed, and known to everybody: it knows nobody.

use std::time::Duration;

use gridloom_shared::broker::Subject;
use gridloom_shared::broker::term::{ClaimError, Register};
use gridloom_shared::command::Command;
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::{Opened, Wave};
use gridloom_shared::presence::Presence;

use crate::book::Life;
use crate::census::{Counted, Gone};
use crate::entry::Entry;
use crate::failover::refill::Listing;
use crate::open::NewRun;
use crate::teller::Teller;

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The next record of the ledger.
    Read(Box<Entry>),
    /// The ledger ends before what was read of it.
    LedgerLost(String),
    /// Somebody is about to open a run with this record, and has it back with what is issued with it.
    Begins(Box<Opened>, Teller<Box<Opened>>),
    /// A run was opened.
    Opened(Box<NewRun>),
    /// A run that was to begin with so many tiles was not opened.
    NotOpened(QueueName, usize),
    /// Somebody gave an order.
    Ordered(Box<Request>),
    /// A worker announced itself.
    Heard(Box<Presence>),
    /// A worker is dead.
    Died(Box<Presence>),
    /// Workers have executed shards of a run.
    Measured {
        /// The run.
        run: RunId,
        /// How many shards.
        shards: u64,
        /// What they took of a worker's slots, all together.
        busy: Duration,
    },
    /// The stream of the queues is gone, or nothing is left on it.
    QueueLost,
    /// Nearly all that its sequences span is gone, since the register stands at the bottom.
    QueueWorn,
    /// The connection to the broker is another: the queue may have lost what was on it.
    Reconnected,
    /// Records of an open run are gone from the ledger.
    Vanished(Gone),
    /// Somebody counts the records of the open runs, and wants to know how many each should have.
    Counting(Teller<Vec<Counted>>),
    /// Something that was carried out has ended: what was begun for a run, in which of its lives.
    Report(Option<Life>, Report),
}

/// An order, and where its answer goes.
#[derive(Debug)]
pub struct Request {
    /// The order.
    pub command: Command,
    /// Where its answer goes.
    pub reply: Subject,
}

/// How something that was carried out has ended.
#[derive(Debug)]
pub enum Report {
    /// A wave is in the ledger and its tiles are being published. Comes before [`Report::Published`].
    Decided(RunId),
    /// A wave or closing record was not written: another planner's stands there.
    Outrun(RunId),
    /// A wave can never be written, for this reason.
    Unwritable(RunId, String),
    /// A wave was published, or not.
    Published(RunId, Outcome),
    /// Tiles of a run are not stored yet, as the queue has no room; that is tried again.
    NoRoom(RunId),
    /// The queue was listed for a refill, under this register.
    Listed(RunId, Listing, Register),
    /// What was missing was published, or not.
    Refilled(RunId, Outcome),
    /// The queue was made anew for this register: when it was written, nothing but it was there. Comes before
    /// [`Report::Claimed`].
    Bare(Register),
    /// The register was written anew, or is another's.
    Claimed(Result<Register, ClaimError>),
    /// An order was written, or not.
    Ordered {
        /// Its run.
        run: RunId,
        /// Number of the request.
        request: u64,
        /// What came of it.
        written: Written,
    },
    /// The queue was emptied of a cancelled run, and its holders stopped.
    Halted(RunId),
    /// Waves of a run were read again, each with its ledger sequence.
    Recalled(RunId, Vec<(u64, Wave)>),
    /// The ledger of a run was read.
    Loaded(Box<Fold>),
}

/// What became of tiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They are on the queue.
    Stored,
    /// The register is not the one they expected, or nobody knows: to be claimed, then refilled.
    Lost(Register),
    /// The queue has no room, or refuses them for now: none is stored, or a part, and nothing more will be.
    NotTaken,
    /// They can never be put on the queue, for this reason.
    Unsendable(String),
}

/// What became of an order's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It stands at this ledger sequence.
    At(u64),
    /// Another planner's record came first: it is to be judged anew.
    Outrun,
    /// It can never be written, for this reason.
    Never(String),
}
