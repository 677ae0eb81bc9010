//! How a record becomes bytes, and which bytes are refused.
//!
//! MessagePack with named fields inside an envelope `{v: 1, body: ...}`. A reader ignores fields it
//! does not know; a version newer than its own it refuses with that number.
//!
//! What is *kept* (ledger, queue, schedules, definitions) has a version that may rise: a build reads one more than
//! it writes before the next writes it ([`Versions`]). What is only *said* between those who live, as presence, orders
//! and answers, is of version 1 for ever: fields are added to it, and nothing else changes, so that builds of any
//! versions hear each other (docs/UPGRADING.md).
//!
//! What *workers report* is kept, and of no version above that in which their run was opened: whoever reads a run's first
//! record reads all of it, and who does not has waited already. So a report that calls itself newer is nonsense, like any
//! other: whoever has a worker's credential may write one, and nobody waits for its sake.

use bytes::{BufMut, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::chain;

#[cfg(feature = "wire-next")]
pub mod next;
mod versions;

pub use versions::Versions;

/// The version of what is only said.
const SPOKEN: u16 = 1;
/// The first version of what is kept.
pub const FIRST: u16 = 1;

/// What most records fit into, in bytes.
const SPACE: usize = 256;

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Written by a newer build: by a planner, or a person's command. Whoever meets it waits for one that reads it, and
    /// neither removes nor replaces what stands there.
    #[error(
        "written by a newer build: version {found}, and {reads} is the newest that this build reads: upgrade it"
    )]
    Newer {
        /// The version that the bytes name.
        found: u64,
        /// The newest that this build reads.
        reads: u16,
    },
    /// Not an envelope, or not the expected body.
    #[error("malformed: {reason}")]
    Malformed {
        /// What the decoder stumbled over.
        reason: String,
    },
}

impl WireError {
    /// Whether a newer build reads it.
    pub fn is_newer(&self) -> bool {
        matches!(self, WireError::Newer { .. })
    }
}

#[derive(Serialize)]
struct EnvelopeOut<'a, T> {
    v: u16,
    body: &'a T,
}

#[derive(Deserialize)]
struct EnvelopeIn<T> {
    v: u64,
    body: T,
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u64,
}

/// What has bytes of its own. A coder is compiled in this crate once a type, and not again in every crate that
/// uses it: they are large.
pub trait Wire: Sized {
    /// See [`encode_in`].
    fn to_bytes(&self, space: &mut BytesMut) -> Bytes;
    /// See [`decode`].
    ///
    /// # Errors
    /// When the bytes are none of such a record.
    fn from_bytes(bytes: &[u8]) -> Result<Self, WireError>;
}

/// Says that a record that is kept is coded by the general coder. Stands beside the record.
macro_rules! coded {
    ($($record:ty),* $(,)?) => {
        $crate::wire::coded!(@by encode_any, decode_any: $($record),*);
    };
    (@by $encode:ident, $decode:ident: $($record:ty),*) => {$(
        impl $crate::wire::Wire for $record {
            #[inline(never)]
            fn to_bytes(&self, space: &mut bytes::BytesMut) -> bytes::Bytes {
                $crate::wire::$encode(self, space)
            }

            #[inline(never)]
            fn from_bytes(bytes: &[u8]) -> Result<Self, $crate::wire::WireError> {
                $crate::wire::$decode(bytes)
            }
        }
    )*};
}

/// The same of what is only said: of version 1 for ever.
macro_rules! spoken {
    ($($record:ty),* $(,)?) => {
        $crate::wire::coded!(@by encode_spoken, decode_spoken: $($record),*);
    };
}

/// The same of what workers report.
macro_rules! reported {
    ($($record:ty),* $(,)?) => {
        $crate::wire::coded!(@by encode_first, decode_report: $($record),*);
        $(
            impl $crate::wire::Report for $record {
                #[inline(never)]
                fn to_bytes_of(&self, version: u16, space: &mut bytes::BytesMut) -> bytes::Bytes {
                    $crate::wire::encode_version(version, self, space)
                }
            }
        )*
    };
}

pub(crate) use coded;
pub(crate) use reported;
pub(crate) use spoken;

/// What workers report: on its own it has the first version, which everybody reads.
pub trait Report: Wire {
    /// See [`encode_report`].
    fn to_bytes_of(&self, version: u16, space: &mut BytesMut) -> Bytes;
}

/// The bytes of what a worker reports of a run, of the version that the run's first record allows
/// ([`Opened::reports`](crate::ledger::record::Opened)), or of that which this build writes, if it is lower.
pub fn encode_report<T: Report>(allowed: u16, report: &T) -> Bytes {
    let version = allowed.clamp(FIRST, Versions::own().writes);
    report.to_bytes_of(version, &mut BytesMut::with_capacity(SPACE))
}

/// The bytes of `body`.
pub fn encode<T: Wire>(body: &T) -> Bytes {
    encode_in(&mut BytesMut::with_capacity(SPACE), body)
}

/// The bytes of `body`, written into `space`: many small records share its memory.
pub fn encode_in<T: Wire>(space: &mut BytesMut, body: &T) -> Bytes {
    body.to_bytes(space)
}

/// The body inside `bytes`.
///
/// # Errors
/// When the bytes are no envelope, a newer version's, or another record's.
pub fn decode<T: Wire>(bytes: &[u8]) -> Result<T, WireError> {
    T::from_bytes(bytes)
}

/// As a record that is kept: in the version that this build writes.
pub(crate) fn encode_any<T: Serialize>(body: &T, space: &mut BytesMut) -> Bytes {
    encode_version(Versions::own().writes, body, space)
}

pub(crate) fn encode_spoken<T: Serialize>(body: &T, space: &mut BytesMut) -> Bytes {
    written(&EnvelopeOut { v: SPOKEN, body }, space)
}

pub(crate) fn encode_first<T: Serialize>(body: &T, space: &mut BytesMut) -> Bytes {
    encode_version(FIRST, body, space)
}

pub(crate) fn encode_version<T: Serialize>(v: u16, body: &T, space: &mut BytesMut) -> Bytes {
    #[cfg(feature = "wire-next")]
    if v == next::VERSION {
        return written(&next::EnvelopeOut { v, next: body }, space);
    }
    written(&EnvelopeOut { v, body }, space)
}

#[expect(
    clippy::expect_used,
    reason = "writing plain data to memory cannot fail: maps with text keys, numbers, texts and bytes always encode"
)]
fn written(envelope: &impl Serialize, space: &mut BytesMut) -> Bytes {
    rmp_serde::encode::write_named(&mut space.writer(), envelope).expect("plain data encodes");
    space.split().freeze()
}

pub(crate) fn decode_any<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let reads = Versions::own().reads;
    #[cfg(feature = "wire-next")]
    if let Some(body) = next::body(bytes, reads) {
        return body;
    }
    read(bytes, reads)
}

/// Nobody says anything of another version: it is nonsense.
pub(crate) fn decode_spoken<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    read(bytes, SPOKEN).map_err(nonsense)
}

/// No worker reports in a version that who reads its run's first record does not read: it is nonsense.
pub(crate) fn decode_report<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    decode_any(bytes).map_err(nonsense)
}

/// What calls itself newer in a place where nothing newer can be.
fn nonsense(error: WireError) -> WireError {
    match error {
        WireError::Newer { found, reads } => WireError::Malformed {
            reason: format!("it says version {found}, where none above {reads} can stand"),
        },
        WireError::Malformed { .. } => error,
    }
}

/// Why `bytes`, which may be anything, are not to be replaced: a newer build wrote them, as a record that is kept.
pub fn too_new(bytes: &[u8]) -> Option<WireError> {
    let reads = Versions::own().reads;
    let VersionOnly { v: found } = rmp_serde::from_slice(bytes).ok()?;
    (found > u64::from(reads)).then_some(WireError::Newer { found, reads })
}

fn read<T: DeserializeOwned>(bytes: &[u8], reads: u16) -> Result<T, WireError> {
    match rmp_serde::from_slice::<EnvelopeIn<T>>(bytes) {
        Ok(envelope) if envelope.v <= u64::from(reads) => Ok(envelope.body),
        Ok(EnvelopeIn { v: found, .. }) => Err(WireError::Newer { found, reads }),
        Err(error) => match rmp_serde::from_slice::<VersionOnly>(bytes) {
            Ok(VersionOnly { v: found }) if found > u64::from(reads) => {
                Err(WireError::Newer { found, reads })
            }
            Ok(_) | Err(_) => Err(WireError::Malformed {
                reason: chain(&error).to_string(),
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct Small {
        a: u32,
    }

    #[test]
    fn golden_bytes_of_an_envelope() {
        let bytes = encode_any(&Small { a: 7 }, &mut BytesMut::new());
        assert_eq!(&bytes[..], b"\x82\xa1v\x01\xa4body\x81\xa1a\x07");
        assert_eq!(decode_any::<Small>(&bytes), Ok(Small { a: 7 }));
    }

    #[test]
    fn what_is_only_said_is_of_version_1_for_ever() {
        let bytes = encode_spoken(&Small { a: 7 }, &mut BytesMut::new());
        assert_eq!(&bytes[..], b"\x82\xa1v\x01\xa4body\x81\xa1a\x07");
        assert_eq!(decode_spoken::<Small>(&bytes), Ok(Small { a: 7 }));
    }

    #[test]
    fn what_is_said_or_reported_and_calls_itself_newer_is_nonsense() {
        for v in [9, u64::MAX] {
            let newer = rmp_serde::to_vec_named(&serde_json::json!({"v": v, "body": {"a": 1}}));
            let newer = newer.unwrap();
            assert!(decode_any::<Small>(&newer).unwrap_err().is_newer());
            for read in [
                decode_spoken::<Small>(&newer),
                decode_report::<Small>(&newer),
            ] {
                assert!(matches!(read, Err(WireError::Malformed { .. })), "{read:?}");
            }
        }
    }

    #[test]
    fn newer_version_is_refused_with_its_number_whatever_its_body() {
        let newer = rmp_serde::to_vec_named(&serde_json::json!({"v": 9, "body": "other"})).unwrap();
        assert_eq!(
            decode_any::<Small>(&newer),
            Err(WireError::Newer {
                found: 9,
                reads: Versions::BUILT.reads
            })
        );
    }

    #[test]
    fn only_what_a_newer_build_wrote_is_too_new_to_be_replaced() {
        let newer = rmp_serde::to_vec_named(&serde_json::json!({"v": 9, "other": 1})).unwrap();
        assert!(too_new(&newer).is_some_and(|error| error.is_newer()));
        let own = encode_any(&Small { a: 7 }, &mut BytesMut::new());
        for other in [
            &own[..],
            b"",
            b"hello",
            br#"{"v": 9, "term": 4}"#,
            b"\xff\x00",
        ] {
            assert_eq!(too_new(other), None, "{other:?}");
        }
    }

    #[test]
    fn unknown_fields_are_ignored_and_garbage_is_malformed() {
        let more = serde_json::json!({"v": 1, "later": [1], "body": {"a": 1, "b": 2}});
        let bytes = rmp_serde::to_vec_named(&more).unwrap();
        assert_eq!(decode_any::<Small>(&bytes), Ok(Small { a: 1 }));
        assert!(matches!(
            decode_any::<Small>(b"hello"),
            Err(WireError::Malformed { .. })
        ));
    }
}
