//! Decides how a run's records are read: raw, all of them, in order.

use std::collections::HashSet;

use anyhow::{Context, bail};
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::Record as Raw;
use gridloom_shared::broker::subjects::Subjects;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{QueueName, RunId, Session};
use gridloom_shared::ledger::audit::{Audit, Report};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::{PlanRecord, Record};
use gridloom_shared::ledger::summary::RunSummary;

/// One record as it stands.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its sequence.
    pub seq: u64,
    /// When the broker stored it.
    pub at: UnixMs,
    /// The record; `None` when it cannot be read.
    pub record: Option<Record>,
}

impl Entry {
    /// A record as the broker gave it.
    pub fn of(raw: &Raw, subjects: &Subjects) -> Entry {
        let place = subjects.parse_ledger(&raw.subject);
        let record = place.and_then(|(queue, _, author)| {
            let content = Record::decode(author, &raw.payload).ok()?;
            belongs(&queue, &content).then_some(content)
        });
        Entry {
            seq: raw.seq,
            at: raw.at,
            record,
        }
    }
}

/// All records of a run.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// The run.
    pub run: RunId,
    /// Its records in order.
    pub entries: Vec<Entry>,
}

/// A run begins in the ledger of its job's queue.
fn belongs(queue: &QueueName, record: &Record) -> bool {
    match record {
        Record::Plan(PlanRecord::Opened(opened)) => opened.job.queue == *queue,
        Record::Plan(_) | Record::Work(_) | Record::Takeover(_) => true,
    }
}

impl Ledger {
    /// Reads the ledger of `run` to its present end.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn read(broker: &Broker, run: &RunId) -> anyhow::Result<Ledger> {
        let subjects = broker.subjects();
        let stream = subjects.ledger();
        let last = broker.info(&stream).await?.last_seq;
        let records = broker
            .read(&stream, subjects.ledger_of_run_anywhere(run), 1, Some(last))
            .await?;
        Ok(Ledger {
            run: run.clone(),
            entries: records.iter().map(|raw| Entry::of(raw, subjects)).collect(),
        })
    }

    /// Who wrote outcomes.
    pub fn sessions(&self) -> HashSet<Session> {
        let outcomes = self.entries.iter().filter_map(|entry| match &entry.record {
            Some(Record::Work(work)) => Some(work.signature().0),
            Some(Record::Plan(_) | Record::Takeover(_)) | None => None,
        });
        outcomes.collect()
    }

    /// Whether the run is over.
    pub fn is_closed(&self) -> bool {
        let plan = |entry: &Entry| match &entry.record {
            Some(Record::Plan(plan)) => Some(plan.is_end()),
            Some(_) | None => None,
        };
        self.entries.iter().rev().find_map(plan).unwrap_or(false)
    }

    /// What the engine's audit says of it.
    pub fn audit(&self) -> Report {
        let mut audit = Audit::new(self.run.clone());
        for entry in &self.entries {
            audit.read(entry.seq, entry.record.as_ref());
        }
        audit.report()
    }

    /// What the engine's fold makes of it.
    pub fn fold(&self) -> Fold {
        let mut fold = Fold::new(self.run.clone());
        for entry in &self.entries {
            match &entry.record {
                Some(record) => fold.apply(entry.seq, entry.at, record),
                None => fold.apply_unreadable(entry.seq),
            }
        }
        fold
    }

    /// What the engine shows of it.
    ///
    /// # Errors
    /// When the run has no first record.
    pub fn summary(&self) -> anyhow::Result<RunSummary> {
        if self.entries.is_empty() {
            bail!("run {} has no ledger", self.run);
        }
        RunSummary::of(&self.fold()).with_context(|| format!("run {} was never opened", self.run))
    }
}
