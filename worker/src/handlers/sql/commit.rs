//! The commit protocol (docs/PROTOCOL.md §8): a shard's effect happens once, and everybody who executes
//! the shard reports the same outcome.
//!
//! One transaction inserts the shard's key, runs the statements, stores the outcome (unless it came with the key, as
//! expected: [`habit`](super::habit)) and commits; in
//! PostgreSQL key and statements are one question, outcome and commit another. The key comes first, so that a second holder of the shard waits at it instead of doing the work
//! beside the first. A key that is there already means that the effect is done: its outcome is read
//! and reported. A commit whose answer was lost is looked up by trying again: the insertion waits
//! for what is still open and finds what was done.

use gridloom_shared::chain;
use gridloom_shared::ledger::outcomes::{COUNTER_NAME_MAX, COUNTERS_MAX, ROWS};

use super::database::Database;
use super::dialect::{CommitKey, Dialect, Speaks};
use super::habit::Habit;
use super::link::{Cell, Returned, Rows, SEVERAL};
use super::order::Bound;
use super::patience::Patience;
use super::transaction::{Began, Transaction, Unsealed};
use super::trouble::Trouble;
use crate::failure::Failure;
use crate::shard::Shard;

/// The same before it is known that the ledger has room for each: statements may add to one another's.
type Sums = Vec<(String, i128)>;
/// Counters by name, in the order of their first use.
pub(super) type Counters = Vec<(String, i64)>;

/// How one pass through the transaction ended.
enum Pass {
    Committed(Counters),
    /// The key was there.
    Done,
    /// Not at all: something is to be looked for first.
    Anew,
}

/// What is to be executed.
#[derive(Clone, Copy)]
pub(super) struct Work<'w> {
    pub(super) shard: &'w Shard,
    pub(super) statements: &'w [Bound],
    pub(super) habit: &'w Habit,
}

/// Executes the shard's statements unless that was done already; what came out either way.
pub(super) async fn exactly_once(database: &Database, work: Work<'_>) -> Result<Counters, Failure> {
    let shard = work.shard;
    let _slot = database.slot().await;
    let mut patience = Patience::new(database, shard);
    loop {
        patience.line_up().await;
        match pass(database, work, &mut patience).await {
            Ok(Pass::Committed(counters)) => return Ok(counters),
            Ok(Pass::Done) => match read_outcome(database, shard).await {
                Ok(Some(counters)) => return Ok(counters),
                // Rolled back or deleted meanwhile: it is ours to do.
                Ok(None) => {}
                Err(trouble) => patience.after(trouble).await?,
            },
            Ok(Pass::Anew) => {}
            Err(trouble) => patience.after(trouble).await?,
        }
        shard.check()?;
    }
}

async fn pass(
    database: &Database,
    work: Work<'_>,
    patience: &mut Patience<'_>,
) -> Result<Pass, Trouble> {
    let Work {
        shard,
        statements,
        habit,
    } = work;
    let lease = shard.lease_remaining();
    database.ensure_table(lease).await?;
    let key = key_of(shard);
    // A key without an outcome tells of a transaction that was ended before its time.
    let may_end = statements.iter().any(|statement| statement.may_end);
    let expected = habit.expected().filter(|_| !may_end);
    let traces = statements.iter().any(|statement| statement.traces);
    let mut open = Transaction::write(database, lease, traces).await?;
    let (notices, in_line) = (open.notices(), patience.in_line());
    let mut held = false;
    let done = tokio::select! {
        biased;
        done = effect(&mut open, work, (expected.as_deref(), in_line), &mut held) => done,
        // The server notices that the connection is closed, and lets go of all locks.
        met = patience.met(), if notices => return Err(met),
    };
    // The key was free, so no earlier commit of ours stands or can still come.
    patience.commit_unknown &= !held;
    let counters = match done {
        Ok(Some(counters)) => counters,
        Ok(None) => {
            open.roll_back().await;
            return Ok(Pass::Done);
        }
        Err(trouble) => {
            let trouble = open.fail(trouble).await;
            let is_failed = matches!(trouble, Trouble::Failed(_));
            // Somebody may have removed the table since it was seen.
            if is_failed && !held && database.forget_table() && patience.looks_again() {
                return Ok(Pass::Anew);
            }
            return Err(trouble);
        }
    };
    if let Err(stopped) = shard.check() {
        return Err(open.fail(Trouble::Failed(stopped)).await);
    }
    let outcome = outcome(&counters)?;
    let stands = expected.as_deref() == Some(&outcome);
    commit(open, key, (&outcome, stands), patience).await?;
    habit.saw(&outcome, stands);
    patience.succeeded();
    Ok(Pass::Committed(counters))
}

/// As it stands at the key.
fn outcome(counters: &Counters) -> Result<String, Trouble> {
    serde_json::to_string(counters).map_err(|error| {
        Trouble::Failed(Failure::permanent(format!(
            "write the outcome: {}",
            chain(&error)
        )))
    })
}

async fn commit(
    open: Transaction<'_>,
    key: CommitKey,
    outcome: (&str, bool),
    patience: &mut Patience<'_>,
) -> Result<(), Trouble> {
    // From here until the answer, dropping this would leave the commit unknown as well; the next
    // holder finds the key.
    let error = match open.seal(key, outcome).await {
        Ok(()) => return Ok(()),
        Err(Unsealed::Left) => {
            return Err(Trouble::Failed(Failure::permanent(format!(
                "commit: a statement has ended the transaction in which the shard's effect is to happen (a \
             procedure that commits, rolls back, or changes tables): what it did before that is done. \
             Take that out of it, look at what it did, and {}",
                free(key)
            ))));
        }
        Err(Unsealed::KeyGone) => {
            return Err(Trouble::Failed(Failure::permanent(
                "commit: the statements have removed the shard's row from gridloom_commit and are done: \
             leave that table alone",
            )));
        }
        Err(Unsealed::Error(error)) => error,
    };
    match Trouble::of(&error, "commit") {
        again @ Trouble::Again(..) => {
            patience.commit_unknown = true;
            Err(again)
        }
        // A refusal by the database itself, such as a deferred constraint, is no commit.
        failed @ Trouble::Failed(_) => Err(failed),
    }
}

/// How the shard of a key may be executed once more.
fn free(key: CommitKey) -> String {
    let CommitKey { nonce, slice, page } = key;
    format!(
        "to have the shard executed once more, delete the row ('{nonce:016x}', {slice}, {page}) of \
         gridloom_commit"
    )
}

/// What the statements do and report; `None` where the key was there.
async fn effect(
    open: &mut Transaction<'_>,
    Work {
        shard, statements, ..
    }: Work<'_>,
    (expected, in_line): (Option<&str>, Option<&str>),
    held: &mut bool,
) -> Result<Option<Counters>, Trouble> {
    let doing = |place: usize| match statements.len() {
        1 => "run the statement".to_owned(),
        all => format!("run statement {} of {all}", place + 1),
    };
    let lease = shard.lease_remaining();
    let began = open.begin(lease, (key_of(shard), expected), in_line, statements);
    let Began::Held(mut answers, error) = began.await? else {
        return Ok(None);
    };
    *held = true;
    if let Some(error) = error {
        return Err(Trouble::of(&error, &doing(answers.len())));
    }
    for (place, statement) in statements.iter().enumerate().skip(answers.len()) {
        shard.check().map_err(Trouble::Failed)?;
        let answer = open.run(statement, Rows::Keep(SEVERAL)).await;
        answers.push(answer.map_err(|error| Trouble::of(&error, &doing(place)))?);
    }
    let mut counters: Sums = vec![(ROWS.to_owned(), 0)];
    for (statement, answer) in statements.iter().zip(&answers) {
        count(&mut counters, &statement.verb, answer);
    }
    within_bounds(counters).map(Some).map_err(Trouble::Failed)
}

/// What an answer adds to the counters: rows that were changed, or the integers of a single row that
/// was selected.
fn count(counters: &mut Sums, verb: &str, answer: &Returned) {
    if matches!(verb, "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "MERGE") {
        return add(counters, ROWS, answer.affected.into());
    }
    let [row] = answer.rows.as_slice() else {
        return;
    };
    for (name, cell) in answer.columns.iter().zip(row) {
        if let Cell::Int(number) = cell {
            add(counters, name, i128::from(*number));
        }
    }
}

fn add(counters: &mut Sums, name: &str, number: i128) {
    match counters.iter_mut().find(|(known, _)| known == name) {
        Some((_, sum)) => *sum += number,
        None => counters.push((name.to_owned(), number)),
    }
}

/// The ledger's bounds, asked before the commit: after it nothing may fail any more.
fn within_bounds(counters: Sums) -> Result<Counters, Failure> {
    if counters.len() > COUNTERS_MAX {
        return Err(Failure::permanent(format!(
            "report {} counters, more than {COUNTERS_MAX}: select fewer integer columns",
            counters.len()
        )));
    }
    let odd = counters
        .iter()
        .find(|(name, _)| name.is_empty() || name.len() > COUNTER_NAME_MAX);
    if let Some((name, _)) = odd {
        return Err(Failure::permanent(format!(
            "report the counter {name:?}: its name must have 1 to {COUNTER_NAME_MAX} bytes; call \
             the column otherwise with AS"
        )));
    }
    let exact = |(name, sum): (String, i128)| match i64::try_from(sum) {
        Ok(sum) => Ok((name, sum)),
        Err(_) => Err(Failure::permanent(format!(
            "report the counter {name:?}: {sum} goes beyond 64 bits"
        ))),
    };
    counters.into_iter().map(exact).collect()
}

/// The outcome that stands at the shard's key, read on its own.
async fn read_outcome(database: &Database, shard: &Shard) -> Result<Option<Counters>, Trouble> {
    let key = key_of(shard);
    let read = Bound::own(Dialect::read_outcome(key));
    let mut open = Transaction::look(database, shard.lease_remaining(), false).await?;
    let answer = match open.run(&read, Rows::Keep(1)).await {
        Ok(answer) => answer,
        Err(error) => {
            let trouble = Trouble::of(&error, "read gridloom_commit");
            return Err(open.fail(trouble).await);
        }
    };
    // It was read; how this ends changes nothing.
    let _ = open.end().await;
    let Some(row) = answer.rows.first() else {
        return Ok(None);
    };
    let failed = |why: String| Trouble::Failed(Failure::permanent(why));
    match row.first() {
        Some(Cell::Text(text)) if text.is_empty() => Err(failed(format!(
            "find the shard done, but without its outcome: a statement has ended its transaction \
             early (a procedure that commits). Look at what it did, and {}",
            free(key)
        ))),
        Some(Cell::Text(text)) => serde_json::from_str(text).map(Some).map_err(|_| {
            failed("read the outcome in gridloom_commit: it was not written by a gridloom of this version".to_owned())
        }),
        _ => Err(failed("read the outcome in gridloom_commit: it is no text".to_owned())),
    }
}

fn key_of(shard: &Shard) -> CommitKey {
    CommitKey {
        nonce: shard.nonce().0,
        slice: shard.slice(),
        page: shard.page().number,
    }
}
