//! Which MessagePack is read: what has a form in JSON, and nothing behind it.

use serde::de::Deserialize;
use serde_json::Value;

use super::strict::Strict;
use crate::chain;

/// The value that `bytes` say; the error is what is wrong with them.
///
/// # Errors
/// When they are no MessagePack, go on behind the value, have a key twice, or what JSON lacks: bytes,
/// extensions, NaN, infinity.
pub fn message_pack(bytes: &[u8]) -> Result<Value, String> {
    let mut rest = bytes;
    let mut reader = rmp_serde::Deserializer::new(&mut rest);
    let Strict(value) =
        Strict::deserialize(&mut reader).map_err(|error| chain(&error).to_string())?;
    if rest.is_empty() {
        return Ok(value);
    }
    Err(format!("{} more bytes behind the value", rest.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(value: &impl serde::Serialize) -> Vec<u8> {
        rmp_serde::to_vec_named(value).unwrap()
    }

    #[test]
    fn what_json_lacks_is_refused() {
        let map = |value: &[u8]| [b"\x81\xa1x", value].concat();
        let mut behind = packed(&serde_json::json!({"x": 1}));
        assert!(message_pack(&behind).is_ok());
        behind.push(0xc0);
        for (bytes, words) in [
            (behind, "more bytes"),
            (map(&packed(&f64::NAN)), "finite"),
            (map(&packed(&f64::INFINITY)), "finite"),
            (map(&packed(&f32::NEG_INFINITY)), "finite"),
            (map(b"\xc4\x01a"), "byte"),
            (map(b"\xd4\x01a"), ""),
            (b"\x82\xa1x\x01\xa1x\x02".to_vec(), "twice"),
            (b"\x81\x01\x02".to_vec(), ""),
            (b"\x81\xa1x".to_vec(), ""),
        ] {
            let error = message_pack(&bytes).unwrap_err();
            assert!(error.contains(words), "{bytes:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_carried_bit_by_bit(float: f64, signed: i64, unsigned: u64) {
            let bytes = packed(&(float, signed, unsigned));
            match message_pack(&bytes) {
                Ok(value) => {
                    prop_assert_eq!(value[0].as_f64().map(f64::to_bits), Some(float.to_bits()));
                    prop_assert_eq!(value[1].as_i64(), Some(signed));
                    prop_assert_eq!(value[2].as_u64(), Some(unsigned));
                }
                Err(_) => prop_assert!(!float.is_finite()),
            }
        }

        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>) {
            let _ = message_pack(&bytes);
        }
    }
}
