//! How long a shard takes, as workers tell it, and how many pages a tile has for that. Pure.

use std::time::Duration;

use gridloom_shared::job::TILE_MAX;

/// How much work one tile is to hold where the job does not say its pages.
const TILE_WORK: Duration = Duration::from_millis(50);
/// What a shard is taken to cost before anything was measured.
const UNKNOWN: Duration = Duration::from_millis(10);
/// Weight of the newest report against all before it.
const NEWEST: f64 = 0.4;

/// The mean time of a run's, or a job's, shards.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pace {
    mean_us: Option<f64>,
}

impl Pace {
    /// Workers have executed `shards` more in `busy` worker-time.
    pub(super) fn measured(&mut self, shards: u64, busy: Duration) {
        if shards == 0 {
            return;
        }
        let mean = busy.as_secs_f64() * 1e6 / shards as f64;
        let before = self.mean_us.unwrap_or(mean);
        self.mean_us = Some(before + (mean - before) * NEWEST);
    }

    /// What one shard is expected to cost, in microseconds of a worker; at least 1.
    pub(super) fn cost_us(&self) -> f64 {
        self.mean_us.unwrap_or(UNKNOWN.as_secs_f64() * 1e6).max(1.0)
    }

    /// Pages of a tile: as many as make [`TILE_WORK`], and one while nothing was measured. A run with
    /// few shards left spreads them over all `slots`.
    pub(super) fn pages(&self, left: Option<u64>, slots: usize) -> u32 {
        let Some(mean_us) = self.mean_us else {
            return 1;
        };
        let by_time = TILE_WORK.as_secs_f64() * 1e6 / mean_us.max(1.0);
        let by_slots = left.map_or(u64::MAX, |left| left.div_ceil(slots.max(1) as u64));
        let pages = (by_time as u64).min(by_slots);
        u32::try_from(pages).unwrap_or(TILE_MAX).clamp(1, TILE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tile_holds_fifty_milliseconds_of_work_and_one_page_while_nothing_is_known() {
        let mut pace = Pace::default();
        assert_eq!(pace.pages(None, 4), 1);
        pace.measured(100, Duration::from_millis(1_000));
        assert_eq!(pace.pages(None, 4), 5);
        let mut quick = Pace::default();
        quick.measured(1_000_000, Duration::from_millis(1_000));
        assert_eq!(quick.pages(None, 4), TILE_MAX);
        let mut slow = Pace::default();
        slow.measured(2, Duration::from_secs(4));
        assert_eq!(slow.pages(None, 4), 1);
    }

    #[test]
    fn last_shards_are_spread_over_the_slots() {
        let mut pace = Pace::default();
        pace.measured(1_000, Duration::from_millis(10));
        assert_eq!(pace.pages(Some(64), 32), 2);
        assert_eq!(pace.pages(Some(5), 32), 1);
    }
}
