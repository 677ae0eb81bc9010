//! Decides which fire is next, and whether it was missed, held back or taken out. Those that are none of it are on time.

use gridloom_shared::clock::UnixMs;
use gridloom_shared::limits::{FIRES_COUNTED_MAX, MISFIRE_GRACE};
use gridloom_shared::schedule::record::{Decision, Span, State, Why};
use gridloom_shared::schedule::{MisfirePolicy, Nominal, Plan, Spec};

use super::missed::{self, Region};
use super::overlap::{self, Fire};
use super::world::World;
use super::{Fires, Step, is_halted};

/// The decision about the next fire whose opening has come.
pub(super) fn next(fires: &Fires, state: &State, world: &World) -> Option<Step> {
    let carried = state.carried.iter().min_by_key(|fire| fire.opens_at);
    if let Some(fire) = carried.filter(|fire| fire.opens_at <= world.now)
        && !is_halted(state, world)
    {
        return overlap::on_time(fires, state, Fire::carried(fire), world);
    }
    let next = nominal(fires, state, world)?;
    if answered_at(&next) > world.now || next.at > horizon(state, world) {
        return None;
    }
    let (spec, plan) = (state.spec.as_ref()?, fires.plan.as_ref()?);
    let passed = match &next.excluded {
        Some(calendar) => Some(excluded(plan, state, &next, calendar, world)),
        None => region(plan, state, spec, &next, world)
            .and_then(|region| missed::passed(&region, plan, state, spec, &next, world.now)),
    };
    match passed {
        Some((until, why)) => Some(pass(plan, state, &next, until, why)),
        None => overlap::on_time(fires, state, Fire::new(&next), world),
    }
}

/// When it is decided: where it runs when it opens, and where it does not at once.
pub(super) fn answered_at(nominal: &Nominal) -> UnixMs {
    match nominal.excluded {
        Some(_) => nominal.at,
        None => nominal.opens_at,
    }
}

/// The next nominal time, whether it has come or not. Of a schedule that waits for a calendar there is none to be
/// decided, until it is another schedule.
pub(super) fn nominal(fires: &Fires, state: &State, world: &World) -> Option<Nominal> {
    if state.is_over() {
        return None;
    }
    let plan = fires.plan.as_ref()?;
    if plan.waits_for().is_some() && !world.changes(state) {
        return None;
    }
    if plan.after().is_none() {
        return fires.next.clone();
    }
    if fires.busy(state, world).is_some() || !state.queued.is_empty() {
        return None;
    }
    let last_end = world.runs.last_end.max(state.last_end);
    plan.following(last_end.max(Some(state.cursor)))
}

/// The last instant whose nominal time is the state's schedule's: an edit counts from when it was made.
fn horizon(state: &State, world: &World) -> UnixMs {
    match world.changes(state) {
        true => world.since(),
        false => UnixMs(u64::MAX),
    }
}

/// How far the calendar takes out what has come.
fn excluded(
    plan: &Plan,
    state: &State,
    next: &Nominal,
    calendar: &String,
    world: &World,
) -> (UnixMs, Why) {
    let mut until = next.at;
    for _ in 0..FIRES_COUNTED_MAX {
        let Some(later) = plan.next_after(until) else {
            break;
        };
        let come = answered_at(&later) <= world.now && later.at <= horizon(state, world);
        if later.excluded.as_ref() != Some(calendar) || !come {
            break;
        }
        until = later.at;
    }
    let calendar = calendar.clone();
    (until, Why::Excluded { calendar })
}

/// The fires with which `next` was missed or held back. `None`: it was not, or it only says how long to wait at least.
fn region(
    plan: &Plan,
    state: &State,
    spec: &Spec,
    next: &Nominal,
    world: &World,
) -> Option<Region> {
    if plan.after().is_some() {
        return None;
    }
    let (last_opening, policy, why, asked) = match world.halt_at(next.opens_at) {
        Some(halt) => {
            let end = halt.until.filter(|until| *until <= world.now);
            let policy = match end {
                // What an edit during a pause leaves behind was held back for good.
                None => MisfirePolicy::Skip,
                Some(_) => halt.missed.unwrap_or(spec.misfire.policy),
            };
            let last = end.map_or(world.now, |end| UnixMs(end.0 - 1));
            (last, policy, halt.why(), halt.missed.is_some())
        }
        // Nothing is opened any more of a job that is gone.
        None if world.definition.spec.is_none() => {
            (world.now, MisfirePolicy::Skip, Why::Missed, false)
        }
        None if next.opens_at + MISFIRE_GRACE < world.now => {
            let grace = u64::try_from(MISFIRE_GRACE.as_millis()).unwrap_or(u64::MAX);
            let late = UnixMs(world.now.0.saturating_sub(grace));
            let halts = world.halts.iter().map(|halt| halt.from);
            let halt = halts.filter(|from| *from > next.opens_at).min();
            let last = halt.map_or(late, |from| late.min(UnixMs(from.0 - 1)));
            (last, spec.misfire.policy, Why::Missed, false)
        }
        None => return None,
    };
    let until = last_that_opened(plan, state.cursor, last_opening).min(horizon(state, world));
    Some(Region {
        until: until.max(next.at),
        policy,
        skipped: why,
        windowed: !asked,
    })
}

/// The last nominal time whose opening is not later than `opening`.
fn last_that_opened(plan: &Plan, after: UnixMs, opening: UnixMs) -> UnixMs {
    let last = plan.last_until(after, opening);
    let opened = match last {
        Some(last) if last.opens_at > opening => plan.last_until(after, UnixMs(last.at.0 - 1)),
        other => other,
    };
    opened.map_or(after, |last| last.at)
}

fn pass(plan: &Plan, state: &State, next: &Nominal, mut until: UnixMs, why: Why) -> Step {
    if next.excluded.is_none() {
        // What a calendar takes out has an answer of its own.
        let looked_at = usize::try_from(FIRES_COUNTED_MAX).unwrap_or(usize::MAX);
        let mut come = plan.nominals_after(next.at).take(looked_at);
        let out = come.find(|fire| fire.excluded.is_some() || fire.at > until);
        until = out.map_or(until, |out| until.min(UnixMs(out.at.0 - 1)));
    }
    let tally = plan.tally(state.cursor, until, FIRES_COUNTED_MAX);
    let (last, count) = match why {
        Why::Excluded { .. } => (until, tally.excluded),
        _ => {
            let last = plan.last_until(state.cursor, until);
            (last.map_or(next.at, |last| last.at), tally.count)
        }
    };
    let span = Span {
        first: next.at,
        last,
        count,
        more: !tally.whole,
    };
    let after = State {
        cursor: span.last,
        ..state.clone()
    };
    (Decision::Passed { span, why }, after)
}
