//! A version of records that is still to come, for tests of upgrades: one more than this source reads, and of another
//! shape, so that whoever does not know it cannot read it. Compiled with the feature `wire-next` only, which no program
//! that people run has; and even then a process keeps to its own versions until its program calls [`take_part`].

use std::sync::atomic::{AtomicU32, Ordering};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{VersionOnly, Versions, WireError};
use crate::chain;

/// Its number.
pub const VERSION: u16 = Versions::BUILT.reads + 1;

static OWN: AtomicU32 = AtomicU32::new(packed(Versions::BUILT));

const fn packed(versions: Versions) -> u32 {
    ((versions.reads as u32) << 16) | versions.writes as u32
}

/// This process is one of a build with these versions, from now on. For programs under test.
pub fn take_part(versions: Versions) {
    OWN.store(packed(versions), Ordering::Relaxed);
}

pub(super) fn versions() -> Versions {
    let own = OWN.load(Ordering::Relaxed);
    Versions {
        reads: (own >> 16) as u16,
        writes: (own & 0xffff) as u16,
    }
}

/// The body has another name than in version 1: a reader of that finds none.
#[derive(Serialize)]
pub(super) struct EnvelopeOut<'a, T> {
    pub(super) v: u16,
    pub(super) next: &'a T,
}

#[derive(Deserialize)]
struct EnvelopeIn<T> {
    next: T,
}

/// What is in `bytes` of this version, where whoever reads knows it; `None`: they are of another.
pub(super) fn body<T: DeserializeOwned>(bytes: &[u8], reads: u16) -> Option<Result<T, WireError>> {
    if reads < VERSION {
        return None;
    }
    let found = rmp_serde::from_slice::<VersionOnly>(bytes).ok()?;
    (found.v == u64::from(VERSION)).then(|| {
        let read = rmp_serde::from_slice::<EnvelopeIn<T>>(bytes);
        read.map(|envelope| envelope.next)
            .map_err(|error| WireError::Malformed {
                reason: chain(&error).to_string(),
            })
    })
}
