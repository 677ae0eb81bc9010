//! What was met that a newer build wrote: noted on the way of every record that is read, so that it is told by all who
//! read with this connection, and not by some.
//!
//! Whoever meets it waits: it neither removes nor replaces what stands there, and does nothing of which that could be a
//! part.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Broker;
use crate::clock::Boot;
use crate::wire::{self, Wire, WireError};

/// What a newer build wrote, and this one met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newer {
    /// The version, the lowest of those that were met: whoever reads that one reads more than this build.
    pub version: u64,
    /// Where the last of it stands.
    pub place: String,
    /// How often some was met.
    pub times: u64,
    /// When last.
    pub last: Boot,
}

impl Newer {
    /// What is the case, for people.
    pub fn told(&self) -> String {
        let Newer { version, place, .. } = self;
        format!(
            "{place} was written by a newer build (version {version}): what it concerns waits until this one is upgraded"
        )
    }
}

/// All of it, of everybody who uses a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Met(Arc<Mutex<Option<Newer>>>);

impl Met {
    /// Something of `version` was met. Whether that is to be told: of each version once.
    fn note(&self, place: &str, version: u64, now: Boot) -> bool {
        let mut met = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = met.take();
        let lowest = before
            .as_ref()
            .map_or(version, |it| it.version.min(version));
        let told = before.as_ref().is_none_or(|it| it.version > version);
        *met = Some(Newer {
            version: lowest,
            place: place.to_owned(),
            times: before.map_or(0, |it| it.times) + 1,
            last: now,
        });
        told
    }
}

impl Broker {
    /// The record in `bytes`, which stand at `place`. A newer one is noted.
    ///
    /// # Errors
    /// As [`wire::decode`].
    pub fn decode<T: Wire>(&self, place: &str, bytes: &[u8]) -> Result<T, WireError> {
        let read = wire::decode(bytes);
        if let Err(error) = &read {
            self.note_newer(place, error);
        }
        read
    }

    /// Notes that what stands at `place` cannot be read, if that is since a newer build wrote it.
    pub fn note_newer(&self, place: &str, error: &WireError) {
        let WireError::Newer { found, reads } = error else {
            return;
        };
        if self.met.note(place, *found, Boot::now()) {
            tracing::warn!(
                subject = place,
                version = found,
                reads,
                "a newer build wrote this: what it concerns waits until this one is upgraded; told once"
            );
        }
    }

    /// What was met since this process connected, if anything.
    pub fn newer(&self) -> Option<Newer> {
        let met = self.met.0.lock().unwrap_or_else(PoisonError::into_inner);
        met.clone()
    }

    /// The same, if some was met within `lately`.
    pub fn newer_within(&self, lately: Duration) -> Option<Newer> {
        self.newer()
            .filter(|newer| Boot::now().since(newer.last) < lately)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lower_version_is_told_once_and_the_lowest_stays() {
        let met = Met::default();
        let at = |seconds| Boot(Duration::from_secs(seconds));
        assert!(met.note("a", 9, at(1)));
        assert!(!met.note("b", 9, at(2)));
        assert!(met.note("c", 2, at(3)));
        assert!(!met.note("d", 1_000, at(4)));
        let newer = met.0.lock().unwrap().clone().unwrap();
        assert_eq!(
            (newer.version, newer.place.as_str(), newer.times),
            (2, "d", 4)
        );
        assert_eq!(newer.last, at(4));
    }
}
