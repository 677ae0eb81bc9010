//! What the table `[schedule]` of a job says, once it was found free of faults. It decides nothing: what follows from
//! it is the room of [plans](super::plan).
//!
//! It is written and read back as a user would write it, in a job file and in a record alike, so that there is one
//! form and one reader ([`schedule`](crate::job::parse::schedule)).

use jiff::civil::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::cron::Dialect;
use super::dates::Dates;
use super::moment::Moment;
use super::zone::{Dst, Gap, Overlap};
use crate::duration::write_duration;
use crate::id::CalendarName;

mod words;

/// What a job says of when it fires, and of what happens to a fire that cannot be carried out at its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Spec {
    /// What makes it fire.
    pub when: When,
    /// The zone of its civil times, as it was written. `None`: UTC, also where that was written.
    pub timezone: Option<String>,
    /// The first time that it may fire at.
    pub start: Option<Moment>,
    /// The last time that it may fire at.
    pub end: Option<Moment>,
    /// After so many fires it has ended. The planner counts.
    pub max_fires: Option<u64>,
    /// It fires only where one of these is. Empty: anywhere.
    pub only: Vec<Days>,
    /// It does not fire where one of these is.
    pub except: Vec<Days>,
    /// Each fire opens up to so much later than its time, another while each time.
    pub jitter_ms: u64,
    /// Each fire opens up to so much later than its time, always the same while: that of the job.
    pub spread_ms: u64,
    /// What is wanted where clocks change.
    pub dst: Dst,
    /// What becomes of a fire while an earlier run is open.
    pub overlap: OverlapPolicy,
    /// What becomes of fires that were missed.
    pub misfire: Misfire,
    /// So many failed runs in a row pause the schedule.
    pub pause_after_failures: Option<u32>,
    /// The time of day by which a run has to be over.
    pub deadline: Option<Time>,
    /// How long after its time a run has to be over.
    pub finish_within_ms: Option<u64>,
}

/// What makes a job fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// Times of a place's clocks.
    Cron {
        /// The expressions, as they were written.
        expressions: Vec<String>,
        /// Whose rules they follow, where that was said.
        dialect: Option<Dialect>,
    },
    /// A cadence in instants, counted from `start`, else from when the job was applied.
    Every {
        /// The whole seconds between two fires, in milliseconds.
        period_ms: u64,
    },
    /// These times.
    At(Vec<Moment>),
    /// So long after the end of the last run.
    After {
        /// The whole seconds between a run's end and the next fire, in milliseconds.
        wait_ms: u64,
    },
}

/// Days that a schedule is bound to, or kept off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Days {
    /// Those of a calendar, and the times of day that it names.
    Calendar(CalendarName),
    /// These, in the schedule's zone.
    Dates(Dates),
}

/// What becomes of a fire while an earlier run of the job is open. Skipping is usual, as in Temporal: a run that takes
/// longer than its period must neither pile up runs nor run beside itself where nobody said that it may. What was
/// skipped is on record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverlapPolicy {
    /// It is skipped.
    #[default]
    Skip,
    /// It waits, and a later one takes its place.
    QueueOne,
    /// It waits, behind those that wait already: at most so many at once.
    QueueAll {
        /// Most fires that wait at once.
        max: u32,
    },
    /// The open run is cancelled, and it begins after that.
    CancelRunning,
    /// It begins beside the open run.
    Allow,
}

/// What becomes of fires that were missed, while no planner was there or the job was paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misfire {
    /// Which of them are made up for.
    pub policy: MisfirePolicy,
    /// Those that are older have expired.
    pub window_ms: u64,
}

/// Which missed fires are made up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MisfirePolicy {
    /// None.
    Skip,
    /// The latest.
    RunOnce,
    /// The latest so many.
    RunAll {
        /// Most fires that are made up for.
        max: u32,
    },
}

impl Default for Misfire {
    fn default() -> Misfire {
        Misfire {
            policy: MisfirePolicy::RunOnce,
            window_ms: WINDOW_DEFAULT_MS,
        }
    }
}

/// Missed fires are made up for within a day, where nothing is said of it.
pub const WINDOW_DEFAULT_MS: u64 = 24 * 3_600_000;
/// Fires that wait, and such that are made up for, where nothing is said of it.
pub const FIRES_DEFAULT: u32 = 100;

/// What is left out where nothing else is said, beside `misfire`.
const USUAL: &[(&str, &str)] = &[
    ("timezone", UTC),
    ("jitter", "0s"),
    ("spread", "0s"),
    ("overlap", "skip"),
];
/// The zone where none is said.
pub const UTC: &str = "UTC";

/// The words of a key, and what each means.
pub(crate) type Choices<T> = &'static [(&'static str, T)];

pub(crate) const DIALECTS: Choices<Dialect> = &[
    ("unix", Dialect::Unix),
    ("quartz", Dialect::Quartz),
    ("spring", Dialect::Spring),
];
pub(crate) const GAPS: Choices<Gap> = &[("skip", Gap::Skip), ("after", Gap::After)];
pub(crate) const OVERLAPS: Choices<Overlap> = &[
    ("first", Overlap::First),
    ("second", Overlap::Second),
    ("both", Overlap::Both),
];

fn word<T: Copy + PartialEq>(choices: Choices<T>, chosen: T) -> Option<Value> {
    let found = choices.iter().find(|(_, value)| *value == chosen);
    found.map(|(word, _)| Value::from(*word))
}

impl OverlapPolicy {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            OverlapPolicy::Skip => "skip",
            OverlapPolicy::QueueOne => "queue_one",
            OverlapPolicy::QueueAll { .. } => "queue_all",
            OverlapPolicy::CancelRunning => "cancel_running",
            OverlapPolicy::Allow => "allow",
        }
    }
}

impl MisfirePolicy {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            MisfirePolicy::Skip => "skip",
            MisfirePolicy::RunOnce => "run_once",
            MisfirePolicy::RunAll { .. } => "run_all",
        }
    }
}

impl Spec {
    /// A schedule that says nothing but when it fires.
    pub fn new(when: When) -> Spec {
        Spec {
            when,
            timezone: None,
            start: None,
            end: None,
            max_fires: None,
            only: Vec::new(),
            except: Vec::new(),
            jitter_ms: 0,
            spread_ms: 0,
            dst: Dst::default(),
            overlap: OverlapPolicy::default(),
            misfire: Misfire::default(),
            pause_after_failures: None,
            deadline: None,
            finish_within_ms: None,
        }
    }

    /// The calendars that it names.
    pub fn calendars(&self) -> impl Iterator<Item = &CalendarName> {
        let all = self.only.iter().chain(&self.except);
        all.filter_map(|days| match days {
            Days::Calendar(name) => Some(name),
            Days::Dates(_) => None,
        })
    }

    /// The schedule in English, for people to see whether it is what they meant.
    pub fn words(&self) -> String {
        words::spec(self)
    }

    /// As a user would write it who leaves no default out. It is read back as the same schedule.
    pub fn written_out(&self) -> Value {
        let mut document = self.document();
        if let Value::Object(keys) = &mut document {
            for (key, usual) in USUAL {
                keys.entry(*key).or_insert_with(|| (*usual).into());
            }
            keys.insert("misfire".to_owned(), misfire(self.misfire));
        }
        document
    }

    fn document(&self) -> Value {
        let mut document = Map::new();
        let mut say = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                document.insert(key.to_owned(), value);
            }
        };
        match &self.when {
            When::Cron {
                expressions,
                dialect,
            } => {
                say("cron", Some(one_or_list(expressions)));
                say(
                    "dialect",
                    dialect.and_then(|dialect| word(DIALECTS, dialect)),
                );
            }
            When::Every { period_ms } => say("every", Some(write_duration(*period_ms).into())),
            When::At(moments) => say("at", Some(one_or_list(moments))),
            When::After { wait_ms } => say("after", Some(write_duration(*wait_ms).into())),
        }
        let span = |ms: u64| (ms > 0).then(|| write_duration(ms).into());
        let moment = |moment: Option<Moment>| moment.map(|moment| moment.to_string().into());
        let days = |days: &[Days]| (!days.is_empty()).then(|| one_or_list(days));
        say("timezone", self.timezone.clone().map(Value::from));
        say("start", moment(self.start));
        say("end", moment(self.end));
        say("max_fires", self.max_fires.map(Value::from));
        say("only", days(&self.only));
        say("except", days(&self.except));
        say("jitter", span(self.jitter_ms));
        say("spread", span(self.spread_ms));
        say("dst", dst(self.dst));
        if self.overlap != OverlapPolicy::default() {
            say("overlap", Some(self.overlap.as_str().into()));
        }
        if let OverlapPolicy::QueueAll { max } = self.overlap {
            say("queue_max", Some(max.into()));
        }
        let usual = self.misfire == Misfire::default();
        say("misfire", (!usual).then(|| misfire(self.misfire)));
        let failures = self.pause_after_failures;
        say("pause_after_failures", failures.map(Value::from));
        let deadline = self.deadline.map(super::moment::write_time);
        say("deadline", deadline.map(Value::from));
        say("finish_within", self.finish_within_ms.and_then(span));
        Value::Object(document)
    }
}

/// One as itself, several as a list: as people write it.
fn one_or_list<T: ToString>(all: &[T]) -> Value {
    match all {
        [only] => only.to_string().into(),
        several => several.iter().map(T::to_string).collect(),
    }
}

fn dst(dst: Dst) -> Option<Value> {
    let gap = dst.gap.and_then(|gap| word(GAPS, gap));
    let overlap = dst.overlap.and_then(|overlap| word(OVERLAPS, overlap));
    let said = [("gap", gap), ("overlap", overlap)];
    let said = said
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Some(said.collect::<Map<_, _>>())
        .filter(|said| !said.is_empty())
        .map(Value::Object)
}

fn misfire(misfire: Misfire) -> Value {
    let mut said = json!({ "policy": misfire.policy.as_str() });
    if misfire.policy != MisfirePolicy::Skip {
        said["window"] = write_duration(misfire.window_ms).into();
    }
    if let MisfirePolicy::RunAll { max } = misfire.policy {
        said["max"] = max.into();
    }
    said
}

impl From<Spec> for Value {
    fn from(spec: Spec) -> Value {
        spec.document()
    }
}

impl std::fmt::Display for Days {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Days::Calendar(name) => name.fmt(f),
            Days::Dates(dates) => dates.fmt(f),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
