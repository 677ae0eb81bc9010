//! What JetStream's answers and faults mean: the shape of its JSON, and the codes that are decisions.

use crate::chain;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::unanswered::RequestError;

/// JetStream's error codes that mean something here.
pub(super) mod code {
    pub(in crate::broker) const INSUFFICIENT_RESOURCES: u64 = 10_023;
    pub(in crate::broker) const MEMORY_EXCEEDED: u64 = 10_028;
    pub(in crate::broker) const STORAGE_EXCEEDED: u64 = 10_047;
    pub(in crate::broker) const STORE_FAILED: u64 = 10_077;
    pub(in crate::broker) const MAX_BYTES_REQUIRED: u64 = 10_113;
    pub(in crate::broker) const NOT_ENABLED: u64 = 10_076;
    pub(in crate::broker) const UNAVAILABLE: u64 = 10_008;
    pub(in crate::broker) const CLUSTER_NO_LEADER: u64 = 10_009;
    pub(in crate::broker) const STREAM_OFFLINE: u64 = 10_118;
    pub(in crate::broker) const NO_MESSAGE: u64 = 10_037;
    pub(in crate::broker) const SEQUENCE_NOT_FOUND: u64 = 10_043;
    pub(in crate::broker) const DELETE_FAILED: u64 = 10_057;
    pub(in crate::broker) const CONSUMER_NOT_FOUND: u64 = 10_014;
    pub(in crate::broker) const CONSUMER_EXISTS: u64 = 10_148;
    pub(in crate::broker) const CONSUMER_NOT_UNIQUE: u64 = 10_100;
    pub(in crate::broker) const STREAM_EXISTS: u64 = 10_058;
    pub(in crate::broker) const STREAM_NOT_FOUND: u64 = 10_059;
    /// The expectation of the last sequence does not hold.
    pub(in crate::broker) const WRONG_LAST: u64 = 10_071;
    /// It does not hold, or cannot be judged now because another write is under way (replicated).
    pub(in crate::broker) const WRONG_LAST_BUSY: u64 = 10_164;
    pub(in crate::broker) const BATCH_INCOMPLETE: u64 = 10_176;
    pub(in crate::broker) const BATCH_TOO_MANY_OPEN: u64 = 10_210;
    /// Somebody is just ending all open batches.
    pub(in crate::broker) const OPEN_BATCH_DISABLED: u64 = 10_205;
    pub(in crate::broker) const OPEN_BATCH_UNKNOWN: u64 = 10_208;
    pub(in crate::broker) const OPEN_BATCH_TOO_MANY: u64 = 10_211;
}

/// A fault that JetStream reported: surely nothing was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{description} ({err_code}){}", setting(*err_code))]
pub struct Fault {
    /// As of HTTP.
    #[serde(default)]
    pub code: u64,
    /// JetStream's own code.
    #[serde(default)]
    pub err_code: u64,
    /// For people.
    #[serde(default)]
    pub description: String,
}

/// The setting of the broker that such a fault asks for.
fn setting(err_code: u64) -> &'static str {
    match err_code {
        code::MAX_BYTES_REQUIRED => {
            ": give each stream a size (streams.max_bytes of the planner), or set max_bytes_required to false for this account in nats-server's configuration"
        }
        code::STORAGE_EXCEEDED => {
            ": raise max_file_store of nats-server's jetstream or max_disk of the account, and look at its disk; or give streams smaller sizes (streams.max_bytes of the planner)"
        }
        code::MEMORY_EXCEEDED => {
            ": raise max_memory_store of nats-server's jetstream or max_memory of the account; or give the queue a smaller size (streams.max_bytes of the planner), or keep it on file (queue.storage)"
        }
        _ => "",
    }
}

impl Fault {
    /// Whether the stream, the account or the disk has no room.
    pub fn is_full(&self) -> bool {
        match self.err_code {
            code::INSUFFICIENT_RESOURCES | code::MEMORY_EXCEEDED | code::STORAGE_EXCEEDED => true,
            code::STORE_FAILED => {
                self.description.contains("maximum") || self.description.contains("space")
            }
            _ => false,
        }
    }

    /// Whether it is nobody's failure and passes by itself: an election or a restart.
    pub fn is_passing(&self) -> bool {
        matches!(
            self.err_code,
            code::UNAVAILABLE
                | code::STREAM_NOT_FOUND
                | code::CLUSTER_NO_LEADER
                | code::STREAM_OFFLINE
                | code::NOT_ENABLED
        ) || self.code == 503 && !self.is_full()
    }

    /// Whether the servers of a cluster have no leader in common for JetStream.
    pub(super) fn is_without_leader(&self) -> bool {
        matches!(self.err_code, code::UNAVAILABLE | code::CLUSTER_NO_LEADER)
    }

    pub(super) fn is_wrong_last(&self) -> bool {
        self.err_code == code::WRONG_LAST
    }

    /// Whether there is no open batch that the message would belong to.
    pub(super) fn is_of_no_open_batch(&self) -> bool {
        matches!(
            self.err_code,
            code::OPEN_BATCH_UNKNOWN | code::OPEN_BATCH_DISABLED
        )
    }

    pub(super) fn is_busy(&self) -> bool {
        matches!(
            self.err_code,
            code::WRONG_LAST_BUSY
                | code::BATCH_INCOMPLETE
                | code::BATCH_TOO_MANY_OPEN
                | code::OPEN_BATCH_TOO_MANY
        )
    }
}

/// Why a question to JetStream has no useful answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// No answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// JetStream said no.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The answer is not what was expected.
    #[error("understand the broker's answer: {0}")]
    Answer(String),
}

impl ApiError {
    /// JetStream's code, if it said no.
    pub fn err_code(&self) -> Option<u64> {
        match self {
            ApiError::Fault(fault) => Some(fault.err_code),
            ApiError::Request(_) | ApiError::Answer(_) => None,
        }
    }

    /// Whether the stream that was asked for is not there.
    pub fn is_stream_missing(&self) -> bool {
        self.err_code() == Some(code::STREAM_NOT_FOUND)
    }

    /// Whether this client may not ask that.
    pub fn is_refused(&self) -> bool {
        matches!(self, ApiError::Request(error) if error.is_refused())
    }

    /// Whether it is nobody's failure and passes by itself: trying again is right.
    pub fn is_passing(&self) -> bool {
        match self {
            ApiError::Request(RequestError::Unsendable { .. } | RequestError::Refused { .. }) => {
                false
            }
            ApiError::Request(_) => true,
            ApiError::Fault(fault) => fault.is_passing(),
            ApiError::Answer(_) => false,
        }
    }
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    error: Option<Fault>,
}

/// The answer in `payload`, or the fault that it reports.
pub(super) fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, ApiError> {
    let wrong = |error: serde_json::Error| {
        ApiError::Answer(format!(
            "{} in {:?}",
            chain(&error),
            String::from_utf8_lossy(&payload[..payload.len().min(200)])
        ))
    };
    let envelope: Envelope = serde_json::from_slice(payload).map_err(wrong)?;
    match envelope.error {
        Some(fault) => Err(ApiError::Fault(fault)),
        None => serde_json::from_slice(payload).map_err(wrong),
    }
}

/// What JetStream says about a stream: how it is configured.
#[derive(Debug, Deserialize)]
pub(super) struct Configured {
    pub(super) config: serde_json::Value,
}

/// What JetStream says about a publish.
#[derive(Debug, Deserialize)]
pub(super) struct Stored {
    /// The sequence of the last message stored.
    pub(super) seq: u64,
    /// How many messages a batch had.
    #[serde(default)]
    pub(super) count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_from_answers() {
        let stored: Stored = parse(br#"{"stream":"s","seq":7,"batch":"b","count":3}"#).unwrap();
        assert_eq!((stored.seq, stored.count), (7, 3));
        let refused =
            br#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"}}"#;
        let error = parse::<Stored>(refused).unwrap_err();
        assert_eq!(error.err_code(), Some(code::WRONG_LAST));
        assert!(matches!(
            parse::<Stored>(b"nonsense"),
            Err(ApiError::Answer(_))
        ));
    }

    #[test]
    fn fault_of_missing_room_names_the_setting_that_makes_some() {
        for (err_code, setting) in [
            (code::STORAGE_EXCEEDED, "max_file_store"),
            (code::MAX_BYTES_REQUIRED, "max_bytes_required"),
            (code::MEMORY_EXCEEDED, "max_memory_store"),
        ] {
            let fault = Fault {
                err_code,
                ..Fault::default()
            };
            assert!(fault.to_string().contains(setting), "{fault}");
        }
    }

    #[test]
    fn full_disk_is_no_passing_fault() {
        let full = Fault {
            code: 503,
            err_code: code::STORE_FAILED,
            description: "maximum bytes exceeded".into(),
        };
        assert!(full.is_full() && !full.is_passing());
        let election = Fault {
            code: 503,
            err_code: code::CLUSTER_NO_LEADER,
            ..Fault::default()
        };
        assert!(election.is_passing() && !election.is_full());
    }
}
