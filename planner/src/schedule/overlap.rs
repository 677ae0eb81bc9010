//! Decides what becomes of a fire that is on time while earlier runs are open, and when one that waited is opened.
//!
//! | policy | a run is open |
//! |--------|---------------|
//! | `skip` | skipped |
//! | `queue_one` | waits; one that waited already is skipped for it |
//! | `queue_all` | waits behind those that wait, at most `queue_max` |
//! | `cancel_running` | as `queue_one`, and what is open is cancelled |
//! | `allow` | opened |

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::schedule::record::{
    Behind, Carried, Decision, Queued, Span, State, Unopened, Why,
};
use gridloom_shared::schedule::{Nominal, OverlapPolicy};

use super::world::{Halt, World};
use super::{Fires, Step, failures};

/// A fire that is to be opened.
pub(super) struct Fire {
    at: UnixMs,
    opens_at: UnixMs,
    moved_from: Option<String>,
    /// Whether an earlier schedule left it over.
    carried: bool,
}

impl Fire {
    pub(super) fn new(nominal: &Nominal) -> Fire {
        Fire {
            at: nominal.at,
            opens_at: nominal.opens_at,
            moved_from: nominal.moved_from.map(|from| from.to_string()),
            carried: false,
        }
    }

    pub(super) fn carried(fire: &Carried) -> Fire {
        Fire {
            at: fire.at,
            opens_at: fire.opens_at,
            moved_from: fire.moved_from.clone(),
            carried: true,
        }
    }

    /// The state in which this fire has its answer; `accepted`: it gets a run.
    fn answered(&self, state: &State, accepted: bool) -> State {
        let mut state = state.clone();
        if self.carried {
            state.carried.retain(|fire| fire.at != self.at);
        } else {
            state.cursor = self.at;
            state.accepted += u64::from(accepted);
        }
        state
    }
}

/// Opens the fire that waited longest, where nothing is in its way any more.
pub(super) fn freed(fires: &Fires, state: &State, world: &World) -> Option<Step> {
    if state.queued.is_empty() {
        return None;
    }
    let allowed = state.spec.as_ref()?.overlap == OverlapPolicy::Allow;
    if !allowed && fires.busy(state, world).is_some() {
        return None;
    }
    let mut state = state.clone();
    let fire = state.queued.remove(0);
    let (at, moved_from) = (fire.at, fire.moved_from);
    Some(open(fires, state, at, moved_from, Some(fire.behind)))
}

/// The decision about a fire that is on time.
pub(super) fn on_time(fires: &Fires, state: &State, fire: Fire, world: &World) -> Option<Step> {
    let spec = state.spec.as_ref()?;
    let busy = fires.busy(state, world);
    let Some(run) = busy.filter(|_| spec.overlap != OverlapPolicy::Allow) else {
        let after = fire.answered(state, true);
        let held = world.halt_at(fire.opens_at).map(Halt::why);
        let (mut decision, after) = open(fires, after, fire.at, fire.moved_from, None);
        if let Decision::Opened { held: by, .. } = &mut decision {
            *by = held;
        }
        return Some((decision, after));
    };
    let waiting = state.queued.len() as u64;
    let full = match spec.overlap {
        OverlapPolicy::Skip => return Some(skip(&fire, state, Why::Overlap { run })),
        OverlapPolicy::QueueAll { max } => waiting >= u64::from(max),
        OverlapPolicy::QueueOne | OverlapPolicy::CancelRunning | OverlapPolicy::Allow => {
            if let Some(step) = replace(state, fire.at) {
                return Some(step);
            }
            false
        }
    };
    if full {
        return Some(skip(&fire, state, Why::Full { waiting }));
    }
    let cancelled = spec.overlap == OverlapPolicy::CancelRunning;
    Some(queue(fire, state, Behind { run, cancelled }))
}

fn open(
    fires: &Fires,
    mut state: State,
    at: UnixMs,
    moved_from: Option<String>,
    after: Option<Behind>,
) -> Step {
    let run = RunId::from_fire(&fires.job, at);
    failures::await_end(&mut state, at);
    state.unopened.push(Unopened {
        at,
        run: run.clone(),
    });
    let decision = Decision::Opened {
        at,
        run,
        moved_from,
        after,
        held: None,
    };
    (decision, state)
}

fn queue(fire: Fire, state: &State, behind: Behind) -> Step {
    let mut after = fire.answered(state, true);
    after.queued.push(Queued {
        at: fire.at,
        moved_from: fire.moved_from,
        behind: behind.clone(),
        counted: !fire.carried,
    });
    (
        Decision::Queued {
            at: fire.at,
            behind,
        },
        after,
    )
}

fn skip(fire: &Fire, state: &State, why: Why) -> Step {
    let span = Span::one(fire.at);
    (Decision::Passed { span, why }, fire.answered(state, false))
}

/// Gives the answer to a fire that waits and makes room for the one at `by`.
fn replace(state: &State, by: UnixMs) -> Option<Step> {
    let waited = state.queued.last()?;
    let span = Span::one(waited.at);
    let mut after = state.clone();
    after.queued.pop();
    after.accepted -= u64::from(waited.counted);
    let why = Why::Replaced { by };
    Some((Decision::Passed { span, why }, after))
}
