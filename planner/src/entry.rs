//! A record of the ledger, as the feeds hand it on: read, and with the run whose it is.

use gridloom_shared::broker::Subjects;
use gridloom_shared::broker::log;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{QueueName, RunId, Term};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::{Author, PlanRecord, Record};
use gridloom_shared::wire::WireError;

/// One record of a run.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its ledger sequence.
    pub sequence: u64,
    /// When the broker stored it.
    pub at: UnixMs,
    /// The queue of the run's ledger.
    pub queue: QueueName,
    /// The run.
    pub run: RunId,
    /// Whose subject it stands on.
    pub author: Author,
    /// The record, or why it cannot be read.
    pub record: Result<Record, WireError>,
}

impl Entry {
    /// Reads what stands in the ledger. `None` on a subject that is no run's.
    pub fn read(subjects: &Subjects, stored: &log::Record) -> Option<Entry> {
        let Some((queue, run, author)) = subjects.parse_ledger(&stored.subject) else {
            tracing::warn!(subject = %stored.subject, "a record on an unknown subject of the ledger");
            return None;
        };
        let record = Record::decode(author, &stored.payload);
        if let Err(error) = &record {
            tracing::warn!(subject = %stored.subject, sequence = stored.seq, %error, "unreadable record");
        }
        Some(Entry {
            sequence: stored.seq,
            at: stored.at,
            queue,
            run,
            author,
            record,
        })
    }

    /// The planner's decision that it is, if it can be read.
    pub fn plan(&self) -> Option<&PlanRecord> {
        match &self.record {
            Ok(Record::Plan(plan)) => Some(plan),
            Ok(Record::Work(_) | Record::Takeover(_)) | Err(_) => None,
        }
    }

    /// Folds it in. Returns the term of a wave.
    pub fn fold_into(&self, fold: &mut Fold) -> Option<Term> {
        let place = (&self.queue, self.author);
        fold.apply_stored(place, self.sequence, self.at, self.record.as_ref());
        match self.plan()? {
            PlanRecord::Wave(wave) => Some(wave.term),
            PlanRecord::Opened(_)
            | PlanRecord::Closed(_)
            | PlanRecord::Cancelled(_)
            | PlanRecord::Reopened(_)
            | PlanRecord::Dropped(_)
            | PlanRecord::Retired(_)
            | PlanRecord::Forgotten(_) => None,
        }
    }
}

/// What the records of a run add up to.
pub fn fold_of<'a>(
    subjects: &Subjects,
    run: RunId,
    records: impl IntoIterator<Item = &'a log::Record>,
) -> Fold {
    let mut fold = Fold::new(run);
    for record in records {
        if let Some(entry) = Entry::read(subjects, record) {
            entry.fold_into(&mut fold);
        }
    }
    fold
}
