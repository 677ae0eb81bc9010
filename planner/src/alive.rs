//! Whether tasks that are to last still do something: each gives a sign of life whenever it goes round, and while it
//! waits for what may never come.
//!
//! Only time counts in which signs could have been given: a process that was frozen, or has no broker, condemns
//! none of its tasks when it goes on.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gridloom_shared::clock::Boot;

/// How often a task gives a sign that waits.
const EACH: Duration = Duration::from_secs(1);
/// A task that gave no sign for so long hangs. What it does between two of them may wait for several answers of
/// the broker, each of which comes or fails within five seconds.
pub const HANGS: Duration = Duration::from_secs(30);
/// Between two looks nobody counts more: who looks was away.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// The signs of life of one task. Clones are of the same one.
#[derive(Clone, Debug, Default)]
pub struct Signs(Arc<AtomicU64>);

impl Signs {
    /// Gives one.
    pub fn give(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for what may never come.
    pub async fn waiting<T>(&self, what: impl Future<Output = T>) -> T {
        let mut what = pin!(what);
        loop {
            self.give();
            if let Ok(came) = tokio::time::timeout(EACH, &mut what).await {
                self.give();
                return came;
            }
        }
    }

    fn given(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whoever looks whether tasks give signs.
#[derive(Debug)]
pub struct Look {
    last: Boot,
}

impl Look {
    /// Begins at `now`.
    pub fn begin(now: Boot) -> Look {
        Look { last: now }
    }

    /// What counts of the time since the last look; nothing while there `is_reason` for silence.
    pub fn at(&mut self, now: Boot, is_reason: bool) -> Duration {
        let since = now.since(std::mem::replace(&mut self.last, now));
        if is_reason {
            Duration::ZERO
        } else {
            since.min(LOOK_MAX)
        }
    }
}

/// What is known of one task.
#[derive(Debug)]
pub struct Life {
    signs: Signs,
    seen: u64,
    silent: Duration,
}

impl Life {
    /// Of a task that gives these.
    pub fn of(signs: Signs) -> Life {
        Life {
            seen: signs.given(),
            signs,
            silent: Duration::ZERO,
        }
    }

    /// So much more time has passed: whether it hangs.
    pub fn hangs(&mut self, passed: Duration) -> bool {
        let given = self.signs.given();
        if given == self.seen {
            self.silent += passed;
        } else {
            self.seen = given;
            self.silent = Duration::ZERO;
        }
        self.silent >= HANGS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn task_without_a_sign_for_half_a_minute_hangs_and_one_that_gives_some_does_not() {
        let (silent, lively) = (Signs::default(), Signs::default());
        let (mut one, mut other) = (Life::of(silent), Life::of(lively.clone()));
        for second in 1..=60 {
            assert_eq!(one.hangs(SECOND), second >= 30, "{second}");
            if second % 29 == 0 {
                lively.give();
            }
            assert!(!other.hangs(SECOND), "{second}");
        }
    }

    #[test]
    fn time_in_which_nobody_looked_or_nobody_could_answer_does_not_count() {
        let at = |seconds| Boot(Duration::from_secs(seconds));
        let mut look = Look::begin(at(10));
        assert_eq!(look.at(at(11), false), SECOND);
        assert_eq!(look.at(at(100), false), SECOND);
        assert_eq!(look.at(at(101), true), Duration::ZERO);
        assert_eq!(look.at(at(102), false), SECOND);
    }

    #[tokio::test]
    async fn who_waits_gives_signs_and_gets_what_comes() {
        let signs = Signs::default();
        let came = signs.waiting(async {
            tokio::time::sleep(EACH + EACH / 4).await;
            7
        });
        assert_eq!(came.await, 7);
        assert!(signs.given() >= 3, "{}", signs.given());
    }
}
