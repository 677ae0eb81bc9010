//! How fast something grows, from what was seen of it in the last seconds. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use gridloom_shared::id::RunId;

/// What lies back longer says nothing of now.
const WINDOW: Duration = Duration::from_secs(10);

/// Something that was looked at several times, and grows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Growth {
    seen: VecDeque<(Duration, u64)>,
}

impl Growth {
    /// At `at` there were so many.
    pub(super) fn see(&mut self, at: Duration, number: u64) {
        if self.seen.back().is_some_and(|(_, last)| number < *last) {
            self.seen.clear();
        }
        self.seen.push_back((at, number));
        // One that lies before the window is where it begins.
        while self.seen.len() > 2
            && let Some((second, _)) = self.seen.get(1)
            && at.saturating_sub(*second) >= WINDOW
        {
            self.seen.pop_front();
        }
    }

    /// So many a second; `None` where it was looked at once.
    pub(super) fn rate(&self) -> Option<f64> {
        let ((from, less), (to, more)) = (self.seen.front()?, self.seen.back()?);
        let seconds = to.saturating_sub(*from).as_secs_f64();
        (seconds > 0.0).then(|| more.saturating_sub(*less) as f64 / seconds)
    }
}

/// How fast shards are done: of all runs, and of each.
#[derive(Debug, Default)]
pub(super) struct Rates {
    all: Growth,
    of: BTreeMap<RunId, Growth>,
}

impl Rates {
    /// What was done by then, altogether and by each run. A run that is not named is forgotten.
    pub(super) fn see<'r>(
        &mut self,
        at: Duration,
        done: u64,
        runs: impl Iterator<Item = (&'r RunId, u64)>,
    ) {
        self.all.see(at, done);
        let mut before = std::mem::take(&mut self.of);
        self.of = runs
            .map(|(run, done)| {
                let mut growth = before.remove(run).unwrap_or_default();
                growth.see(at, done);
                (run.clone(), growth)
            })
            .collect();
    }

    /// Shards a second.
    pub(super) fn of_all(&self) -> Option<f64> {
        self.all.rate()
    }

    /// Shards of that run a second.
    pub(super) fn of_run(&self, run: &RunId) -> Option<f64> {
        self.of.get(run)?.rate()
    }
}

/// How many seconds it takes to do `left` at that rate; `None` where nothing moves.
pub(super) fn eta_s(left: u64, rate: Option<f64>) -> Option<u64> {
    let rate = rate.filter(|rate| *rate > 0.0)?;
    Some((left as f64 / rate).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn rate_is_that_of_the_last_ten_seconds() {
        let mut growth = Growth::default();
        growth.see(at(0), 0);
        assert_eq!(growth.rate(), None);
        growth.see(at(1), 1_000);
        assert_eq!(growth.rate(), Some(1_000.0));
        // Nothing more: after a while that is all that is known of it.
        for second in 2..=11 {
            growth.see(at(second), 1_000);
        }
        assert_eq!(growth.rate(), Some(0.0));
        assert!(growth.seen.len() <= 12, "{growth:?}");
    }

    #[test]
    fn number_that_falls_begins_anew() {
        let mut growth = Growth::default();
        growth.see(at(0), 500);
        growth.see(at(1), 10);
        assert_eq!(growth.rate(), None);
        growth.see(at(2), 20);
        assert_eq!(growth.rate(), Some(10.0));
    }

    #[test]
    fn run_that_is_gone_is_forgotten_and_one_that_stands_still_has_no_end() {
        let run = RunId::new("a_s_1").unwrap();
        let mut rates = Rates::default();
        rates.see(at(0), 0, [(&run, 0)].into_iter());
        rates.see(at(2), 8, [(&run, 8)].into_iter());
        assert_eq!((rates.of_all(), rates.of_run(&run)), (Some(4.0), Some(4.0)));
        assert_eq!(eta_s(9, rates.of_run(&run)), Some(3));
        assert_eq!(eta_s(9, Some(0.0)), None);
        rates.see(at(3), 8, std::iter::empty());
        assert_eq!(rates.of_run(&run), None);
    }
}
