//! The first failure of a run that is waited for, in words: nobody should have to wait for the end to learn that
//! nothing works.

use std::time::Duration;

use gridloom_shared::ledger::fold::{Fold, Next};

use crate::commands::runs;
use crate::output::spoken;

/// The first failure of the run, as far as it is known; `None` while nothing has failed.
pub(super) fn first(fold: &Fold) -> Option<String> {
    let first = fold.errors().min_by_key(|group| group.last.at)?;
    let (cell, attempt) = (first.last.cell, first.last.attempt);
    let failed = fold.waiting().get(&cell);
    let of_job = fold.opening().map(|opening| &opening.record.job.retry);
    let most = of_job.map_or(0, |retry| retry.max_attempts);
    let attempt = match (failed, first.last.held) {
        (_, true) => format!("attempt {attempt}, which does not count,"),
        (Some(failed), false) => runs::numbered(
            attempt,
            failed.base,
            failed.most.saturating_sub(failed.base),
        ),
        (None, false) => runs::numbered(attempt, 0, most),
    };
    let next = match failed.map(|failed| failed.next) {
        Some(Next::Due(due)) => {
            let wait = Duration::from_millis(due.0.saturating_sub(first.last.at.0));
            format!("is tried again after {}", spoken(wait))
        }
        Some(Next::Issued(_)) => "is being tried again".to_owned(),
        None if fold.dead_one(cell).is_some() => "is dead".to_owned(),
        None => "has succeeded since".to_owned(),
    };
    // What a handler says over several lines is no line of ours.
    let said = first.error.trim_end().replace('\n', "\n    ");
    Some(format!(
        "shard {cell} failed at {attempt} and {next}: {said}"
    ))
}
