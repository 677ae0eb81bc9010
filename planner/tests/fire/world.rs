//! A job, its ledger of fires, its runs and one leader or two: what a planner's shell would hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gridloom_planner::schedule::{Definition, Fires, Halt, Over, Runs, Wish, World};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId, Term};
use gridloom_shared::ledger::record::EndState;
use gridloom_shared::schedule::record::{Record, State};
use gridloom_shared::schedule::{Calendar, Calendars, Kept, Plan, Spec};
use gridloom_shared::wire;

/// More records than any script has; more decisions at one time mean that they never end.
const DECISIONS_MAX: usize = 20_000;

/// What is there whether a leader is or not.
pub(crate) struct Place {
    pub(crate) job: JobName,
    pub(crate) now: UnixMs,
    pub(crate) spec: Option<Spec>,
    pub(crate) since: UnixMs,
    pub(crate) halts: Vec<Halt>,
    /// Of what stands where the job's own pause is written.
    pub(crate) pause_revision: u64,
    pub(crate) runs: Runs,
    /// What people asked for and what stands there still.
    pub(crate) wishes: Vec<Wish>,
    /// The same at a site that follows this one: it does not see what is removed.
    pub(crate) followed: Vec<Wish>,
    /// Those that came in once more.
    pub(crate) again: BTreeSet<RunId>,
    /// All that was recorded, in order.
    pub(crate) ledger: Vec<Record>,
    /// How often each run was opened with success.
    pub(crate) opened: BTreeMap<RunId, u32>,
    pub(crate) openings_work: bool,
    /// What the schedule means by another zone database.
    pub(crate) zones: Option<Spec>,
    /// As their keys have them: the one that is called [`CALENDAR`], where it is there.
    pub(crate) calendars: Calendars,
    /// All that it said, and when; `None`: it was deleted.
    pub(crate) said: Vec<(UnixMs, Option<Calendar>)>,
}

/// The calendar that schedules name.
pub(crate) const CALENDAR: &str = "office";

/// A leader: what it read of the ledger.
#[derive(Clone)]
pub(crate) struct Leader {
    term: Term,
    fires: Fires,
    /// How many records it knows: what its next one expects.
    read: usize,
    /// What it heard of calendars last.
    calendars: Calendars,
}

/// What a leader did.
pub(crate) enum Did {
    Recorded(Box<Record>),
    /// Another leader's record stood there.
    Refused,
    Opened(RunId),
    OpenedBefore(RunId),
    NotOpened(RunId),
    Cancelled(RunId),
    /// The schedule has paused itself, or does not get to.
    Paused(bool),
    /// Who asked for the run was told that it is refused.
    Declined(RunId),
}

impl Place {
    pub(crate) fn new(now: UnixMs) -> Place {
        Place {
            job: JobName::new("nightly").unwrap(),
            now,
            spec: None,
            since: now,
            halts: Vec::new(),
            pause_revision: 0,
            runs: Runs::default(),
            wishes: Vec::new(),
            followed: Vec::new(),
            again: BTreeSet::new(),
            ledger: Vec::new(),
            opened: BTreeMap::new(),
            openings_work: true,
            zones: None,
            calendars: Calendars::new(),
            said: Vec::new(),
        }
    }

    /// The calendar says this from now on; `None`: it is deleted.
    pub(crate) fn say(&mut self, calendar: Option<Calendar>) {
        self.said.push((self.now, calendar.clone()));
        let Some(calendar) = calendar else {
            self.calendars.clear();
            return;
        };
        let kept = match self.calendars.get(CALENDAR) {
            Some(kept) => kept.then(calendar, UnixMs(0)),
            None => Kept::always(calendar),
        };
        // As it is read back from its key.
        let kept = Kept::read(CALENDAR, &wire::encode(&kept), self.now).unwrap();
        self.calendars.insert(CALENDAR.to_owned(), Arc::new(kept));
    }

    pub(crate) fn plan(&self, state: &State, calendars: &Calendars) -> Option<Plan> {
        let spec = self.zones.as_ref().filter(|_| state.spec.is_some());
        let spec = spec.or(state.spec.as_ref())?;
        Some(Plan::in_force(spec, self.job.as_str(), calendars, state.anchor).unwrap())
    }

    /// A new leader, which reads the last record.
    pub(crate) fn leader(&self, term: u64) -> Leader {
        let state = self.ledger.last().map(|record| record.state.clone());
        let calendars = self.calendars.clone();
        let plan = state.as_ref();
        let plan = plan.and_then(|state| self.plan(state, &calendars));
        Leader {
            term: Term(term),
            fires: Fires::new(self.job.clone(), state, plan),
            read: self.ledger.len(),
            calendars,
        }
    }

    pub(crate) fn end_run(&mut self, run: &RunId, end: EndState) {
        if self.runs.open.remove(run) {
            let (at, end) = (Some(self.now), Some(end));
            self.runs.over.insert(run.clone(), Over { at, end });
            self.runs.last_end = at;
        }
    }

    /// What a new leader finds of ends: those of runs that the last record names.
    pub(crate) fn forget_ends(&mut self) {
        let named = self.ledger.last().map(|record| &record.state.unopened);
        let ends = named.into_iter().flatten();
        let ends = ends.filter_map(|fire| self.runs.over.get(&fire.run)?.at);
        self.runs.last_end = ends.max();
    }

    /// Somebody asks for a run. One that comes late stood before the others in the submit stream.
    pub(crate) fn keep(&mut self, wish: Wish, late: bool) {
        let revision = self.followed.iter().map(|wish| wish.revision).max();
        let revision = revision.unwrap_or_default() + 1;
        let wish = Wish { revision, ..wish };
        let known = self.followed.len();
        self.followed.retain(|there| there.run != wish.run);
        if self.followed.len() < known {
            self.again.insert(wish.run.clone());
        }
        self.followed.push(wish.clone());
        match late {
            true => self.wishes.insert(0, wish),
            false => self.wishes.push(wish),
        }
    }

    /// Writes a pause of the job, or of all.
    pub(crate) fn halt(&mut self, halt: Halt) {
        self.pause_revision += u64::from(!halt.frozen);
        self.halts.retain(|there| there.frozen != halt.frozen);
        self.halts.push(halt);
    }

    pub(crate) fn open_runs(&self) -> BTreeSet<RunId> {
        self.runs.open.clone()
    }
}

impl Leader {
    fn world<'a>(&self, place: &'a Place) -> World<'a> {
        World {
            now: place.now,
            term: self.term,
            definition: Definition {
                spec: place.spec.as_ref(),
                since: place.since,
            },
            halts: &place.halts,
            pause_revision: place.pause_revision,
            runs: &place.runs,
            wishes: &place.wishes,
        }
    }

    /// It hears what calendars say now.
    pub(crate) fn hear(&mut self, place: &Place) {
        self.calendars = place.calendars.clone();
        let state = self.fires.state();
        let plan = state.and_then(|state| place.plan(state, &self.calendars));
        self.fires.replan(plan);
    }

    /// Whether it heard all that calendars say.
    pub(crate) fn has_heard(&self, place: &Place) -> bool {
        self.calendars == place.calendars
    }

    /// When it looks again.
    pub(crate) fn wake(&self, place: &Place) -> Option<UnixMs> {
        self.fires.wake(&self.world(place))
    }

    /// Appends what is to be decided next. `None`: nothing is.
    pub(crate) fn decide(&mut self, place: &mut Place) -> Option<Did> {
        let record = self.fires.decide(&self.world(place))?;
        if place.ledger.len() != self.read {
            return Some(Did::Refused);
        }
        place.ledger.push(record.clone());
        self.read += 1;
        let plan = place.plan(&record.state, &self.calendars);
        self.fires.recorded(record.clone(), plan);
        Some(Did::Recorded(Box::new(record)))
    }

    /// Opens and cancels what the last record asks for.
    pub(crate) fn act(&self, place: &mut Place) -> Vec<Did> {
        let mut did = Vec::new();
        if let Some(pausing) = self.fires.pausing(&self.world(place)) {
            let halt = Halt {
                frozen: false,
                from: pausing.from,
                until: None,
                by: "schedule".to_owned(),
                note: format!("{} runs failed", pausing.failures),
                missed: None,
            };
            did.push(Did::Paused(place.openings_work));
            if place.openings_work {
                place.halt(halt);
            }
        }
        for run in self.fires.to_cancel(&self.world(place)) {
            did.push(Did::Cancelled(run));
        }
        for (_, run) in self.fires.to_open(&self.world(place)) {
            if !place.openings_work {
                did.push(Did::NotOpened(run));
                continue;
            }
            // As the ledger of a run does it: whoever comes second finds it open.
            let first = !place.opened.contains_key(&run);
            if first {
                place.opened.insert(run.clone(), 1);
                place.runs.open.insert(run.clone());
                did.push(Did::Opened(run));
            } else {
                did.push(Did::OpenedBefore(run));
            }
        }
        if place.openings_work {
            did.extend(self.settle_asked(place));
        }
        did
    }

    /// Forgets what was asked for and is answered for good.
    fn settle_asked(&self, place: &mut Place) -> Vec<Did> {
        let state = self.fires.state();
        let asked = state.into_iter().flat_map(|state| &state.asked);
        let refused = asked.filter(|asked| asked.refused.is_some());
        let refused: Vec<RunId> = refused.map(|asked| asked.run.clone()).collect();
        let Place { wishes, runs, .. } = place;
        let stands = |run: &&RunId| wishes.iter().any(|wish| wish.run == **run);
        let told = refused.iter().filter(stands).cloned();
        let did = told.map(Did::Declined).collect();
        let again = |wish: &Wish| {
            let coming = |state: &State| state.unopened.iter().any(|fire| fire.run == wish.run);
            state.is_some_and(|state| state.is_answered(wish.stored) && !coming(state))
        };
        wishes
            .retain(|wish| !runs.knows(&wish.run) && !refused.contains(&wish.run) && !again(wish));
        did
    }

    /// Decides and acts until there is nothing left.
    pub(crate) fn settle(&mut self, place: &mut Place) -> Vec<Did> {
        let mut all = self.act(place);
        for _ in 0..DECISIONS_MAX {
            let Some(did) = self.decide(place) else {
                return all;
            };
            let refused = matches!(did, Did::Refused);
            all.push(did);
            if refused {
                return all;
            }
            all.extend(self.act(place));
        }
        panic!("decisions do not end");
    }
}
