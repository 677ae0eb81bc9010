//! Which slice a key belongs to: a stable hash that SQL and every other language can repeat.
//!
//! The slice of a key is the first four bytes of the MD5 of its UTF-8 text, read as a big-endian
//! number, modulo the number of slices. In PostgreSQL:
//! `('x' || left(md5(key), 8))::bit(32)::bigint % slices`; in MySQL:
//! `conv(left(md5(key), 8), 16, 10) % slices`. MD5 is used for spread, not for secrecy.

use md5::{Digest, Md5};

/// The slice of `key` among `slices`; 0 when `slices` is 0.
///
/// ```
/// assert_eq!(gridloom_shared::slicing::slice_of("N14228", 16), 1);
/// ```
pub fn slice_of(key: &str, slices: u32) -> u32 {
    let hash = Md5::digest(key.as_bytes());
    let number = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    number.checked_rem(slices).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_for_other_languages() {
        // printf %s KEY | md5sum | cut -c1-8
        for (key, hash) in [
            ("", 0xd41d_8cd9_u32),
            ("a", 0x0cc1_75b9),
            ("gridloom", 0x4c7d_cb37),
            ("é", 0x66dd_cd97),
            ("N14228", 0x8f41_1c01),
        ] {
            assert_eq!(slice_of(key, 65_536), hash % 65_536, "{key:?}");
            assert_eq!(slice_of(key, 7), hash % 7, "{key:?}");
        }
    }
}
