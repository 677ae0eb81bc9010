//! Decides what an edit, a deletion and the end of a schedule leave behind. An edit counts from when it was made: what had
//! come before has its answer by the schedule of then, and nothing of before that is decided by the new one.

use gridloom_shared::clock::UnixMs;
use gridloom_shared::limits::UNOPENED_MAX;
use gridloom_shared::schedule::Nominal;
use gridloom_shared::schedule::record::{Carried, Decision, End, Failures, State};

use super::world::World;
use super::{Fires, Step, asked, due};

/// The first schedule of a job.
pub(super) fn first(world: &World) -> Option<Step> {
    let state = State {
        spec: Some(world.definition.spec?.clone()),
        ended: false,
        ..asked::blank(world)
    };
    Some((Decision::Adopted, state))
}

/// Another schedule, or none any more. All that was to be opened by now has its answer.
pub(super) fn adopt(fires: &Fires, state: &State, world: &World) -> Step {
    let since = world.since();
    let come = come(fires, state, since);
    let mut after = State {
        spec: world.definition.spec.cloned(),
        cursor: state.cursor.max(since),
        accepted: 0,
        ended: false,
        awaited: Vec::new(),
        failures: Failures::default(),
        ..state.clone()
    };
    if state.spec.is_none() {
        after.anchor = since;
    }
    for fire in &mut after.queued {
        fire.counted = false;
    }
    after.carried.extend(come);
    if after.spec.is_some() {
        return (Decision::Adopted, after);
    }
    let carried = std::mem::take(&mut after.carried);
    let queued = std::mem::take(&mut after.queued);
    let carried = carried.into_iter().map(|fire| fire.at);
    let mut dropped: Vec<UnixMs> = queued
        .into_iter()
        .map(|fire| fire.at)
        .chain(carried)
        .collect();
    dropped.sort_unstable();
    after.ended = true;
    let why = End::Deleted;
    (Decision::Ended { why, dropped }, after)
}

/// Nominal times that had come at `since`, and that wait for their opening.
fn come(fires: &Fires, state: &State, since: UnixMs) -> impl Iterator<Item = Carried> {
    let plan = fires
        .plan
        .as_ref()
        .filter(|_| !state.ended && !state.has_enough());
    let next = move |after: UnixMs| {
        let next = plan?.next_after(after)?;
        (next.at <= since).then_some(next)
    };
    std::iter::successors(next(state.cursor), move |fire| next(fire.at))
        .take(UNOPENED_MAX)
        .filter(|fire| fire.excluded.is_none())
        .map(|fire: Nominal| Carried {
            at: fire.at,
            opens_at: fire.opens_at,
            moved_from: fire.moved_from.map(|from| from.to_string()),
        })
}

/// The end of a schedule that has no later fire.
pub(super) fn end(fires: &Fires, state: &State, world: &World) -> Option<Step> {
    if state.ended || state.spec.is_none() || !state.carried.is_empty() {
        return None;
    }
    let why = if state.has_enough() {
        End::MaxFires
    } else {
        let plan = fires.plan.as_ref()?;
        let follows = plan.after().is_some();
        let last_end = world.runs.last_end.max(state.last_end);
        let waits = plan.waits_for().is_some()
            || follows && fires.busy(state, world).is_some()
            || follows && plan.may_follow(last_end.max(Some(state.cursor)), world.now);
        let later =
            waits || !state.queued.is_empty() || due::nominal(fires, state, world).is_some();
        (!later).then_some(End::Over)?
    };
    let ended = State {
        ended: true,
        ..state.clone()
    };
    let dropped = Vec::new();
    Some((Decision::Ended { why, dropped }, ended))
}
