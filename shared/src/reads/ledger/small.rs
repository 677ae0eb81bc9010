//! How the ledger of one run among many is read.
//!
//! A ledger that is asked for by its run is looked for by the broker record by record, through all that
//! stands between; one that is asked for by its subjects is found at once. So where the broker's list of
//! subjects says that a run has few records, they are read by subject, exactly so many, and no question
//! has to be asked whether that is all.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::{Entry, Span, walk};
use crate::broker::Broker;
use crate::broker::log::ReadError;
use crate::id::{QueueName, RunId};
use crate::ledger::record::Author;

/// A ledger of at most so many records is read at once.
const SMALL: u64 = 500;

/// Where the records of a run stand, and how many.
#[derive(Clone, Debug)]
pub struct Place {
    /// The run.
    pub run: RunId,
    queue: Option<QueueName>,
    records: BTreeMap<Author, u64>,
}

impl Place {
    /// A run of which no record is known.
    pub fn nowhere(run: RunId) -> Place {
        Place {
            run,
            queue: None,
            records: BTreeMap::new(),
        }
    }

    /// Where the records of `run` stand now.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn of(broker: &Broker, run: &RunId) -> Result<Place, ReadError> {
        let subjects = broker.subjects();
        let ledger = subjects.ledger();
        let found = broker
            .subjects_of(&ledger, &subjects.ledger_of_run_on_any_queue(run))
            .await
            .map_err(|cause| ReadError {
                stream: ledger.to_string(),
                cause,
            })?;
        let mut place = Place::nowhere(run.clone());
        let parsed = found
            .iter()
            .filter_map(|(subject, records)| Some((subjects.parse_ledger(subject)?, *records)));
        for ((queue, _, author), records) in parsed {
            place.add(&queue, author, records);
        }
        if place.records(Author::Plan) == 0 {
            // Its id may be remembered, elsewhere.
            place.queue = None;
        }
        Ok(place)
    }

    /// There are `records` more of `author` in the ledger of `queue`. Once there are some in two queues, the
    /// run is looked for everywhere.
    pub fn add(&mut self, queue: &QueueName, author: Author, records: u64) {
        if self.records.is_empty() {
            self.queue = Some(queue.clone());
        } else if self.queue.as_ref() != Some(queue) {
            self.queue = None;
        }
        *self.records.entry(author).or_default() += records;
    }

    /// The subject of what `author` wrote; `None` where it stands in no queue, or in two.
    pub fn subject(&self, broker: &Broker, author: Author) -> Option<String> {
        let queue = self.queue.as_ref()?;
        Some(broker.subjects().ledger_of(queue, &self.run, author))
    }

    /// How many records of `author` there are.
    pub fn records(&self, author: Author) -> u64 {
        self.records.get(&author).copied().unwrap_or(0)
    }

    /// Gives the records of the run up to `last` to `take`, in order. All that stand up to there were counted.
    ///
    /// # Errors
    /// When the broker does not answer; some may have been given before that.
    pub async fn walk(
        &self,
        broker: &Broker,
        last: u64,
        mut take: impl FnMut(Entry),
    ) -> Result<(), ReadError> {
        if let Some(entries) = self.read_at_once(broker, last).await? {
            entries.into_iter().for_each(take);
            return Ok(());
        }
        let span = match &self.queue {
            Some(queue) => Span::of(broker.subjects(), queue, &self.run),
            None => Span::anywhere(broker.subjects(), &self.run),
        };
        walk(broker, span.up_to(last), &mut take).await
    }

    /// `None` where there are many, or fewer than were counted: then a replica lags, or some were removed.
    async fn read_at_once(
        &self,
        broker: &Broker,
        last: u64,
    ) -> Result<Option<Vec<Entry>>, ReadError> {
        if self.queue.is_none() || self.records.values().sum::<u64>() > SMALL {
            return Ok(None);
        }
        let ledger = broker.subjects().ledger();
        let reads = self.records.iter().map(async |(author, records)| {
            let Some(subject) = self.subject(broker, *author) else {
                return Ok(Vec::new());
            };
            broker.first_on(&ledger, &subject, *records).await
        });
        let read = try_join_all(reads).await?;
        let counted = read.iter().zip(self.records.values());
        if counted
            .into_iter()
            .any(|(read, count)| (read.len() as u64) < *count)
        {
            return Ok(None);
        }
        let read = read.iter().flatten();
        let mut entries: Vec<Entry> = read
            .filter_map(|stored| Entry::read(broker, stored))
            .filter(|entry| entry.sequence <= last)
            .collect();
        entries.sort_by_key(|entry| entry.sequence);
        Ok(Some(entries))
    }
}
