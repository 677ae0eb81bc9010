//! The errors of a run's shards, each text once: a thousand shards mostly fail of the same.

use std::collections::HashMap;
use std::sync::Arc;

use crate::limits::ERRORS_KEPT;

/// Number of a text that is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ErrorId(u32);

/// What stands for a text for which there was no room.
const NO_ROOM: &str =
    "not kept: this run failed with too many different errors; the ledger has each";
/// What a kept text costs beside its bytes.
const EACH: usize = 96;

/// An error, and how many failures had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorGroup<'a> {
    /// The text.
    pub error: &'a str,
    /// Failed attempts that counted.
    pub failures: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Errors {
    texts: Vec<(Arc<str>, u64)>,
    ids: HashMap<Arc<str>, u32>,
    bytes: usize,
}

impl Default for Errors {
    fn default() -> Errors {
        Errors {
            texts: vec![(NO_ROOM.into(), 0)],
            ids: HashMap::new(),
            bytes: 0,
        }
    }
}

impl Errors {
    pub(super) fn id(&mut self, text: &str) -> ErrorId {
        if let Some(known) = self.ids.get(text) {
            return ErrorId(*known);
        }
        let bytes = self.bytes + text.len() + EACH;
        if bytes > ERRORS_KEPT {
            return ErrorId::default();
        }
        self.bytes = bytes;
        let id = self.texts.len() as u32;
        let text: Arc<str> = text.into();
        self.texts.push((Arc::clone(&text), 0));
        self.ids.insert(text, id);
        ErrorId(id)
    }

    pub(super) fn count(&mut self, id: ErrorId, failures: u64) {
        if let Some((_, count)) = self.texts.get_mut(id.0 as usize) {
            *count += failures;
        }
    }

    pub(super) fn text(&self, id: ErrorId) -> &str {
        self.texts
            .get(id.0 as usize)
            .map_or(NO_ROOM, |(text, _)| text)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = ErrorGroup<'_>> {
        let groups = self.texts.iter().filter(|(_, failures)| *failures > 0);
        groups.map(|(error, failures)| ErrorGroup {
            error,
            failures: *failures,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_kept_once_and_no_more_than_there_is_room_for() {
        let mut errors = Errors::default();
        let busy = errors.id("busy");
        errors.count(busy, 3);
        assert_eq!(errors.id("busy"), busy);
        for n in 0..100_000 {
            let id = errors.id(&format!("file {n}"));
            errors.count(id, 1);
        }
        assert!(errors.bytes <= ERRORS_KEPT && errors.texts.len() > 1_000);
        let (late, early) = (errors.id("file 99999"), errors.id("file 7"));
        assert_eq!(errors.text(late), NO_ROOM);
        assert_eq!((errors.text(busy), errors.text(early)), ("busy", "file 7"));
        assert_eq!(
            errors.groups().map(|group| group.failures).sum::<u64>(),
            100_003
        );
    }
}
