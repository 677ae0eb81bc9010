//! How a decision is told: which times it is about, which run it made, who made it and when.

use serde::Serialize;

use super::reason::{self, Reason};
use crate::clock::UnixMs;
use crate::id::RunId;
use crate::schedule::Plan;
use crate::schedule::record::{Decision, Record, Span};

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Told {
    /// The nominal time, or the first of several (RFC 3339). `None`: it is about the schedule as a whole.
    pub scheduled_at: Option<String>,
    /// The last of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// How many nominal times it is about.
    pub count: u64,
    /// Whether there are more than were counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// One word of a closed set: opened, queued, skipped, expired, coalesced, paused, frozen, excluded,
    /// dropped, cancelled_previous, adopted, halted, ended.
    pub decision: &'static str,
    /// The run that was opened; of one that was asked for by hand, also where it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The civil time that the schedule says, where the clocks left it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<String>,
    /// When the run was to be opened, where one was opened (RFC 3339): later than the nominal time by jitter and spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<String>,
    /// When it was decided, by the broker's clock (RFC 3339).
    pub decided_at: String,
    /// The leadership that decided.
    pub term: u64,
    /// Why, as a sentence.
    pub why: String,
    /// Why, for programs.
    pub reason: Reason,
    #[serde(skip)]
    spans: Vec<Span>,
}

impl Told {
    /// `begins`: there was no schedule before it. `plan`: by which its fires open.
    pub fn of(record: &Record, begins: bool, plan: Option<&Plan>) -> Told {
        let decision = &record.decision;
        let spans = decision.spans();
        let first = spans.first().map(|span| span.first);
        let last = spans.last().map(|span| span.last);
        let (run, moved_from) = match decision {
            Decision::Opened {
                run, moved_from, ..
            } => (Some(run.clone()), moved_from.clone()),
            Decision::Asked { run, .. } => (Some(run.clone()), None),
            _ => (None, None),
        };
        let opens_at = run.as_ref().and_then(|_| Some(plan?.has(first?)?.opens_at));
        Told {
            scheduled_at: first.map(UnixMs::rfc3339),
            last: last
                .filter(|last| Some(*last) != first)
                .map(UnixMs::rfc3339),
            count: spans.iter().map(|span| span.count).sum(),
            more: spans.iter().any(|span| span.more),
            decision: decision.word(),
            run,
            moved_from,
            opens_at: opens_at.map(UnixMs::rfc3339),
            decided_at: record.at.rfc3339(),
            term: record.term.0,
            why: reason::words(record, begins, opens_at),
            reason: Reason::of(decision),
            spans,
        }
    }

    /// Whether a run is opened by it.
    pub fn opens(&self) -> bool {
        matches!(self.decision, "opened" | "cancelled_previous")
    }

    /// Whether it is about a nominal time at or after `from` and at or before `to`.
    pub fn touches(&self, from: UnixMs, to: UnixMs) -> bool {
        let mut spans = self.spans.iter();
        spans.any(|span| span.first <= to && from <= span.last)
    }

    /// The first nominal time that it is about.
    pub fn first(&self) -> Option<UnixMs> {
        self.spans.first().map(|span| span.first)
    }

    /// The last nominal time that it is about.
    pub fn last_time(&self) -> Option<UnixMs> {
        self.spans.last().map(|span| span.last)
    }
}

#[cfg(test)]
mod tests;
