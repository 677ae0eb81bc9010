//! The errors of a run's shards, each text once: a thousand shards mostly fail of the same.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::UnixMs;
use crate::limits::ERRORS_KEPT;
use crate::tile::Cell;

/// Number of a text that is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ErrorId(u32);

/// What stands for a text for which there was no room.
const NO_ROOM: &str =
    "not kept: this run failed with too many different errors; the ledger has each";
/// What a kept text costs beside its bytes.
const EACH: usize = 120;

/// An attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    /// At which shard, or question of a probe.
    pub cell: Cell,
    /// Its number.
    pub attempt: u32,
    /// Whether it ended in a hold: it uses up none of what the job allows.
    pub held: bool,
    /// When that was recorded.
    pub at: UnixMs,
}

/// An error, and how many failures had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorGroup<'a> {
    /// The text.
    pub error: &'a str,
    /// Failed attempts that counted.
    pub failures: u64,
    /// The last of them.
    pub last: FailedAttempt,
    /// Whether all of them had this text. `false` for those whose texts were too many to be kept: it is that of
    /// the last.
    pub alike: bool,
}

#[derive(Clone, Debug)]
struct Kept {
    text: Arc<str>,
    failures: u64,
    last: Option<FailedAttempt>,
}

impl Kept {
    fn new(text: Arc<str>) -> Kept {
        Kept {
            text,
            failures: 0,
            last: None,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Errors {
    texts: Vec<Kept>,
    ids: HashMap<Arc<str>, u32>,
    bytes: usize,
    /// The last text for which there was no room.
    unkept: String,
}

impl Default for Errors {
    fn default() -> Errors {
        Errors {
            texts: vec![Kept::new(NO_ROOM.into())],
            ids: HashMap::new(),
            bytes: 0,
            unkept: String::new(),
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
            text.clone_into(&mut self.unkept);
            return ErrorId::default();
        }
        self.bytes = bytes;
        let id = self.texts.len() as u32;
        let text: Arc<str> = text.into();
        self.texts.push(Kept::new(Arc::clone(&text)));
        self.ids.insert(text, id);
        ErrorId(id)
    }

    /// So many attempts more have failed with this text.
    pub(super) fn count(&mut self, id: ErrorId, failures: u64, last: FailedAttempt) {
        if let Some(kept) = self.texts.get_mut(id.0 as usize) {
            kept.failures += failures;
            kept.last = Some(last);
        }
    }

    pub(super) fn text(&self, id: ErrorId) -> &str {
        self.texts
            .get(id.0 as usize)
            .map_or(NO_ROOM, |kept| &kept.text)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = ErrorGroup<'_>> {
        let groups = self.texts.iter().enumerate();
        groups.filter_map(|(id, kept)| {
            let alike = id != ErrorId::default().0 as usize;
            Some(ErrorGroup {
                error: if alike { &kept.text } else { &self.unkept },
                failures: kept.failures,
                last: kept.last?,
                alike,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tile::TileKind;

    fn failed(page: u32) -> FailedAttempt {
        FailedAttempt {
            cell: Cell {
                kind: TileKind::Page,
                slice: 0,
                page,
            },
            attempt: 1,
            held: false,
            at: UnixMs(u64::from(page)),
        }
    }

    #[test]
    fn each_text_is_kept_once_and_no_more_than_there_is_room_for() {
        let mut errors = Errors::default();
        let busy = errors.id("busy");
        errors.count(busy, 3, failed(0));
        assert_eq!(errors.id("busy"), busy);
        for n in 0..100_000 {
            let id = errors.id(&format!("file {n}"));
            errors.count(id, 1, failed(n));
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

    #[test]
    fn last_error_is_known_also_where_there_is_no_room_for_it() {
        let mut errors = Errors::default();
        for n in 0..100_000 {
            let id = errors.id(&format!("file {n}"));
            errors.count(id, 1, failed(n));
        }
        let newest = errors.groups().max_by_key(|group| group.last.at).unwrap();
        assert_eq!(newest.error, "file 99999");
        assert!(!newest.alike && newest.failures > 1_000);
        assert_eq!(newest.last, failed(99_999));
        let alike = errors.groups().filter(|group| group.alike);
        assert!(alike.into_iter().all(|group| group.failures == 1));
    }
}
