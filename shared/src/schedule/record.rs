//! What stands on `<ns>.fires.<job>`: each decision about a job's fires, with the schedule's state after it.
//!
//! A schedule is a ledger: records are appended under compare-and-swap on their subject, so that each nominal time
//! is decided by one leader, and the last record is all that the next leader needs (docs/PROTOCOL.md §7).

use serde::{Deserialize, Serialize};

use super::Spec;
use crate::clock::UnixMs;
use crate::id::{RunId, Term};

mod asked;

pub use asked::Petition;

/// A record: what was decided, and what is then the case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When, by the broker's clock.
    pub at: UnixMs,
    /// By which leadership.
    pub term: Term,
    /// What.
    pub decision: Decision,
    /// All that the decisions after this one follow from.
    pub state: State,
}

/// What becomes of nominal times. The answer is final, except for [`Decision::Queued`], which is decided once more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The job has this schedule from now on. Of no nominal time.
    Adopted,
    /// The runs that were decided are open, and no further record will say so soon. Of no nominal time.
    Confirmed,
    /// A run is opened.
    Opened {
        /// The nominal time.
        at: UnixMs,
        /// The run.
        run: RunId,
        /// The civil time that the schedule says, where the clocks left it out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        moved_from: Option<String>,
        /// The run that it waited for, and whether that one was cancelled for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Behind>,
        /// The pause that held it back: it is not late.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<Why>,
    },
    /// It waits until another run is over.
    Queued {
        /// The nominal time.
        at: UnixMs,
        /// The run.
        behind: Behind,
    },
    /// There is no run for these.
    Passed {
        /// Which.
        span: Span,
        /// Why not.
        why: Why,
    },
    /// So many runs failed in a row that the schedule pauses itself. Of no nominal time.
    Halted {
        /// How many.
        failures: u32,
        /// The newest of them, the last one last.
        runs: Vec<RunId>,
    },
    /// What becomes of a run that somebody asked for with an overlap policy. Of no nominal time.
    Asked {
        /// The run.
        run: RunId,
        /// What becomes of it.
        answer: Verdict,
    },
    /// No fires come any more.
    Ended {
        /// Why not.
        why: End,
        /// Fires that waited and are dropped with it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        dropped: Vec<UnixMs>,
    },
}

/// What becomes of a run by hand. Final, except for [`Verdict::Queued`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is opened.
    Opened {
        /// The run that it waited for, and whether that one was cancelled for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Behind>,
    },
    /// It waits until another run is over.
    Queued {
        /// The run.
        behind: Behind,
    },
    /// It is not opened.
    Refused {
        /// Why not.
        why: Why,
    },
}

/// The run that a fire waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// Which.
    pub run: RunId,
    /// Whether it is cancelled for this fire.
    pub cancelled: bool,
}

/// Nominal times that are answered for together, both ends among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first.
    pub first: UnixMs,
    /// The last.
    pub last: UnixMs,
    /// How many there are.
    pub count: u64,
    /// Whether counting stopped there, as they are more than anybody needs to know.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// Why there is no run for a nominal time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// An earlier run was open.
    Overlap {
        /// That run.
        run: RunId,
    },
    /// It waited, and a later fire took its place.
    Replaced {
        /// The later one.
        by: UnixMs,
    },
    /// It waited, and a newer run by hand took its place.
    Newer {
        /// The newer one.
        run: RunId,
    },
    /// As many as may wait did.
    Full {
        /// How many.
        waiting: u64,
    },
    /// No planner was there to open it in time, and the job does not make up for that.
    Missed,
    /// No planner was there while its window lasted.
    Expired,
    /// More were missed than the job makes up for.
    TooMany {
        /// How many it makes up for.
        max: u64,
    },
    /// Missed like others, of which the last gets the one run.
    Coalesced {
        /// That one.
        into: UnixMs,
    },
    /// The job was paused.
    Paused {
        /// By whom.
        by: String,
        /// What they said.
        note: String,
    },
    /// All jobs were paused.
    Frozen {
        /// By whom.
        by: String,
        /// What they said.
        note: String,
    },
    /// A calendar takes it out.
    Excluded {
        /// Which.
        calendar: String,
    },
    /// Of a run by hand: its job is there no more.
    Deleted,
    /// Of a run by hand: the job as it is now does not take it.
    Unfit {
        /// Why not.
        reason: String,
    },
    /// Of a run by hand: somebody has cancelled it before it was opened.
    Withdrawn {
        /// Who.
        by: String,
    },
}

/// Why a schedule has no fires any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It has no later time.
    Over,
    /// As many fires as it may have.
    MaxFires,
    /// The job was deleted, or has no schedule any more.
    Deleted,
}

/// What a job's next decisions follow from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The schedule. `None`: the job has none any more.
    pub spec: Option<Spec>,
    /// From when a cadence without a start is counted: when the job first had a schedule.
    pub anchor: UnixMs,
    /// Each nominal time up to here has its answer, but those of `carried`.
    pub cursor: UnixMs,
    /// When the last run ended that was over then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_end: Option<UnixMs>,
    /// Fires that got or will get a run, since the schedule was changed last.
    pub accepted: u64,
    /// Whether no fires come any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
    /// Fires that wait for runs to be over, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queued: Vec<Queued>,
    /// Fires of an earlier schedule whose nominal time had come when it was changed, and whose opening had not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carried: Vec<Carried>,
    /// Fires whose run is decided, and was not known to be open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unopened: Vec<Unopened>,
    /// Fires of a schedule with `pause_after_failures`, of whose run it is not on record how it ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub awaited: Vec<UnixMs>,
    /// Runs that failed in a row.
    #[serde(default, skip_serializing_if = "Failures::are_none")]
    pub failures: Failures,
    /// A pause of its own that is to be written, or was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pausing: Option<Pausing>,
    /// Runs that people asked for: such that wait, in order, and such that are refused and were not told yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Petition>,
    /// The places in the submit stream of the newest runs by hand that have their answer: what comes in again from there is
    /// no other wish, see [`State::is_answered`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answered: Vec<u64>,
    /// When what stood there was stored, of the last of them: places come again where the stream lost its last messages.
    /// Earlier builds did not say it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answered_at: Vec<UnixMs>,
    /// Each run by hand whose key was written up to this revision has its answer, see [`State::has_answered`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub asked_up_to: u64,
    /// The highest revision of such a key that was seen.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub asked_seen: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Runs of a schedule that failed in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// How many.
    pub count: u32,
    /// When the last of them ended.
    pub last: UnixMs,
    /// The nominal times of the newest, the last one last.
    pub fires: Vec<UnixMs>,
}

impl Failures {
    fn are_none(&self) -> bool {
        self.count == 0
    }
}

/// A pause that a schedule decided itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pausing {
    /// Its first instant.
    pub from: UnixMs,
    /// What stood under its key then. Once something else does, it is written, or people have written something newer.
    pub revision: u64,
    /// How many runs had failed in a row.
    pub failures: u32,
    /// As [`Failures::fires`].
    pub fires: Vec<UnixMs>,
}

/// A fire that waits for runs to be over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// The nominal time.
    pub at: UnixMs,
    /// See [`Decision::Opened`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<String>,
    /// What it waits for.
    pub behind: Behind,
    /// Whether it is among those of [`State::accepted`].
    pub counted: bool,
}

/// A fire that was left over from an earlier schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The nominal time.
    pub at: UnixMs,
    /// When it is to open.
    pub opens_at: UnixMs,
    /// See [`Decision::Opened`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<String>,
}

/// A fire whose run is decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unopened {
    /// The nominal time.
    pub at: UnixMs,
    /// The run.
    pub run: RunId,
}

impl State {
    /// Of a schedule of which nothing is decided but up to `cursor`.
    pub fn new(spec: Option<Spec>, anchor: UnixMs, cursor: UnixMs) -> State {
        State {
            spec,
            anchor,
            cursor,
            last_end: None,
            accepted: 0,
            ended: false,
            queued: Vec::new(),
            carried: Vec::new(),
            unopened: Vec::new(),
            awaited: Vec::new(),
            failures: Failures::default(),
            pausing: None,
            asked: Vec::new(),
            answered: Vec::new(),
            answered_at: Vec::new(),
            asked_up_to: 0,
            asked_seen: 0,
        }
    }

    /// Whether as many fires were accepted as the schedule may have.
    pub fn has_enough(&self) -> bool {
        let max = self.spec.as_ref().and_then(|spec| spec.max_fires);
        max.is_some_and(|max| self.accepted >= max)
    }

    /// Whether no later time gets a fire, as it has ended or has enough.
    pub fn is_over(&self) -> bool {
        self.ended || self.has_enough()
    }
}

impl Span {
    /// One nominal time.
    pub fn one(at: UnixMs) -> Span {
        Span {
            first: at,
            last: at,
            count: 1,
            more: false,
        }
    }
}

impl Decision {
    /// What people and metrics call it: one word of a closed set.
    pub fn word(&self) -> &'static str {
        match self {
            Decision::Adopted => "adopted",
            Decision::Confirmed => "confirmed",
            Decision::Opened {
                after: Some(after), ..
            } if after.cancelled => "cancelled_previous",
            Decision::Opened { .. } => "opened",
            Decision::Queued { .. } => "queued",
            Decision::Passed { why, .. } => why.word(),
            Decision::Halted { .. } => "halted",
            Decision::Asked { answer, .. } => answer.word(),
            Decision::Ended { .. } => "ended",
        }
    }

    /// The nominal times that it is about, as intervals with both ends.
    pub fn spans(&self) -> Vec<Span> {
        match self {
            Decision::Adopted
            | Decision::Confirmed
            | Decision::Halted { .. }
            | Decision::Asked { .. } => Vec::new(),
            Decision::Opened { at, .. } | Decision::Queued { at, .. } => vec![Span::one(*at)],
            Decision::Passed { span, .. } => vec![*span],
            Decision::Ended { dropped, .. } => dropped.iter().copied().map(Span::one).collect(),
        }
    }
}

impl Verdict {
    fn word(&self) -> &'static str {
        match self {
            Verdict::Opened { after: Some(after) } if after.cancelled => "cancelled_previous",
            Verdict::Opened { .. } => "opened",
            Verdict::Queued { .. } => "queued",
            Verdict::Refused { why } => why.word(),
        }
    }
}

impl Why {
    fn word(&self) -> &'static str {
        match self {
            Why::Overlap { .. }
            | Why::Replaced { .. }
            | Why::Newer { .. }
            | Why::Full { .. }
            | Why::Missed => "skipped",
            Why::Expired | Why::TooMany { .. } => "expired",
            Why::Coalesced { .. } => "coalesced",
            Why::Paused { .. } => "paused",
            Why::Frozen { .. } => "frozen",
            Why::Excluded { .. } => "excluded",
            Why::Deleted | Why::Unfit { .. } | Why::Withdrawn { .. } => "dropped",
        }
    }
}

crate::wire::coded!(Record);
