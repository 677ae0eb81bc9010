//! How long each shard of a run of `work` takes: the same for all, or log-normal with one slice that takes longer. A pure
//! function of the shard, so that whoever knows the run knows what it takes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Slices of the runs.
pub(crate) const SLICES: u32 = 16;
/// The most that a shard differs, in standard deviations: without it one of half a million would take minutes.
const DEVIATIONS_MOST: f64 = 3.0;

/// What a run says.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Params {
    /// Number of the measurement.
    pub(crate) tag: u32,
    /// What a shard takes, the median where they differ, in milliseconds.
    pub(crate) ms: u32,
    /// How shards differ: the standard deviation of the logarithm of what they take; 0 where they do not.
    pub(crate) sigma: f64,
    /// The slice whose shards take longer, and how many times as long.
    pub(crate) slow: Option<(u32, f64)>,
}

impl Params {
    /// What the shard of a page takes.
    pub(crate) fn of(&self, slice: u32, page: u32) -> Duration {
        let ms = Duration::from_millis(u64::from(self.ms));
        if self.sigma == 0.0 {
            return ms;
        }
        let longer = match self.slow {
            Some((slow, longer)) if slow == slice => longer,
            _ => 1.0,
        };
        ms.mul_f64((self.sigma * normal(slice, page)).exp() * longer)
    }

    /// What all shards of a run with `pages` a slice take together, and the longest of them.
    pub(crate) fn total(&self, pages: u32) -> (Duration, Duration) {
        let all = (0..SLICES).flat_map(|slice| (0..pages).map(move |page| (slice, page)));
        all.fold(Default::default(), |(sum, most), (slice, page)| {
            let one = self.of(slice, page);
            (sum + one, most.max(one))
        })
    }
}

/// A number that is distributed normally over the shards, and always the same for one.
fn normal(slice: u32, page: u32) -> f64 {
    let number = u64::from(slice) << 32 | u64::from(page);
    let (one, two) = (uniform(number * 2), uniform(number * 2 + 1));
    let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos();
    normal.clamp(-DEVIATIONS_MOST, DEVIATIONS_MOST)
}

/// Above 0 and at most 1 (splitmix64).
fn uniform(number: u64) -> f64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    ((mixed >> 11) as f64 + 1.0) / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SKEWED: Params = Params {
        tag: 0,
        ms: 10,
        sigma: 1.0,
        slow: Some((15, 10.0)),
    };

    #[test]
    fn shards_are_log_normal_and_one_slice_takes_ten_times_as_long() {
        let seconds = |slice| {
            let all = (0..20_000).map(move |page| SKEWED.of(slice, page));
            all.sum::<Duration>().as_secs_f64()
        };
        // The mean of such a distribution is its median times e^(1/2).
        let mean_ms = seconds(3) / 20.0;
        assert!((15.5..17.0).contains(&mean_ms), "{mean_ms}");
        assert!((9.0..11.0).contains(&(seconds(15) / seconds(3))));
        let mut one: Vec<Duration> = (0..20_001).map(|page| SKEWED.of(3, page)).collect();
        one.sort_unstable();
        let median = one[10_000].as_secs_f64() * 1_000.0;
        assert!((9.7..10.3).contains(&median), "{median}");
    }

    #[test]
    fn shards_that_do_not_differ_take_what_is_said() {
        let same = Params {
            sigma: 0.0,
            ..SKEWED
        };
        assert_eq!(
            same.total(2),
            (Duration::from_millis(320), Duration::from_millis(10))
        );
    }
}
