//! What must hold over all that was recorded, however it came about:
//!
//! - a nominal time has at most one final decision; one that waited is decided again, once,
//! - a nominal time has at most one run, and a run at most one opening with success,
//! - between the records of one schedule no nominal time is left without an answer.

use std::collections::{BTreeMap, BTreeSet};

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::EndState;
use gridloom_shared::schedule::Plan;
use gridloom_shared::schedule::record::{Answer, Decision, Record, State};

use crate::show::time;
use crate::world::Place;

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
}

/// A run by hand with two final answers.
fn told_twice(ledger: &[Record]) -> Option<String> {
    let finals = ledger.iter().filter_map(|record| match &record.decision {
        Decision::Asked { run, answer } if !matches!(answer, Answer::Queued { .. }) => Some(run),
        _ => None,
    });
    let mut answered = BTreeSet::new();
    let twice = finals.filter(|run| !answered.insert(*run)).next();
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
        let Some(plan) = plan(place, &before.state).filter(|plan| plan.after().is_none()) else {
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

fn plan(place: &Place, state: &State) -> Option<Plan> {
    let spec = state.spec.as_ref()?;
    Plan::new(spec, place.job.as_str(), &BTreeMap::new(), state.anchor).ok()
}
