//! Sets of numbers kept as sorted, disjoint, non-touching half-open runs: what a million finished
//! pages cost when nearly all of them are neighbours.

use std::ops::Range;

/// A set of numbers. An empty set allocates nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    runs: Vec<Range<u64>>,
}

impl Ranges {
    /// The set that holds one run.
    pub fn of(run: Range<u64>) -> Ranges {
        let mut set = Ranges::default();
        set.insert(run);
        set
    }

    /// How many numbers are in the set.
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|run| run.end - run.start).sum()
    }

    /// Whether the set holds nothing.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether `number` is in the set.
    pub fn contains(&self, number: u64) -> bool {
        self.covers(&(number..number + 1))
    }

    /// Whether all of `run` is in the set. An empty run always is.
    pub fn covers(&self, run: &Range<u64>) -> bool {
        run.is_empty()
            || self.runs[..self.first_after(run.start)]
                .last()
                .is_some_and(|held| held.end >= run.end)
    }

    /// The runs in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.runs.iter().cloned()
    }

    /// The parts of `run` that are in the set, in ascending order.
    pub fn within(&self, run: &Range<u64>) -> Vec<Range<u64>> {
        self.touching(run)
            .map(|held| held.start.max(run.start)..held.end.min(run.end))
            .filter(|part| !part.is_empty())
            .collect()
    }

    /// The parts of `run` that are not in the set, in ascending order.
    pub fn missing(&self, run: &Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut from = run.start;
        for held in self.touching(run) {
            if held.start > from {
                gaps.push(from..held.start.min(run.end));
            }
            from = from.max(held.end);
        }
        if from < run.end {
            gaps.push(from..run.end);
        }
        gaps
    }

    /// How many numbers of `run` are not in the set.
    pub fn lacks(&self, run: &Range<u64>) -> u64 {
        let held = self.touching(run);
        let held: u64 = held
            .map(|held| held.end.min(run.end) - held.start.max(run.start))
            .sum();
        run.end.saturating_sub(run.start) - held
    }

    /// Whether any number of `run` is in the set.
    pub fn touches(&self, run: &Range<u64>) -> bool {
        !run.is_empty() && self.touching(run).next().is_some()
    }

    /// Whether the set is `run`.
    pub fn is_exactly(&self, run: Range<u64>) -> bool {
        match self.runs.as_slice() {
            [] => run.is_empty(),
            [only] => *only == run,
            [..] => false,
        }
    }

    /// Adds `run`.
    pub fn insert(&mut self, run: Range<u64>) {
        if run.is_empty() {
            return;
        }
        // The common case: the next piece of an ascending series.
        match self.runs.last_mut() {
            None => return self.runs.push(run),
            Some(last) if run.start > last.end => return self.runs.push(run),
            Some(last) if run.start >= last.start => {
                last.end = last.end.max(run.end);
                return;
            }
            Some(_) => {}
        }
        let from = self.runs.partition_point(|held| held.end < run.start);
        let to = self.runs.partition_point(|held| held.start <= run.end);
        let merged = self.runs[from..to].iter().fold(run, |whole, held| {
            whole.start.min(held.start)..whole.end.max(held.end)
        });
        self.runs.splice(from..to, [merged]);
    }

    /// Takes `run` out.
    pub fn remove(&mut self, run: &Range<u64>) {
        if run.is_empty() {
            return;
        }
        let from = self.runs.partition_point(|held| held.end <= run.start);
        let to = self.runs.partition_point(|held| held.start < run.end);
        if from >= to {
            return;
        }
        let before = self.runs[from].start..run.start;
        let after = run.end..self.runs[to - 1].end;
        let left = [before, after].into_iter().filter(|part| !part.is_empty());
        self.runs.splice(from..to, left);
    }

    fn first_after(&self, start: u64) -> usize {
        self.runs.partition_point(|held| held.start <= start)
    }

    fn touching<'a>(&'a self, run: &'a Range<u64>) -> impl Iterator<Item = &'a Range<u64>> + 'a {
        let from = self.runs.partition_point(|held| held.end <= run.start);
        self.runs[from..]
            .iter()
            .take_while(|held| held.start < run.end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set_of_numbers(steps in prop::collection::vec((any::<bool>(), 0_u64..40, 0_u64..12), 0..40)) {
            let mut ranges = Ranges::default();
            let mut plain = BTreeSet::new();
            for (insert, start, length) in steps {
                let run = start..start + length;
                if insert {
                    ranges.insert(run.clone());
                    plain.extend(run);
                } else {
                    ranges.remove(&run);
                    plain.retain(|number| !run.contains(number));
                }
                let listed: Vec<u64> = ranges.iter().flatten().collect();
                prop_assert_eq!(&listed, &plain.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(ranges.len(), plain.len() as u64);
                let touching = ranges.runs.windows(2).any(|pair| pair[0].end >= pair[1].start);
                prop_assert!(!touching, "runs touch: {:?}", ranges);
                let window = 5..30;
                let inside: Vec<u64> = ranges.within(&window).into_iter().flatten().collect();
                let outside: Vec<u64> = ranges.missing(&window).into_iter().flatten().collect();
                for number in window.clone() {
                    prop_assert_eq!(inside.contains(&number), plain.contains(&number));
                    prop_assert_eq!(outside.contains(&number), !plain.contains(&number));
                    prop_assert_eq!(ranges.contains(number), plain.contains(&number));
                }
                prop_assert_eq!(ranges.covers(&window), outside.is_empty());
                prop_assert_eq!(ranges.lacks(&window), outside.len() as u64);
                prop_assert_eq!(ranges.touches(&window), !inside.is_empty());
                prop_assert_eq!(ranges.lacks(&(7..7)), 0);
                let all = plain.first().zip(plain.last()).map_or(0..0, |(first, last)| *first..*last + 1);
                prop_assert_eq!(ranges.is_exactly(all.clone()), plain.len() as u64 == all.end - all.start);
            }
        }
    }
}
