//! A record that the broker itself publishes at a time, whoever is there then (a message schedule).

use async_nats::Subject;
use bytes::Bytes;

use super::append::{AppendError, expecting};
use crate::broker::connect::Broker;
use crate::clock::UnixMs;

const SCHEDULE: &str = "Nats-Schedule";
const TARGET: &str = "Nats-Schedule-Target";

impl Broker {
    /// Has the broker publish `payload` on `target` at `at`, or at once where that is past. Until then it stands on
    /// `subject` of the same stream, where the next such record takes its place. Only if the last message on any subject
    /// that `on` matches has the sequence `expected` (0: there is none).
    ///
    /// # Errors
    /// As [`Broker::append`].
    pub async fn append_for(
        &self,
        subject: impl Into<Subject>,
        payload: Bytes,
        (target, at): (&str, UnixMs),
        (on, expected): (&str, u64),
    ) -> Result<u64, AppendError> {
        let mut headers = expecting(expected, Some(on));
        headers.insert(SCHEDULE, format!("@at {}", at.rfc3339()));
        headers.insert(TARGET, target);
        self.append_with(subject.into(), payload, Some(headers))
            .await
    }
}
