//! What a decision about fires depends on besides the schedule's own state.

use std::collections::{BTreeMap, BTreeSet};

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{RunId, Term};
use gridloom_shared::ledger::record::EndState;
use gridloom_shared::schedule::record::{State, Why};
use gridloom_shared::schedule::{ByHand, MisfirePolicy, Spec};
use gridloom_shared::submission::Stored;

/// The situation of a job.
#[derive(Clone, Debug)]
pub struct World<'a> {
    /// Now, by the broker's clock.
    pub now: UnixMs,
    /// The leadership that decides.
    pub term: Term,
    /// What the jobs bucket has.
    pub definition: Definition<'a>,
    /// Pauses of the job and freezes of the namespace, the last of each.
    pub halts: &'a [Halt],
    /// Revision of what stands where the job's own pause is written; 0: nothing ever did.
    pub pause_revision: u64,
    /// Its runs.
    pub runs: &'a Runs,
    /// Runs that people ask for with an overlap policy, in the order in which they came.
    pub wishes: &'a [Wish],
}

/// A run that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The run.
    pub run: RunId,
    /// Its place in the submit stream.
    pub stored: Stored,
    /// Revision of its key: keys are seen in this order.
    pub revision: u64,
    /// What becomes of it while another is open.
    pub overlap: ByHand,
    /// Why it cannot be opened, as things stand.
    pub fault: Option<Why>,
}

/// What the jobs bucket has of a job.
#[derive(Clone, Copy, Debug)]
pub struct Definition<'a> {
    /// Its schedule. `None`: deleted, or for submissions only.
    pub spec: Option<&'a Spec>,
    /// Since when it is there, by the broker's clock.
    pub since: UnixMs,
}

/// A time in which nothing was to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// Of all jobs, or of this one.
    pub frozen: bool,
    /// Its first instant.
    pub from: UnixMs,
    /// The first instant after it. `None`: nobody has said yet.
    pub until: Option<UnixMs>,
    /// Who halted.
    pub by: String,
    /// What they said.
    pub note: String,
    /// What becomes of the fires inside, where the resume said that. `None`: what the misfire policy says.
    pub missed: Option<MisfirePolicy>,
}

/// The runs of a job, as far as its fires depend on them.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    /// Those that are open.
    pub open: BTreeSet<RunId>,
    /// Those of its fires that are over.
    pub over: BTreeMap<RunId, Over>,
    /// When the last one ended.
    pub last_end: Option<UnixMs>,
}

/// How a run came to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Over {
    /// When, where that is known.
    pub at: Option<UnixMs>,
    /// How, where that is known.
    pub end: Option<EndState>,
}

impl Runs {
    /// Whether the run was opened at any time.
    pub fn knows(&self, run: &RunId) -> bool {
        self.open.contains(run) || self.over.contains_key(run)
    }
}

impl Halt {
    /// Whether `at` lies inside.
    pub fn covers(&self, at: UnixMs) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }

    /// What a fire is told that it held back.
    pub fn why(&self) -> Why {
        let (by, note) = (self.by.clone(), self.note.clone());
        match self.frozen {
            true => Why::Frozen { by, note },
            false => Why::Paused { by, note },
        }
    }
}

impl World<'_> {
    /// The wish for a run, if it stands there still.
    pub fn wish(&self, run: &RunId) -> Option<&Wish> {
        self.wishes.iter().find(|wish| wish.run == *run)
    }

    /// Whether the wish for a run stands there still.
    pub fn wishes_for(&self, run: &RunId) -> bool {
        self.wish(run).is_some()
    }

    /// Whether the definition has another schedule than the state.
    pub fn changes(&self, state: &State) -> bool {
        state.spec.as_ref() != self.definition.spec
    }

    /// Since when the definition is there; a clock that was wrong then says nothing of the time to come.
    pub fn since(&self) -> UnixMs {
        self.definition.since.min(self.now)
    }

    /// The halt that lasts, the one that ends last if there are several.
    pub fn halted(&self) -> Option<&Halt> {
        let lasting = self.halts.iter().filter(|halt| halt.covers(self.now));
        lasting.max_by_key(|halt| halt.until.unwrap_or(UnixMs(u64::MAX)))
    }

    /// The halt inside which `at` lies.
    pub fn halt_at(&self, at: UnixMs) -> Option<&Halt> {
        self.halts.iter().find(|halt| halt.covers(at))
    }
}
