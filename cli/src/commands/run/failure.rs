//! The first failure of a run that is waited for, in words: nobody should have to wait for the end to learn that
//! nothing works.

use std::time::Duration;

use gridloom_shared::ledger::fold::{Fold, Next};

use crate::output::spoken;

/// The first failure of the run, as far as it is known; `None` while nothing has failed.
pub(super) fn first(fold: &Fold) -> Option<String> {
    let first = fold.errors().min_by_key(|group| group.last.at)?;
    let (cell, attempt) = (first.last.cell, first.last.attempt);
    let failed = fold.waiting().get(&cell);
    let of_job = fold.opening().map(|opening| &opening.record.job.retry);
    let most = failed.map(|failed| failed.most);
    let most = most.or(of_job.map(|retry| retry.max_attempts));
    // More than the job allows were given by a retry.
    let of = most.filter(|most| attempt <= *most);
    let of = of.map_or_else(String::new, |most| format!(" of {most}"));
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
        "shard {cell} failed at attempt {attempt}{of} and {next}: {said}"
    ))
}
