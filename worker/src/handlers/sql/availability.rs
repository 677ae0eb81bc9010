//! Whether a database serves, as the shards of this process find it: told when it stops and when it
//! does again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::DATABASE_SERVES;

/// What is known of one database.
#[derive(Debug)]
pub(super) struct Availability {
    name: String,
    /// The same as `away`, for those who only look.
    is_away: AtomicBool,
    away: Mutex<Option<Away>>,
}

#[derive(Debug)]
struct Away {
    since: Instant,
    why: String,
}

impl Availability {
    pub(super) fn new(name: &str) -> Availability {
        Availability {
            name: name.to_owned(),
            is_away: AtomicBool::new(false),
            away: Mutex::new(None),
        }
    }

    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// A shard has tried for long enough. Since when none succeeded.
    pub(super) fn away(&self, why: &str) -> Duration {
        let mut away = self.lock();
        let known = away.get_or_insert_with(|| {
            tracing::warn!(
                database = self.name,
                reason = why,
                "the database cannot be used"
            );
            self.show(0.0);
            Away {
                since: Instant::now(),
                why: String::new(),
            }
        });
        why.clone_into(&mut known.why);
        self.is_away.store(true, Ordering::Relaxed);
        known.since.elapsed()
    }

    /// It did what it was asked for.
    pub(super) fn serves(&self) {
        if !self.is_away() {
            return;
        }
        if let Some(away) = self.lock().take() {
            let seconds = away.since.elapsed().as_secs();
            tracing::info!(
                database = self.name,
                seconds,
                "the database can be used again"
            );
            self.show(1.0);
        }
        self.is_away.store(false, Ordering::Relaxed);
    }

    /// Why it cannot be used, if it cannot.
    pub(super) fn trouble(&self) -> Option<String> {
        if !self.is_away() {
            return None;
        }
        let away = self.lock();
        // It is asked each second: what is not shown any more goes away.
        self.show(0.0);
        let why = &away.as_ref()?.why;
        Some(format!("database {}: {why}", self.name))
    }

    fn show(&self, serves: f64) {
        DATABASE_SERVES.gauge(&[&self.name]).set(serves);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Away>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
