//! Finds out what the queue holds of a run, and writes the term register.

use std::time::Duration;

use gridloom_shared::broker::term::{ClaimError, Claimed, PATIENCE_MISSING, Register};
use gridloom_shared::broker::topology::{self, Storage};
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::{QueueName, RunId, Term};

use super::super::envoy::Envoy;
use super::super::error::TakeError;
use super::super::failover::{Workers, ask};
use super::super::streams::queue_is_made;
use super::{PAUSE, PAUSE_FULL};
use crate::failover::refill::{self, Listing};
use crate::lead::event::{Outcome, Report};

/// So long the streams may be gone again and again, as they are looked at.
const SECURED: Duration = Duration::from_secs(10);

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
                Ok(secured) => break Ok(secured),
                Err(TakeError::Claim(error @ ClaimError::Deposed { .. })) => break Err(error),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "the term register is not written; trying again");
                    tokio::time::sleep(PAUSE_FULL).await;
                }
            }
        };
        if let Ok(Secured {
            register,
            bare: true,
        }) = claimed
        {
            self.report(Report::Bare(register)).await;
        }
        let claimed = claimed.map(|secured| secured.register);
        self.report(Report::Claimed(claimed)).await;
    }

    /// Writes the register. A queue that is gone, before or meanwhile, is made again; whatever else is wrong with
    /// the streams hinders nothing here: who looks after them tells it.
    pub(in crate::service) async fn secure(&self, term: Term) -> Result<Secured, TakeError> {
        let give_up = Boot::now() + SECURED;
        let missing = missing_for(
            self.topology.queue_made_in(),
            self.broker.cluster().is_some(),
        );
        let mut made = self.renew_queue().await?;
        loop {
            let claimed = self.broker.claim_within(term, self.session, missing).await;
            match claimed {
                Err(error) if error.is_stream_missing() && Boot::now() < give_up => {
                    tracing::warn!(error = %chain(&error), "the queue is gone");
                    made = topology::make_queue(&self.broker, &self.topology).await?;
                    queue_is_made(&self.broker).await;
                }
                claimed => {
                    let Claimed { register, first } = claimed?;
                    let bare = made && first;
                    self.remove_acknowledged().await;
                    return Ok(Secured { register, bare });
                }
            }
        }
    }

    /// A queue on file may have come back with what had left it. Found at the next claim where it cannot be looked at.
    async fn remove_acknowledged(&self) {
        let kept = topology::queue_kept_in(&self.broker, &self.topology).await;
        if !matches!(kept, Ok(Some(Storage::File))) {
            return;
        }
        match self.broker.remove_acknowledged().await {
            Ok(0) => {}
            Ok(tiles) => tracing::warn!(
                tiles,
                "tiles were on the queue that had left it: the broker lost what it had not flushed"
            ),
            Err(error) => {
                tracing::debug!(error = %chain(&error), "cannot look for tiles that had left the queue");
            }
        }
    }

    /// On a cluster: a queue that begins anew where it began is another queue.
    async fn renew_queue(&self) -> Result<bool, TakeError> {
        if self.broker.cluster().is_none() {
            return Ok(false);
        }
        let renewed = topology::renew_queue(&self.broker, &self.topology).await?;
        if renewed {
            queue_is_made(&self.broker).await;
        }
        Ok(renewed)
    }
}

/// How long the queue's stream may be not found before it is gone. A server that stands alone elects nobody, and takes
/// clients when it has all its streams: one in its memory was lost with the process before.
fn missing_for(storage: Storage, is_cluster: bool) -> Duration {
    match storage {
        Storage::Memory if !is_cluster => Duration::ZERO,
        Storage::Memory | Storage::File => PATIENCE_MISSING,
    }
}

/// The register as it was written.
#[derive(Clone, Copy, Debug)]
pub(in crate::service) struct Secured {
    pub(in crate::service) register: Register,
    /// Whether the queue was made for it, and nobody wrote another before: nothing else is there.
    bare: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_in_the_memory_of_a_broker_that_stands_alone_is_gone_when_it_is_not_found() {
        assert_eq!(missing_for(Storage::Memory, false), Duration::ZERO);
        for (storage, is_cluster) in [
            (Storage::Memory, true),
            (Storage::File, false),
            (Storage::File, true),
        ] {
            assert_eq!(missing_for(storage, is_cluster), PATIENCE_MISSING);
        }
    }
}
