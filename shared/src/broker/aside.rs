//! Where nonsense goes that stands in the place of something that the engine needs: it is replaced, and
//! what stood there is kept with its reason among the messages that could not be understood.
//!
//! It must not hold up whoever replaced it: what cannot be kept is only told.

use std::time::Duration;

use super::connect::Broker;
use crate::chain;
use crate::submission::Unreadable;

/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(1);

impl Broker {
    /// Tells that what stood on `subject` makes no sense and was replaced, and keeps it.
    pub async fn set_aside(&self, subject: &str, sequence: u64, reason: &str, payload: &[u8]) {
        tracing::error!(
            run = self.subjects().run_in(subject),
            subject,
            sequence,
            reason,
            "what stood there makes no sense: it is set aside and replaced"
        );
        self.record_loss(subject, sequence, reason, payload).await;
    }

    /// Keeps on record what was lost or replaced, for whoever looks later. What cannot be kept is told.
    pub async fn record_loss(&self, subject: &str, sequence: u64, reason: &str, payload: &[u8]) {
        let record = Unreadable::new(subject, sequence, reason.to_owned(), payload).encode();
        let kept = self.append(self.subjects().unreadable(), record, None);
        match tokio::time::timeout(PATIENCE, kept).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let run = self.subjects().run_in(subject);
                tracing::warn!(run, subject, error = %chain(&error), "what was lost is not on record")
            }
            Err(_) => {
                let run = self.subjects().run_in(subject);
                tracing::warn!(run, subject, "what was lost is not on record: no answer")
            }
        }
    }
}
