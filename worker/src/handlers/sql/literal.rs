//! How a text is written in a statement, whatever a session has set. Pure.

use std::fmt::Write;

/// A text as PostgreSQL reads it, wherever a value stands.
pub(super) fn quoted(text: &str) -> String {
    if is_plain(text) {
        return format!("'{text}'");
    }
    let digits = digits(text);
    format!("pg_catalog.convert_from(pg_catalog.decode('{digits}', 'hex'), 'UTF8')")
}

/// Whether it can stand between quotes as it is.
pub(super) fn is_plain(text: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'\'' && byte != b'\\';
    text.bytes().all(is_plain)
}

/// The bytes of a text, in hexadecimal.
pub(super) fn digits(text: &str) -> String {
    let mut digits = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}
