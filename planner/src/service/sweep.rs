//! Removes what need not be kept any more, every now and then, for as long as the leadership lasts.
//!
//! A run that is over loses all but the last of its planner's records first: from then on it counts as
//! purged, whoever reads it. What is left of it when a planner dies in between goes with the next
//! sweep. A run that is open is never touched.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::api::ApiError;
use gridloom_shared::broker::log::{ReadError, Record};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::telemetry::names;
use gridloom_shared::wire;

use crate::broker_clock::BrokerClock;
use crate::retention::{Kept, Retention};

/// A sweep may take this part of the time at most: one in so many.
const SHARE: u32 = 20;

/// How long to wait where the broker's clock is not known yet.
const UNKNOWN: Duration = Duration::from_millis(100);

/// Why a sweep ended early. The next one goes on.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Records of one run, by author.
#[derive(Clone, Copy, Debug, Default)]
struct Records {
    plan: u64,
    others: u64,
}

/// Sweeps for ever.
pub(super) async fn sweep(broker: Broker, policy: Retention, clock: BrokerClock) {
    let mut sweeper = Sweeper {
        broker,
        policy,
        closed: HashMap::new(),
    };
    loop {
        let begun = Instant::now();
        // By no other clock: what is removed does not come back.
        let Some(now) = clock.now() else {
            tokio::time::sleep(UNKNOWN).await;
            continue;
        };
        if let Err(error) = sweeper.once(now).await {
            tracing::warn!(%error, "cannot remove what is kept no longer; trying again later");
        }
        tokio::time::sleep(policy.every.max(begun.elapsed() * SHARE)).await;
    }
}

struct Sweeper {
    broker: Broker,
    policy: Retention,
    /// When runs were closed whose records are kept.
    closed: HashMap<RunId, UnixMs>,
}

impl Sweeper {
    async fn once(&mut self, now: UnixMs) -> Result<(), SweepError> {
        let runs = self.runs().await?;
        let known: HashSet<&RunId> = runs.keys().map(|(_, run)| run).collect();
        self.closed.retain(|run, _| known.contains(run));
        let mut kept = Vec::new();
        for ((queue, run), records) in &runs {
            if records.plan == 1 && records.others == 0 {
                continue; // purged, or just opened
            }
            let closed_at = match self.closed.get(run) {
                Some(at) => Some(*at),
                None => self.last(queue, run).await?.map(|closed| closed.at),
            };
            let Some(closed_at) = closed_at else { continue };
            self.closed.insert(run.clone(), closed_at);
            kept.push(Kept {
                run: run.clone(),
                queue: queue.clone(),
                closed_at,
            });
        }
        let due = self.policy.due(kept, now);
        for run in &due {
            self.purge(run).await?;
        }
        if !due.is_empty() {
            metrics::counter!(names::RUNS_PURGED).increment(due.len() as u64);
            tracing::info!(runs = due.len(), "purged runs that were kept long enough");
        }
        self.forget_ids(&runs, now).await?;
        self.tidy_state(now).await
    }

    async fn runs(&self) -> Result<HashMap<(QueueName, RunId), Records>, SweepError> {
        let subjects = self.broker.subjects();
        let all = self
            .broker
            .subjects_of(&subjects.ledger(), &subjects.all_ledgers())
            .await?;
        let mut runs: HashMap<_, Records> = HashMap::new();
        for (subject, count) in &all {
            let Some((queue, run, author)) = subjects.parse_ledger(subject) else {
                continue;
            };
            let records = runs.entry((queue, run)).or_default();
            match author {
                Author::Plan => records.plan = *count,
                Author::Work | Author::Takeover => records.others += count,
            }
        }
        Ok(runs)
    }

    /// The run's last record, if that closes it.
    async fn last(&self, queue: &QueueName, run: &RunId) -> Result<Option<Record>, ReadError> {
        let subjects = self.broker.subjects();
        let plan = subjects.ledger_of(queue, run, Author::Plan);
        let last = self
            .broker
            .last_of_leader(&subjects.ledger(), &plan)
            .await?;
        Ok(last.filter(closes))
    }

    async fn purge(&mut self, kept: &Kept) -> Result<(), SweepError> {
        let Kept { run, queue, .. } = kept;
        self.closed.remove(run);
        // It may have been opened again meanwhile.
        if self.last(queue, run).await?.is_none() {
            return Ok(());
        }
        let subjects = self.broker.subjects();
        let ledger = subjects.ledger();
        let of = |author| subjects.ledger_of(queue, run, author);
        self.broker.purge(&ledger, &of(Author::Plan), 1).await?;
        self.broker.purge(&ledger, &of(Author::Work), 0).await?;
        self.broker.purge(&ledger, &of(Author::Takeover), 0).await?;
        self.broker
            .purge(&subjects.shards(), &subjects.shard(queue, run), 0)
            .await?;
        self.broker.runs().forget(run.as_str()).await?;
        Ok(())
    }

    /// Last records stand in the order in which runs were closed: what is too young ends the search.
    async fn forget_ids(
        &self,
        runs: &HashMap<(QueueName, RunId), Records>,
        now: UnixMs,
    ) -> Result<(), SweepError> {
        let subjects = self.broker.subjects();
        let plans = subjects.ledgers_by(Author::Plan);
        let mut reader = self.broker.reader(&subjects.ledger(), plans, 1, None);
        while let Some(page) = reader.next_page().await? {
            for record in page {
                if !self.policy.may_forget(record.at, now) {
                    return Ok(());
                }
                let Some((queue, run, _)) = subjects.parse_ledger(&record.subject) else {
                    continue;
                };
                let purged = runs
                    .get(&(queue, run))
                    .is_some_and(|records| records.plan == 1 && records.others == 0);
                if purged && closes(&record) {
                    let ledger = subjects.ledger();
                    self.broker.purge(&ledger, &record.subject, 0).await?;
                }
            }
        }
        Ok(())
    }

    /// Older registers, and the floors of brokers and consumers that are long gone. A floor that is
    /// still in use is made anew when it is asked for, only higher.
    async fn tidy_state(&self, now: UnixMs) -> Result<(), SweepError> {
        let subjects = self.broker.subjects();
        self.broker
            .purge(&subjects.shards(), &subjects.term(), 1)
            .await?;
        let state = self.broker.state();
        for floor in state.entries(subjects.all_floors()).await? {
            if self.policy.may_forget(floor.at, now) {
                state.forget(&floor.key).await?;
            }
        }
        Ok(())
    }
}

fn closes(record: &Record) -> bool {
    wire::decode(&record.payload).is_ok_and(|record: PlanRecord| record.is_end())
}
