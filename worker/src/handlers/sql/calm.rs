//! What keeps shards that met in a deadlock from meeting again: for a while those of their job go one
//! at a time in this worker, and where the database has locks for that, in all workers that met one.
//! PostgreSQL looks for a deadlock only after a second, each time anew, and ends one transaction of
//! those that wait for each other: the others would meet again, a second each. So what else is under
//! way is told.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard, Notify};
use tokio::time::timeout;

/// For how long after a deadlock.
const HOT: Duration = Duration::from_secs(5);
/// Jobs share turns by a hash of their name: two that fall together lose a little speed.
const LANES: usize = 64;

/// Whose turn it is, job by job.
#[derive(Debug)]
pub(super) struct Calm {
    began: Instant,
    lanes: Vec<Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    turn: Mutex<()>,
    /// Milliseconds since `began`.
    hot_until: AtomicU64,
    /// Tells those that are under way.
    met: Notify,
}

impl Calm {
    pub(super) fn new() -> Calm {
        Calm {
            began: Instant::now(),
            lanes: (0..LANES).map(|_| Lane::default()).collect(),
        }
    }

    /// Shards of the job met.
    pub(super) fn heat(&self, job: &str) {
        if let Some(lane) = self.lane(job) {
            let until = self.now().saturating_add(millis(HOT));
            lane.hot_until.fetch_max(until, Ordering::Relaxed);
            lane.met.notify_waiters();
        }
    }

    /// The turn of one of the job's shards. `None` where they need not go one at a time, or need not
    /// any more: a turn may take long.
    pub(super) async fn turn(&self, job: &str) -> Option<MutexGuard<'_, ()>> {
        let lane = self.lane(job)?;
        let mut turn = pin!(lane.turn.lock());
        while let Some(left) = self.hot_for(lane) {
            if let Ok(turn) = timeout(left, &mut turn).await {
                return Some(turn);
            }
        }
        None
    }

    /// Ends where shards of the job have met a moment ago, or as soon as they do.
    pub(super) async fn met(&self, job: &str) {
        let Some(lane) = self.lane(job) else {
            return std::future::pending().await;
        };
        loop {
            let met = lane.met.notified();
            if self.hot_for(lane).is_some() {
                return;
            }
            met.await;
        }
    }

    fn hot_for(&self, lane: &Lane) -> Option<Duration> {
        let until = lane.hot_until.load(Ordering::Relaxed);
        let left = until.checked_sub(self.now()).filter(|left| *left > 0)?;
        Some(Duration::from_millis(left))
    }

    fn lane(&self, job: &str) -> Option<&Lane> {
        let mut hasher = DefaultHasher::new();
        job.hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % LANES as u64).ok()?;
        self.lanes.get(place)
    }

    fn now(&self) -> u64 {
        millis(self.began.elapsed())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn shards_of_a_job_go_one_at_a_time_only_after_they_met() {
        let calm = Calm::new();
        assert!(calm.turn("sum").await.is_none());
        calm.heat("sum");
        let turn = calm.turn("sum").await;
        assert!(turn.is_some());
        let mut next = pin!(calm.turn("sum"));
        assert!(next.as_mut().now_or_never().is_none());
        drop(turn);
        assert!(next.await.is_some());
    }

    #[tokio::test]
    async fn those_under_way_hear_that_others_of_their_job_met() {
        let calm = Calm::new();
        let mut mine = pin!(calm.met("sum"));
        let mut other = pin!(calm.met("count"));
        assert!(mine.as_mut().now_or_never().is_none());
        assert!(other.as_mut().now_or_never().is_none());
        calm.heat("sum");
        assert!(mine.now_or_never().is_some());
        assert!(other.now_or_never().is_none());
        // Later ones as well, for a while.
        assert!(calm.met("sum").now_or_never().is_some());
    }
}
