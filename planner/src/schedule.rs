//! What becomes of each nominal time of a job: the one decision that is to be recorded next. Pure, and a question about
//! the whole situation rather than an answer to an event: a leader that missed everything asks it like one that saw it.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | `due` | which fire is next, and whether it was missed, held back or taken out |
//! | `asked` | what becomes of a run that people ask for while others are open |
//! | `overlap` | what becomes of one that is on time while earlier runs are open |
//! | `missed` | which of many missed ones are made up for |
//! | `failures` | when so many runs failed in a row that it pauses itself |
//! | `change` | what an edit, a deletion and the end of a schedule leave behind |
//! | [`backfill`] | what a backfill does next: beside the schedule, which knows nothing of it |
//! | `watch` | what would be missed if no planner were left |
//! | [`world`] | what a decision depends on besides the schedule's own state |
//!
//! In this order, the first that applies; each becomes a record with the state after it, and the question is asked again:
//!
//! | what is the case | what is recorded |
//! |------------------|------------------|
//! | the job has its first schedule | adopted; fires count from when it was applied |
//! | so many of its runs failed in a row as it bears | halted: it pauses itself |
//! | a run by hand waits that somebody cancelled, or whose job is gone | refused |
//! | a fire or a run by hand waits and nothing is open | opened, the one that waited longer |
//! | somebody asks for a run with an overlap policy | what that says |
//! | the opening of a nominal time has come, inside a pause or freeze that is over | what the resume says of those |
//! | ... it lies back further than the grace | what the misfire policy says |
//! | ... a calendar takes it out, by what it said then | excluded |
//! | ... otherwise | opened, or what the overlap policy says |
//! | the definition has another schedule | adopted; what has come and waits for its opening is carried along |
//! | the definition is gone | ended, and what waited is dropped |
//! | there is no later time, or enough were accepted | ended |
//! | what was decided is open, and nothing of the above will be the case soon | confirmed |
//!
//! While a pause or a freeze lasts nothing opens. While a calendar is not there that the schedule names, no nominal time is
//! decided: they are decided when it comes back, as missed ones; an edit in between says that they were taken out.
//!
//! Nothing here opens a run: whoever recorded a decision opens those of
//! [`State::unopened`](gridloom_shared::schedule::record::State) as often as it takes, as their ids follow from job and time.

use std::collections::BTreeSet;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{CalendarName, JobName, RunId};
use gridloom_shared::limits::{CONFIRMED_WITHIN, UNOPENED_MAX};
use gridloom_shared::schedule::record::{Decision, Pausing, Record, State, Unopened};
use gridloom_shared::schedule::{Nominal, Plan};

mod asked;
pub mod backfill;
mod change;
mod due;
mod failures;
mod missed;
mod overlap;
mod watch;
pub mod world;

pub use world::{Definition, Halt, Over, Runs, Wish, World};

/// A job's fires: what was recorded last, and what its schedule means.
#[derive(Clone, Debug)]
pub struct Fires {
    job: JobName,
    state: Option<State>,
    /// Of the state's schedule. `None`: it has none, or cannot be followed.
    plan: Option<Plan>,
    /// What the plan has next after the state's cursor: asked for with each decision.
    next: Option<Nominal>,
}

/// A decision, and the state after it.
type Step = (Decision, State);

impl Fires {
    /// A job of which `state` was recorded last; `plan` is what the schedule in it means.
    pub fn new(job: JobName, state: Option<State>, plan: Option<Plan>) -> Fires {
        let mut fires = Fires {
            job,
            state,
            plan,
            next: None,
        };
        fires.look_ahead();
        fires
    }

    fn look_ahead(&mut self) {
        let fires = self.state.as_ref().filter(|state| !state.is_over());
        let plan = fires.zip(self.plan.as_ref());
        self.next = plan.and_then(|(state, plan)| plan.next_after(state.cursor));
    }

    /// What was recorded last.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// The record that is to be appended next, if any. Nothing changes until [`Fires::recorded`].
    pub fn decide(&self, world: &World) -> Option<Record> {
        let (decision, mut state) = match &self.state {
            None => match change::first(world) {
                Some(first) => first,
                None => asked::answer(self, &asked::blank(world), world)?,
            },
            Some(state) => match failures::counted(self, state, world) {
                None => self.step(state, world)?,
                Some(state) => self.step(&state, world)?,
            },
        };
        state
            .pausing
            .take_if(|pausing| pausing.revision != world.pause_revision);
        state.last_end = state.last_end.max(world.runs.last_end);
        let settled = |run: &RunId| !world.wishes_for(run);
        let open = |fire: &Unopened| world.runs.knows(&fire.run) && settled(&fire.run);
        asked::count(self.state.as_ref(), &mut state, world);
        state.unopened.retain(|fire| !open(fire));
        state
            .asked
            .retain(|asked| asked.refused.is_none() || !settled(&asked.run));
        Some(Record {
            at: world.now,
            term: world.term,
            decision,
            state,
        })
    }

    fn step(&self, state: &State, world: &World) -> Option<Step> {
        if self.is_stuck(state, world) {
            return None;
        }
        let changed = world.changes(state);
        if !changed && let Some(step) = failures::pause(self, state, world) {
            return Some(step);
        }
        let halted = is_halted(state, world);
        let by_hand = asked::dropped(state, world);
        let by_hand = by_hand.or_else(|| asked::freed(self, state, world, halted));
        if by_hand.is_some() {
            return by_hand;
        }
        if !halted {
            let free = overlap::freed(self, state, world);
            if free.is_some() {
                return free;
            }
        }
        let by_hand = asked::answer(self, state, world);
        if by_hand.is_some() {
            return by_hand;
        }
        let fire = match (changed, halted) {
            (false, true) => None,
            _ => due::next(self, state, world),
        };
        if fire.is_some() {
            return fire;
        }
        if changed {
            return Some(change::adopt(self, state, world));
        }
        change::end(self, state, world).or_else(|| self.confirm(state, world))
    }

    /// Says that what was decided is open, where no other record will for a while: until one does, each new leader
    /// opens it again, and the ledger remembers an id only for so long.
    fn confirm(&self, state: &State, world: &World) -> Option<Step> {
        let mut unopened = state.unopened.iter();
        let open = |run: &RunId| world.runs.knows(run) && !world.wishes_for(run);
        let known = unopened.any(|fire| open(&fire.run));
        let mut asked = state.asked.iter();
        let told = asked.any(|asked| asked.refused.is_some() && !world.wishes_for(&asked.run));
        let known = known || told;
        let awaited = self.state.as_ref().map_or(0, |state| state.awaited.len());
        let known = known || state.awaited.len() < awaited;
        // Counted from the end of a run, which is to be on record.
        let follows = self
            .plan
            .as_ref()
            .is_some_and(|plan| plan.after().is_some());
        let goes_on = follows && self.busy(state, world).is_some();
        let soon = world.now + CONFIRMED_WITHIN;
        let comes = self.wake(world).is_some_and(|wake| wake < soon);
        let known = known && !comes || follows && ended_unseen(state, world);
        (known && !goes_on).then(|| (Decision::Confirmed, state.clone()))
    }

    /// `plan` is what the schedule means from now on: a calendar that it names is another.
    pub fn replan(&mut self, plan: Option<Plan>) {
        self.plan = plan;
        self.look_ahead();
    }

    /// Whether what its schedule means is known, if it has one.
    pub fn is_followed(&self) -> bool {
        let has_one = self
            .state
            .as_ref()
            .is_some_and(|state| state.spec.is_some());
        self.plan.is_some() || !has_one
    }

    /// A calendar that the schedule waits for.
    pub fn waits_for(&self) -> Option<&CalendarName> {
        self.plan.as_ref()?.waits_for()
    }

    /// `record` stands in the ledger; `plan` is what the schedule in it means.
    pub fn recorded(&mut self, record: Record, plan: Option<Plan>) {
        self.plan = plan;
        self.went_on(record);
    }

    /// `record` stands in the ledger, and its schedule means what it meant before.
    pub fn went_on(&mut self, record: Record) {
        self.state = Some(record.state);
        self.look_ahead();
    }

    /// When the next one opens, as far as that follows from the schedule alone.
    pub fn expected(&self) -> Option<UnixMs> {
        let carried = self.state.iter().flat_map(|state| &state.carried);
        let next = self.next.iter().map(due::answered_at);
        carried.map(|fire| fire.opens_at).chain(next).min()
    }

    /// When [`Fires::decide`] is to be asked again if nothing else happens before.
    pub fn wake(&self, world: &World) -> Option<UnixMs> {
        let state = self.state.as_ref()?;
        if failures::pending(state, world).is_some() {
            // It is written as soon as that can be.
            return None;
        }
        if let Some(halt) = world.halted() {
            return halt.until;
        }
        let carried = state.carried.iter().map(|fire| fire.opens_at).min();
        let next = due::nominal(self, state, world).map(|next| due::answered_at(&next));
        carried.into_iter().chain(next).min()
    }

    /// The runs that are to be opened: decided, and not known to have been.
    pub fn to_open(&self, world: &World) -> Vec<(UnixMs, RunId)> {
        let unopened = self.state.iter().flat_map(|state| unopened(state, world));
        unopened.map(|fire| (fire.at, fire.run.clone())).collect()
    }

    /// The runs that are to be cancelled, as a fire waits for that.
    pub fn to_cancel(&self, world: &World) -> Vec<RunId> {
        let mut queued = self.state.iter().flat_map(|state| &state.queued);
        let by_hand = self.state.as_ref().is_some_and(asked::cancels);
        if by_hand || queued.any(|fire| fire.behind.cancelled) {
            world.runs.open.iter().cloned().collect()
        } else {
            Vec::new()
        }
    }

    /// Runs of which it is not known whether they are over, and which nothing else tells of.
    pub fn to_find(&self, world: &World) -> Vec<RunId> {
        let state = self.state.as_ref();
        let awaited = state.into_iter().flat_map(|state| &state.awaited);
        let runs = awaited.map(|at| RunId::from_fire(&self.job, *at));
        let coming: BTreeSet<RunId> = self
            .to_open(world)
            .into_iter()
            .map(|(_, run)| run)
            .collect();
        runs.filter(|run| !world.runs.knows(run) && !coming.contains(run))
            .collect()
    }

    /// The pause that it decided itself and that is to be written.
    pub fn pausing(&self, world: &World) -> Option<&Pausing> {
        failures::pending(self.state.as_ref()?, world)
    }

    /// A run of the job that is open or about to be.
    fn busy(&self, state: &State, world: &World) -> Option<RunId> {
        let coming = unopened(state, world).map(|fire| &fire.run);
        world.runs.open.iter().chain(coming).next().cloned()
    }

    /// Whether as many runs wait to be opened as may.
    fn is_stuck(&self, state: &State, world: &World) -> bool {
        unopened(state, world).count() >= UNOPENED_MAX
    }
}

/// Whether nothing of the schedule opens for now.
fn is_halted(state: &State, world: &World) -> bool {
    world.halted().is_some() || failures::pending(state, world).is_some()
}

/// Whether a run has ended later than any of which the record tells or leads a new leader to the end: one by hand.
fn ended_unseen(state: &State, world: &World) -> bool {
    let named = state.unopened.iter();
    let found = named.filter_map(|fire| world.runs.over.get(&fire.run)?.at);
    world.runs.last_end > found.max().max(state.last_end)
}

/// Fires whose run is decided, and is not known to have been opened.
fn unopened<'a>(state: &'a State, world: &'a World) -> impl Iterator<Item = &'a Unopened> {
    let all = state.unopened.iter();
    all.filter(|fire| !world.runs.knows(&fire.run))
}
