//! The commit protocol (docs/PROTOCOL.md §8): a shard's effect happens once, and everybody who executes
//! the shard reports the same outcome.
//!
//! One transaction inserts the shard's key, runs the statements, stores the outcome and commits. The
//! key comes first, so that a second holder of the shard waits at it instead of doing the work
//! beside the first. A key that is there already means that the effect is done: its outcome is read
//! and reported. A commit whose answer was lost is looked up by trying again: the insertion waits
//! for what is still open and finds what was done.

use gridloom_shared::ledger::outcomes::{COUNTER_NAME_MAX, COUNTERS_MAX, ROWS};

use super::database::Database;
use super::dialect::Dialect;
use super::link::{Answer, Cell, Rows, Value};
use super::order::Bound;
use super::transaction::Transaction;
use super::trouble::{Patience, Trouble};
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
}

/// Executes the shard's statements unless that was done already; what came out either way.
pub(super) async fn exactly_once(
    database: &Database,
    shard: &Shard,
    statements: &[Bound],
) -> Result<Counters, Failure> {
    let _slot = database.slot().await;
    let mut patience = Patience::new();
    loop {
        match pass(database, shard, statements, &mut patience).await {
            Ok(Pass::Committed(counters)) => return Ok(counters),
            Ok(Pass::Done) => match read_outcome(database, shard).await {
                Ok(Some(counters)) => return Ok(counters),
                // Rolled back or deleted meanwhile: it is ours to do.
                Ok(None) => {}
                Err(trouble) => patience.after(trouble, shard).await?,
            },
            Err(trouble) => patience.after(trouble, shard).await?,
        }
        shard.check()?;
    }
}

async fn pass(
    database: &Database,
    shard: &Shard,
    statements: &[Bound],
    patience: &mut Patience,
) -> Result<Pass, Trouble> {
    database.ensure_table(shard.lease_remaining()).await?;
    let mut open = Transaction::begin(database, shard.lease_remaining()).await?;
    let dialect = database.dialect();
    let key = about_key(dialect.insert_key(), shard);
    match open.run(&key).await {
        Ok(answer) if answer.affected == 0 => {
            open.roll_back().await;
            return Ok(Pass::Done);
        }
        Ok(_) => {}
        Err(error) if is_duplicate(&error) => {
            open.roll_back().await;
            return Ok(Pass::Done);
        }
        Err(error) => return fail(open, Trouble::of(error, "insert into gridloom_commit")).await,
    }
    // The key was free, so no earlier commit of ours stands or can still come.
    patience.commit_unknown = false;
    let counters = match effect(&mut open, shard, statements).await {
        Ok(counters) => counters,
        Err(trouble) => return fail(open, trouble).await,
    };
    let store = with_outcome(dialect, shard, &counters);
    if let Err(error) = open.run(&store).await {
        return fail(open, Trouble::of(error, "update gridloom_commit")).await;
    }
    if let Err(stopped) = shard.check() {
        return fail(open, Trouble::Failed(stopped)).await;
    }
    commit(open, patience).await?;
    Ok(Pass::Committed(counters))
}

async fn commit(open: Transaction<'_>, patience: &mut Patience) -> Result<(), Trouble> {
    // From here until the answer, dropping this would leave the commit unknown as well; the next
    // holder finds the key.
    let Err(error) = open.commit().await else {
        return Ok(());
    };
    match Trouble::of(error, "commit") {
        Trouble::Again(error) => {
            patience.commit_unknown = true;
            Err(Trouble::Again(error))
        }
        // A refusal by the database itself, such as a deferred constraint, is no commit.
        failed @ Trouble::Failed(_) => Err(failed),
    }
}

/// Ends the transaction of a pass that failed.
async fn fail(open: Transaction<'_>, trouble: Trouble) -> Result<Pass, Trouble> {
    open.roll_back().await;
    Err(trouble)
}

fn is_duplicate(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

async fn effect(
    open: &mut Transaction<'_>,
    shard: &Shard,
    statements: &[Bound],
) -> Result<Counters, Trouble> {
    let mut counters: Sums = vec![(ROWS.to_owned(), 0)];
    for (place, statement) in statements.iter().enumerate() {
        shard.check().map_err(Trouble::Failed)?;
        let doing = if statements.len() == 1 {
            "run the statement".to_owned()
        } else {
            format!("run statement {} of {}", place + 1, statements.len())
        };
        let answer = open.run(statement).await;
        let answer = answer.map_err(|error| Trouble::of(error, &doing))?;
        count(&mut counters, &statement.verb, &answer);
    }
    within_bounds(counters).map_err(Trouble::Failed)
}

/// What an answer adds to the counters: rows that were changed, or the integers of a single row that
/// was selected.
fn count(counters: &mut Sums, verb: &str, answer: &Answer) {
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
    let mut link = database.connect(shard.lease_remaining()).await?;
    let read = about_key(database.dialect().read_outcome(), shard);
    let answer = link.run(&read.text, &read.values, Rows::Keep(1)).await;
    let answer = answer.map_err(|error| Trouble::of(error, "read gridloom_commit"))?;
    let Some(row) = answer.rows.first() else {
        return Ok(None);
    };
    let outcome = match row.first() {
        Some(Cell::Text(text)) => serde_json::from_str(text).ok(),
        _ => None,
    };
    outcome.map(Some).ok_or_else(|| {
        Trouble::Failed(Failure::permanent(
            "read the outcome in gridloom_commit: it was not written by a gridloom of this version",
        ))
    })
}

/// One of the engine's own statements about this shard's key.
fn about_key(text: &'static str, shard: &Shard) -> Bound {
    Bound {
        text: text.into(),
        values: vec![
            Value::Text(Some(format!("{:016x}", shard.nonce().0))),
            Value::Int(Some(shard.slice().into())),
            Value::Int(Some(shard.page().number.into())),
        ],
        verb: String::new(),
        goes_on: false,
    }
}

fn with_outcome(dialect: Dialect, shard: &Shard, counters: &Counters) -> Bound {
    let mut store = about_key(dialect.store_outcome(), shard);
    let outcome = Value::Text(serde_json::to_string(counters).ok());
    match dialect {
        Dialect::Sqlite | Dialect::Postgres => store.values.push(outcome),
        // Its placeholders have no numbers: the outcome comes first.
        Dialect::MySql => store.values.insert(0, outcome),
    }
    store
}
