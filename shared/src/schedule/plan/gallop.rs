//! The last of many, by a search that only knows the next: in steps that grow from the end back until one has found
//! something, and then by halves.

use super::super::Fire;
use crate::clock::UnixMs;

/// The last fire of `(after, until]`. `next` has the first after an instant that is not after `until`.
pub(super) fn last(
    next: impl Fn(UnixMs) -> Option<Fire>,
    after: UnixMs,
    until: UnixMs,
) -> Option<Fire> {
    let mut step = 1_000_u64;
    let mut found = loop {
        let from = UnixMs(until.0.saturating_sub(step)).max(after);
        if let Some(fire) = next(from) {
            break fire;
        }
        if from <= after {
            return None;
        }
        step = step.saturating_mul(4);
    };
    // There is none after `high`.
    let mut high = until;
    while found.at < high {
        let middle = UnixMs(found.at.0 + (high.0 - found.at.0) / 2);
        match next(middle) {
            Some(fire) if fire.at <= high => found = fire,
            Some(_) | None => high = middle,
        }
    }
    Some(found)
}
