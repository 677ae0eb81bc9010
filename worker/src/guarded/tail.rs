//! How much is kept of what a program says: the end of it.

use std::collections::VecDeque;

/// Most bytes of a stream that are kept.
pub(crate) const KEPT: usize = 64 * 1024;

/// The last bytes of a stream.
#[derive(Debug, Default)]
pub(crate) struct Tail(VecDeque<u8>);

impl Tail {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let fresh = &bytes[bytes.len().saturating_sub(KEPT)..];
        let over = (self.0.len() + fresh.len()).saturating_sub(KEPT);
        self.0.drain(..over);
        self.0.extend(fresh);
    }

    /// What is kept, without blanks around it.
    pub(crate) fn text(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

/// The end of a text, at most `most` bytes.
pub(crate) fn end(text: &str, most: usize) -> String {
    let from = text.ceil_char_boundary(text.len().saturating_sub(most));
    text[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept() {
        let mut tail = Tail::default();
        tail.add(&vec![b'x'; 3 * KEPT]);
        tail.add(b"\nend\n");
        assert!(tail.0.len() <= KEPT && tail.text().ends_with("x\nend"));
        assert_eq!(end("a\u{e9}b", 2), "b");
    }
}
