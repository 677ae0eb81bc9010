//! A token bucket on the boot clock: how many shards of a job may be issued at a moment. Pure.

use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::job::Rate;

/// How long tokens are kept that nobody used: a job that was idle starts no burst.
const KEPT: Duration = Duration::from_millis(100);

/// Tokens of one job. Empty at first: a new leader does not know what its predecessor issued.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    tokens: f64,
    at: Boot,
}

impl Bucket {
    /// An empty one.
    pub(super) fn new(now: Boot) -> Bucket {
        Bucket {
            tokens: 0.0,
            at: now,
        }
    }

    /// How many whole shards may be issued now.
    pub(super) fn available(&mut self, rate: Rate, now: Boot) -> usize {
        let most = (rate.per_second() * KEPT.as_secs_f64()).max(1.0);
        let fresh = now.since(self.at).as_secs_f64() * rate.per_second();
        self.tokens = (self.tokens + fresh).min(most);
        self.at = now;
        // A sum of fractions stays a hair below the whole.
        (self.tokens + 1e-6).max(0.0) as usize
    }

    /// So many shards were issued; retries too are shards that run.
    pub(super) fn take(&mut self, shards: u64) {
        self.tokens -= shards as f64;
    }

    /// Shards that were decided were not issued.
    pub(super) fn give_back(&mut self, shards: u64) {
        self.tokens += shards as f64;
    }

    /// When there is a token again, as of the last look.
    pub(super) fn next(&self, rate: Rate) -> Boot {
        let missing = (1.0 - self.tokens).max(0.0);
        self.at + Duration::from_secs_f64(missing / rate.per_second())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Boot {
        Boot(Duration::from_millis(ms))
    }

    #[test]
    fn tokens_come_at_the_rate_and_an_idle_job_gets_no_burst() {
        let rate: Rate = "500/s".parse().unwrap();
        let mut bucket = Bucket::new(at(0));
        assert_eq!(bucket.available(rate, at(0)), 0);
        assert_eq!(bucket.available(rate, at(20)), 10);
        bucket.take(10);
        assert_eq!(bucket.available(rate, at(20)), 0);
        assert_eq!(bucket.next(rate), at(22));
        assert_eq!(bucket.available(rate, at(60_000)), 50);
    }

    #[test]
    fn slow_rate_gives_one_after_the_other() {
        let rate: Rate = "1/m".parse().unwrap();
        let mut bucket = Bucket::new(at(0));
        assert_eq!(bucket.available(rate, at(59_000)), 0);
        assert_eq!(bucket.next(rate), at(60_000));
        assert_eq!(bucket.available(rate, at(60_000)), 1);
        bucket.take(1);
        assert_eq!(bucket.available(rate, at(100_000)), 0);
    }

    #[test]
    fn tile_that_costs_more_than_there_is_makes_a_debt() {
        let rate: Rate = "100/s".parse().unwrap();
        let mut bucket = Bucket::new(at(0));
        assert_eq!(bucket.available(rate, at(50)), 5);
        bucket.take(25);
        assert_eq!(bucket.available(rate, at(240)), 0);
        assert_eq!(bucket.available(rate, at(260)), 1);
    }
}
