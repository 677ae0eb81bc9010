//! How a record becomes bytes, and which bytes are refused.
//!
//! MessagePack with named fields inside an envelope `{v: 1, body: ...}`. A reader ignores fields it
//! does not know; a version newer than its own it refuses with that number.

use bytes::{BufMut, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::chain;

/// The version that this build writes, and the newest that it reads.
pub const VERSION: u16 = 1;

/// What most records fit into, in bytes.
const SPACE: usize = 256;

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Written by a newer build.
    #[error(
        "version {found} is newer than {VERSION}, the newest that this build reads: upgrade it"
    )]
    Newer {
        /// The version that the bytes name.
        found: u64,
    },
    /// Not an envelope, or not the expected body.
    #[error("malformed: {reason}")]
    Malformed {
        /// What the decoder stumbled over.
        reason: String,
    },
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

/// Says that a record is coded by the general coder. Stands beside the record.
macro_rules! coded {
    ($($record:ty),* $(,)?) => {$(
        impl $crate::wire::Wire for $record {
            #[inline(never)]
            fn to_bytes(&self, space: &mut bytes::BytesMut) -> bytes::Bytes {
                $crate::wire::encode_any(self, space)
            }

            #[inline(never)]
            fn from_bytes(bytes: &[u8]) -> Result<Self, $crate::wire::WireError> {
                $crate::wire::decode_any(bytes)
            }
        }
    )*};
}

pub(crate) use coded;

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

#[expect(
    clippy::expect_used,
    reason = "writing plain data to memory cannot fail: maps with text keys, numbers, texts and bytes always encode"
)]
pub(crate) fn encode_any<T: Serialize>(body: &T, space: &mut BytesMut) -> Bytes {
    rmp_serde::encode::write_named(&mut space.writer(), &EnvelopeOut { v: VERSION, body })
        .expect("plain data encodes");
    space.split().freeze()
}

pub(crate) fn decode_any<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    match rmp_serde::from_slice::<EnvelopeIn<T>>(bytes) {
        Ok(envelope) if envelope.v <= u64::from(VERSION) => Ok(envelope.body),
        Ok(envelope) => Err(WireError::Newer { found: envelope.v }),
        Err(error) => match rmp_serde::from_slice::<VersionOnly>(bytes) {
            Ok(only) if only.v > u64::from(VERSION) => Err(WireError::Newer { found: only.v }),
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
    fn newer_version_is_refused_with_its_number_whatever_its_body() {
        let newer = rmp_serde::to_vec_named(&serde_json::json!({"v": 9, "body": "other"})).unwrap();
        assert_eq!(
            decode_any::<Small>(&newer),
            Err(WireError::Newer { found: 9 })
        );
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
