//! How the ledger of a run is read: page by page, so that a run of any length costs one page of memory,
//! and by one room for everybody who reads it.

use crate::broker::log::{ReadError, Reader, Record as Stored};
use crate::broker::{Broker, Subjects};
use crate::clock::UnixMs;
#[cfg(feature = "runs")]
use crate::id::Term;
use crate::id::{QueueName, RunId};
#[cfg(feature = "runs")]
use crate::ledger::fold::Fold;
use crate::ledger::record::{Author, PlanRecord, Record};
use crate::wire::WireError;

mod apart;
#[cfg(feature = "runs")]
mod small;

pub use apart::{Walked, walk_apart};
#[cfg(feature = "runs")]
pub use small::Place;

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

/// One record of a run, read.
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
    pub fn read(broker: &Broker, stored: &Stored) -> Option<Entry> {
        let (queue, run, author) = broker.subjects().parse_ledger(&stored.subject)?;
        let record = Record::decode(author, &stored.payload);
        if let Err(error) = &record {
            broker.note_newer(&stored.subject, error);
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
    #[cfg(feature = "runs")]
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

/// The records of a span, a page at a time.
#[derive(Debug)]
pub struct Pages {
    broker: Broker,
    reader: Reader,
}

impl Pages {
    /// Begins to read `span`.
    pub fn of(broker: &Broker, span: Span) -> Pages {
        let ledger = broker.subjects().ledger();
        let reader = broker.reader(&ledger, span.filter, span.from, span.up_to);
        let broker = broker.clone();
        Pages { broker, reader }
    }

    /// The next records in order; `None` after the last. What stands on a subject that is no run's is
    /// passed over.
    ///
    /// # Errors
    /// When the broker does not answer. Asked again, it goes on where it was.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>, ReadError> {
        let page = self.reader.next_page().await?;
        let read = |page: Vec<Stored>| {
            page.iter()
                .filter_map(|stored| Entry::read(&self.broker, stored))
                .collect()
        };
        Ok(page.map(read))
    }
}

/// Gives the records of `span` to `take`, in order.
///
/// # Errors
/// When the broker does not answer; what was given before that stands in the ledger all the same.
pub async fn walk(
    broker: &Broker,
    span: Span,
    mut take: impl FnMut(Entry),
) -> Result<(), ReadError> {
    let mut pages = Pages::of(broker, span);
    while let Some(page) = pages.next().await? {
        page.into_iter().for_each(&mut take);
    }
    Ok(())
}

/// What the records of `run` up to `last` add up to: nothing where it was purged since.
///
/// # Errors
/// When the broker does not answer.
#[cfg(feature = "runs")]
pub async fn fold(broker: &Broker, run: RunId, last: u64) -> Result<Fold, ReadError> {
    let place = Place::of(broker, &run).await?;
    let mut fold = Fold::new(run);
    let take = |entry: Entry| {
        entry.fold_into(&mut fold);
    };
    place.walk(broker, last, take).await?;
    Ok(fold)
}

/// Gives all records of `run`, at least those up to `position`, to `take`, in order.
///
/// # Errors
/// When the broker does not answer; some may have been given before that.
#[cfg(feature = "runs")]
pub async fn of_run(
    broker: &Broker,
    run: &RunId,
    position: u64,
    mut take: impl FnMut(Entry),
) -> Result<(), ReadError> {
    if read_of_run(broker, run, position, &mut take).await? == 0 {
        // It may just have been purged, and its id is remembered behind what was the end.
        read_of_run(broker, run, position, &mut take).await?;
    }
    Ok(())
}

/// How many it gave.
#[cfg(feature = "runs")]
async fn read_of_run(
    broker: &Broker,
    run: &RunId,
    position: u64,
    take: &mut impl FnMut(Entry),
) -> Result<u64, ReadError> {
    let stream = broker.subjects().ledger();
    let info = broker.info(&stream).await.map_err(|cause| ReadError {
        stream: stream.to_string(),
        cause,
    })?;
    let last = info.last_seq.max(position);
    let mut given = 0;
    let take = |entry| {
        given += 1;
        take(entry);
    };
    Place::of(broker, run)
        .await?
        .walk(broker, last, take)
        .await?;
    Ok(given)
}
