//! Writes records of the ledger that are no waves, and reads the ledgers of runs that are over.

use std::collections::BTreeSet;
use std::time::Duration;

use gridloom_shared::broker::Subject;
use gridloom_shared::broker::log::AppendError;
use gridloom_shared::chain;
use gridloom_shared::command::{Answer, Broadcast};
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::{Author, Closed, PlanRecord};
use gridloom_shared::reads::ledger::{self, Entry};
use gridloom_shared::wire;

use super::super::envoy::Envoy;
use super::{PAUSE, PAUSE_FULL};
use crate::lead::action::Order;
use crate::lead::event::{Report, Written};
use crate::open::append_certainly;

/// Pause before an order is judged anew: the record that came first is on its way here.
const OUTRUN: Duration = Duration::from_millis(20);

impl Envoy {
    /// Writes an order to the ledger. Workers that were told to stop a run hear that it goes on.
    pub(super) async fn order(self, order: Order) {
        let Order {
            run,
            queue,
            record,
            expected,
            request,
        } = order;
        let subject = self.broker.subjects().ledger_of(&queue, &run, Author::Plan);
        let written =
            append_certainly(&self.broker, &subject, wire::encode(&record), expected).await;
        let written = match written {
            Ok(sequence) => {
                if matches!(record, PlanRecord::Reopened(_)) {
                    let run = run.clone();
                    self.tell(&Broadcast::Reopened { run, sequence }).await;
                }
                Written::At(sequence)
            }
            Err(AppendError::Conflict { .. }) => {
                tokio::time::sleep(OUTRUN).await;
                Written::Outrun
            }
            Err(error) => {
                // A run that ends itself tries that again.
                tokio::time::sleep(PAUSE_FULL).await;
                Written::Never(format!("it cannot be written: {}", chain(&error)))
            }
        };
        self.report(Report::Ordered {
            run,
            request,
            written,
        })
        .await;
    }

    async fn tell(&self, broadcast: &Broadcast) {
        let subject = self.broker.subjects().broadcast();
        if let Err(error) = self.broker.publish(subject, wire::encode(broadcast)).await {
            tracing::debug!(run = broadcast.run(), error = %chain(&error), "failed to tell the workers");
        }
    }

    /// Writes the run's last record.
    pub(super) async fn close(self, run: RunId, queue: QueueName, closed: Closed, expected: u64) {
        let subject = self.broker.subjects().ledger_of(&queue, &run, Author::Plan);
        let bytes = wire::encode(&PlanRecord::Closed(closed));
        match append_certainly(&self.broker, &subject, bytes, expected).await {
            Ok(_) => {}
            Err(AppendError::Conflict { .. }) => self.report(Report::Outrun(run)).await,
            Err(error) => {
                tracing::error!(%run, error = %chain(&error), "the run cannot be closed; trying again");
                tokio::time::sleep(PAUSE_FULL).await;
                self.report(Report::Outrun(run)).await;
            }
        }
    }

    /// Reads the ledger of a run, at least up to `position`.
    pub(super) async fn load(self, run: RunId, position: u64) {
        loop {
            let mut fold = Fold::new(run.clone());
            let take = |entry: Entry| {
                entry.fold_into(&mut fold);
            };
            match ledger::of_run(&self.broker, &run, position, take).await {
                Ok(()) => return self.report(Report::Loaded(Box::new(fold))).await,
                Err(error) => {
                    tracing::warn!(%run, error = %chain(&error), "failed to read a run that is over")
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Reads waves of a run again. One that is gone, or is none, can never be read.
    pub(super) async fn recall(self, run: RunId, queue: QueueName, waves: BTreeSet<u64>) {
        let subjects = self.broker.subjects();
        let (ledger, plan) = (
            subjects.ledger(),
            subjects.ledger_of(&queue, &run, Author::Plan),
        );
        let mut read = Vec::new();
        for sequence in waves {
            let records = loop {
                let records = self
                    .broker
                    .read(&ledger, &plan, sequence, Some(sequence))
                    .await;
                match records {
                    Ok(records) => break records,
                    Err(error) => {
                        tracing::warn!(%run, sequence, error = %chain(&error), "failed to read a wave again")
                    }
                }
                tokio::time::sleep(PAUSE).await;
            };
            let record = records.first().map(|record| wire::decode(&record.payload));
            let record: Option<PlanRecord> = record.and_then(Result::ok);
            let wave = record.as_ref().and_then(|record| record.wave(sequence));
            match wave {
                Some(wave) => read.push((sequence, wave.into_owned())),
                None => {
                    let why = format!("its wave at {sequence} is not in the ledger any more");
                    return self.report(Report::Unwritable(run, why)).await;
                }
            }
        }
        self.report(Report::Recalled(run, read)).await;
    }

    /// Answers somebody who gave an order.
    pub(super) async fn answer(self, reply: Subject, answer: Answer) {
        if let Err(error) = self.broker.publish(reply, wire::encode(&answer)).await {
            tracing::debug!(error = %chain(&error), "failed to answer an order");
        }
    }
}
