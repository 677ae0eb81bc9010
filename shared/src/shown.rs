//! How text from outside is shown to people: nothing in it may steer a terminal, hide a part of it, turn the
//! direction of writing, or look like a line of its own where one line is meant. JSON has escapes of its own for it, by which
//! each value stays what it is.

use std::borrow::Cow;
use std::fmt::Write;

/// `text` with all that is no plain text written as an escape: `\x1b`, `\r`, `\u{202e}`. Line feeds and tabs stay.
pub fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_odd(c) && !matches!(c, '\n' | '\t'))
}

/// As [`shown`], on one line.
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_odd)
}

/// JSON that says the same, on one line or on several, and steers no terminal that shows it as it is.
pub fn in_json(line: &str) -> Cow<'_, str> {
    // JSON escapes the first 32 itself, but for the ends of its own lines.
    let odd = |c: char| c > '~' && is_odd(c);
    if !line.contains(odd) {
        return Cow::Borrowed(line);
    }
    let mut plain = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        match odd(c) {
            false => plain.push(c),
            // Writing into a text does not fail.
            true => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(plain, "\\u{unit:04x}");
                }
            }
        }
    }
    Cow::Owned(plain)
}

fn escaped(text: &str, odd: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&odd) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !odd(c) => plain.push(c),
            '\n' => plain.push_str("\\n"),
            '\r' => plain.push_str("\\r"),
            '\t' => plain.push_str("\\t"),
            '\0' => plain.push_str("\\0"),
            // Writing into a text does not fail.
            c if c.is_ascii() => drop(write!(plain, "\\x{:02x}", u32::from(c))),
            c => drop(write!(plain, "\\u{{{:x}}}", u32::from(c))),
        }
    }
    Cow::Owned(plain)
}

/// Control characters of both sets; what turns the direction of writing; what ends a line in Unicode's eyes; what
/// takes no room and is not seen.
fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_is_left() {
        let hostile = "a\x1b[2Jb\0c\rd\u{9b}31me\x7ff\u{202e}g";
        assert_eq!(shown(hostile), r"a\x1b[2Jb\0c\rd\u{9b}31me\x7ff\u{202e}g");
        let all: String = (0..0x300).filter_map(char::from_u32).collect();
        assert!(!shown(&all).contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
        assert!(!on_one_line(&all).contains(char::is_control));
    }

    #[test]
    fn json_that_steers_no_terminal_says_the_same() {
        let hostile = "né 日本 \u{9b}31m\x7f\u{202e}\u{e0001} \n\x1b";
        let line = serde_json::to_string(hostile).unwrap();
        let safe = in_json(&line);
        assert!(!safe.contains(is_odd), "{safe}");
        assert!(safe.contains("né 日本"));
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), hostile);
        assert!(matches!(in_json(r#"{"a":"né"}"#), Cow::Borrowed(_)));
    }

    #[test]
    fn plain_text_stays_as_it_is() {
        for text in ["", "né: 日本 🦀", "two\nlines\tand a tab", r"a \ b"] {
            assert!(
                matches!(shown(text), Cow::Borrowed(same) if same == text),
                "{text}"
            );
        }
        assert_eq!(on_one_line("two\nlines"), r"two\nlines");
        // What was shown once is shown alike.
        let once = shown("\x1b\r").into_owned();
        assert_eq!(shown(&once), once);
    }
}
