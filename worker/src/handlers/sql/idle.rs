//! Connections that wait for their next transaction, and which of them are too old or too doubtful
//! for one. Asks no server anything: a connection is given back only when its state is known.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::link::Link;

/// A connection is used for so long at most, so that a database that moved is followed in the end.
const LIFE_MAX: Duration = Duration::from_secs(1_800);
/// How often those are closed that nobody needs.
const LOOK: Duration = Duration::from_secs(15);
/// Longest goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// A connection in use.
#[derive(Debug)]
pub(super) struct Lent {
    pub(super) link: Link,
    born: Instant,
}

impl Lent {
    pub(super) fn new(link: Link) -> Lent {
        Lent {
            link,
            born: Instant::now(),
        }
    }

    /// Closes it without waiting for that.
    pub(super) fn part(self) {
        tokio::spawn(tokio::time::timeout(GOODBYE, self.link.close()));
    }
}

/// Connections that nobody uses just now. The newest is used first.
#[derive(Debug)]
pub(super) struct Idle {
    /// How long one may wait: servers close what waits for too long.
    wait_max: Duration,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    links: Vec<(Lent, Instant)>,
    /// Those that were made before this are not to be used.
    doubtful: Option<Instant>,
    /// Whether somebody looks after those that wait.
    watched: bool,
}

impl Idle {
    pub(super) fn new(wait_max: Duration) -> Arc<Idle> {
        let held = Held {
            links: Vec::new(),
            doubtful: None,
            watched: false,
        };
        Arc::new(Idle {
            wait_max,
            held: Mutex::new(held),
        })
    }

    /// One that may be used.
    pub(super) fn take(&self) -> Option<Lent> {
        self.close_old();
        self.lock().links.pop().map(|(lent, _)| lent)
    }

    pub(super) fn put(self: &Arc<Idle>, lent: Lent) {
        let mut held = self.lock();
        let doubtful = held.doubtful.is_some_and(|since| lent.born <= since);
        if doubtful || lent.born.elapsed() > LIFE_MAX {
            drop(held);
            return lent.part();
        }
        held.links.push((lent, Instant::now()));
        if !std::mem::replace(&mut held.watched, true) {
            tokio::spawn(watch(Arc::downgrade(self)));
        }
    }

    /// What was made until now is closed, at once or when it comes back: the server is another, or
    /// is what it was no more.
    pub(super) fn doubt_all(&self) {
        let mut held = self.lock();
        held.doubtful = Some(Instant::now());
        let links = std::mem::take(&mut held.links);
        drop(held);
        links.into_iter().for_each(|(lent, _)| lent.part());
    }

    /// Closes what waited for too long.
    fn close_old(&self) {
        let old: Vec<_> = {
            let mut held = self.lock();
            // The longest wait comes first: the newest is always taken.
            let old = |(_, since): &(Lent, Instant)| since.elapsed() > self.wait_max;
            let count = held.links.iter().take_while(|it| old(it)).count();
            held.links.drain(..count).collect()
        };
        old.into_iter().for_each(|(lent, _)| lent.part());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what nobody needs, until none waits.
async fn watch(idle: Weak<Idle>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(idle) = idle.upgrade() else { return };
        idle.close_old();
        let mut held = idle.lock();
        if held.links.is_empty() {
            held.watched = false;
            return;
        }
    }
}
