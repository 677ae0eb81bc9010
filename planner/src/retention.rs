//! What of runs that are over is kept, and for how long. Pure.
//!
//! | what | kept |
//! |------|------|
//! | records and summary of a run that is over | for [`Retention::runs`], and of [`Retention::most`] runs |
//! | the same, where a shard is dead that nobody retried or gave up | for [`Retention::dead`], and of [`Retention::most_dead`] runs |
//! | its id | for [`Retention::ids`] after that |
//!
//! Runs with dead shards are counted apart: a job that is submitted a thousand times a second must not push
//! out a failure before anybody has seen it.

use std::time::Duration;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{QueueName, RunId};

pub mod ages;

use ages::Watched;

/// An id is remembered at least so long: a request may be sent again.
pub const IDS_LEAST: Duration = Duration::from_secs(24 * 3_600);

/// What is kept of runs that are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long their records and summaries are kept.
    pub runs: Duration,
    /// Of how many runs at most; the oldest go first.
    pub most: usize,
    /// How long those of runs are kept with dead shards that nobody retried or gave up.
    pub dead: Duration,
    /// Of how many such runs at most.
    pub most_dead: usize,
    /// How long their ids are remembered; at least [`IDS_LEAST`].
    pub ids: Duration,
    /// How often it is looked for what is to go.
    pub every: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3_600);
        Retention {
            runs: 7 * DAY,
            most: 10_000,
            dead: 30 * DAY,
            most_dead: 100_000,
            ids: 30 * DAY,
            every: Duration::from_secs(60),
        }
    }
}

/// A run that is over, with its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The run.
    pub run: RunId,
    /// The queue of its ledger.
    pub queue: QueueName,
    /// Ledger sequence of the record that closed it.
    pub end: u64,
    /// When it was closed, by the broker's clock.
    pub closed_at: UnixMs,
    /// Its dead shards that nobody retried or gave up.
    pub dead: u64,
}

impl Retention {
    /// Those whose records are to go, the oldest first.
    pub fn due(&self, mut kept: Vec<Kept>, watched: &Watched) -> Vec<Kept> {
        kept.sort_by_key(|run| run.end);
        let dead = kept.iter().filter(|run| run.dead > 0).count();
        let others = (kept.len() - dead).saturating_sub(self.most);
        let dead = dead.saturating_sub(self.most_dead);
        let (mut dead_place, mut place) = (0.., 0..);
        kept.retain(|run| {
            let (place, beyond, age) = match run.dead {
                0 => (place.next(), others, self.runs),
                _ => (dead_place.next(), dead, self.dead),
            };
            place.is_some_and(|place| place < beyond) || watched.age(run.closed_at) >= age
        });
        kept
    }

    /// Whether an id that is remembered since `at` may be forgotten.
    pub fn may_forget(&self, at: UnixMs, watched: &Watched) -> bool {
        watched.age(at) >= self.ids.max(IDS_LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(now: u64) -> Watched {
        let mut watched = Watched::begin(UnixMs(0));
        watched.look(UnixMs(now), Some(Duration::from_millis(now)));
        watched
    }

    fn closed(at: &[u64]) -> Vec<Kept> {
        let kept = at.iter().map(|at| Kept {
            run: RunId::new(format!("a_s_{at}")).unwrap(),
            queue: QueueName::new("default").unwrap(),
            end: *at,
            closed_at: UnixMs(*at),
            dead: 0,
        });
        kept.collect()
    }

    fn due(most: usize, at: &[u64], now: u64) -> Vec<u64> {
        let policy = Retention {
            runs: Duration::from_millis(100),
            most,
            ..Retention::default()
        };
        let due = policy.due(closed(at), &watched(now));
        due.iter().map(|kept| kept.closed_at.0).collect()
    }

    #[test]
    fn runs_go_when_they_are_old_or_too_many_the_oldest_first() {
        assert_eq!(due(10, &[30, 10, 20], 115), [10]);
        assert_eq!(due(2, &[30, 10, 20], 40), [10]);
        assert_eq!(due(1, &[30, 10, 20], 110), [10, 20]);
        assert_eq!(due(10, &[30, 10, 20], 40), [] as [u64; 0]);
        assert_eq!(due(0, &[30, 10, 20], 40), [10, 20, 30]);
    }

    #[test]
    fn dead_shards_have_a_retention_of_their_own_and_push_nobody_out() {
        let policy = Retention {
            runs: Duration::from_millis(100),
            most: 1,
            dead: Duration::from_millis(200),
            most_dead: 2,
            ..Retention::default()
        };
        let due = |dead: &[u64], now| {
            let mut kept = closed(&[10, 20, 30, 40, 50]);
            for run in &mut kept {
                run.dead = u64::from(dead.contains(&run.end));
            }
            let due = policy.due(kept, &watched(now));
            due.iter().map(|kept| kept.end).collect::<Vec<_>>()
        };
        assert_eq!(due(&[10, 20], 60), [30, 40]);
        assert_eq!(due(&[10, 20], 180), [30, 40, 50]);
        assert_eq!(due(&[10, 20], 215), [10, 30, 40, 50]);
        assert_eq!(due(&[10, 20, 30, 50], 60), [10, 20]);
        assert_eq!(due(&[], 60), [10, 20, 30, 40]);
    }

    #[test]
    fn id_is_remembered_for_a_day_whatever_was_configured() {
        let policy = Retention {
            ids: Duration::ZERO,
            ..Retention::default()
        };
        let day = 24 * 3_600_000;
        assert!(!policy.may_forget(UnixMs(5), &watched(day)));
        assert!(policy.may_forget(UnixMs(5), &watched(day + 5)));
    }
}
