//! Whether a stream still has what somebody has read of it.
//!
//! One that was set back, as a power failure does under an interval of flushes, ends before that at first. Once it has
//! grown again its end says nothing any more: the sequences stand for other records then. Those were stored later than
//! what stood there before, and are known by that.

use serde_json::json;

use super::StreamState;
use super::read::ReadError;
use crate::broker::api::ApiError;
use crate::broker::connect::Broker;
use crate::broker::subjects::StreamName;
use crate::clock::UnixMs;

/// The last record of a stream that somebody knows of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its place; 0: there was none.
    pub seq: u64,
    /// When it was stored; `None`: that is not known any more.
    pub at: Option<UnixMs>,
}

impl Seen {
    /// What a stream ends with.
    pub fn end_of(state: &StreamState) -> Seen {
        Seen {
            seq: state.last_seq,
            at: state.last_at,
        }
    }

    /// One more is known of, which stands at `seq` and was stored at `at`.
    pub fn note(&mut self, seq: u64, at: UnixMs) {
        if seq > self.seq {
            let at = Some(at);
            *self = Seen { seq, at };
        }
    }
}

impl Broker {
    /// Whether `stream`, which stands so `now`, goes on behind what it had when `seen` was its last record. What was
    /// purged does not count. By the leader.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn goes_on(
        &self,
        stream: &StreamName,
        seen: Seen,
        now: &StreamState,
    ) -> Result<bool, ReadError> {
        if now.last_seq < seen.seq {
            return Ok(false);
        }
        let Some(at) = seen.at.filter(|_| seen.seq > 0) else {
            return Ok(true);
        };
        let asked = async {
            // The record itself, or one that has come in its place.
            let place = json!({ "seq": seen.seq });
            if let Some(there) = self.get_of_leader(stream, &place).await? {
                return Ok(there.at == at);
            }
            // It was removed: whatever was stored since stands behind it.
            let since = json!({ "start_time": UnixMs(at.0 + 1).rfc3339() });
            let later = self.get_of_leader(stream, &since).await?;
            Ok::<_, ApiError>(later.is_none_or(|later| later.seq > seen.seq))
        };
        asked.await.map_err(|cause| ReadError {
            stream: stream.to_string(),
            cause,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_last_is_the_highest() {
        let mut seen = Seen::default();
        seen.note(7, UnixMs(70));
        seen.note(5, UnixMs(90));
        let at = Some(UnixMs(70));
        assert_eq!(seen, Seen { seq: 7, at });
    }
}
