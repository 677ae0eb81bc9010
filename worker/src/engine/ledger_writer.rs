//! Writes records and takes their answers: append, then acknowledge (docs/PROTOCOL.md §4).
//!
//! Told what is to be said of tiles and what became of each record, it says which records are to be
//! appended and what a confirmed one means. It speaks to nobody. Nothing is written for a tile past the
//! end of its lease; that nothing is written while the connection is not open is the engine's affair.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`batch`] | what one record says, and how it is repeated |
//! | [`book`] | what is to be written about one run |
//! | [`draft`] | how that becomes records |

use std::time::Duration;

use gridloom_shared::broker::log::AppendError;
use gridloom_shared::broker::{Subject, Subjects};
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::{QueueName, RunId, Session};
use gridloom_shared::ledger::outcomes::Entry;
use gridloom_shared::ledger::record::Reason;
use gridloom_shared::quick::QuickMap;

use super::tiles::{Holding, Tiles};
use crate::handler::ProbedPages;
use crate::health::{Part, WorkerHealth};

mod batch;
mod book;
mod draft;

pub(super) use batch::{Appended, Batch, Content};
pub(super) use book::Return;
pub(super) use draft::failed_probe;

use book::Book;
use draft::Draft;

pub(super) struct LedgerWriter {
    session: Session,
    /// No run that is closed has a record above this number. One that comes back goes on above it.
    closed_at: u64,
    /// By the ledger sequence of the run's `opened` record.
    books: QuickMap<u64, Book>,
    /// Runs with something to write.
    dirty: Vec<u64>,
    /// Records that wait for the connection.
    parked: Vec<Batch>,
    /// Records of tiles handed back that are on their way: the messages are NAKed after them.
    returning: u32,
    /// Whether the ledger took no record lately, for want of room: then nothing new is begun.
    full: bool,
    /// Whether the ledger refused a record since it last took one.
    troubled: bool,
    health: WorkerHealth,
}

/// What is to be appended now, and when to look again.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) batches: Vec<Batch>,
    pub(super) again: Option<Boot>,
}

/// What the answer to an append means.
pub(super) enum Fate {
    /// It stands at this sequence.
    Confirmed(Content, At),
    /// It is to be tried again after a while.
    Again(Batch, Duration),
    GivenUp,
}

/// Where a record stands, and which it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) run: u64,
    pub(super) number: u64,
    pub(super) sequence: u64,
}

/// What is to be said.
impl LedgerWriter {
    pub(super) fn new(session: Session, health: WorkerHealth) -> LedgerWriter {
        LedgerWriter {
            session,
            closed_at: 0,
            books: QuickMap::default(),
            dirty: Vec::new(),
            parked: Vec::new(),
            returning: 0,
            full: false,
            troubled: false,
            health,
        }
    }

    /// The run whose `opened` record stands at `opened` may be written about from now on. Its records'
    /// numbers are above `opened`, so that they are not those of a run that had its id before: late records of
    /// that one may stand in the same ledger.
    pub(super) fn open(&mut self, opened: u64, run: &RunId, queue: &QueueName, by: &Subjects) {
        self.books
            .entry(opened)
            .or_insert_with(|| Book::new(run, queue, by, self.closed_at.max(opened)));
    }

    /// What is written about the run may be of `version`, or of one before.
    pub(super) fn allow(&mut self, opened: u64, version: u16) {
        if let Some(book) = self.books.get_mut(&opened) {
            book.version = version;
        }
    }

    /// Nothing will be said about the run any more.
    pub(super) fn close(&mut self, opened: u64) {
        if let Some(book) = self.books.remove(&opened) {
            self.closed_at = self.closed_at.max(book.number);
        }
    }

    /// The tile is to be taken over.
    pub(super) fn claim(&mut self, holding: Holding, reason: Reason) {
        if let Some(book) = self.soil(holding.tile.opened) {
            book.claims.push((reason, holding));
        }
    }

    /// A page of the tile is about to be executed.
    pub(super) fn announce(&mut self, holding: Holding, page: u64) {
        if let Some(book) = self.soil(holding.tile.opened) {
            book.starts.push((holding, page));
        }
    }

    /// A probe was answered.
    pub(super) fn answer(&mut self, holding: Holding, answer: ProbedPages) {
        if let Some(book) = self.soil(holding.tile.opened) {
            book.answers.push((holding, answer));
        }
    }

    /// Shards of the tile have ended. Returns over how many records that is spread: so many
    /// confirmations are to be awaited.
    pub(super) fn outcomes(&mut self, holding: Holding, entries: Vec<Entry>) -> u32 {
        match self.soil(holding.tile.opened) {
            Some(book) if !entries.is_empty() => book.outbox.add(holding, entries),
            Some(_) | None => 0,
        }
    }

    /// A tile of the run is handed back.
    pub(super) fn give_back(&mut self, opened: u64, given: Return) {
        if let Some(book) = self.soil(opened) {
            book.returns.push(given);
        }
    }

    /// The run has something to write.
    fn soil(&mut self, opened: u64) -> Option<&mut Book> {
        let book = self.books.get_mut(&opened)?;
        if !std::mem::replace(&mut book.dirty, true) {
            self.dirty.push(opened);
        }
        Some(book)
    }
}

/// What may be asked of it.
impl LedgerWriter {
    /// Whether nothing is left to write or to hear about the run.
    pub(super) fn is_idle(&self, opened: u64) -> bool {
        self.books.get(&opened).is_none_or(Book::is_idle)
    }

    /// The same of all runs.
    pub(super) fn are_idle(&self) -> bool {
        self.books.values().all(Book::is_idle)
    }

    /// Whether a record of the run is on its way, or outcomes of it wait to be written.
    pub(super) fn reports(&self, opened: u64) -> bool {
        self.books.get(&opened).is_some_and(Book::reports)
    }

    /// Whether the ledger has no room: then nothing new is to be begun.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Whether records of tiles handed back are on their way.
    pub(super) fn is_returning(&self) -> bool {
        self.returning > 0
    }

    /// Where takeovers of the run stand.
    pub(super) fn takeovers_of(&self, opened: u64) -> Option<&Subject> {
        Some(&self.books.get(&opened)?.takeover)
    }
}

/// Records.
impl LedgerWriter {
    /// All records that are due, of at most `record_max` bytes each.
    pub(super) fn write(&mut self, tiles: &mut Tiles, now: Boot, record_max: usize) -> Written {
        let mut written = Written::default();
        for opened in std::mem::take(&mut self.dirty) {
            let Some(book) = self.books.get_mut(&opened) else {
                continue;
            };
            book.dirty = false;
            let mut draft = Draft {
                opened,
                session: self.session,
                book,
                tiles,
                now,
                batches: &mut written.batches,
            };
            draft.claims();
            draft.starts();
            draft.answers(record_max);
            let again = draft.outcomes();
            self.returning += draft.returns();
            if let Some(moment) = again {
                self.soil(opened);
                written.again = Some(written.again.map_or(moment, |first| first.min(moment)));
            }
        }
        written
    }

    /// An append was answered, on a connection that is well if `connected`.
    pub(super) fn appended(&mut self, appended: Appended, connected: bool) -> Fate {
        let Appended { batch, result, .. } = appended;
        match result {
            Ok(sequence) => {
                self.works();
                self.landed(&batch);
                let at = At {
                    run: batch.run,
                    number: batch.signed.number,
                    sequence,
                };
                Fate::Confirmed(batch.content, at)
            }
            Err(error) => {
                self.refused(&error, connected);
                if batch.is_hopeless() {
                    self.landed(&batch);
                    return Fate::GivenUp;
                }
                let pause = batch.pause();
                Fate::Again(batch, pause)
            }
        }
    }

    /// A record's pause is over, or the connection is open again: what is still to be said of it.
    pub(super) fn again(&mut self, mut batch: Batch, tiles: &Tiles, now: Boot) -> Option<Batch> {
        if batch.narrow(|holding| tiles.is_held(holding, now)) {
            return Some(batch);
        }
        self.landed(&batch);
        self.soil(batch.run);
        None
    }

    /// Keeps a record until the connection is open again.
    pub(super) fn park(&mut self, batch: Batch) {
        self.parked.push(batch);
    }

    pub(super) fn take_parked(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.parked)
    }

    /// A record is not on its way any more.
    fn landed(&mut self, batch: &Batch) {
        if matches!(batch.content, Content::Returns(_)) {
            self.returning = self.returning.saturating_sub(1);
        }
        let Some(book) = self.books.get_mut(&batch.run) else {
            return;
        };
        book.in_flight = book.in_flight.saturating_sub(1);
        if matches!(batch.content, Content::Outcomes(_)) {
            book.outbox.landed();
            self.soil(batch.run);
        }
    }
}

/// How the ledger does.
impl LedgerWriter {
    fn works(&mut self) {
        if std::mem::take(&mut self.troubled) {
            self.full = false;
            self.health.fine(&Part::Ledger);
        }
    }

    /// A ledger that took no records may be tried again once nothing is left that it could take.
    pub(super) fn try_again(&mut self) {
        if self.full && self.are_idle() {
            self.works();
        }
    }

    fn refused(&mut self, error: &AppendError, connected: bool) {
        match error {
            AppendError::Full { .. } | AppendError::Failed { .. } => {
                self.troubled = true;
                self.full |= matches!(error, AppendError::Full { .. });
                self.health.trouble(Part::Ledger, chain(error).to_string());
            }
            // A stream whose disk was full, or that this worker may not write to, does not answer.
            AppendError::Unknown { .. } if connected => {
                self.troubled = true;
                let why = format!(
                    "{}; look at the broker's log: a full disk, or a permission",
                    chain(error)
                );
                self.health.trouble(Part::Ledger, why);
            }
            AppendError::Unavailable { .. }
            | AppendError::Unknown { .. }
            | AppendError::Conflict { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;
