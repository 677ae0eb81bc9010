//! What a leader did, as text.

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::schedule::record::{Behind, Decision, Record, Span, Verdict, Why};

use crate::world::Did;

pub(crate) fn did(did: &Did) -> String {
    match did {
        Did::Recorded(record) => format!("= {}", recorded(record)),
        Did::Refused => "= refused: another leader's record stands there".to_owned(),
        Did::Opened(run) => format!("> open {run}"),
        Did::OpenedBefore(run) => format!("> open {run}: it was before"),
        Did::NotOpened(run) => format!("> open {run}: fails"),
        Did::Declined(run) => format!("> tell that {run} is refused"),
        Did::Paused(true) => "> pause".to_owned(),
        Did::Paused(false) => "> pause: fails".to_owned(),
        Did::Cancelled(run) => format!("> cancel {run}"),
    }
}

fn recorded(record: &Record) -> String {
    let word = record.decision.word();
    match &record.decision {
        Decision::Adopted => {
            let carried = record.state.carried.iter();
            let carried: Vec<_> = carried.map(|fire| time(fire.at)).collect();
            let cursor = time(record.state.cursor);
            match carried.is_empty() {
                true => format!("{word} from {cursor}"),
                false => format!(
                    "{word} from {cursor}, carried along: {}",
                    carried.join(", ")
                ),
            }
        }
        Decision::Confirmed => word.to_owned(),
        Decision::Opened {
            at,
            moved_from,
            after,
            held,
            ..
        } => {
            let moved = moved_from
                .as_ref()
                .map(|from| format!(", moved from {from}"));
            let after = after
                .as_ref()
                .map(|Behind { run, .. }| format!(", after {run}"));
            let late = record.at.0.saturating_sub(at.0);
            let late = (late > 0).then(|| format!(", {late} ms after its time"));
            let held = held
                .as_ref()
                .map(|why| format!(", held back{}", because(why)));
            let more = [moved, after, late, held]
                .into_iter()
                .flatten()
                .collect::<String>();
            format!("{} {word}{more}", time(*at))
        }
        Decision::Queued { at, behind } => {
            let cancelled = if behind.cancelled {
                ", which is cancelled"
            } else {
                ""
            };
            format!("{} {word} behind {}{cancelled}", time(*at), behind.run)
        }
        Decision::Passed { span, why } => format!("{} {word}{}", spanned(span), because(why)),
        Decision::Asked { run, answer } => format!("{run} {word}{}", answered(answer)),
        Decision::Halted { failures, runs } => {
            let runs: Vec<_> = runs.iter().map(RunId::as_str).collect();
            format!("{word}: {failures} failed in a row, {}", runs.join(", "))
        }
        Decision::Ended { why, dropped } => {
            let dropped: Vec<_> = dropped.iter().copied().map(time).collect();
            match dropped.is_empty() {
                true => format!("{word}: {why:?}"),
                false => format!("{word}: {why:?}, dropped: {}", dropped.join(", ")),
            }
        }
    }
}

fn answered(answer: &Verdict) -> String {
    match answer {
        Verdict::Opened { after: None } => String::new(),
        Verdict::Opened { after: Some(after) } => format!(", after {}", after.run),
        Verdict::Queued { behind } if behind.cancelled => {
            format!(" behind {}, which is cancelled", behind.run)
        }
        Verdict::Queued { behind } => format!(" behind {}", behind.run),
        Verdict::Refused { why } => because(why),
    }
}

fn spanned(span: &Span) -> String {
    let more = if span.more { "more than " } else { "" };
    match span.count {
        1 => time(span.first),
        count => format!("{}..{} ({more}{count})", time(span.first), time(span.last)),
    }
}

fn because(why: &Why) -> String {
    match why {
        Why::Overlap { run } => format!(": {run} is open"),
        Why::Replaced { by } => format!(": {} takes its place", time(*by)),
        Why::Newer { run } => format!(": {run} takes its place"),
        Why::Full { waiting } => format!(": {waiting} wait"),
        Why::Missed => ": missed".to_owned(),
        Why::Expired => String::new(),
        Why::TooMany { max } => format!(": more than {max}"),
        Why::Coalesced { into } => format!(" into {}", time(*into)),
        Why::Paused { by, note } | Why::Frozen { by, note } => format!(" by {by}: {note}"),
        Why::Excluded { calendar } => format!(" by {calendar}"),
        Why::Deleted => ": the job is gone".to_owned(),
        Why::Unfit { reason } => format!(": {reason}"),
        Why::Withdrawn { by } => format!(" by {by}"),
    }
}

pub(crate) fn time(at: UnixMs) -> String {
    let text = jiff::Timestamp::from_millisecond(i64::try_from(at.0).unwrap()).unwrap();
    text.to_string()
}
