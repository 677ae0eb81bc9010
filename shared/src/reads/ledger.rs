//! How the ledger of a run is read: page by page, so that a run of any length costs one page of memory,
//! and by one room for everybody who reads it.

use crate::broker::log::{ReadError, Record as Stored};
use crate::broker::{Broker, Subjects};
use crate::id::{QueueName, RunId};
use crate::ledger::fold::Fold;
use crate::ledger::record::{Author, Record};
use crate::wire::WireError;

/// Whose records, and which of them.
#[derive(Clone, Debug)]
pub struct Span {
    filter: String,
    from: u64,
    up_to: Option<u64>,
}

impl Span {
    /// All records of `run`, whose queue is `queue`.
    pub fn of(subjects: &Subjects, queue: &QueueName, run: &RunId) -> Span {
        Span::matching(subjects.ledger_of_run(queue, run))
    }

    /// All records of `run`, whatever its queue: slower, since the broker looks through all of them.
    pub fn anywhere(subjects: &Subjects, run: &RunId) -> Span {
        Span::matching(subjects.ledger_of_run_anywhere(run))
    }

    /// All records of all runs.
    pub fn of_all(subjects: &Subjects) -> Span {
        Span::matching(subjects.all_ledgers())
    }

    /// All records whose subject matches `filter`, which must come from [`Subjects`].
    pub fn matching(filter: String) -> Span {
        Span {
            filter,
            from: 1,
            up_to: None,
        }
    }

    /// Not those before sequence `from`.
    pub fn starting_at(self, from: u64) -> Span {
        Span { from, ..self }
    }

    /// Surely all up to sequence `last`, also when a replica lags, and none above.
    pub fn up_to(self, last: u64) -> Span {
        Span {
            up_to: Some(last),
            ..self
        }
    }
}

/// Gives the records of `span` to `take`, in order, each with its content. Returns how many there were.
///
/// # Errors
/// When the broker does not answer; what was given before that stands in the ledger all the same.
pub async fn walk(
    broker: &Broker,
    span: Span,
    mut take: impl FnMut(&Stored, Result<Record, WireError>),
) -> Result<u64, ReadError> {
    let subjects = broker.subjects();
    let mut reader = broker.reader(&subjects.ledger(), span.filter, span.from, span.up_to);
    let mut records = 0;
    while let Some(page) = reader.next_page().await? {
        for stored in &page {
            take(stored, content(subjects, stored));
            records += 1;
        }
    }
    Ok(records)
}

/// What `stored`, a record of a ledger, says.
///
/// # Errors
/// When this build cannot read it, or it is on none of a ledger's subjects.
pub fn content(subjects: &Subjects, stored: &Stored) -> Result<Record, WireError> {
    let (.., author) =
        subjects
            .parse_ledger(&stored.subject)
            .ok_or_else(|| WireError::Malformed {
                reason: format!("{} is no subject of a ledger", stored.subject),
            })?;
    Record::decode(author, &stored.payload)
}

/// Whether `stored`, the last record of a run's planners, says that the run is over.
pub fn is_end(subjects: &Subjects, stored: &Stored) -> bool {
    let author = subjects.parse_ledger(&stored.subject);
    matches!(author, Some((.., Author::Plan)))
        && matches!(content(subjects, stored), Ok(Record::Plan(plan)) if plan.is_end())
}

/// Folds a record in that was read.
pub fn take(
    subjects: &Subjects,
    fold: &mut Fold,
    stored: &Stored,
    content: &Result<Record, WireError>,
) {
    match subjects.parse_ledger(&stored.subject) {
        Some((queue, _, author)) => {
            fold.apply_stored((&queue, author), stored.seq, stored.at, content.as_ref());
        }
        None => fold.apply_unreadable(stored.seq),
    }
}
