//! What must hold over all that was recorded, however it came about:
//!
//! - a nominal time has at most one final decision; one that waited is decided again, once,
//! - a nominal time has at most one run, and a run at most one opening with success,
//! - between the records of one schedule no nominal time is left without an answer,
//! - who follows from afar, and does not see which keys of runs by hand are removed, knows which of them have their answer,
//! - what a calendar takes out is what it took out at that time, where whoever decided had heard of all changes.

use std::collections::{BTreeMap, BTreeSet};

use gridloom_planner::schedule::Wish;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::EndState;
use gridloom_shared::limits::CALENDAR_EARLIER_MAX;
use gridloom_shared::schedule::record::{Decision, Record, Verdict, Why};
use gridloom_shared::schedule::{Calendar, Days, Spec};

use crate::show::time;
use crate::world::{CALENDAR, Place};

/// Nominal times between two records that are looked at: there may be millions.
const LOOKED_AT: usize = 2_000;

/// What breaks the rules, if anything.
pub(crate) fn breach(place: &Place) -> Option<String> {
    let spans = doubled(&place.ledger);
    let runs = place.opened.iter().find(|(_, times)| **times > 1);
    spans
        .or_else(|| runs.map(|(run, times)| format!("{run} was opened {times} times")))
        .or_else(|| unanswered(place))
        .or_else(|| place.ledger.iter().find_map(|record| hasty(place, record)))
        .or_else(|| told_twice(&place.ledger))
        .or_else(|| place.followed.iter().find_map(|wish| astray(place, wish)))
}

/// A key of a run by hand that a site which follows would take for something else than it is.
fn astray(place: &Place, wish: &Wish) -> Option<String> {
    let (run, state) = (&wish.run, &place.ledger.last()?.state);
    let is_answer = |record: &Record| match &record.decision {
        Decision::Asked { run: of, answer } => {
            of == run && !matches!(answer, Verdict::Queued { .. })
        }
        _ => false,
    };
    let is_answered = place.ledger.iter().any(is_answer);
    let has_answered = state.has_answered(run, wish.stored, wish.revision);
    if has_answered && !is_answered {
        return Some(format!("{run} would never get its answer"));
    }
    let stands = place.wishes.iter().any(|there| there.run == *run);
    let mut asked = state.asked.iter().map(|asked| &asked.run);
    let mut coming = state.unopened.iter().map(|fire| &fire.run);
    let is_left = asked.any(|asked| asked == run) || coming.any(|coming| coming == run);
    (!stands && !has_answered && !is_left).then(|| format!("{run} would be asked for once more"))
}

/// A run by hand with two final answers.
fn told_twice(ledger: &[Record]) -> Option<String> {
    let mut finals = ledger.iter().filter_map(|record| match &record.decision {
        Decision::Asked { run, answer } if !matches!(answer, Verdict::Queued { .. }) => Some(run),
        _ => None,
    });
    let mut answered = BTreeSet::new();
    let twice = finals.find(|run| !answered.insert(*run));
    twice.map(|run| format!("{run} has a second answer"))
}

/// A schedule that has paused itself for a run that did not fail, or for one run twice.
fn hasty(place: &Place, record: &Record) -> Option<String> {
    let Decision::Halted { runs, .. } = &record.decision else {
        return None;
    };
    let failed =
        |run: &RunId| place.runs.over.get(run).and_then(|over| over.end) == Some(EndState::Failed);
    let others = place
        .ledger
        .iter()
        .filter(|other| other.state != record.state);
    let others = others.filter_map(|other| match &other.decision {
        Decision::Halted { runs, .. } => Some(runs),
        _ => None,
    });
    let others: Vec<&RunId> = others.flatten().collect();
    let mut runs = runs.iter();
    let wrong = runs.find(|run| !failed(run) || others.iter().any(|other| other == run))?;
    Some(format!("it has paused itself wrongly for {wrong}"))
}

/// A nominal time with two answers.
fn doubled(ledger: &[Record]) -> Option<String> {
    let mut answered: BTreeMap<UnixMs, UnixMs> = BTreeMap::new();
    for record in ledger {
        if matches!(record.decision, Decision::Queued { .. }) {
            continue;
        }
        for span in record.decision.spans() {
            // The latest interval that begins at or before the end of this one.
            let before = answered.range(..=span.last).next_back();
            if let Some((first, last)) = before
                && *last >= span.first
            {
                return Some(format!(
                    "{}..{} has a second answer beside {}..{}",
                    time(span.first),
                    time(span.last),
                    time(*first),
                    time(*last)
                ));
            }
            answered.insert(span.first, span.last);
        }
    }
    None
}

/// A nominal time that the cursor has passed without an answer.
fn unanswered(place: &Place) -> Option<String> {
    if place.zones.is_some() {
        // What a schedule meant before the zone database was another is not known here.
        return None;
    }
    let finals: Vec<_> = place
        .ledger
        .iter()
        .flat_map(|record| record.decision.spans())
        .collect();
    let ends =
        |record: &Record| matches!(record.decision, Decision::Adopted | Decision::Ended { .. });
    for pair in place.ledger.windows(2) {
        let [before, after] = pair else { continue };
        let plan = place.plan(&before.state, &place.calendars);
        let Some(plan) = plan.filter(|plan| plan.after().is_none()) else {
            continue;
        };
        let max = before.state.spec.as_ref().and_then(|spec| spec.max_fires);
        let enough = max.is_some_and(|max| before.state.accepted >= max);
        if before.state.ended
            || enough
            || ends(after) && after.state.accepted == 0 && after.state.ended
        {
            continue;
        }
        for next in plan.nominals_after(before.state.cursor).take(LOOKED_AT) {
            if next.at > after.state.cursor || next.opens_at > after.at && ends(after) {
                break;
            }
            let told = finals
                .iter()
                .any(|span| span.first <= next.at && next.at <= span.last);
            if !told {
                return Some(format!("{} has no answer", time(next.at)));
            }
        }
    }
    None
}

/// A nominal time that has come and has no answer though nothing is in its way.
pub(crate) fn undecided(place: &Place) -> Option<String> {
    let state = &place.ledger.last()?.state;
    let plan = place.plan(state, &place.calendars)?;
    let next = plan.next_after(state.cursor)?;
    let decided = state.ended || state.has_enough() || next.opens_at > place.now;
    (!decided).then(|| format!("{} is not decided", time(next.at)))
}

/// A record that goes against what the calendar said at the times that it is about, written by a leader that had heard of
/// all changes.
pub(crate) fn misjudged(place: &Place, index: usize) -> Option<String> {
    let before = &place.ledger[index.checked_sub(1)?].state;
    let spec = before.spec.as_ref()?;
    let decision = &place.ledger[index].decision;
    // Judged by the schedule before this one, or when it began to wait.
    let waited = match decision {
        Decision::Opened { after, .. } => after.is_some(),
        Decision::Passed { why, .. } => matches!(why, Why::Replaced { .. }),
        _ => false,
    };
    let taken_out = match decision {
        Decision::Passed {
            why: Why::Excluded { calendar },
            ..
        } => Some(calendar.as_str()),
        Decision::Ended { .. } => return None,
        _ => None,
    };
    for span in decision.spans() {
        let carried = before.carried.iter().any(|fire| fire.at == span.first);
        if waited || carried {
            continue;
        }
        for at in [span.first, span.last] {
            let by = takes_out(place, spec, at);
            if by.as_deref() != taken_out {
                let word = decision.word();
                return Some(format!("{} is {word}; what takes it out: {by:?}", time(at)));
            }
        }
    }
    None
}

/// What takes a time out, by what the calendar said then.
fn takes_out(place: &Place, spec: &Spec, at: UnixMs) -> Option<String> {
    let names = |days: &[Days]| days.iter().any(|days| days.to_string() == CALENDAR);
    let (only, except) = (names(&spec.only), names(&spec.except));
    if !only && !except {
        return None;
    }
    let Some(calendar) = said(place, at) else {
        return Some(format!("the missing calendar {CALENDAR}"));
    };
    let covered = calendar.covers(at);
    let taken_out = except && covered;
    let outside = only && !covered;
    taken_out
        .then(|| CALENDAR.to_owned())
        .or(outside.then(|| format!("only {CALENDAR}")))
}

/// What the calendar said at a time, as far as it is kept. `None`: it is not there.
fn said(place: &Place, at: UnixMs) -> Option<&Calendar> {
    let since_deleted = place.said.iter().rev().map_while(|(since, calendar)| {
        let calendar = calendar.as_ref()?;
        Some((*since, calendar))
    });
    let kept: Vec<_> = since_deleted.take(1 + CALENDAR_EARLIER_MAX).collect();
    let then = kept.iter().find(|(since, _)| *since <= at);
    then.or(kept.last()).map(|(_, calendar)| *calendar)
}
