//! Decides whether what was measured over time has grown.
//!
//! What a process needs to get going does not count: of a life, the first fifth, and ten minutes where it is long enough;
//! of a store, the first half, until what is old goes as fast as what is new comes.

use std::ops::Range;

/// A moment, in seconds since the begin, and what was measured then, in MiB.
pub type Point = (f64, f64);

/// Grown is what is larger by more than both.
const PART: f64 = 0.15;
/// See [`PART`]; in MiB.
const MIB: f64 = 8.0;
/// Fewer measurements than these say nothing.
const POINTS: usize = 20;
/// Neither do shorter times.
const SECONDS: f64 = 480.0;
/// The heap of a broker is as large as it becomes after so many seconds.
const WARM: f64 = 600.0;

/// What became of something over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// Its level after a tenth, after a half, and at the end.
    pub levels: [f64; 3],
    /// How steeply it rose where it is judged, in MiB an hour.
    pub slope: f64,
    /// The verdict.
    pub verdict: Verdict,
}

/// Whether something is flat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Flat,
    /// It has grown.
    Grown,
    /// It was watched too short a time.
    Short,
}

impl Verdict {
    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Flat => "flat",
            Verdict::Grown => "GROWN",
            Verdict::Short => "not judged",
        }
    }
}

/// The part of its life that a process needs to get going, where it lasted as long as `points`.
pub fn warm(points: &[Point]) -> f64 {
    let length = match points {
        [first, .., last] => last.0 - first.0,
        [] | [_] => 0.0,
    };
    (WARM / length).clamp(0.2, 0.5)
}

/// Judges `points`, in order of time, from the `warm` part of them on; `expected` MiB an hour are no growth. `None` where
/// nothing was measured.
pub fn judge(points: &[Point], warm: f64, expected: f64) -> Option<Growth> {
    let (first, last) = (points.first()?.0, points.last()?.0);
    let length = last - first;
    let level = |part: Range<f64>| {
        let inside = |at: f64| at >= first + part.start * length && at <= first + part.end * length;
        let mut levels: Vec<f64> = points
            .iter()
            .filter(|(at, _)| inside(*at))
            .map(|(_, level)| *level)
            .collect();
        levels.sort_by(f64::total_cmp);
        // A part in which nothing was measured has the level of the end.
        let middle = levels.get(levels.len() / 2);
        middle.copied().unwrap_or(points[points.len() - 1].1)
    };
    let (begin, end) = (level(warm..warm + 0.1), level(0.9..1.0));
    let counted: Vec<Point> = points
        .iter()
        .filter(|(at, _)| *at >= first + warm * length)
        .copied()
        .collect();
    let more = end - begin - expected * (1.0 - warm) * length / 3_600.0;
    let grown = more > MIB && more > begin * PART;
    let verdict = match length < SECONDS || points.len() < POINTS {
        true => Verdict::Short,
        false if grown => Verdict::Grown,
        false => Verdict::Flat,
    };
    Some(Growth {
        levels: [level(0.05..0.15), level(0.45..0.55), end],
        slope: slope(&counted) * 3_600.0,
        verdict,
    })
}

/// Least squares.
fn slope(points: &[Point]) -> f64 {
    let count = points.len().max(1) as f64;
    let mean = |of: fn(&Point) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let above: f64 = points
        .iter()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum();
    let below: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if below == 0.0 { 0.0 } else { above / below }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An hour, measured each ten seconds.
    fn hour(level: impl Fn(f64) -> f64) -> Growth {
        let points: Vec<Point> = (0..=360)
            .map(|n| f64::from(n) * 10.0)
            .map(|at| (at, level(at)))
            .collect();
        judge(&points, 0.2, 0.0).unwrap()
    }

    #[test]
    fn what_stays_is_flat_however_it_swings() {
        let growth = hour(|at| {
            if (at as u64 / 10).is_multiple_of(7) {
                90.0
            } else {
                40.0
            }
        });
        assert_eq!((growth.verdict, growth.levels), (Verdict::Flat, [40.0; 3]));
    }

    #[test]
    fn what_rises_steadily_has_grown_and_how_steeply_is_told() {
        let growth = hour(|at| 40.0 + at / 3_600.0 * 30.0);
        assert_eq!(growth.verdict, Verdict::Grown);
        assert!((growth.slope - 30.0).abs() < 1e-6, "{growth:?}");
        assert!(
            (growth.levels[2] - growth.levels[0] - 25.5).abs() < 1.0,
            "{growth:?}"
        );
    }

    #[test]
    fn what_a_process_needs_to_get_going_is_no_growth() {
        assert_eq!(hour(|at| (at / 10.0).min(60.0)).verdict, Verdict::Flat);
        assert_eq!(hour(|at| (at / 20.0).min(80.0)).verdict, Verdict::Grown);
    }

    #[test]
    fn little_is_no_growth_and_neither_is_a_small_part_of_much() {
        assert_eq!(hour(|at| 10.0 + at / 3_600.0 * 8.0).verdict, Verdict::Flat);
        assert_eq!(
            hour(|at| 400.0 + at / 3_600.0 * 50.0).verdict,
            Verdict::Flat
        );
    }

    #[test]
    fn long_life_has_ten_minutes_to_get_going_and_a_short_one_its_half() {
        let life = |seconds: f64| [(5.0, 0.0), (5.0 + seconds, 0.0)];
        assert_eq!(warm(&life(3_600.0)), 0.2);
        assert_eq!(warm(&life(2_000.0)), 0.3);
        assert_eq!(warm(&life(600.0)), 0.5);
        assert_eq!(warm(&[]), 0.5);
    }

    #[test]
    fn what_is_expected_is_no_growth() {
        let points: Vec<Point> = (0..=360)
            .map(|n| (f64::from(n) * 10.0, f64::from(n) / 9.0))
            .collect();
        assert_eq!(judge(&points, 0.5, 0.0).unwrap().verdict, Verdict::Grown);
        assert_eq!(judge(&points, 0.5, 30.0).unwrap().verdict, Verdict::Flat);
    }

    #[test]
    fn short_time_is_not_judged() {
        let points: Vec<Point> = (0..30)
            .map(|n| (f64::from(n), f64::from(n) * 10.0))
            .collect();
        assert_eq!(judge(&points, 0.2, 0.0).unwrap().verdict, Verdict::Short);
        assert_eq!(judge(&[], 0.2, 0.0), None);
    }
}
