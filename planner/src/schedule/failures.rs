//! Decides when so many runs of a schedule failed one after another that it pauses itself (`pause_after_failures`), as if
//! somebody had typed it: the pause is a key like any other, which the leader writes once and people end.
//!
//! | how a run of a fire ended | the count |
//! |---------------------------|-----------|
//! | succeeded | begins anew |
//! | failed | one more |
//! | cancelled, or nobody knows any more | stays |
//!
//! It begins anew too where a pause of the job is over, and where the schedule is another. Runs by hand and of backfills
//! are none of the schedule. What is counted follows from the ledgers of the runs that the state names, so a leader that
//! did not see them end counts the same; and a pause is written over the revision that stood there when it was decided, so
//! it is written once, whoever comes to it, and not again where somebody ended it.

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::EndState;
use gridloom_shared::limits::FAILURES_NAMED_MAX;
use gridloom_shared::schedule::record::{Decision, Failures, Pausing, State};

use super::world::World;
use super::{Fires, Step};

/// The state with the ends of runs counted. `None`: nothing is counted, or none has ended.
pub(super) fn counted(fires: &Fires, state: &State, world: &World) -> Option<State> {
    limit(state)?;
    let resumed = resumed(world);
    let begins_anew = state.failures.count > 0 && resumed > Some(state.failures.last);
    let mut ended: Vec<(UnixMs, UnixMs, Option<EndState>)> = Vec::new();
    for at in &state.awaited {
        if let Some(over) = world.runs.over.get(&RunId::from_fire(&fires.job, *at)) {
            ended.push((over.at.unwrap_or_default(), *at, over.end));
        }
    }
    if ended.is_empty() && !begins_anew {
        return None;
    }
    ended.sort_unstable_by_key(|(over, at, _)| (*over, *at));
    let mut after = state.clone();
    if begins_anew {
        after.failures = Failures::default();
    }
    for (over, at, end) in ended {
        after.awaited.retain(|awaited| *awaited != at);
        match end {
            Some(EndState::Succeeded) => after.failures = Failures::default(),
            Some(EndState::Failed) if resumed <= Some(over) => fail(&mut after.failures, over, at),
            Some(EndState::Failed | EndState::Cancelled) | None => {}
        }
    }
    Some(after)
}

fn fail(failures: &mut Failures, over: UnixMs, at: UnixMs) {
    failures.count += 1;
    failures.last = over;
    failures.fires.push(at);
    if failures.fires.len() > FAILURES_NAMED_MAX {
        failures.fires.remove(0);
    }
}

/// When a pause of the job was over that was its last.
fn resumed(world: &World) -> Option<UnixMs> {
    let pauses = world.halts.iter().filter(|halt| !halt.frozen);
    let ends = pauses.filter_map(|halt| halt.until);
    ends.filter(|until| *until <= world.now).max()
}

fn limit(state: &State) -> Option<u32> {
    state.spec.as_ref()?.pause_after_failures
}

/// The pause of a schedule of which too many runs failed.
pub(super) fn pause(fires: &Fires, state: &State, world: &World) -> Option<Step> {
    let failures = &state.failures;
    let paused = world
        .halts
        .iter()
        .any(|halt| !halt.frozen && halt.covers(world.now));
    if paused || pending(state, world).is_some() || failures.count < limit(state)? {
        return None;
    }
    let runs = failures.fires.iter();
    let runs: Vec<RunId> = runs.map(|at| RunId::from_fire(&fires.job, *at)).collect();
    let decision = Decision::Halted {
        failures: failures.count,
        runs,
    };
    let mut after = state.clone();
    after.failures = Failures::default();
    after.pausing = Some(Pausing {
        from: world.now,
        revision: world.pause_revision,
        failures: failures.count,
        fires: failures.fires.clone(),
    });
    Some((decision, after))
}

/// The pause that was decided and is not written yet: nothing has changed where it is to stand.
pub(super) fn pending<'a>(state: &'a State, world: &World) -> Option<&'a Pausing> {
    let pausing = state.pausing.as_ref()?;
    (pausing.revision == world.pause_revision).then_some(pausing)
}

/// Notes that it is to be seen how the run of a fire ends.
pub(super) fn await_end(state: &mut State, at: UnixMs) {
    if limit(state).is_none() {
        return;
    }
    state.awaited.push(at);
    if state.awaited.len() > gridloom_shared::limits::AWAITED_MAX {
        state.awaited.remove(0);
    }
}
