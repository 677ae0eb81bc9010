//! How a part of one run's ledger is read that lies between those of many others.
//!
//! Asked for by its run, the next record is looked for by the broker through all that stands between, and nothing is
//! written meanwhile; asked for by its subject, it is found at once. After an outage each tile that waited is taken
//! over, and its run's ledger read: so what each author wrote is read by itself, and put back into its order here.
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
use crate::ledger::record::Author;

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

/// What stands last on each of `subjects`, and up to where that is known; `None` where the replica had not read
/// `up_to`.
async fn ends(
    broker: &Broker,
    subjects: &[String],
    up_to: Option<u64>,
) -> Result<Option<(Vec<Stored>, u64)>, ReadError> {
    let ledger = broker.subjects().ledger();
    let mut pauses = CATCHES_UP.into_iter();
    loop {
        let last = broker.last_together(&ledger, subjects).await?;
        let known = last.iter().map(|record| record.seq).max().unwrap_or(0);
        let up_to = up_to.unwrap_or(known);
        if known >= up_to {
            return Ok(Some((last, up_to)));
        }
        let Some(pause) = pauses.next() else {
            return Ok(None);
        };
        tokio::time::sleep(pause).await;
    }
}

/// Gives what `authors` wrote of `run` from `from` up to `up_to` to `take`, in order. One of them must have written
/// at `up_to`, or behind it; without it, all that one replica has is given. Whether that is surely all: `false` where
/// a replica lags or some was removed meanwhile, and what was given is to be forgotten.
///
/// # Errors
/// When the broker does not answer; some may have been given before that.
pub async fn walk_apart(
    broker: &Broker,
    (queue, run): (&QueueName, &RunId),
    authors: &[Author],
    (from, up_to): (u64, Option<u64>),
    mut take: impl FnMut(Entry),
) -> Result<bool, ReadError> {
    let subjects = broker.subjects();
    let by = |author: &Author| subjects.ledger_of(queue, run, *author);
    let written: Vec<String> = authors.iter().map(by).collect();
    let Some((ends, up_to)) = ends(broker, &written, up_to).await? else {
        return Ok(false);
    };
    let ledger = subjects.ledger();
    let parts = ends
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
            return Ok(parts.iter().all(|part| part.seen >= part.enough));
        };
        if let Some(entry) = Entry::read(broker, &stored) {
            take(entry);
        }
    }
}
