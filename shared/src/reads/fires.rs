//! What was decided of a job's fires, for people: one sentence a decision.

use serde::Serialize;

use super::ListError;
use crate::broker::Broker;
use crate::broker::log::ReadError;
use crate::clock::UnixMs;
use crate::duration::write_duration;
use crate::id::{JobName, RunId};
use crate::schedule::Plan;
use crate::schedule::fired::nominal_of;
use crate::schedule::record::{Decision, End, Record, Span, State, Why};
use crate::wire;

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    /// cancelled_previous, adopted, ended.
    pub decision: &'static str,
    /// The run that was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// When it was decided, by the broker's clock (RFC 3339).
    pub decided_at: String,
    /// The leadership that decided.
    pub term: u64,
    /// Why, as a sentence.
    pub why: String,
    #[serde(skip)]
    spans: Vec<Span>,
}

/// All that is on record of a job's fires.
#[derive(Clone, Debug, Default)]
pub struct Fires {
    /// The decisions, in order.
    pub told: Vec<Told>,
    /// The state after the last one.
    pub state: Option<State>,
    /// Records that make no sense to this build.
    pub unreadable: u64,
}

/// What is on record of the fires of `job`, the oldest first: the broker keeps the newest of a job.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(broker: &Broker, job: &JobName) -> Result<Fires, ListError> {
    let subjects = broker.subjects();
    let history = subjects.history();
    let last = broker.info(&history).await?.last_seq;
    let mut reader = broker.reader(&history, subjects.fires(job), 1, Some(last));
    let mut fires = Fires::default();
    while let Some(page) = reader.next_page().await? {
        for raw in page {
            match wire::decode::<Record>(&raw.payload) {
                Ok(record) => {
                    // What was opened is told where it was decided.
                    if record.decision != Decision::Confirmed {
                        let before = fires.state.as_ref();
                        let before = before.and_then(|state| state.spec.as_ref());
                        fires.told.push(Told::of(&record, before.is_none()));
                    }
                    fires.state = Some(record.state);
                }
                Err(_) => fires.unreadable += 1,
            }
        }
    }
    Ok(fires)
}

/// The state of the schedule of `job`, as the last record has it.
///
/// # Errors
/// When the broker does not answer.
pub async fn state(broker: &Broker, job: &JobName) -> Result<Option<State>, ReadError> {
    let subjects = broker.subjects();
    let last = broker
        .last_of_leader(&subjects.history(), &subjects.fires(job))
        .await?;
    let record = last.and_then(|last| wire::decode::<Record>(&last.payload).ok());
    Ok(record.map(|record| record.state))
}

/// When `run` has to be over, as its job's schedule says it now. `None`: nobody said so.
///
/// # Errors
/// When the broker does not answer.
pub async fn due(broker: &Broker, run: &RunId) -> Result<Option<UnixMs>, ReadError> {
    let (Some(at), Ok(job)) = (nominal_of(run), JobName::new(run.job())) else {
        return Ok(None);
    };
    let spec = state(broker, &job).await?.and_then(|state| state.spec);
    let plan = spec.and_then(|spec| Plan::without_calendars(&spec).ok());
    Ok(plan.and_then(|plan| plan.due(at)))
}

impl Told {
    /// `begins`: there was no schedule before it.
    fn of(record: &Record, begins: bool) -> Told {
        let decision = &record.decision;
        let spans = decision.spans();
        let first = spans.first().map(|span| span.first);
        let last = spans.last().map(|span| span.last);
        Told {
            scheduled_at: first.map(UnixMs::rfc3339),
            last: last
                .filter(|last| Some(*last) != first)
                .map(UnixMs::rfc3339),
            count: spans.iter().map(|span| span.count).sum(),
            more: spans.iter().any(|span| span.more),
            decision: decision.word(),
            run: match decision {
                Decision::Opened { run, .. } => Some(run.clone()),
                _ => None,
            },
            decided_at: record.at.rfc3339(),
            term: record.term.0,
            why: why(record, begins),
            spans,
        }
    }

    /// Whether it is about a nominal time at or after `from` and at or before `to`.
    pub fn touches(&self, from: UnixMs, to: UnixMs) -> bool {
        let mut spans = self.spans.iter();
        spans.any(|span| span.first <= to && from <= span.last)
    }
}

/// Why, as a sentence without its end.
fn why(record: &Record, begins: bool) -> String {
    match &record.decision {
        Decision::Adopted => {
            let carried = record.state.carried.len();
            let since = record.state.cursor.rfc3339();
            let more = match carried {
                0 => String::new(),
                1 => "; one fire of the schedule before it is still to open".to_owned(),
                _ => format!("; {carried} fires of the schedule before it are still to open"),
            };
            let which = if begins { "a" } else { "another" };
            format!("the job has {which} schedule, for what comes after {since}{more}")
        }
        Decision::Confirmed => "what was decided is open".to_owned(),
        Decision::Opened {
            at,
            moved_from,
            after,
            ..
        } => {
            let late = record.at.0.saturating_sub(at.0);
            let mut text = match (late, after) {
                (_, Some(after)) if after.cancelled => {
                    format!("run {} was cancelled for it and is over", after.run)
                }
                (_, Some(after)) => format!("it waited, and run {} is over", after.run),
                (0..1_000, None) => "it was due".to_owned(),
                (late, None) => {
                    let late = write_duration(late / 1_000 * 1_000);
                    format!("it was due; its run was opened {late} after that")
                }
            };
            if let Some(from) = moved_from {
                text.push_str(&format!("; moved from {from}, which clocks leave out"));
            }
            text
        }
        Decision::Queued { behind, .. } if behind.cancelled => {
            format!("run {} was open and is cancelled for it", behind.run)
        }
        Decision::Queued { behind, .. } => {
            format!("run {} was open; it opens when that is over", behind.run)
        }
        Decision::Passed { why, .. } => passed(why),
        Decision::Ended { why, dropped } => {
            let dropped = match dropped.len() {
                0 => "",
                _ => "; what waited is dropped",
            };
            match why {
                End::Over => format!("the schedule has no later time{dropped}"),
                End::MaxFires => format!("it has had as many fires as max_fires says{dropped}"),
                End::Deleted => {
                    format!("the job was deleted, or has no schedule any more{dropped}")
                }
            }
        }
    }
}

fn passed(why: &Why) -> String {
    match why {
        Why::Overlap { run } => format!("run {run} was open"),
        Why::Replaced { by } => {
            format!("it waited, and the fire of {} took its place", by.rfc3339())
        }
        Why::Full { waiting } => format!("{waiting} fires waited, as many as queue_max says"),
        Why::Missed => "no planner was there to open it in time".to_owned(),
        Why::Expired => "no planner was there while misfire.window lasted".to_owned(),
        Why::TooMany { max } => format!("more were missed than the {max} that are made up for"),
        Why::Coalesced { into } => format!(
            "missed with others; the fire of {} is made up for",
            into.rfc3339()
        ),
        Why::Paused { by, note } => format!("{by} had paused the job: {note}"),
        Why::Frozen { by, note } => format!("{by} had paused all jobs: {note}"),
        Why::Excluded { calendar } => format!("{calendar} takes it out"),
    }
}
