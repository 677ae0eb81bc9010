//! What a log of executions says. Pure.

use super::worker::Executed;

const SECOND: u64 = 1_000_000_000;

/// The most that ran at one moment.
pub(super) fn most_at_once(executed: &[Executed]) -> u32 {
    let mut changes: Vec<(u64, i32)> = executed
        .iter()
        .flat_map(|one| [(one.from_ns, 1), (one.to_ns, -1)])
        .collect();
    // What ends at a moment has ended before the next begins there.
    changes.sort_unstable();
    let mut now = 0;
    let counts = changes.into_iter().map(|(_, change)| {
        now += change;
        now
    });
    counts.max().unwrap_or(0).unsigned_abs()
}

/// Seconds that were spent between two moments.
pub(super) fn seconds(executed: &[Executed], from_ns: u64, to_ns: u64) -> f64 {
    let spent = executed.iter().map(|one| {
        let (from, to) = (one.from_ns.max(from_ns), one.to_ns.min(to_ns));
        to.saturating_sub(from)
    });
    spent.sum::<u64>() as f64 / SECOND as f64
}

/// The mean of what ran while there was something left to start: from the first start to the last.
pub(super) fn mean_at_once(executed: &[Executed]) -> f64 {
    let (first, last) = span(executed);
    let length = (last - first) as f64 / SECOND as f64;
    seconds(executed, first, last) / length.max(1e-9)
}

/// The first and the last start.
pub(super) fn span(executed: &[Executed]) -> (u64, u64) {
    let starts = executed.iter().map(|one| one.from_ns);
    let first = starts.clone().min().unwrap_or(0);
    (first, starts.max().unwrap_or(0))
}

/// Starts a second between the first and the last.
pub(super) fn rate(executed: &[Executed]) -> f64 {
    let (first, last) = span(executed);
    let length = (last - first) as f64 / SECOND as f64;
    (executed.len().saturating_sub(1)) as f64 / length.max(1e-9)
}

/// The most starts in any second, wherever it begins, and when that is, in seconds after the first.
pub(super) fn worst_second(executed: &[Executed]) -> (usize, f64) {
    let mut starts: Vec<u64> = executed.iter().map(|one| one.from_ns).collect();
    starts.sort_unstable();
    let mut begin = 0;
    let mut worst = (0, 0.0);
    for (place, at) in starts.iter().enumerate() {
        while starts[begin] + SECOND <= *at {
            begin += 1;
        }
        let count = place + 1 - begin;
        if count > worst.0 {
            worst = (count, (starts[begin] - starts[0]) as f64 / SECOND as f64);
        }
    }
    worst
}

/// The longest time without a start, in seconds.
pub(super) fn longest_gap(executed: &[Executed]) -> f64 {
    let mut starts: Vec<u64> = executed.iter().map(|one| one.from_ns).collect();
    starts.sort_unstable();
    let gaps = starts.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or(0) as f64 / SECOND as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(times: &[(u64, u64)]) -> Vec<Executed> {
        let times = times.iter().map(|(from, to)| Executed {
            tag: 1,
            from_ns: from * SECOND / 10,
            to_ns: to * SECOND / 10,
        });
        times.collect()
    }

    #[test]
    fn one_that_begins_when_another_ends_is_not_beside_it() {
        assert_eq!(most_at_once(&log(&[(0, 2), (2, 4), (3, 5)])), 2);
        assert_eq!(most_at_once(&[]), 0);
    }

    #[test]
    fn mean_counts_only_while_something_is_left_to_start() {
        // Two from 0 to 2, then one alone; the last start is at 2.
        assert!((mean_at_once(&log(&[(0, 2), (0, 2), (2, 90)])) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn any_second_counts_wherever_it_begins() {
        let log = log(&[(0, 1), (8, 9), (12, 13), (17, 18), (18, 19)]);
        assert_eq!(worst_second(&log), (3, 0.8), "8, 12 and 17");
        assert!((rate(&log) - 4.0 / 1.8).abs() < 1e-9);
        assert!((longest_gap(&log) - 0.8).abs() < 1e-9);
    }
}
