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
use gridloom_shared::limits::{ENVELOPE_MAX, FIRE_BYTES, FIRES_KEPT_SURELY, FIRES_RECORD_MAX};
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
        OverlapPolicy::QueueAll { max } => waiting >= u64::from(max) || !has_room(state),
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

/// Whether one more that waits fits into a record, whatever broker there is.
fn has_room(state: &State) -> bool {
    if state.queued.len() < FIRES_KEPT_SURELY {
        return true;
    }
    // Its bytes on the wire are fewer.
    let bytes = serde_json::to_vec(state).map_or(usize::MAX, |text| text.len());
    bytes.saturating_add(FIRE_BYTES + ENVELOPE_MAX) <= FIRES_RECORD_MAX
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

#[cfg(test)]
mod tests {
    use gridloom_shared::id::{JobName, Term};
    use gridloom_shared::limits::{
        ANSWERED_KEPT_MAX, ASKED_KEPT_MAX, AWAITED_MAX, NAME_MAX, SCHEDULE_BYTES_MAX, UNOPENED_MAX,
    };
    use gridloom_shared::schedule::record::{Petition, Record};
    use gridloom_shared::schedule::{ByHand, Spec};
    use gridloom_shared::wire;
    use serde_json::json;

    use super::super::{Definition, Runs};
    use super::*;

    /// The largest that is taken, nearly.
    fn large() -> Spec {
        let parts: Vec<String> = (0..60).map(|part| part.to_string()).collect();
        let years: Vec<String> = (2026..2090).map(|year| year.to_string()).collect();
        let one = format!("{0} {0} 2 1 * ? {1}", parts.join(","), years.join(","));
        let count = SCHEDULE_BYTES_MAX / (one.len() + 5);
        let schedule = json!({
            "cron": vec![one; count], "overlap": "queue_all", "queue_max": 200, "pause_after_failures": 1_000,
        });
        gridloom_shared::job::parse::schedule(&schedule).unwrap()
    }

    /// A state in which as much waits as may, but fires.
    fn full(job: &JobName, spec: &Spec) -> State {
        let run = RunId::from_fire(job, UnixMs(1_767_225_600_000));
        let behind = Behind {
            run: run.clone(),
            cancelled: false,
        };
        let at = UnixMs(1_767_225_600_000);
        let mut state = State::new(Some(spec.clone()), at, at);
        // Those are known to be open: they are in nobody's way.
        state.unopened = (0..UNOPENED_MAX as u64)
            .map(|number| UnixMs(at.0 + number))
            .map(|at| Unopened {
                at,
                run: RunId::from_fire(job, at),
            })
            .collect();
        state.awaited = vec![at; AWAITED_MAX];
        state.asked = (0..ASKED_KEPT_MAX as u64)
            .map(|number| Petition {
                run: RunId::from_submission(job, u64::MAX - number),
                sequence: u64::MAX - number,
                stored_at: at,
                overlap: ByHand::QueueAll,
                since: at,
                behind: behind.clone(),
                refused: None,
            })
            .collect();
        (0..ANSWERED_KEPT_MAX).for_each(|_| state.answer((u64::MAX, at)));
        (state.asked_up_to, state.asked_seen) = (u64::MAX, u64::MAX);
        state
    }

    #[test]
    fn record_fits_into_the_smallest_message_however_large_its_schedule_is() {
        let job = JobName::new("j".repeat(NAME_MAX)).unwrap();
        let spec = large();
        let mut state = full(&job, &spec);
        let mut runs = Runs::default();
        runs.open
            .extend(state.unopened.iter().map(|fire| fire.run.clone()));
        let mut waiting = 0;
        for number in 0..300 {
            let fires = Fires::new(job.clone(), Some(state.clone()), None);
            let world = World {
                now: state.cursor,
                term: Term(u64::MAX),
                definition: Definition {
                    spec: Some(&spec),
                    since: UnixMs(0),
                },
                halts: &[],
                pause_revision: 0,
                runs: &runs,
                wishes: &[],
            };
            let at = UnixMs(state.cursor.0 + number);
            let fire = Fire {
                at,
                opens_at: at,
                moved_from: Some("2026-03-29T02:30:00".to_owned()),
                carried: false,
            };
            let (decision, after) = on_time(&fires, &state, fire, &world).unwrap();
            state = after;
            match &decision {
                Decision::Queued { .. } => waiting += 1,
                other => assert_eq!(other.word(), "skipped"),
            }
            let record = Record {
                at: world.now,
                term: world.term,
                decision,
                state: state.clone(),
            };
            let bytes = wire::encode(&record).len();
            assert!(bytes <= FIRES_RECORD_MAX, "{bytes} with {waiting}");
        }
        assert!((FIRES_KEPT_SURELY..200).contains(&waiting), "{waiting}");
    }
}
