//! Decides which of many missed fires are made up for, at the cost of as many steps as those, however many there are.

use std::time::Duration;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::limits::FIRES_COUNTED_MAX;
use gridloom_shared::schedule::record::{State, Why};
use gridloom_shared::schedule::{MisfirePolicy, Nominal, Plan, Spec};

/// Fires that were missed or held back together.
pub(super) struct Region {
    /// The last of them.
    pub(super) until: UnixMs,
    pub(super) policy: MisfirePolicy,
    /// What those are told that are not made up for.
    pub(super) skipped: Why,
    /// Whether the window of the misfire policy counts: not where a person said what becomes of them.
    pub(super) windowed: bool,
}

/// How far fires are passed over, and why. `None`: the next one is made up for.
pub(super) fn passed(
    region: &Region,
    plan: &Plan,
    state: &State,
    spec: &Spec,
    next: &Nominal,
    now: UnixMs,
) -> Option<(UnixMs, Why)> {
    let keep = match region.policy {
        MisfirePolicy::Skip => return Some((region.until, region.skipped.clone())),
        MisfirePolicy::RunOnce => 1,
        MisfirePolicy::RunAll { max } => u64::from(max),
    };
    let window = match region.windowed {
        true => Duration::from_millis(spec.misfire.window_ms),
        false => Duration::MAX,
    };
    let kept = newest(plan, state.cursor, region.until, keep, |fire| {
        fire.opens_at + window >= now
    });
    match kept {
        None => Some((region.until, Why::Expired)),
        Some(kept) if kept.first <= next.at => None,
        Some(kept) => {
            let why = match (region.policy, kept.count == keep) {
                (MisfirePolicy::RunAll { .. }, true) => Why::TooMany { max: keep },
                (MisfirePolicy::RunAll { .. }, false) => Why::Expired,
                (MisfirePolicy::RunOnce | MisfirePolicy::Skip, _) => {
                    let into = kept.first;
                    Why::Coalesced { into }
                }
            };
            Some((UnixMs(kept.first.0 - 1), why))
        }
    }
}

struct Kept {
    first: UnixMs,
    count: u64,
}

/// The newest fires of `(after, until]`, at most `most`, that are inside the window and that no calendar takes out.
fn newest(
    plan: &Plan,
    after: UnixMs,
    until: UnixMs,
    most: u64,
    inside: impl Fn(&Nominal) -> bool,
) -> Option<Kept> {
    let mut kept: Option<Kept> = None;
    let mut end = until;
    for _ in 0..FIRES_COUNTED_MAX {
        let Some(fire) = plan.last_until(after, end) else {
            break;
        };
        if !inside(&fire) {
            break;
        }
        end = UnixMs(fire.at.0 - 1);
        let count = kept.map_or(1, |kept| kept.count + 1);
        let first = fire.at;
        kept = Some(Kept { first, count });
        if count == most {
            break;
        }
    }
    kept
}
