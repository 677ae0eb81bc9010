//! Looks whether the watches have told of all keys that fires depend on. Each watch is a consumer on one member of a cluster,
//! which may hang, or lag, while all others go on: a pause that was confirmed would hold nothing until it comes. So the leader
//! of the bucket is asked what it has last, and what was not heard by then is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::Stream;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::kv::{Bucket, Entry};
use gridloom_shared::chain;

/// How often. A fire that opens so long after a pause was confirmed is held back by it.
const LOOK: Duration = Duration::from_millis(500);

/// Keys that fires depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// Of jobs, and of all.
    Pauses,
    Calendars,
    Definitions,
}

impl Keys {
    const ALL: [Keys; 3] = [Keys::Pauses, Keys::Calendars, Keys::Definitions];

    fn place(self, broker: &Broker) -> (Bucket, &'static str) {
        let subjects = broker.subjects();
        match self {
            Keys::Pauses => (broker.state(), subjects.all_pauses()),
            Keys::Calendars => (broker.state(), subjects.all_calendars()),
            Keys::Definitions => (broker.jobs(), ">"),
        }
    }
}

/// Up to which revisions was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<[AtomicU64; Keys::ALL.len()]>);

impl Heard {
    /// A key was told of as it stands at a revision.
    pub(super) fn note(&self, keys: Keys, revision: u64) {
        self.0[keys as usize].fetch_max(revision, Ordering::Relaxed);
    }

    /// All are told of anew.
    pub(super) fn forget(&self, keys: Keys) {
        self.0[keys as usize].store(0, Ordering::Relaxed);
    }

    fn revision(&self, keys: Keys) -> u64 {
        self.0[keys as usize].load(Ordering::Relaxed)
    }
}

/// What stands behind what was told, whenever something does.
pub(super) fn untold(broker: &Broker, heard: Heard) -> impl Stream<Item = Vec<(Keys, Entry)>> {
    futures_util::stream::unfold((broker.clone(), heard), |(broker, heard)| async move {
        loop {
            tokio::time::sleep(LOOK).await;
            let mut found = Vec::new();
            for keys in Keys::ALL {
                let (bucket, filter) = keys.place(&broker);
                match bucket.behind(filter, heard.revision(keys)).await {
                    Ok(entries) => found.extend(entries.into_iter().map(|entry| (keys, entry))),
                    Err(error) => {
                        tracing::debug!(what = ?keys, error = %chain(&error), "cannot look whether all was told");
                    }
                }
            }
            if !found.is_empty() {
                return Some((found, (broker, heard)));
            }
        }
    })
}
