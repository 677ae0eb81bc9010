//! What stands last on several subjects at one moment.
//!
//! Two questions may be answered by two replicas, of which one lags. One question is answered by one: of what
//! stands below the latest record that it names, it has all, and so knows what each subject ends with.

use serde_json::json;

use super::Record;
use super::answer::End;
use super::read::ReadError;
use crate::broker::api::ApiError;
use crate::broker::connect::Broker;
use crate::broker::subjects::StreamName;

impl Broker {
    /// The last record on each of a few `subjects`, which must hold no wildcards, as one replica has them: up to
    /// the latest of them, no other stands behind one of them on its subject. A subject without any is left out.
    ///
    /// # Errors
    /// When the broker does not answer, or not with all of them.
    pub async fn last_together(
        &self,
        stream: &StreamName,
        subjects: &[String],
    ) -> Result<Vec<Record>, ReadError> {
        // Room for the largest on each: what does not fit would be left out.
        let room = self.max_payload().saturating_mul(subjects.len() + 1);
        let question = json!({ "multi_last": subjects, "max_bytes": room });
        let answer = self.direct_get(stream, &question).await;
        answer.and_then(all_of_them).map_err(|cause| ReadError {
            stream: stream.to_string(),
            cause,
        })
    }
}

/// What a broken answer lacks would be taken for what is not there.
fn all_of_them((found, end): (Vec<Record>, End)) -> Result<Vec<Record>, ApiError> {
    match end {
        End::Nothing | End::Absent => Ok(found),
        End::BrokenOff | End::Pending => {
            Err(ApiError::Answer("last records, not all of them".into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMs;

    fn record(seq: u64) -> Record {
        Record {
            seq,
            at: UnixMs(0),
            subject: "a".into(),
            payload: "x".into(),
            deletion: false,
        }
    }

    #[test]
    fn answer_that_broke_off_is_none() {
        let whole = |found: &[u64], end| {
            let found = found.iter().map(|seq| record(*seq)).collect();
            all_of_them((found, end)).is_ok()
        };
        assert!(whole(&[1, 2], End::Nothing));
        assert!(whole(&[], End::Absent));
        assert!(!whole(&[1], End::BrokenOff) && !whole(&[], End::BrokenOff));
        assert!(!whole(&[1], End::Pending));
    }
}
