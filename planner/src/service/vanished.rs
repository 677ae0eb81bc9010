//! Looks whether records of open runs vanish from the ledger: somebody purged them, or a store lost them.
//!
//! The stream says how many records it ever took in and how many it holds; the difference grows only when
//! some are removed. What this planner's sweeps remove is known. When more is gone, and once after a
//! leadership that was taken from memory, each open run is counted: nothing is done for every run otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::{ReadError, StreamState};
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::ledger::record::{Author, Closed, EndState, PlanRecord};
use gridloom_shared::reads::lost::Lost;
use gridloom_shared::wire;
use tokio::sync::oneshot;

use super::envoy::Envoy;
use crate::alive::Signs;
use crate::census::{Counted, Gone};
use crate::lead::event::Event;
use crate::open::append_certainly;
use crate::teller::Teller;

/// How often the stream is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Runs that are counted at once.
const AT_ONCE: usize = 16;
/// Pause after something failed.
const PAUSE: Duration = Duration::from_secs(1);

/// How many records this process has removed from the ledger itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Removed(Arc<AtomicU64>);

impl Removed {
    /// So many more were removed.
    pub(super) fn add(&self, records: u64) {
        self.0.fetch_add(records, Ordering::Relaxed);
    }

    fn all(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the stream lacks that this process did not remove.
fn missing(state: &StreamState, removed: u64) -> i128 {
    let stored = i128::from(state.last_seq) - i128::from(state.messages);
    stored - i128::from(removed)
}

/// Watches for as long as the leadership lasts. `count_first`: what is known of the runs was not all read
/// just now.
pub(super) async fn watch(envoy: Envoy, removed: Removed, count_first: bool, signs: Signs) {
    let ledger = envoy.broker.subjects().ledger();
    let mut known: Option<i128> = None;
    let mut doubtful = count_first;
    loop {
        signs.give();
        // Before the question: what is removed meanwhile may be told of too early, never too late.
        let own = removed.all();
        match envoy.broker.info(&ledger).await {
            Ok(state) => {
                let now = missing(&state, own);
                doubtful |= known.is_some_and(|before| now > before);
                known = Some(now);
            }
            Err(error) => tracing::debug!(error = %chain(&error), "the ledger cannot be looked at"),
        }
        if doubtful {
            // As many answers as there are open runs, each of which comes or fails.
            match signs.waiting(count(&envoy)).await {
                Ok(()) => doubtful = false,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "open runs cannot be counted; trying again")
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Counts the records of every open run, and tells of those that lack some.
async fn count(envoy: &Envoy) -> Result<(), ReadError> {
    let short = short(envoy, None).await?;
    if short.is_empty() {
        return Ok(());
    }
    // A replica that leads the stream since a moment ago may lag: only what is missing twice is missing.
    tokio::time::sleep(PAUSE).await;
    for gone in self::short(envoy, Some(short)).await? {
        envoy.say(Event::Vanished(gone)).await;
    }
    Ok(())
}

/// Open runs, of `among` where that is given, with fewer records in the ledger than were read of them.
async fn short(envoy: &Envoy, among: Option<Vec<Gone>>) -> Result<Vec<Gone>, ReadError> {
    let (reply, counted) = oneshot::channel();
    let counter = Teller::new(move |counted| {
        // Whoever asked may have given up.
        let _ = reply.send(counted);
    });
    envoy.say(Event::Counting(counter)).await;
    let mut runs = counted.await.unwrap_or_default();
    if let Some(among) = among {
        runs.retain(|run| among.iter().any(|gone| gone.is_of(run)));
    }
    let broker = &envoy.broker;
    let looks = runs.into_iter().map(|run| async move {
        let gone = look(broker, &run).await?;
        Ok::<_, ReadError>(gone)
    });
    let mut looks = futures_util::stream::iter(looks).buffer_unordered(AT_ONCE);
    let mut gone = Vec::new();
    while let Some(look) = looks.next().await {
        gone.extend(look?);
    }
    Ok(gone)
}

async fn look(broker: &Broker, run: &Counted) -> Result<Option<Gone>, ReadError> {
    let subjects = broker.subjects();
    let ledger = subjects.ledger();
    let filter = subjects.ledger_of_run_anywhere(&run.run);
    let found = broker.subjects_of(&ledger, &filter).await;
    let found = found.map_err(|cause| ReadError {
        stream: ledger.to_string(),
        cause,
    })?;
    if found.values().sum::<u64>() == run.records {
        return Ok(None);
    }
    // Records were added since, or stood there before its first one: those it was read from are counted.
    let mut reader = broker.reader(&ledger, filter, run.opened, Some(run.up_to));
    let mut records = 0;
    while let Some(page) = reader.next_page().await? {
        records += page.len() as u64;
    }
    Ok(run.gone(records))
}

impl Envoy {
    /// Keeps on record that a run is lost; `removed` with its queue where its records were, and no other
    /// run took its place: what is left of it is then closed, so that it is nobody's open run.
    pub(super) async fn bury(self, run: RunId, why: String, removed: Option<Gone>) {
        let lost = Lost {
            run: run.clone(),
            at: self.clock.now().unwrap_or_else(UnixMs::now).rfc3339(),
            why: why.clone(),
            nonce: removed.as_ref().map(|gone| gone.nonce),
        };
        let key = self.broker.subjects().lost_key(&run);
        let note = serde_json::json!(lost).to_string();
        while let Err(error) = self.broker.state().put(&key, note.clone().into()).await {
            tracing::warn!(%run, error = %chain(&error), "it cannot be noted that a run is lost; trying again");
            tokio::time::sleep(PAUSE).await;
        }
        let Some(gone) = removed else { return };
        while let Err(error) = self.close_rest(&gone, &why).await {
            tracing::warn!(%run, error, "what is left of a lost run cannot be closed; trying again");
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn close_rest(&self, gone: &Gone, why: &str) -> Result<(), String> {
        let (queue, run): (&QueueName, &RunId) = (&gone.queue, &gone.run);
        let text = |error: ReadError| chain(&error).to_string();
        let subjects = self.broker.subjects();
        let (ledger, plan) = (
            subjects.ledger(),
            subjects.ledger_of(queue, run, Author::Plan),
        );
        // The last one first: another run that begins after that is seen by the compare-and-swap.
        let last = self.broker.last_of_leader(&ledger, &plan).await;
        let Some(last) = last.map_err(text)? else {
            return Ok(()); // nothing is left: the id is free
        };
        let first = self.broker.first_of_leader(&ledger, &plan, 1).await;
        let first = first
            .map_err(text)?
            .map(|first| self.broker.decode(&first.subject, &first.payload));
        let is_another =
            matches!(&first, Some(Ok(PlanRecord::Opened(first))) if first.nonce != gone.nonce);
        let last_record = self
            .broker
            .decode::<PlanRecord>(&last.subject, &last.payload);
        let is_over = last_record.as_ref().is_ok_and(PlanRecord::is_end);
        // Whoever reads it closes it, if that is right.
        let is_newer = last_record.is_err_and(|error| error.is_newer())
            || matches!(&first, Some(Err(error)) if error.is_newer());
        if is_another || is_over || is_newer {
            return Ok(());
        }
        let closed = PlanRecord::Closed(Closed {
            state: EndState::Failed,
            error: Some(format!("lost: {why}")),
            dead: 0,
            term: gone.term,
        });
        append_certainly(&self.broker, &plan, wire::encode(&closed), last.seq)
            .await
            .map(|_| ())
            .map_err(|error| chain(&error).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_others_removed_is_missing() {
        let state = |last_seq, messages| StreamState {
            first_seq: 1,
            last_seq,
            messages,
            ..StreamState::default()
        };
        let removed = Removed::default();
        let before = missing(&state(10, 10), removed.all());
        removed.add(4);
        assert_eq!(missing(&state(12, 8), removed.all()), before);
        assert!(missing(&state(12, 7), removed.all()) > before);
        // Told of before the broker has done it.
        removed.add(2);
        assert!(missing(&state(12, 8), removed.all()) < before);
    }
}
