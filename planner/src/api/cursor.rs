//! How a list goes on: a cursor names the last item that was given, so that what comes or goes meanwhile shifts
//! nothing. Nobody has to know what is in it, and whoever makes one up is refused. Pure.

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What its text begins with, before it is made unreadable: of another build it is refused, not misread.
const VERSION: &str = "1";
/// No cursor is longer.
const MOST: usize = 1_024;

/// The cursor behind `last`.
pub(super) fn behind(last: &impl Serialize) -> Option<String> {
    let text = serde_json::to_string(&(VERSION, last)).ok()?;
    Some(BASE64URL_NOPAD.encode(text.as_bytes()))
}

/// What a cursor names; `None`: it is none of this list.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Option<T> {
    if text.len() > MOST {
        return None;
    }
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let (version, last): (String, T) = serde_json::from_slice(&bytes).ok()?;
    (version == VERSION).then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_is_read_as_it_was_made_and_no_other_text_is_one() {
        let last = (7_u64, "a_s_1".to_owned());
        let text = behind(&last).unwrap();
        assert_eq!(read::<(u64, String)>(&text), Some(last));
        assert_eq!(read::<String>(&text), None);
        for none in ["", "x", "!!", &text[1..], &"A".repeat(MOST + 1)] {
            assert_eq!(read::<(u64, String)>(none), None, "{none}");
        }
    }
}
