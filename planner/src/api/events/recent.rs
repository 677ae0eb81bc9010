//! What was written to a bucket lately: of each key the last value, so that whoever was away for a moment is told what
//! they missed. Bounded; what is older has to be read from the bucket. Pure.

use std::collections::{BTreeMap, HashMap};

/// Keys that are kept.
const KEPT_MAX: usize = 1_000;

/// The last writes.
pub(super) struct Recent<V> {
    writes: BTreeMap<u64, (String, Option<V>)>,
    revisions: HashMap<String, u64>,
    /// What was written up to there is not known.
    floor: u64,
    last: u64,
}

impl<V> Recent<V> {
    /// Nothing yet of what was written behind `floor` in a bucket that ends at `end`.
    pub(super) fn new(floor: u64, end: u64) -> Recent<V> {
        Recent {
            writes: BTreeMap::new(),
            revisions: HashMap::new(),
            floor,
            last: end,
        }
    }

    /// The revision up to which this tells.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// It is known up to there.
    pub(super) fn reach(&mut self, revision: u64) {
        self.last = self.last.max(revision);
    }

    /// Takes a write in; `None`: a deletion.
    pub(super) fn take(&mut self, key: String, value: Option<V>, revision: u64) {
        self.last = self.last.max(revision);
        if let Some(before) = self.revisions.insert(key.clone(), revision) {
            self.writes.remove(&before);
        }
        self.writes.insert(revision, (key, value));
        if self.writes.len() > KEPT_MAX
            && let Some((oldest, (key, _))) = self.writes.pop_first()
        {
            self.revisions.remove(&key);
            self.floor = oldest;
        }
    }

    /// Whether it is known what was written since.
    pub(super) fn reaches_back_to(&self, revision: u64) -> bool {
        revision >= self.floor
    }

    /// What was written since, the oldest first.
    pub(super) fn since(&self, revision: u64) -> impl Iterator<Item = (&str, Option<&V>)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let writes = self.writes.range((Excluded(revision), Unbounded));
        writes.map(|(_, (key, value))| (key.as_str(), value.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_key_the_last_write_is_told_to_whoever_missed_it() {
        let mut recent = Recent::new(5, 9);
        recent.take("a".to_owned(), Some(1), 7);
        recent.take("b".to_owned(), Some(2), 8);
        recent.take("a".to_owned(), None, 10);
        let told = |since| recent.since(since).collect::<Vec<_>>();
        assert_eq!(told(5), [("b", Some(&2)), ("a", None)]);
        assert_eq!(told(8), [("a", None)]);
        assert_eq!(told(10), []);
        assert_eq!(recent.last(), 10);
        recent.reach(12);
        recent.reach(11);
        assert_eq!((recent.last(), recent.since(10).count()), (12, 0));
        assert!(recent.reaches_back_to(5) && !recent.reaches_back_to(4));
    }

    #[test]
    fn no_more_is_kept_than_so_much_and_that_is_known() {
        let mut recent = Recent::new(0, 0);
        let most = KEPT_MAX as u64;
        for revision in 1..=most + 3 {
            recent.take(revision.to_string(), Some(()), revision);
        }
        assert!(!recent.reaches_back_to(2) && recent.reaches_back_to(3));
        assert_eq!(recent.since(3).count(), KEPT_MAX);
    }
}
