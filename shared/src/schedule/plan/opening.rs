//! By how much the opening of a fire is later than its nominal time. It has to be the same for each planner and each
//! version of it, whatever a build's own hashes are: so it is made of SHA-256.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::super::spec::Spec;
use crate::clock::UnixMs;

/// What moves the openings of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    job: String,
    jitter_ms: u64,
    spread_ms: u64,
    /// What the job's name has of `spread`.
    offset_ms: u64,
}

impl Opening {
    pub(super) fn new(spec: &Spec, job: &str) -> Opening {
        Opening {
            job: job.to_owned(),
            jitter_ms: spec.jitter_ms,
            spread_ms: spec.spread_ms,
            offset_ms: part_of(spec.spread_ms, &[b"spread", job.as_bytes()]),
        }
    }

    pub(super) fn moves(&self) -> bool {
        self.jitter_ms > 0 || self.spread_ms > 0
    }

    pub(super) fn of(&self, at: UnixMs, next: Option<UnixMs>) -> UnixMs {
        if !self.moves() {
            return at;
        }
        let of_fire = [b"jitter", self.job.as_bytes(), &at.0.to_be_bytes()];
        let later = self.offset_ms + part_of(self.jitter_ms, &of_fire);
        let most = self.jitter_ms + self.spread_ms;
        let room = next.map_or(most, |next| next.0.saturating_sub(at.0 + 1));
        let later = if most <= room {
            later
        } else {
            scaled(later, room, most)
        };
        at + Duration::from_millis(later)
    }
}

/// 0 to `span`, by what is hashed.
fn part_of(span: u64, hashed: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for part in hashed {
        hash.update(part);
        hash.update([0]);
    }
    let hash = hash.finalize();
    let first = hash[..8].iter();
    let number = first.fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    let scaled = u128::from(number) * (u128::from(span) + 1);
    u64::try_from(scaled >> 64).unwrap_or(span)
}

/// `part * room / whole`.
fn scaled(part: u64, room: u64, whole: u64) -> u64 {
    let scaled = u128::from(part) * u128::from(room) / u128::from(whole.max(1));
    u64::try_from(scaled).unwrap_or(room)
}
