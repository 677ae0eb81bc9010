//! How many shards of a job may be issued at a moment, by its rate. Pure.
//!
//! Two things bound it, both on the boot clock. Tokens, which come at the rate, spread the shards evenly.
//! What was issued within the last period is counted too: a job that catches up after a pause would
//! otherwise exceed its rate by the tokens that were kept.
//!
//! Shards are issued at some moment between the decision and the broker's answer that they are on the
//! queue. They are counted from the first until a period after the second: so no period, wherever it
//! begins, has more of them put on the queue than the rate permits, however long the broker takes.

use std::collections::VecDeque;
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::job::Rate;

/// How long tokens are kept that nobody used: a job that was idle starts no burst.
const KEPT: Duration = Duration::from_millis(100);
/// A period is counted so much longer than it is: workers do not begin quite as evenly as is issued. While
/// none takes longer than this part of a period to begin, no period has more starts than the rate either.
const LONGER: f64 = 1.03;
/// What was issued is counted in pieces of the period, this many.
const PIECES: u32 = 250;

/// Tokens of one job. Empty at first: a new leader does not know what its predecessor issued.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    tokens: f64,
    at: Boot,
    /// Shards that are decided and not known to be on the queue.
    on_way: u64,
    /// Shards that were issued lately, by the end of the piece in which they were.
    lately: VecDeque<(Boot, u64)>,
    /// All of those.
    landed: u64,
}

impl Bucket {
    /// An empty one.
    pub(super) fn new(now: Boot) -> Bucket {
        Bucket {
            tokens: 0.0,
            at: now,
            on_way: 0,
            lately: VecDeque::new(),
            landed: 0,
        }
    }

    /// How many whole shards may be issued now.
    pub(super) fn available(&mut self, rate: Rate, now: Boot) -> usize {
        let most = (rate.per_second() * KEPT.as_secs_f64()).max(1.0);
        let fresh = now.since(self.at).as_secs_f64() * rate.per_second();
        self.tokens = (self.tokens + fresh).min(most);
        self.at = now;
        let counted = counted(rate);
        while let Some((_, shards)) = self.lately.pop_front_if(|(at, _)| *at + counted <= now) {
            self.landed -= shards;
        }
        // A sum of fractions stays a hair below the whole.
        let tokens = (self.tokens + 1e-6).max(0.0) as usize;
        tokens.min(self.left(rate))
    }

    /// So many shards are decided; retries too are shards that run.
    pub(super) fn take(&mut self, shards: u64) {
        self.tokens -= shards as f64;
        self.on_way += shards;
    }

    /// Shards that were decided are on the queue by now, or never will be.
    pub(super) fn landed(&mut self, rate: Option<Rate>, shards: u64, now: Boot) {
        let shards = shards.min(self.on_way);
        self.on_way -= shards;
        let Some(rate) = rate.filter(|_| shards > 0) else {
            return;
        };
        self.landed += shards;
        let piece = (rate.period().length() / PIECES).as_nanos();
        let end = (now.0.as_nanos() / piece + 1) * piece;
        let end = Boot(Duration::from_nanos(u64::try_from(end).unwrap_or(u64::MAX)));
        match self.lately.back_mut() {
            Some((at, issued)) if *at == end => *issued += shards,
            Some(_) | None => self.lately.push_back((end, shards)),
        }
    }

    /// Shards that were decided were not issued.
    pub(super) fn give_back(&mut self, shards: u64) {
        let shards = shards.min(self.on_way);
        self.tokens += shards as f64;
        self.on_way -= shards;
    }

    /// When there is a token again, as of the last look.
    pub(super) fn next(&self, rate: Rate) -> Boot {
        let missing = (1.0 - self.tokens).max(0.0);
        let token = self.at + Duration::from_secs_f64(missing / rate.per_second());
        if self.left(rate) > 0 {
            return token;
        }
        // What is on its way is not counted for less time than what lands now.
        let oldest = self.lately.front().map_or(self.at, |(oldest, _)| *oldest);
        token.max(oldest + counted(rate))
    }

    /// How many more the period may have that ends now.
    fn left(&self, rate: Rate) -> usize {
        (rate.count() as usize).saturating_sub((self.landed + self.on_way) as usize)
    }
}

fn counted(rate: Rate) -> Duration {
    rate.period().length().mul_f64(LONGER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Boot {
        Boot(Duration::from_millis(ms))
    }

    impl Bucket {
        /// What is decided is on the queue at once.
        fn issue(&mut self, rate: Rate, shards: u64) {
            self.take(shards);
            self.landed(Some(rate), shards, self.at);
        }
    }

    #[test]
    fn tokens_come_at_the_rate_and_an_idle_job_gets_no_burst() {
        let rate: Rate = "500/s".parse().unwrap();
        let mut bucket = Bucket::new(at(0));
        assert_eq!(bucket.available(rate, at(0)), 0);
        assert_eq!(bucket.available(rate, at(20)), 10);
        bucket.issue(rate, 10);
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
        bucket.issue(rate, 1);
        assert_eq!(bucket.available(rate, at(100_000)), 0);
    }

    #[test]
    fn tile_that_costs_more_than_there_is_makes_a_debt() {
        let rate: Rate = "100/s".parse().unwrap();
        let mut bucket = Bucket::new(at(0));
        assert_eq!(bucket.available(rate, at(50)), 5);
        bucket.issue(rate, 25);
        assert_eq!(bucket.available(rate, at(240)), 0);
        assert_eq!(bucket.available(rate, at(260)), 1);
    }

    /// Looks at the given moments and issues all that may be. Returns when how many were.
    fn issued(rate: Rate, moments: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
        let mut bucket = Bucket::new(at(0));
        let issued = moments.filter_map(|ms| {
            let shards = bucket.available(rate, at(ms)) as u64;
            bucket.issue(rate, shards);
            (shards > 0).then_some((ms, shards))
        });
        issued.collect()
    }

    #[test]
    fn no_second_has_more_than_the_rate_however_uneven_the_looks_and_the_rate_is_met() {
        let rate: Rate = "500/s".parse().unwrap();
        // Every 25 ms, but nothing for 75 ms now and then.
        let moments = (0..10_000)
            .step_by(25)
            .filter(|ms| !(925..975).contains(&(ms % 1_500)));
        let issued = issued(rate, moments);
        for (from, _) in &issued {
            let within = issued
                .iter()
                .filter(|(ms, _)| (*from..from + 1_000).contains(ms));
            let sum: u64 = within.map(|(_, shards)| shards).sum();
            assert!(sum <= 500, "{sum} from {from}");
        }
        let all: u64 = issued.iter().map(|(_, shards)| shards).sum();
        assert!((4_750..=5_000).contains(&all), "{all}");
    }

    #[test]
    fn no_second_has_more_put_on_the_queue_however_long_the_broker_takes() {
        let rate: Rate = "500/s".parse().unwrap();
        let mut bucket = Bucket::new(at(0));
        // When each wave may have been stored, from the decision to the answer, and how many it has.
        let mut waves: Vec<(u64, u64, u64)> = Vec::new();
        for ms in (0..20_000).step_by(25) {
            for (_, answered, shards) in waves.iter().filter(|wave| wave.1 == ms) {
                assert!(*answered > 0);
                bucket.landed(Some(rate), *shards, at(ms));
            }
            let shards = bucket.available(rate, at(ms)) as u64;
            if shards > 0 {
                bucket.take(shards);
                // From 25 ms to 300 ms, and never twice the same for long.
                let takes = 25 * (1 + (ms / 25) * 7 % 12);
                waves.push((ms, ms + takes, shards));
            }
        }
        for from in 0..19_000 {
            let to = from + 1_000;
            let within = waves.iter().filter(|wave| wave.1 >= from && wave.0 < to);
            // Those that must be in it, or may be.
            let sum: u64 = within.map(|wave| wave.2).sum();
            assert!(sum <= 500, "{sum} from {from}");
        }
        let all: u64 = waves.iter().map(|wave| wave.2).sum();
        assert!(all > 7_000, "{all} in 20 s");
    }

    #[test]
    fn what_was_not_issued_does_not_count() {
        let rate: Rate = "10/s".parse().unwrap();
        let mut bucket = Bucket::new(at(0));
        for ms in (0..1_100).step_by(100) {
            if bucket.available(rate, at(ms)) > 0 {
                bucket.take(1);
            }
        }
        assert_eq!(bucket.available(rate, at(1_110)), 0);
        bucket.give_back(1);
        assert_eq!(bucket.available(rate, at(1_110)), 1);
    }
}
