//! What keeps shards that met in a deadlock from meeting again: for a while those of their job go one
//! at a time in this worker, and where the database has locks for that, in all workers that met one.
//! PostgreSQL looks for a deadlock only after a second, each time anew, so
//! shards that went on side by side would stand still for most of their time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};

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
}

impl Calm {
    pub(super) fn new() -> Calm {
        Calm {
            began: Instant::now(),
            lanes: (0..LANES).map(|_| Lane::default()).collect(),
        }
    }

    /// The turn of a shard that has met nobody: only where others of its job just did.
    pub(super) async fn enter(&self, job: &str) -> Option<MutexGuard<'_, ()>> {
        let lane = self.lane(job)?;
        if self.now() >= lane.hot_until.load(Ordering::Relaxed) {
            return None;
        }
        Some(lane.turn.lock().await)
    }

    /// The turn of a shard that met another.
    pub(super) async fn cool(&self, job: &str) -> Option<MutexGuard<'_, ()>> {
        self.heat(job);
        let lane = self.lane(job)?;
        let turn = lane.turn.lock().await;
        self.heat(job);
        Some(turn)
    }

    pub(super) fn heat(&self, job: &str) {
        if let Some(lane) = self.lane(job) {
            let until = self.now().saturating_add(millis(HOT));
            lane.hot_until.fetch_max(until, Ordering::Relaxed);
        }
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
    use super::*;

    #[tokio::test]
    async fn shards_of_a_job_go_one_at_a_time_only_after_they_met() {
        let calm = Calm::new();
        assert!(calm.enter("sum").await.is_none());
        let turn = calm.cool("sum").await;
        assert!(turn.is_some());
        let mut next = Box::pin(calm.enter("sum"));
        let soon = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, &mut next).await.is_err());
        drop(turn);
        assert!(next.await.is_some());
    }
}
