//! Which runs the ledger has purged, by the records that keep their ids. Nothing else is gone by: a run
//! that is not found may be another installation's.

use std::time::Duration;

use crate::broker::Broker;
use crate::broker::log::ReadError;
use crate::clock::UnixMs;
use crate::id::Nonce;
use crate::ledger::record::PlanRecord;

/// Where the last question came to.
#[derive(Debug, Default)]
pub struct Purged {
    next: u64,
}

impl Purged {
    /// Nonces of runs that were purged since the last question and had been over for `age` at `now`: a
    /// part of them, as long as there are some.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn more(
        &mut self,
        broker: &Broker,
        age: Duration,
        now: UnixMs,
    ) -> Result<Vec<Nonce>, ReadError> {
        let subjects = broker.subjects();
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
                    let over = u128::from(now.0.saturating_sub(retired.closed_at.0));
                    if over < age.as_millis() {
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
