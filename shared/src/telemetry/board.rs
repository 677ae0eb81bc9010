//! Gauges that somebody tells of again and again, all of them at once. What is not told of any more, because a job was
//! deleted or another planner leads, goes to 0 at once, and away once it was idle for long enough.

use std::collections::{BTreeMap, BTreeSet};

use metrics::Label;

use super::labels;
use super::metric::Metric;

/// A series: the metric's name, its labels with their values.
type Series = (&'static str, Vec<(&'static str, String)>);

/// What is told of at once.
#[derive(Debug, Default)]
pub struct Round(BTreeMap<Series, f64>);

impl Round {
    /// Adds to what was told of the same series: those that have no label of their own are summed up.
    pub fn add(&mut self, metric: &Metric, values: &[&str], value: f64) {
        *self.of(metric, values) += value;
    }

    /// Tells of it, unless a larger value was told of the same series.
    pub fn most(&mut self, metric: &Metric, values: &[&str], value: f64) {
        let told = self.of(metric, values);
        *told = told.max(value);
    }

    fn of(&mut self, metric: &Metric, values: &[&str]) -> &mut f64 {
        let values = labels::bounded(metric.labels, values).into_iter();
        let labels = metric.labels.iter().copied();
        let labels = labels.zip(values.map(str::to_owned)).collect();
        self.0.entry((metric.name, labels)).or_default()
    }
}

/// Shows one round after the other. Dropped, everything that it showed goes to 0.
#[derive(Debug, Default)]
pub struct Board {
    told: BTreeSet<Series>,
}

impl Board {
    /// So it is now.
    pub fn show(&mut self, round: Round) {
        let gone = self.told.iter();
        let gone = gone.filter(|series| !round.0.contains_key(*series));
        gone.for_each(|series| set(series, 0.0));
        round
            .0
            .iter()
            .for_each(|(series, value)| set(series, *value));
        self.told = round.0.into_keys().collect();
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.show(Round::default());
    }
}

fn set((name, labels): &Series, value: f64) {
    let labels = labels.iter();
    let labels: Vec<Label> = labels
        .map(|(name, value)| Label::new(*name, value.clone()))
        .collect();
    metrics::gauge!(*name, labels).set(value);
}

#[cfg(test)]
mod tests {
    use super::super::metric::gauge;
    use super::*;

    const FULL: Metric = gauge("board_full", "0 or 1", &["queue"], "For this test.");

    fn shown(queue: &str) -> Option<f64> {
        let page = crate::telemetry::metrics(&[]).unwrap().render();
        let line = format!("board_full{{queue=\"{queue}\"}} ");
        let mut lines = page.lines();
        lines.find_map(|told| told.strip_prefix(&line)?.parse().ok())
    }

    #[test]
    fn what_is_not_told_of_any_more_goes_to_zero() {
        let _ = crate::telemetry::metrics(&[]).unwrap();
        let mut board = Board::default();
        let round = |queues: &[&str]| {
            let mut round = Round::default();
            queues
                .iter()
                .for_each(|queue| round.add(&FULL, &[queue], 1.0));
            round
        };
        board.show(round(&["a", "b"]));
        assert_eq!((shown("a"), shown("b")), (Some(1.0), Some(1.0)));
        board.show(round(&["b"]));
        assert_eq!((shown("a"), shown("b")), (Some(0.0), Some(1.0)));
        drop(board);
        assert_eq!((shown("a"), shown("b")), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn those_without_a_label_of_their_own_are_summed_up_or_the_largest_is_told() {
        let mut round = Round::default();
        for value in [2.0, 5.0, 3.0] {
            round.add(&FULL, &[labels::OTHERS], value);
        }
        assert_eq!(round.0.values().copied().collect::<Vec<_>>(), [10.0]);
        let mut round = Round::default();
        for value in [2.0, 5.0, 3.0] {
            round.most(&FULL, &[labels::OTHERS], value);
        }
        assert_eq!(round.0.values().copied().collect::<Vec<_>>(), [5.0]);
    }
}
