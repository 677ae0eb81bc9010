//! A backfill: nominal times of a job that are run again. What was asked for and how far it has come, one value of the
//! `state` bucket, as JSON: people write that they want it, and that no more, the leader writes all else, each under
//! compare-and-swap.
//!
//! It never touches the schedule: neither its cursor nor what it counts. A run of it is known by the job, the backfill
//! and the nominal time, so that whoever carries it out twice opens once.

use serde::{Deserialize, Serialize};

use super::{ByHand, Spec, When};
use crate::clock::UnixMs;
use crate::id::{RunId, Term};
use crate::limits::BACKFILL_NAME_MAX;

/// Its name among those of a job: a part of the ids of its runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackfillName(String);

/// Why a text names no backfill.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {BACKFILL_NAME_MAX} of a-z and 0-9")]
pub struct BackfillNameError;

impl BackfillName {
    /// The name, if `text` is one.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(text: &str) -> Result<BackfillName, BackfillNameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = (1..=BACKFILL_NAME_MAX).contains(&text.len()) && text.bytes().all(plain);
        fits.then(|| BackfillName(text.to_owned()))
            .ok_or(BackfillNameError)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The backfill that a run is of.
    pub fn of_run(run: &RunId) -> Option<BackfillName> {
        let (name, _) = run.as_str().split_once("_b_")?.1.split_once('_')?;
        BackfillName::new(name).ok()
    }
}

impl TryFrom<String> for BackfillName {
    type Error = BackfillNameError;
    fn try_from(text: String) -> Result<BackfillName, BackfillNameError> {
        BackfillName::new(&text)
    }
}

impl From<BackfillName> for String {
    fn from(name: BackfillName) -> String {
        name.0
    }
}

impl std::str::FromStr for BackfillName {
    type Err = BackfillNameError;
    fn from_str(text: &str) -> Result<BackfillName, BackfillNameError> {
        BackfillName::new(text)
    }
}

impl std::fmt::Display for BackfillName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was asked for, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfill {
    /// Who asked.
    pub by: String,
    /// When, by their clock.
    pub asked_at: UnixMs,
    /// The schedule, as it was then: an edit changes nothing of what was asked for.
    pub spec: Spec,
    /// From when its cadence is counted, where it has no start.
    pub anchor: UnixMs,
    /// The first instant.
    pub from: UnixMs,
    /// The last instant.
    pub to: UnixMs,
    /// What it has to do with other runs of the job: with [`ByHand::Allow`] nothing, and nothing waits for it.
    pub overlap: ByHand,
    /// At most so many of its runs are open at once.
    pub concurrency: u32,
    /// How many runs that was, as the asker was told.
    pub count: u64,
    /// Who wants no more of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<String>,
    /// How far it has come.
    #[serde(default)]
    pub progress: Progress,
}

/// How far a backfill has come: the leader's part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// The leadership that wrote it.
    pub term: Term,
    /// Each nominal time up to here has its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<UnixMs>,
    /// Nominal times that got a run.
    pub opened: u64,
    /// Those whose run succeeded.
    pub succeeded: u64,
    /// Those whose run failed, or can never be opened.
    pub failed: u64,
    /// Those whose run was cancelled.
    pub cancelled: u64,
    /// Nominal times that a calendar takes out.
    pub excluded: u64,
    /// Those that got no run as another one was open.
    pub skipped: u64,
    /// Nominal times whose run is decided, and was not known to be over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<UnixMs>,
    /// Another run of the job, for which it waits or did not open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<RunId>,
    /// That nothing more of it is opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// The end of a backfill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When, by the broker's clock.
    pub at: UnixMs,
    /// Why.
    pub why: EndedBy,
}

/// Why nothing more of a backfill is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// Each of its nominal times has its answer, and all of its runs are over.
    Done,
    /// Somebody wanted no more of it.
    Cancelled,
    /// The job was deleted, or has no schedule any more.
    Deleted,
    /// It has more nominal times than one backfill may have.
    TooMany,
}

impl EndedBy {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            EndedBy::Done => "done",
            EndedBy::Cancelled => "cancelled",
            EndedBy::Deleted => "deleted",
            EndedBy::TooMany => "too_many",
        }
    }
}

impl Backfill {
    /// Whether `other` asks for the same, whoever asked and however far it has come.
    pub fn is_the_same(&self, other: &Backfill) -> bool {
        let asked = |one: &Backfill| {
            let (from, to, anchor) = (one.from, one.to, one.anchor);
            (from, to, anchor, one.overlap, one.concurrency)
        };
        asked(self) == asked(other) && self.spec == other.spec
    }

    /// Whether its runs are none of the business of others, nor others of its own.
    pub fn stands_beside(&self) -> bool {
        self.overlap == ByHand::Allow
    }
}

/// From when the cadence of a schedule is counted that began at `anchor`, so that it has the same beat at `from`.
pub fn anchor_before(spec: &Spec, anchor: UnixMs, from: UnixMs) -> UnixMs {
    let anchor = UnixMs(anchor.0 / 1_000 * 1_000);
    match spec.when {
        When::Every { period_ms } if from < anchor => {
            let beats = (anchor.0 - from.0).div_ceil(period_ms.max(1));
            UnixMs(anchor.0.saturating_sub(beats.saturating_mul(period_ms)))
        }
        _ => anchor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::JobName;

    #[test]
    fn runs_of_a_backfill_name_it() {
        let job = JobName::new("nightly").unwrap();
        let name = BackfillName::new("b7").unwrap();
        let run = RunId::from_backfill(&job, &name, UnixMs(1_357_016_400_000));
        assert_eq!(run.as_str(), "nightly_b_b7_20130101T050000Z");
        assert_eq!(BackfillName::of_run(&run), Some(name));
        assert_eq!(RunId::new(run.as_str()).as_ref(), Ok(&run));
        for other in [
            RunId::from_fire(&job, UnixMs(0)),
            RunId::from_request(&job, "b_1_2"),
            RunId::from_submission(&job, 7),
        ] {
            assert_eq!(BackfillName::of_run(&other), None, "{other}");
        }
        for bad in [
            "",
            "B",
            "a-b",
            "a_b",
            "a.b",
            &"a".repeat(BACKFILL_NAME_MAX + 1),
        ] {
            assert!(BackfillName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_cadence_has_the_same_beat_before_it_began() {
        let spec = Spec::new(When::Every { period_ms: 60_000 });
        for (from, anchor) in [
            (1_000_000, 100_500_000 - 1_659 * 60_000),
            (100_499_000, 100_440_000),
            (100_440_000, 100_440_000),
            (100_500_000, 100_500_000),
            (200_000_000, 100_500_000),
            (0, 0),
        ] {
            let found = anchor_before(&spec, UnixMs(100_500_123), UnixMs(from));
            assert_eq!(found, UnixMs(anchor), "{from}");
            assert_eq!((100_500_000 - found.0) % 60_000, 0);
        }
    }
}
