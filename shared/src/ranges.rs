//! Sets of numbers kept as sorted, disjoint, non-touching half-open runs: what a million finished
//! pages cost when nearly all of them are neighbours.
//!
//! Nearly all sets have a handful of runs, side by side in memory. One that somebody breaks into very many,
//! out of order, becomes a tree: a run put in between then moves none of the others.

use std::collections::BTreeMap;
use std::ops::{Range, RangeBounds};

/// More runs than this are kept in a tree. In tests it is so small that both ways are gone.
const FEW: usize = if cfg!(test) { 4 } else { 512 };

/// A set of numbers. An empty set allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    runs: Runs,
}

#[derive(Clone, Debug)]
enum Runs {
    Few(Vec<Range<u64>>),
    /// Starts, and their ends.
    Many(BTreeMap<u64, u64>),
}

impl Default for Runs {
    fn default() -> Runs {
        Runs::Few(Vec::new())
    }
}

/// Equal are sets of the same numbers, however they came to be.
impl PartialEq for Ranges {
    fn eq(&self, other: &Ranges) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Ranges {}

impl Ranges {
    /// The set that holds one run.
    pub fn of(run: Range<u64>) -> Ranges {
        let mut set = Ranges::default();
        set.insert(run);
        set
    }

    /// How many numbers are in the set.
    pub fn len(&self) -> u64 {
        self.iter().map(|run| run.end - run.start).sum()
    }

    /// How many runs it takes.
    pub fn runs(&self) -> usize {
        match &self.runs {
            Runs::Few(runs) => runs.len(),
            Runs::Many(runs) => runs.len(),
        }
    }

    /// Whether the set holds nothing.
    pub fn is_empty(&self) -> bool {
        match &self.runs {
            Runs::Few(runs) => runs.is_empty(),
            Runs::Many(runs) => runs.is_empty(),
        }
    }

    /// Whether `number` is in the set.
    pub fn contains(&self, number: u64) -> bool {
        self.covers(&(number..number + 1))
    }

    /// Whether all of `run` is in the set. An empty run always is.
    pub fn covers(&self, run: &Range<u64>) -> bool {
        if run.is_empty() {
            return true;
        }
        let end = match &self.runs {
            Runs::Few(runs) => {
                let after = runs.partition_point(|held| held.start <= run.start);
                runs[..after].last().map(|held| held.end)
            }
            Runs::Many(runs) => runs.range(..=run.start).next_back().map(|(_, end)| *end),
        };
        end.is_some_and(|end| end >= run.end)
    }

    /// The runs in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let (few, many) = match &self.runs {
            Runs::Few(runs) => (runs.as_slice(), None),
            Runs::Many(runs) => (&[][..], Some(runs)),
        };
        let many = many.into_iter().flatten();
        few.iter()
            .cloned()
            .chain(many.map(|(start, end)| *start..*end))
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
        let mut runs = self.iter();
        match (runs.next(), runs.next()) {
            (None, _) => run.is_empty(),
            (Some(only), None) => only == run,
            (Some(_), Some(_)) => false,
        }
    }

    /// Adds `run`.
    pub fn insert(&mut self, run: Range<u64>) {
        if run.is_empty() {
            return;
        }
        match &mut self.runs {
            Runs::Few(runs) => insert_few(runs, run),
            Runs::Many(runs) => insert_many(runs, run),
        }
        self.settle();
    }

    /// Takes `run` out.
    pub fn remove(&mut self, run: &Range<u64>) {
        if run.is_empty() {
            return;
        }
        match &mut self.runs {
            Runs::Few(runs) => remove_few(runs, run),
            Runs::Many(runs) => remove_many(runs, run),
        }
        self.settle();
    }

    /// Many become few again once a quarter is left, so that none goes to and fro.
    fn settle(&mut self) {
        match &mut self.runs {
            Runs::Few(runs) if runs.len() > FEW => {
                let many = runs.drain(..).map(|run| (run.start, run.end)).collect();
                self.runs = Runs::Many(many);
            }
            Runs::Many(runs) if runs.len() <= FEW / 4 => {
                let few = runs.iter().map(|(start, end)| *start..*end).collect();
                self.runs = Runs::Few(few);
            }
            Runs::Few(_) | Runs::Many(_) => {}
        }
    }

    fn touching<'a>(&'a self, run: &'a Range<u64>) -> impl Iterator<Item = Range<u64>> + 'a {
        let (few, many) = match &self.runs {
            Runs::Few(runs) => {
                let from = runs.partition_point(|held| held.end <= run.start);
                (&runs[from..], None)
            }
            Runs::Many(runs) => {
                let before = runs.range(..=run.start).next_back();
                let from = before.filter(|(_, end)| **end > run.start);
                let from = from.map_or(run.start, |(start, _)| *start);
                (&[][..], Some(runs.range(from..)))
            }
        };
        let many = many.into_iter().flatten();
        few.iter()
            .cloned()
            .chain(many.map(|(start, end)| *start..*end))
            .take_while(|held| held.start < run.end)
    }
}

fn insert_few(runs: &mut Vec<Range<u64>>, run: Range<u64>) {
    // The common case: the next piece of an ascending series.
    match runs.last_mut() {
        None => return runs.push(run),
        Some(last) if run.start > last.end => return runs.push(run),
        Some(last) if run.start >= last.start => {
            last.end = last.end.max(run.end);
            return;
        }
        Some(_) => {}
    }
    let from = runs.partition_point(|held| held.end < run.start);
    let to = runs.partition_point(|held| held.start <= run.end);
    let merged = runs[from..to].iter().fold(run, |whole, held| {
        whole.start.min(held.start)..whole.end.max(held.end)
    });
    runs.splice(from..to, [merged]);
}

fn insert_many(runs: &mut BTreeMap<u64, u64>, mut run: Range<u64>) {
    if let Some((start, end)) = runs.range(..run.start).next_back()
        && *end >= run.start
    {
        run = *start..run.end.max(*end);
    }
    while let Some((start, end)) = first_from(runs, run.start..=run.end) {
        runs.remove(&start);
        run.end = run.end.max(end);
    }
    runs.insert(run.start, run.end);
}

fn remove_few(runs: &mut Vec<Range<u64>>, run: &Range<u64>) {
    let from = runs.partition_point(|held| held.end <= run.start);
    let to = runs.partition_point(|held| held.start < run.end);
    if from >= to {
        return;
    }
    let before = runs[from].start..run.start;
    let after = run.end..runs[to - 1].end;
    let left = [before, after].into_iter().filter(|part| !part.is_empty());
    runs.splice(from..to, left);
}

fn remove_many(runs: &mut BTreeMap<u64, u64>, run: &Range<u64>) {
    let mut last = run.start;
    if let Some((_, end)) = runs.range_mut(..run.start).next_back() {
        last = last.max(*end);
        *end = run.start.min(*end);
    }
    while let Some((start, end)) = first_from(runs, run.clone()) {
        runs.remove(&start);
        last = last.max(end);
    }
    if last > run.end {
        runs.insert(run.end, last);
    }
}

/// The first run that begins within `starts`.
fn first_from(runs: &BTreeMap<u64, u64>, starts: impl RangeBounds<u64>) -> Option<(u64, u64)> {
    let found = runs.range(starts).next();
    found.map(|(start, end)| (*start, *end))
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
                let runs: Vec<_> = ranges.iter().collect();
                let touching = runs.windows(2).any(|pair| pair[0].end >= pair[1].start);
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
                let mut again = Ranges::default();
                plain.iter().for_each(|number| again.insert(*number..*number + 1));
                prop_assert_eq!(&ranges, &again, "equal are sets of the same numbers");
            }
        }
    }

    /// One after another from behind, or each in the middle of the others: in a plain list every one would
    /// move half of those that are there, which took minutes.
    #[test]
    fn very_many_runs_out_of_order_cost_no_more_each_than_few() {
        const RUNS: u64 = 400_000;
        let began = std::time::Instant::now();
        let mut ranges = Ranges::default();
        for number in (0..RUNS).rev() {
            ranges.insert(number * 2..number * 2 + 1);
        }
        assert_eq!(ranges.iter().count() as u64, RUNS);
        for number in (0..RUNS).rev() {
            ranges.insert(number * 2 + 1..number * 2 + 2);
        }
        assert!(ranges.is_exactly(0..RUNS * 2));
        assert!(matches!(ranges.runs, Runs::Few(_)), "it is compact again");
        for number in (0..RUNS).rev() {
            ranges.remove(&(number * 2..number * 2 + 1));
        }
        assert_eq!(ranges.len(), RUNS);
        assert!(began.elapsed() < std::time::Duration::from_secs(20));
    }
}
