//! Which answers to a probe can be believed, and how much of one fits into a record.
//!
//! A row whose key lies in two pages is done twice, and no audit of shards would show it: pages that share a
//! key are refused, whatever its type.

use std::collections::HashSet;

use gridloom_shared::limits::PROBE_PAGES_MAX;
use gridloom_shared::tile::{Bounds, KEY_MAX, Key};

use crate::shard::Probe;

/// The answer to a probe: pages in key order, after those that earlier probes of the slice found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbedPages {
    /// First and last key of each page, both inside it; no key in two pages. At most
    /// [`PROBE_PAGES_MAX`] of them, whose keys take at most [`Probe::room`] bytes.
    pub pages: Vec<Bounds>,
    /// Where the next probe of this slice goes on ([`Probe::after`]); `None`: the slice is known to
    /// its end.
    pub cursor: Option<Key>,
}

/// Why an answer to a probe is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error(
        "{found} pages, {PROBE_PAGES_MAX} are the most: return the rest by a cursor (ProbedPages::fitting does)"
    )]
    Many { found: usize },
    #[error(
        "{pages} pages with {found} bytes of keys, {most} are the most that a record of this broker has room for: return the rest by a cursor (ProbedPages::fitting does)"
    )]
    Large {
        pages: usize,
        found: usize,
        most: usize,
    },
    #[error("a key of {found} bytes, {KEY_MAX} are the most")]
    Long { found: usize },
    #[error(transparent)]
    Shared(#[from] SharedKey),
}

/// Pages that are not disjoint, or not in order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SharedKey {
    #[error(
        "page {page} with the key {key} of the page before it: a row with that key would be done twice. The key of pages must be unique: take one that is, such as the primary key"
    )]
    Shared { page: usize, key: String },
    #[error(
        "page {page} that begins before the page before it ends: pages must be disjoint and in order (ORDER BY 1)"
    )]
    Disorder { page: usize },
    #[error("page {page} that ends before it begins")]
    Backwards { page: usize },
    #[error("page {page} with integers for keys beside texts: take one type")]
    Mixed { page: usize },
}

impl ProbedPages {
    /// As many of `pages` as a record has room for, and, where some are left, the cursor behind the last of
    /// them: the next probe has it as [`Probe::after`] and goes on there. Takes no more of `pages` than it
    /// needs, so that they may come from a database one by one.
    pub fn fitting(pages: impl IntoIterator<Item = Bounds>, probe: &Probe) -> ProbedPages {
        let mut answer = ProbedPages::default();
        let mut room = probe.room();
        for page in pages {
            let left = room.checked_sub(page.cost());
            let fits = left.filter(|_| answer.pages.len() < PROBE_PAGES_MAX);
            let Some(left) = fits.or(answer.pages.is_empty().then_some(0)) else {
                answer.cursor = answer.pages.last().map(|Bounds(_, last)| last.clone());
                break;
            };
            room = left;
            answer.pages.push(page);
        }
        answer
    }

    /// Whether the ledger has `room` for it and no key is in two pages.
    pub(crate) fn check(&self, room: usize) -> Result<(), Fault> {
        if self.pages.len() > PROBE_PAGES_MAX {
            return Err(Fault::Many {
                found: self.pages.len(),
            });
        }
        let keys = self.pages.iter().flat_map(|page| [&page.0, &page.1]);
        let longest = keys.chain(&self.cursor).filter_map(length).max();
        if let Some(found) = longest.filter(|longest| *longest > KEY_MAX) {
            return Err(Fault::Long { found });
        }
        let found: usize = self.pages.iter().map(Bounds::cost).sum();
        if found > room {
            return Err(Fault::Large {
                pages: self.pages.len(),
                found,
                most: room,
            });
        }
        Ok(disjoint(&self.pages)?)
    }
}

fn length(key: &Key) -> Option<usize> {
    match key {
        Key::Int(_) => None,
        Key::Text(text) => Some(text.len()),
    }
}

/// Whether no key is in two pages, as far as that can be seen here: how texts are ordered only their database
/// knows, but a text that comes twice is in two pages in every order.
pub(crate) fn disjoint(pages: &[Bounds]) -> Result<(), SharedKey> {
    let mut texts: HashSet<&str> = HashSet::new();
    let mut before: Option<&Bounds> = None;
    for (page, bounds) in (1..).zip(pages) {
        match bounds {
            Bounds(Key::Int(from), Key::Int(to)) => {
                let last = match before {
                    None => None,
                    Some(Bounds(_, Key::Int(last))) => Some(last),
                    Some(Bounds(_, Key::Text(_))) => return Err(SharedKey::Mixed { page }),
                };
                if last == Some(from) {
                    let key = from.to_string();
                    return Err(SharedKey::Shared { page, key });
                }
                if last.is_some_and(|last| last > from) {
                    return Err(SharedKey::Disorder { page });
                }
                if from > to {
                    return Err(SharedKey::Backwards { page });
                }
            }
            Bounds(Key::Text(from), Key::Text(to)) => {
                if matches!(before, Some(Bounds(_, Key::Int(_)))) {
                    return Err(SharedKey::Mixed { page });
                }
                let new = texts.insert(from) & (from == to || texts.insert(to));
                if !new {
                    let again = matches!(before, Some(Bounds(_, Key::Text(last))) if last == from);
                    return Err(if again {
                        let key = format!("{from:?}");
                        SharedKey::Shared { page, key }
                    } else {
                        SharedKey::Disorder { page }
                    });
                }
            }
            Bounds(_, _) => return Err(SharedKey::Mixed { page }),
        }
        before = Some(bounds);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gridloom_shared::limits::PROBE_BYTES_MAX;

    use super::*;
    use crate::Trial;

    fn text(from: &str, to: &str) -> Bounds {
        Bounds(Key::Text(from.to_owned()), Key::Text(to.to_owned()))
    }

    fn int(from: i64, to: i64) -> Bounds {
        Bounds(Key::Int(from), Key::Int(to))
    }

    /// Pages of one key each, all different, with keys of `length` bytes.
    fn long(pages: usize, length: usize) -> Vec<Bounds> {
        let key = |n: usize| format!("{n:0length$}");
        (0..pages).map(|n| text(&key(n), &key(n))).collect()
    }

    fn answer(pages: Vec<Bounds>) -> ProbedPages {
        ProbedPages {
            pages,
            cursor: None,
        }
    }

    #[test]
    fn answer_whose_record_would_not_fit_into_a_message_is_refused() {
        let most = PROBE_BYTES_MAX / long(1, KEY_MAX)[0].cost();
        let check = |pages, length| answer(long(pages, length)).check(PROBE_BYTES_MAX);
        assert!(check(most, KEY_MAX).is_ok());
        assert!(matches!(check(most + 1, KEY_MAX), Err(Fault::Large { .. })));
        assert!(check(PROBE_PAGES_MAX, 80).is_ok());
        assert!(matches!(
            check(PROBE_PAGES_MAX + 1, 5),
            Err(Fault::Many { .. })
        ));
        assert!(matches!(check(1, KEY_MAX + 1), Err(Fault::Long { .. })));
    }

    #[test]
    fn what_does_not_fit_is_left_to_the_next_probe() {
        let probe = Trial::new("a", "b").probe();
        let all = long(PROBE_PAGES_MAX, 140);
        let first = ProbedPages::fitting(all.clone(), &probe);
        assert!(first.pages.len() < all.len());
        assert_eq!(first.check(probe.room()), Ok(()));
        let Bounds(_, last) = &all[first.pages.len() - 1];
        assert_eq!(first.cursor.as_ref(), Some(last));
        let rest = ProbedPages::fitting(all[first.pages.len()..].to_vec(), &probe);
        assert_eq!(first.pages.len() + rest.pages.len(), all.len());
        assert_eq!(rest.cursor, None);
        let many = ProbedPages::fitting((0..5_000).map(|n| int(n, n)), &probe);
        assert_eq!(many.pages.len(), PROBE_PAGES_MAX);
    }

    #[test]
    fn key_in_two_pages_is_refused_for_every_type() {
        for pages in [
            vec![text("a", "b"), text("b", "c")],
            vec![text("a", "b"), text("c", "d"), text("b", "e")],
            vec![text("a", "b"), text("c", "a")],
            vec![text("a", "a"), text("a", "a")],
            vec![int(1, 9), int(9, 12)],
            vec![int(1, 9), int(5, 12)],
            vec![int(5, 4)],
            vec![int(1, 2), text("a", "b")],
            vec![text("a", "b"), int(1, 2)],
            vec![Bounds(Key::Int(1), Key::Text("a".to_owned()))],
        ] {
            assert!(disjoint(&pages).is_err(), "{pages:?}");
        }
        for pages in [
            vec![],
            vec![text("a", "a"), text("B", "b"), text("A", "c")],
            vec![int(-5, -5), int(-4, 0), int(i64::MAX, i64::MAX)],
        ] {
            assert_eq!(disjoint(&pages), Ok(()), "{pages:?}");
        }
    }
}
