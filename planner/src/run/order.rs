//! What becomes of an order by people, as its run stands: a record, or an answer at once. Pure.

use gridloom_shared::command::{Answer, Command, Verb};
use gridloom_shared::id::Term;
use gridloom_shared::ledger::fold::{Cell, Chosen, Fold};
use gridloom_shared::ledger::orders::{Cancelled, Dropped, Reopened, Which};
use gridloom_shared::ledger::record::{EndState, PlanRecord};

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Judged {
    /// Write this record, and then answer that it concerns so many dead shards.
    Write(PlanRecord, u64),
    /// Nothing is to be written.
    Answer(Answer),
}

/// Judges `command` of the run that `fold` knows to its end; its record may name `cells` shards.
pub fn judge(fold: &Fold, command: &Command, term: Term, cells: usize) -> Judged {
    if fold.is_newer() {
        let run = &command.run;
        let reason = format!(
            "of run {run} a newer build wrote some records: upgrade the planners, and try it again"
        );
        return Judged::Answer(Answer::Refused { reason });
    }
    if fold.opening().is_none() || fold.retired().is_some() {
        return misuse(unknown(fold, command));
    }
    // Its answer was lost, or it was read back before its writer heard that it stands there.
    if let Some(shards) = fold.concerned_by(command.request) {
        return Judged::Answer(Answer::Done { shards });
    }
    match command.verb {
        Verb::Cancel => cancel(fold, command, term),
        Verb::Retry => retry(fold, command, term, cells),
        Verb::Drop => give_up(fold, command, term, cells),
        Verb::Explain => Judged::Answer(Answer::Waits { waits: Vec::new() }),
    }
}

fn unknown(fold: &Fold, command: &Command) -> String {
    let run = &command.run;
    if fold.position() == 0 {
        format!("there is no run {run}; gridloom runs lists those that are there")
    } else {
        format!("run {run} was purged: only its id is remembered")
    }
}

fn cancel(fold: &Fold, command: &Command, term: Term) -> Judged {
    let run = &command.run;
    match (fold.closing(), fold.cancelled()) {
        (Some((_, closed)), _) if closed.state == EndState::Cancelled => {
            nothing(format!("run {run} was cancelled before"))
        }
        (Some((_, closed)), _) => {
            let state = match closed.state {
                EndState::Succeeded => "succeeded",
                EndState::Failed => "failed",
                EndState::Cancelled => "cancelled",
            };
            Judged::Answer(Answer::Refused {
                reason: format!("run {run} is over already: it {state}"),
            })
        }
        (None, Some(_)) => nothing(format!("run {run} is being cancelled already")),
        (None, None) => Judged::Write(
            PlanRecord::Cancelled(Cancelled {
                request: command.request,
                aborted: None,
                term,
            }),
            0,
        ),
    }
}

fn retry(fold: &Fold, command: &Command, term: Term, most: usize) -> Judged {
    if fold.cancelled().is_some() && fold.closing().is_none() {
        let reason = format!(
            "run {} is being cancelled: try it again when it is over",
            command.run
        );
        return Judged::Answer(Answer::Refused { reason });
    }
    let (which, shards) = match chosen(fold, command, most) {
        Ok(chosen) => chosen,
        Err(reason) => return misuse(reason),
    };
    // A run that was cancelled or aborted goes on where it stopped, dead shards or not.
    if shards == 0 && fold.cancelled().is_none() {
        return nothing(format!("run {} has no dead shards", command.run));
    }
    let reopened = Reopened {
        request: command.request,
        which,
        term,
    };
    Judged::Write(PlanRecord::Reopened(reopened), shards)
}

fn give_up(fold: &Fold, command: &Command, term: Term, most: usize) -> Judged {
    let (which, shards) = match chosen(fold, command, most) {
        Ok(chosen) => chosen,
        Err(reason) => return misuse(reason),
    };
    if shards == 0 {
        return nothing(format!("run {} has no dead shards", command.run));
    }
    let dropped = Dropped {
        request: command.request,
        which,
        closed: fold.closing().is_some(),
        left: fold.dead_kept() - shards,
        term,
    };
    Judged::Write(PlanRecord::Dropped(dropped), shards)
}

/// Which dead shards are meant, and how many they are. Of more than one record can name, the first `most` are:
/// asked again, the order goes on with the others.
fn chosen(fold: &Fold, command: &Command, most: usize) -> Result<(Which, u64), String> {
    if command.page.is_some() && command.slice.is_none() {
        return Err("a page needs its slice: name it as well".to_owned());
    }
    let (chosen, kept) = (command.chosen(), fold.dead_kept());
    if chosen == Chosen::default() {
        return Ok((Which::All, kept));
    }
    let count = fold.count_of(&chosen);
    if count == 0 {
        let what = match (command.slice, command.page) {
            (Some(slice), Some(page)) => format!("page {page} of slice {slice}"),
            (Some(slice), None) => format!("no shard of slice {slice}"),
            (None, _) => "no shard with such an error".to_owned(),
        };
        let is = if command.page.is_some() {
            "is not"
        } else {
            "is"
        };
        return Err(format!(
            "{what} of run {} {is} dead; gridloom dead list shows those that are",
            command.run
        ));
    }
    if count == kept && !chosen.given_up {
        // Said in one word: a run may have millions of them.
        return Ok((Which::All, kept));
    }
    let cells: Vec<Cell> = fold
        .dead_of(&chosen)
        .map(|dead| dead.cell)
        .take(most)
        .collect();
    let count = cells.len() as u64;
    Ok((Which::These(cells), count))
}

fn nothing(reason: String) -> Judged {
    Judged::Answer(Answer::Nothing { reason })
}

fn misuse(reason: String) -> Judged {
    Judged::Answer(Answer::Misuse { reason })
}
