//! What holds for runs of numbers, kept as few as they can be: neighbours of which the same holds are
//! one. So a million pages with one fate cost as much as one page, and what a record changes costs what
//! it says, not the pages that it names. The audit's own: it shares none with the fold.

use std::collections::BTreeMap;
use std::ops::Range;

/// Disjoint half-open runs of numbers in lanes, each with what holds for it.
#[derive(Clone, Debug)]
pub(super) struct Spans<L, V> {
    runs: BTreeMap<(L, u64), (u64, V)>,
}

impl<L, V> Default for Spans<L, V> {
    fn default() -> Self {
        Spans {
            runs: BTreeMap::new(),
        }
    }
}

impl<L: Copy + Ord, V: Clone + Eq> Spans<L, V> {
    /// What holds for `number`.
    pub(super) fn get(&self, lane: L, number: u64) -> Option<&V> {
        let (at, (end, value)) = self.runs.range(..=(lane, number)).next_back()?;
        (at.0 == lane && number < *end).then_some(value)
    }

    /// All runs in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (L, Range<u64>, &V)> {
        let runs = self.runs.iter();
        runs.map(|((lane, start), (end, value))| (*lane, *start..*end, value))
    }

    /// The runs of one lane in order.
    pub(super) fn of(&self, lane: L) -> impl Iterator<Item = (Range<u64>, &V)> {
        let runs = self.runs.range((lane, 0)..=(lane, u64::MAX));
        runs.map(|((_, start), (end, value))| (*start..*end, value))
    }

    /// The parts of `range` of which something holds, in order.
    pub(super) fn within(
        &self,
        lane: L,
        range: Range<u64>,
    ) -> impl Iterator<Item = (Range<u64>, &V)> {
        let before = self.runs.range(..(lane, range.start)).next_back();
        let across = before.filter(|((of, _), (end, _))| *of == lane && *end > range.start);
        let inside = self.runs.range((lane, range.start)..(lane, range.end));
        across
            .into_iter()
            .chain(inside)
            .map(move |((_, start), (end, value))| {
                ((*start).max(range.start)..(*end).min(range.end), value)
            })
    }

    /// Everything that holds, to be changed. Neighbours that become equal stay two.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.runs.values_mut().map(|(_, value)| value)
    }

    /// Gives each part of `range` to `change`, in order, with what holds there; it says what does from
    /// now on.
    pub(super) fn update(
        &mut self,
        lane: L,
        range: Range<u64>,
        mut change: impl FnMut(Range<u64>, Option<V>) -> Option<V>,
    ) {
        if range.is_empty() {
            return;
        }
        self.split(lane, range.start);
        self.split(lane, range.end);
        let inside = self.runs.range((lane, range.start)..(lane, range.end));
        let starts: Vec<u64> = inside.map(|((_, start), _)| *start).collect();
        let mut at = range.start;
        for start in starts {
            let Some((end, value)) = self.runs.remove(&(lane, start)) else {
                continue;
            };
            if at < start {
                self.put(lane, at..start, change(at..start, None));
            }
            self.put(lane, start..end, change(start..end, Some(value)));
            at = end;
        }
        if at < range.end {
            self.put(lane, at..range.end, change(at..range.end, None));
        }
        if let Some((end, value)) = self.runs.remove(&(lane, range.end)) {
            self.put(lane, range.end..end, Some(value));
        }
    }

    /// Makes a run begin at `at`, if one goes across it.
    fn split(&mut self, lane: L, at: u64) {
        let before = self.runs.range_mut(..(lane, at)).next_back();
        if let Some(((of, _), (end, value))) = before
            && *of == lane
            && *end > at
        {
            let after = (std::mem::replace(end, at), value.clone());
            self.runs.insert((lane, at), after);
        }
    }

    /// Puts a run where nothing is, as part of the one before it if the same holds there.
    fn put(&mut self, lane: L, range: Range<u64>, value: Option<V>) {
        let Some(value) = value else { return };
        let before = self.runs.range_mut(..(lane, range.start)).next_back();
        match before {
            Some(((of, _), (end, held)))
                if *of == lane && *end == range.start && *held == value =>
            {
                *end = range.end;
            }
            Some(_) | None => {
                self.runs.insert((lane, range.start), (range.end, value));
            }
        }
    }
}

impl<L: Copy + Ord> Spans<L, ()> {
    /// Adds `range` to a set of numbers.
    pub(super) fn insert(&mut self, lane: L, range: Range<u64>) {
        self.update(lane, range, |_, _| Some(()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_map_of_numbers_and_keeps_as_few_runs_as_can_be(
            steps in prop::collection::vec((0_u8..2, 0_u64..30, 0_u64..12, prop::option::of(0_u8..3)), 0..40)
        ) {
            let mut spans = Spans::<u8, u8>::default();
            let mut plain = BTreeMap::new();
            for (lane, start, length, value) in steps {
                let mut seen = Vec::new();
                spans.update(lane, start..start + length, |part, there| {
                    seen.extend(part.map(|number| (number, there)));
                    value
                });
                let expected: Vec<_> = (start..start + length)
                    .map(|number| (number, plain.get(&(lane, number)).copied()))
                    .collect();
                prop_assert_eq!(seen, expected);
                for number in start..start + length {
                    match value {
                        Some(value) => plain.insert((lane, number), value),
                        None => plain.remove(&(lane, number)),
                    };
                }
                let listed: Vec<_> = spans
                    .iter()
                    .flat_map(|(lane, part, value)| part.map(move |number| ((lane, number), *value)))
                    .collect();
                prop_assert_eq!(listed, plain.iter().map(|(at, value)| (*at, *value)).collect::<Vec<_>>());
                let runs: Vec<_> = spans.iter().collect();
                let whole = runs.windows(2).all(|pair| {
                    (pair[0].0, pair[0].1.end, pair[0].2) != (pair[1].0, pair[1].1.start, pair[1].2)
                });
                prop_assert!(whole, "neighbours are equal: {:?}", runs);
                for number in 0..45 {
                    prop_assert_eq!(spans.get(lane, number), plain.get(&(lane, number)));
                }
                let window = start..start + length;
                let within: Vec<_> = spans.within(lane, window.clone()).flat_map(|(part, _)| part).collect();
                let expected: Vec<_> = window.filter(|number| plain.contains_key(&(lane, *number))).collect();
                prop_assert_eq!(within, expected);
            }
        }
    }
}
