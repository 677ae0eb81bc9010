//! What is to be written about one run.

use gridloom_shared::broker::{Subject, Subjects};
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::ledger::record::{Author, Reason};
use gridloom_shared::tile::TileRef;
use gridloom_shared::wire;

use crate::engine::tiles::{Holding, Receipt};
use crate::handler::ProbedPages;
use crate::outcomes::outbox::Outbox;

/// A tile that is given back: its place, and the messages to NAK once that is recorded.
#[derive(Debug)]
pub(in crate::engine) struct Return {
    pub(in crate::engine) place: TileRef,
    pub(in crate::engine) receipts: Vec<Receipt>,
}

#[derive(Debug)]
pub(super) struct Book {
    /// Number of the last record. Each run has its own: readers of a ledger keep what they have seen as ranges, so
    /// that numbers which follow each other cost them nothing however many runs there are.
    pub(super) number: u64,
    /// The newest version in which its records may be.
    pub(super) version: u16,
    /// Where workers report.
    pub(super) work: Subject,
    /// Where takeovers stand.
    pub(super) takeover: Subject,
    pub(super) outbox: Outbox<Holding>,
    pub(super) answers: Vec<(Holding, ProbedPages)>,
    pub(super) claims: Vec<(Reason, Holding)>,
    pub(super) returns: Vec<Return>,
    /// Pages that are to be announced before they are executed.
    pub(super) starts: Vec<(Holding, u64)>,
    /// Whether it is in the list of those with something to write.
    pub(super) dirty: bool,
    /// Records on their way, of whatever kind.
    pub(super) in_flight: u32,
}

impl Book {
    /// A book whose records have numbers above `number`.
    pub(super) fn new(run: &RunId, queue: &QueueName, subjects: &Subjects, number: u64) -> Book {
        Book {
            number,
            version: wire::FIRST,
            work: subjects.ledger_of(queue, run, Author::Work).into(),
            takeover: subjects.ledger_of(queue, run, Author::Takeover).into(),
            outbox: Outbox::default(),
            answers: Vec::new(),
            claims: Vec::new(),
            returns: Vec::new(),
            starts: Vec::new(),
            dirty: false,
            in_flight: 0,
        }
    }

    /// Whether outcomes wait, or any record is on its way.
    pub(super) fn reports(&self) -> bool {
        self.in_flight > 0 || !self.outbox.is_idle()
    }

    /// Whether nothing is left to write or to hear.
    pub(super) fn is_idle(&self) -> bool {
        !self.reports()
            && self.answers.is_empty()
            && self.returns.is_empty()
            && self.starts.is_empty()
    }
}
