//! Finds out what the queue holds of a run, and writes the term register.

use gridloom_shared::broker::term::{ClaimError, Register};
use gridloom_shared::broker::topology;
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::{QueueName, RunId, Term};

use super::super::envoy::Envoy;
use super::super::error::TakeError;
use super::super::failover::{Workers, ask};
use super::{PAUSE, PAUSE_FULL};
use crate::failover::refill::{self, Listing};
use crate::lead::event::{Outcome, Report};

/// So long the streams may be gone again and again, as they are looked at.
const SECURED: std::time::Duration = std::time::Duration::from_secs(10);

impl Envoy {
    /// Lists the queue of a run.
    pub(super) async fn list(self, run: RunId, queue: QueueName, register: Register) {
        loop {
            match refill::list(&self.broker, &queue, &run).await {
                Ok(listing) => return self.report(Report::Listed(run, listing, register)).await,
                // It is made again by whoever claims the register.
                Err(error) if error.is_stream_missing() => {
                    tracing::warn!(%run, "the queue is gone");
                    let lost = Report::Refilled(run, Outcome::Lost(register));
                    return self.report(lost).await;
                }
                Err(error) => {
                    tracing::warn!(%run, error = %chain(&error), "failed to list the queue")
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks the workers which tiles of a run they hold, where its listing lacks some.
    pub(super) async fn ask(
        self,
        run: RunId,
        queue: QueueName,
        listing: Listing,
        register: Register,
        workers: Workers,
    ) {
        let held = loop {
            match ask::tiles_of(&self.broker, &workers, &queue, &run).await {
                Some(held) => break held,
                None => tracing::warn!(%run, "not all workers say what they hold"),
            }
            tokio::time::sleep(PAUSE_FULL).await;
        };
        let ledger = loop {
            match self.broker.info(&self.broker.subjects().ledger()).await {
                Ok(info) => break info.last_seq,
                Err(error) => {
                    tracing::warn!(%run, error = %chain(&error), "failed to look at the ledger")
                }
            }
            tokio::time::sleep(PAUSE).await;
        };
        let listing = Listing {
            ledger,
            held: Some(held),
            ..listing
        };
        self.report(Report::Listed(run, listing, register)).await;
    }

    /// Writes the term register anew. A queue that is gone is made again first.
    pub(super) async fn claim(self, term: Term) {
        let claimed = loop {
            match self.secure(term).await {
                Ok(register) => break Ok(register),
                Err(TakeError::Claim(error @ ClaimError::Deposed { .. })) => break Err(error),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "the term register is not written; trying again");
                    tokio::time::sleep(PAUSE_FULL).await;
                }
            }
        };
        self.report(Report::Claimed(claimed)).await;
    }

    /// Writes the register. A queue that is gone, before or meanwhile, is made again; whatever else is wrong with
    /// the streams hinders nothing here: who looks after them tells it.
    pub(in crate::service) async fn secure(&self, term: Term) -> Result<Register, TakeError> {
        let give_up = Boot::now() + SECURED;
        loop {
            match self.broker.claim_term(term, self.session).await {
                Err(error) if error.is_stream_missing() && Boot::now() < give_up => {
                    tracing::warn!(error = %chain(&error), "the queue is gone");
                    topology::make_queue(&self.broker, &self.topology).await?;
                }
                claimed => return Ok(claimed?),
            }
        }
    }
}
