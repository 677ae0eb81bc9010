//! How a part of one run's ledger is read that lies between those of many others.
//!
//! Asked for by its run, the next record is looked for by the broker through all that stands between, and nothing is
//! written meanwhile; asked for by its subject, it is found at once. After an outage each tile that waited is taken
//! over, and its run's ledger read: so what each author wrote is read by itself, and put back into its order here.
//!
//! The same question tells whether the run is still there. One that is over is removed, at once where many are: a tile of
//! it that comes again finds nothing of what was done, and would be done once more.
//!
//! Each part may come from another replica. That one of them has read far enough says nothing of the others, so one
//! replica is asked first what each part ends with, and a part that does not reach that end is not whole.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::Entry;
use crate::broker::Broker;
use crate::broker::log::{ReadError, Reader, Record as Stored};
use crate::id::{QueueName, RunId};
use crate::ledger::record::{Author, PlanRecord};

/// How long a replica that lags is waited for before it, or another, is asked again.
const CATCHES_UP: [Duration; 2] = [Duration::from_millis(3), Duration::from_millis(15)];

/// What one author wrote, a page at a time.
struct Part {
    reader: Reader,
    page: VecDeque<Stored>,
    over: bool,
    /// The last that was read.
    seen: u64,
    /// Whoever has this one has all that is wanted: records come in order.
    enough: u64,
}

impl Part {
    /// Has the next record at hand, if there is one.
    async fn fill(&mut self) -> Result<(), ReadError> {
        while self.page.is_empty() && !self.over {
            match self.reader.next_page().await? {
                Some(page) => {
                    self.seen = page.last().map_or(self.seen, |record| record.seq);
                    self.page = page.into();
                }
                None => self.over = true,
            }
        }
        Ok(())
    }
}

/// The next of all, where each has its next one at hand.
fn first(parts: &mut [Part]) -> Option<Stored> {
    let waiting = parts.iter_mut().filter(|part| !part.page.is_empty());
    waiting
        .min_by_key(|part| part.page[0].seq)?
        .page
        .pop_front()
}

/// What a part of a ledger was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walked {
    /// All of it was given.
    Whole,
    /// A replica lags, or some was removed meanwhile: what was given is to be forgotten.
    Part,
    /// The run is over, and its records were removed: what is there came since, and says nothing of what had been done.
    Gone,
}

/// What a part of a ledger ends with.
struct Ends {
    /// What stands last on the subject of each author.
    last: Vec<Stored>,
    /// Up to where that is to be read.
    up_to: u64,
    /// Whether the planner's records are there.
    planned: bool,
}

/// What `written` ends with, and whether anything stands on `plan`; `None` where the replica had not read `up_to`.
async fn ends(
    broker: &Broker,
    (written, plan): (Vec<String>, String),
    up_to: Option<u64>,
) -> Result<Option<Ends>, ReadError> {
    let ledger = broker.subjects().ledger();
    let all: Vec<String> = written.into_iter().chain([plan.clone()]).collect();
    let mut pauses = CATCHES_UP.into_iter();
    loop {
        let mut last = broker.last_together(&ledger, &all).await?;
        let is_plan = |record: &Stored| record.subject.as_str() == plan;
        let planned = last
            .iter()
            .any(|record| is_plan(record) && goes_on(broker, record));
        last.retain(|record| !is_plan(record));
        let known = last.iter().map(|record| record.seq).max().unwrap_or(0);
        let up_to = up_to.unwrap_or(known);
        if known >= up_to {
            return Ok(Some(Ends {
                last,
                up_to,
                planned,
            }));
        }
        let Some(pause) = pauses.next() else {
            return Ok(None);
        };
        tokio::time::sleep(pause).await;
    }
}

/// Whether the planner's last record is none by which its run's records are removed.
fn goes_on(broker: &Broker, last: &Stored) -> bool {
    let last = broker.decode::<PlanRecord>(&last.subject, &last.payload);
    !matches!(last, Ok(PlanRecord::Retired(_) | PlanRecord::Forgotten(_)))
}

/// Gives what `authors` wrote of `run` from `from` up to `up_to` to `take`, in order. One of them must have written
/// at `up_to`, or behind it; without it, all that one replica has is given.
///
/// # Errors
/// When the broker does not answer; some may have been given before that.
pub async fn walk_apart(
    broker: &Broker,
    (queue, run): (&QueueName, &RunId),
    authors: &[Author],
    (from, up_to): (u64, Option<u64>),
    mut take: impl FnMut(Entry),
) -> Result<Walked, ReadError> {
    let subjects = broker.subjects();
    let by = |author: &Author| subjects.ledger_of(queue, run, *author);
    let written = (authors.iter().map(by).collect(), by(&Author::Plan));
    let Some(ends) = ends(broker, written, up_to).await? else {
        return Ok(Walked::Part);
    };
    // What a worker wrote stands behind the run's first record, on each replica.
    if !ends.planned && !ends.last.is_empty() {
        return Ok(Walked::Gone);
    }
    let (ledger, up_to) = (subjects.ledger(), ends.up_to);
    let parts = ends
        .last
        .iter()
        .filter(|last| last.seq >= from)
        .map(|last| Part {
            reader: broker.reader(&ledger, last.subject.as_str(), from, Some(last.seq)),
            page: VecDeque::new(),
            over: false,
            seen: 0,
            enough: last.seq.min(up_to + 1),
        });
    let mut parts: Vec<Part> = parts.collect();
    loop {
        try_join_all(parts.iter_mut().map(Part::fill)).await?;
        let Some(stored) = first(&mut parts).filter(|stored| stored.seq <= up_to) else {
            let whole = parts.iter().all(|part| part.seen >= part.enough);
            return Ok(if whole { Walked::Whole } else { Walked::Part });
        };
        if let Some(entry) = Entry::read(broker, &stored) {
            take(entry);
        }
    }
}
