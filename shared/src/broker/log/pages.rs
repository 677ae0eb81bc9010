//! A list of subjects that the broker gives in pages, by offset, in order of their names. While it is
//! read, others come and go: what goes moves the rest down, and the next page would begin too late.
//! So each page has to begin at or before the end of the one before; if not, it is asked for again from
//! further down. Pure.

use std::collections::HashMap;

/// How far the offset goes back at first.
const BACK: usize = 1_024;

/// What was given so far.
#[derive(Debug)]
pub(super) struct Pages {
    /// Every name with its number of messages.
    pub(super) all: HashMap<String, u64>,
    /// Where the next page is to begin.
    pub(super) offset: usize,
    /// The last name, in order, up to which nothing is missing.
    last: Option<String>,
    back: usize,
}

impl Default for Pages {
    fn default() -> Self {
        Pages {
            all: HashMap::new(),
            offset: 0,
            last: None,
            back: BACK,
        }
    }
}

impl Pages {
    /// Takes in the page that began at the offset. Returns whether that was all.
    pub(super) fn take(&mut self, page: HashMap<String, u64>, is_last: bool) -> bool {
        let joins = match (&self.last, page.keys().min()) {
            (Some(last), Some(first)) => first <= last,
            // Nothing is there any more: or all of it is further down.
            (Some(_), None) => false,
            (None, _) => true,
        };
        if !joins && self.offset > 0 {
            self.offset = self.offset.saturating_sub(self.back);
            self.back *= 2;
            return false;
        }
        self.back = BACK;
        let end = self.offset + page.len();
        self.last = page.keys().max().cloned().max(self.last.take());
        self.all.extend(page);
        // The last name of this page is the first of the next, if nothing changes.
        self.offset = end.saturating_sub(1);
        is_last
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What the broker would give of `names`, four at once.
    fn page(names: &BTreeSet<u32>, offset: usize) -> (HashMap<String, u64>, bool) {
        let page = names.iter().skip(offset).take(4);
        let page = page.map(|name| (format!("{name:04}"), 1)).collect();
        (page, offset + 4 >= names.len())
    }

    #[test]
    fn name_that_stays_is_listed_however_many_go_between_two_pages() {
        for gone in [0, 1, 3, 4, 5, 8, 12] {
            let mut names: BTreeSet<u32> = (0..30).collect();
            let mut pages = Pages {
                back: 1,
                ..Pages::default()
            };
            for round in 0.. {
                let (given, last) = page(&names, pages.offset);
                if pages.take(given, last) {
                    break;
                }
                if round == 3 {
                    names.retain(|name| *name >= gone);
                }
                assert!(round < 100, "no end with {gone} gone");
            }
            let missing: Vec<u32> = names
                .iter()
                .filter(|name| !pages.all.contains_key(&format!("{name:04}")))
                .copied()
                .collect();
            assert_eq!(missing, [0; 0], "{gone} gone");
        }
    }

    #[test]
    fn list_that_is_emptied_meanwhile_ends() {
        let mut pages = Pages::default();
        let full: BTreeSet<u32> = (0..9).collect();
        let (given, last) = page(&full, 0);
        assert!(!pages.take(given, last));
        assert!(!pages.take(HashMap::new(), true));
        assert_eq!(pages.offset, 0);
        assert!(pages.take(HashMap::new(), true));
    }
}
