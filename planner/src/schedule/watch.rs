//! Decides what would be missed of a job if no planner were left: its next fire, and the ends of its runs.

use std::collections::BTreeMap;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::schedule::fired::nominal_of;

use super::world::World;
use super::{Fires, due, unopened};
use crate::alarms::{Need, Needs};

impl Fires {
    /// What is to be watched.
    pub fn needs(&self, world: &World) -> Needs {
        Needs {
            fire: fire(self, world),
            runs: runs(self, world),
        }
    }

    /// When the next fire opens that has not come. None while nobody has said when a pause ends, and of a job that has none.
    pub fn next_opening(&self, world: &World) -> Option<UnixMs> {
        next(self, world).map(|(opens_at, _)| opens_at)
    }
}

/// The next fire. None while nobody has said when a pause ends, and of a job that has none to come.
fn fire(fires: &Fires, world: &World) -> Option<Need> {
    let state = fires.state()?;
    world.definition.spec?;
    if world.halted().is_none()
        && let Some(first) = unopened(state, world).find(|fire| nominal_of(&fire.run).is_some())
    {
        return Some(Need {
            scheduled_at: first.at,
            due: world.now,
            waits: true,
        });
    }
    let (due, scheduled_at) = next(fires, world)?;
    Some(Need {
        scheduled_at,
        due,
        waits: false,
    })
}

/// The next fire that has not come: when it opens, and its nominal time.
fn next(fires: &Fires, world: &World) -> Option<(UnixMs, UnixMs)> {
    let state = fires.state()?;
    world.definition.spec?;
    let carried = state
        .carried
        .iter()
        .map(|carried| (carried.opens_at, carried.at));
    let next = due::nominal(fires, state, world).and_then(|next| match next.excluded {
        Some(_) => fires.plan.as_ref()?.next_fire_after(next.at),
        None => Some(next),
    });
    let next = next.map(|next| (next.opens_at, next.at));
    let (opens_at, scheduled_at) = carried.chain(next).min()?;
    Some((held_until(opens_at, world)?, scheduled_at))
}

/// When a fire is to open that pauses may hold back, also one that the clock has not quite come to. `None`: nobody has said.
fn held_until(opens_at: UnixMs, world: &World) -> Option<UnixMs> {
    let mut due = opens_at;
    while let Some(halt) = world.halt_at(due.max(world.now)) {
        due = halt.until?;
    }
    Some(due)
}

/// Runs of fires that have to be over by a time, as the schedule says it now.
fn runs(fires: &Fires, world: &World) -> BTreeMap<RunId, Need> {
    let Some(plan) = fires.plan.as_ref().filter(|plan| plan.is_watched()) else {
        return BTreeMap::new();
    };
    let open = world.runs.open.iter().filter_map(|run| {
        let scheduled_at = nominal_of(run)?;
        let need = Need {
            scheduled_at,
            due: plan.due(scheduled_at)?,
            waits: false,
        };
        Some((run.clone(), need))
    });
    open.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use gridloom_shared::id::{JobName, Term};
    use gridloom_shared::schedule::record::{State, Unopened};
    use gridloom_shared::schedule::{Plan, Spec};
    use serde_json::json;

    use super::*;
    use crate::schedule::{Definition, Halt, Runs};

    const HOUR: u64 = 3_600_000;

    struct Stage {
        spec: Spec,
        state: State,
        halts: Vec<Halt>,
        runs: Runs,
        now: UnixMs,
        defined: bool,
    }

    fn job() -> JobName {
        JobName::new("nightly").unwrap()
    }

    fn stage(schedule: serde_json::Value) -> Stage {
        let spec = Spec::try_from(schedule).unwrap();
        let state = State::new(Some(spec.clone()), UnixMs(0), UnixMs(10 * HOUR));
        Stage {
            spec,
            state,
            halts: Vec::new(),
            runs: Runs::default(),
            now: UnixMs(10 * HOUR + 1),
            defined: true,
        }
    }

    impl Stage {
        fn needs(&self) -> Needs {
            let plan = Plan::new(&self.spec, "nightly", &BTreeMap::new(), UnixMs(0)).unwrap();
            let world = World {
                now: self.now,
                term: Term(1),
                definition: Definition {
                    spec: self.defined.then_some(&self.spec),
                    since: UnixMs(0),
                },
                halts: &self.halts,
                pause_revision: 0,
                runs: &self.runs,
                wishes: &[],
            };
            Fires::new(job(), Some(self.state.clone()), Some(plan)).needs(&world)
        }

        fn due(&self) -> Option<u64> {
            self.needs().fire.map(|need| need.due.0)
        }

        fn halt(&mut self, until: Option<UnixMs>) {
            self.halts = vec![Halt {
                frozen: false,
                from: UnixMs(10 * HOUR),
                until,
                by: "ada".into(),
                note: String::new(),
                missed: None,
            }];
        }
    }

    #[test]
    fn next_fire_that_no_calendar_takes_out_is_watched() {
        let hourly = stage(json!({ "cron": "@hourly" }));
        assert_eq!(hourly.due(), Some(11 * HOUR));
        let tomorrow = stage(json!({ "cron": "@hourly", "except": "1970-01-01" }));
        assert_eq!(tomorrow.due(), Some(24 * HOUR));
    }

    #[test]
    fn nothing_is_missed_of_a_job_that_is_paused_deleted_or_ended() {
        let mut paused = stage(json!({ "cron": "@hourly" }));
        paused.halt(None);
        assert_eq!(paused.due(), None);
        paused.halt(Some(UnixMs(15 * HOUR + 7)));
        assert_eq!(paused.due(), Some(15 * HOUR + 7), "what it holds back");
        let frozen = Halt {
            frozen: true,
            from: UnixMs(15 * HOUR),
            until: Some(UnixMs(17 * HOUR)),
            ..paused.halts[0].clone()
        };
        paused.halts.push(frozen);
        assert_eq!(paused.due(), Some(17 * HOUR), "two in a row");
        // As it is heard of before the clock shows when it was written.
        paused.halt(None);
        paused.halts[0].from = paused.now + Duration::from_millis(3);
        assert_eq!(paused.due(), None);
        let mut ended = stage(json!({ "cron": "@hourly" }));
        ended.state.ended = true;
        assert_eq!(ended.due(), None);
        let mut enough = stage(json!({ "cron": "@hourly", "max_fires": 3 }));
        enough.state.accepted = 3;
        assert_eq!(enough.due(), None);
        let mut gone = stage(json!({ "cron": "@hourly" }));
        gone.defined = false;
        assert_eq!(gone.due(), None);
    }

    #[test]
    fn fire_that_is_decided_and_not_open_is_still_watched() {
        let mut stage = stage(json!({ "cron": "@hourly" }));
        let at = UnixMs(10 * HOUR);
        let run = RunId::from_fire(&job(), at);
        stage.state.unopened = vec![Unopened {
            at,
            run: run.clone(),
        }];
        let need = stage.needs().fire.unwrap();
        assert_eq!((need.scheduled_at, need.waits), (at, true));
        stage.runs.open = BTreeSet::from([run]);
        assert_eq!(stage.due(), Some(11 * HOUR));
    }

    #[test]
    fn runs_of_fires_have_to_be_over_by_what_the_schedule_says_also_while_it_is_paused() {
        let mut stage = stage(json!({ "cron": "@hourly", "finish_within": "90m" }));
        let fired = RunId::from_fire(&job(), UnixMs(10 * HOUR));
        let by_hand = RunId::from_request(&job(), "7");
        stage.runs.open = BTreeSet::from([fired.clone(), by_hand]);
        stage.halt(None);
        let due = stage.needs().runs;
        let due: Vec<_> = due.iter().map(|(run, need)| (run, need.due.0)).collect();
        assert_eq!(due, [(&fired, 11 * HOUR + HOUR / 2)]);
    }
}
