//! Which runs the ledger has purged, by the records that keep their ids. Nothing else is gone by: a run
//! that is not found may be another installation's.

use std::time::Duration;

use crate::broker::Broker;
use crate::broker::api::ApiError;
use crate::broker::log::ReadError;
use crate::id::Nonce;
use crate::ledger::record::PlanRecord;

/// Where the last question came to.
#[derive(Debug, Default)]
pub struct Purged {
    next: u64,
}

/// Why that is not known.
#[derive(Debug, thiserror::Error)]
pub enum PurgedError {
    /// The broker does not say how far the ledger is.
    #[error(transparent)]
    Ask(#[from] ApiError),
    /// The records cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Purged {
    /// Nonces of runs that were purged since the last question, and for at least `age` by now: a part of them, as long as
    /// there are some.
    ///
    /// Both times are the broker's: by a clock of its own, which may be ahead, whoever asks would forget what shards that
    /// were held back still need. Now is when the ledger got its last record.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn more(
        &mut self,
        broker: &Broker,
        age: Duration,
    ) -> Result<Vec<Nonce>, PurgedError> {
        let subjects = broker.subjects();
        let now = broker.info(&subjects.ledger()).await?.last_at;
        let now = now.unwrap_or_default();
        let mut runs = Vec::new();
        while runs.is_empty() {
            let from = self.next.max(1);
            let mut reader = broker.reader(&subjects.ledger(), subjects.all_ids(), from, None);
            let Some(page) = reader.next_page().await? else {
                break;
            };
            for record in page {
                if let Ok(PlanRecord::Retired(retired)) =
                    broker.decode(&record.subject, &record.payload)
                {
                    if now < record.at + age {
                        // Those behind it are younger.
                        return Ok(runs);
                    }
                    runs.extend(retired.nonce);
                }
                self.next = record.seq + 1;
            }
        }
        Ok(runs)
    }
}
