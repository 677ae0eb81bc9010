//! Why something was decided, as a sentence for people and as fields for programs.

use serde::Serialize;

use crate::clock::UnixMs;
use crate::duration::write_duration;
use crate::id::RunId;
use crate::schedule::record::{Decision, End, Record, Verdict, Why};

/// An opening this much later than its time is worth no word.
const ON_TIME_MS: u64 = 1_000;

/// Why a decision was made: one word of a closed set, and what it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = FireReason))]
pub enum Reason {
    /// Its time had come, and nothing was in its way.
    Due,
    /// As [`Reason::Due`], after a pause that held it back.
    HeldBack {
        /// Who had paused.
        by: String,
        /// What they said.
        note: String,
        /// All jobs.
        all: bool,
    },
    /// It waited until no run was open.
    Waited {
        /// The run that was open when it came.
        run: RunId,
    },
    /// A run was cancelled for it.
    Cancelled {
        /// That run.
        run: RunId,
    },
    /// It waits until no run is open.
    Behind {
        /// The run that was open when it came, or one of several.
        run: RunId,
        /// Whether what was open is cancelled for it.
        cancels: bool,
    },
    /// A run was open.
    Overlap {
        /// That run.
        run: RunId,
    },
    /// It waited, and a later fire took its place.
    Replaced {
        /// The nominal time of that (RFC 3339).
        by: String,
    },
    /// It waited, and a newer run by hand took its place.
    Newer {
        /// That run.
        run: RunId,
    },
    /// As many as may wait did.
    Full {
        /// How many.
        waiting: u64,
    },
    /// No planner opened it in time.
    Missed,
    /// It was missed for longer than the window.
    Expired,
    /// More were missed than are made up for.
    TooMany {
        /// How many are.
        max: u64,
    },
    /// It was missed with others.
    Coalesced {
        /// The nominal time that got the run (RFC 3339).
        into: String,
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
    /// `only` or `except` takes it out.
    Excluded {
        /// The entry.
        calendar: String,
    },
    /// So many runs failed in a row that it pauses itself.
    Failures {
        /// How many.
        failures: u32,
        /// The newest of them, the last one last.
        runs: Vec<RunId>,
    },
    /// The job has another schedule.
    Schedule,
    /// The schedule has no later time.
    Over,
    /// It has had as many fires as it may have.
    MaxFires,
    /// The job was deleted, or, of a schedule, has none any more.
    Deleted,
    /// The job does not take what was asked for by hand.
    Unfit {
        /// Why not.
        reason: String,
    },
    /// Somebody has cancelled it before it was opened.
    Withdrawn {
        /// Who.
        by: String,
    },
}

impl Reason {
    pub(super) fn of(decision: &Decision) -> Reason {
        match decision {
            Decision::Adopted | Decision::Confirmed => Reason::Schedule,
            Decision::Opened {
                after: None, held, ..
            } => match held {
                Some(Why::Paused { by, note }) => Reason::held(by, note, false),
                Some(Why::Frozen { by, note }) => Reason::held(by, note, true),
                _ => Reason::Due,
            },
            Decision::Opened {
                after: Some(after), ..
            } => {
                let run = after.run.clone();
                match after.cancelled {
                    true => Reason::Cancelled { run },
                    false => Reason::Waited { run },
                }
            }
            Decision::Queued { behind, .. } => Reason::Behind {
                run: behind.run.clone(),
                cancels: behind.cancelled,
            },
            Decision::Passed { why, .. } => Reason::passed(why),
            Decision::Asked { answer, .. } => Reason::by_hand(answer),
            Decision::Halted { failures, runs } => Reason::Failures {
                failures: *failures,
                runs: runs.clone(),
            },
            Decision::Ended { why, .. } => match why {
                End::Over => Reason::Over,
                End::MaxFires => Reason::MaxFires,
                End::Deleted => Reason::Deleted,
            },
        }
    }

    fn held(by: &str, note: &str, all: bool) -> Reason {
        Reason::HeldBack {
            by: by.to_owned(),
            note: note.to_owned(),
            all,
        }
    }

    fn by_hand(answer: &Verdict) -> Reason {
        match answer {
            Verdict::Opened { after: None } => Reason::Due,
            Verdict::Opened { after: Some(after) } => {
                let run = after.run.clone();
                match after.cancelled {
                    true => Reason::Cancelled { run },
                    false => Reason::Waited { run },
                }
            }
            Verdict::Queued { behind } => Reason::Behind {
                run: behind.run.clone(),
                cancels: behind.cancelled,
            },
            Verdict::Refused { why } => Reason::passed(why),
        }
    }

    fn passed(why: &Why) -> Reason {
        match why {
            Why::Overlap { run } => Reason::Overlap { run: run.clone() },
            Why::Replaced { by } => Reason::Replaced { by: by.rfc3339() },
            Why::Newer { run } => Reason::Newer { run: run.clone() },
            Why::Full { waiting } => Reason::Full { waiting: *waiting },
            Why::Missed => Reason::Missed,
            Why::Expired => Reason::Expired,
            Why::TooMany { max } => Reason::TooMany { max: *max },
            Why::Coalesced { into } => Reason::Coalesced {
                into: into.rfc3339(),
            },
            Why::Paused { by, note } => Reason::Paused {
                by: by.clone(),
                note: note.clone(),
            },
            Why::Frozen { by, note } => Reason::Frozen {
                by: by.clone(),
                note: note.clone(),
            },
            Why::Excluded { calendar } => Reason::Excluded {
                calendar: calendar.clone(),
            },
            Why::Deleted => Reason::Deleted,
            Why::Unfit { reason } => Reason::Unfit {
                reason: reason.clone(),
            },
            Why::Withdrawn { by } => Reason::Withdrawn { by: by.clone() },
        }
    }
}

/// Why, as a sentence without its end.
pub(super) fn words(record: &Record, begins: bool, opens_at: Option<UnixMs>) -> String {
    match &record.decision {
        Decision::Adopted => adopted(record, begins),
        Decision::Confirmed => "what was decided is open".to_owned(),
        Decision::Opened {
            at,
            moved_from,
            after,
            held,
            ..
        } => {
            let mut text = match after {
                Some(after) if after.cancelled => {
                    format!("run {} was cancelled for it and is over", after.run)
                }
                Some(after) => format!("it waited, and run {} is over", after.run),
                None => match held {
                    Some(why) => format!("it was due, and held back, as {}", passed(why)),
                    None => due(*at, opens_at, record.at),
                },
            };
            if let Some(from) = moved_from {
                text.push_str(&format!("; moved from {from}, which clocks leave out"));
            }
            text
        }
        // Of several that are open the record names one.
        Decision::Queued { behind, .. } if behind.cancelled => format!(
            "run {} was open; what is open is cancelled, and then it opens",
            behind.run
        ),
        Decision::Queued { behind, .. } => format!(
            "run {} was open; it opens once no run of the job is",
            behind.run
        ),
        Decision::Passed { why, .. } => passed(why),
        Decision::Asked { answer, .. } => format!("asked for by hand: {}", by_hand(answer)),
        Decision::Halted { failures, runs } => {
            let runs: Vec<&str> = runs.iter().map(RunId::as_str).collect();
            let runs = runs.join(", ");
            format!(
                "{failures} of its runs failed in a row, as many as pause_after_failures says, at last {runs}: it is paused until it is resumed"
            )
        }
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

fn adopted(record: &Record, begins: bool) -> String {
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

/// Of a fire that nothing held back: what of its delay was meant, and what was not.
fn due(at: UnixMs, opens_at: Option<UnixMs>, decided: UnixMs) -> String {
    let span = |from: UnixMs, to: UnixMs| {
        let ms = to.0.saturating_sub(from.0);
        (ms >= ON_TIME_MS).then(|| write_duration(ms / 1_000 * 1_000))
    };
    let meant = opens_at.and_then(|opens_at| span(at, opens_at));
    let late = span(opens_at.unwrap_or(at), decided);
    match (meant, late) {
        (None, None) => "it was due".to_owned(),
        (Some(meant), None) => {
            format!("it was due, {meant} after its time as jitter and spread say")
        }
        (None, Some(late)) => format!("it was due, and opened {late} late"),
        (Some(meant), Some(late)) => format!(
            "it was due, {meant} after its time as jitter and spread say, and opened {late} late"
        ),
    }
}

fn by_hand(answer: &Verdict) -> String {
    match answer {
        Verdict::Opened { after: None } => "nothing was in its way".to_owned(),
        Verdict::Opened { after: Some(after) } if after.cancelled => {
            format!("run {} was cancelled for it and is over", after.run)
        }
        Verdict::Opened { after: Some(after) } => {
            format!("it waited, and run {} is over", after.run)
        }
        Verdict::Queued { behind } if behind.cancelled => {
            format!("run {} is open and is cancelled for it", behind.run)
        }
        Verdict::Queued { behind } => {
            format!("run {} is open; it opens when that is over", behind.run)
        }
        Verdict::Refused { why } => passed(why),
    }
}

/// Why there is no run, as a sentence without its end.
pub fn passed(why: &Why) -> String {
    match why {
        Why::Overlap { run } => format!("run {run} was open"),
        Why::Replaced { by } => {
            format!("it waited, and the fire of {} took its place", by.rfc3339())
        }
        Why::Newer { run } => format!("it waited, and run {run} took its place"),
        Why::Full { waiting } => format!("{waiting} waited, as many as may"),
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
        Why::Deleted => "the job was deleted before it could be opened".to_owned(),
        Why::Unfit { reason } => format!("the job as it is now does not take it: {reason}"),
        Why::Withdrawn { by } => format!("{by} cancelled it before it was opened"),
    }
}
