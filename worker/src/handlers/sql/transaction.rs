//! That each transaction begins on a connection that knows nothing of another's, and that none whose
//! state is not certain is ever used again, whatever happens to the code that opened it.

use std::time::Duration;

use sqlx::Error;
use tokio::sync::MutexGuard;

use super::along;
use super::database::Database;
use super::dialect::{CommitKey, Limits, Purpose, Speaks};
use super::idle::Lent;
use super::link::{Answers, Returned, Rows, Script};
use super::order::Bound;
use super::trouble::Trouble;
use crate::failure::Failure;

/// An open transaction. Dropping it (the shard was told to stop, a step failed) closes the
/// connection, so that the database rolls back.
#[derive(Debug)]
pub(super) struct Transaction<'d> {
    database: &'d Database,
    lent: Option<Lent>,
    /// Whether its statements may leave something on the connection that no reset takes away.
    traces: bool,
    /// Whether it was marked, as its statements may end it.
    marked: bool,
    _turn: Option<MutexGuard<'d, ()>>,
}

/// Why a commit is not known to be one.
#[derive(Debug)]
pub(super) enum Unsealed {
    /// A statement ended the transaction: what it did before that is done, the key with it.
    Left,
    /// The outcome found no key: a statement removed it, and all is committed.
    KeyGone,
    /// Refused, or nobody knows.
    Error(Error),
}

/// How a transaction of a shard began.
#[derive(Debug)]
pub(super) enum Began {
    /// The key was there: the shard is done.
    Done,
    /// It holds the key. What the statements returned that went along with it, and why the next of
    /// them failed.
    Held(Vec<Returned>, Option<Error>),
}

impl<'d> Transaction<'d> {
    /// One for a shard's effect. It begins with its key.
    pub(super) async fn write(
        database: &'d Database,
        lease: Duration,
        traces: bool,
    ) -> Result<Transaction<'d>, Trouble> {
        Transaction::on(database, lease, Purpose::Write, traces).await
    }

    /// Begins it with the shard's key, and runs as many of the statements as go along: all of them or
    /// none. In line it waits for others that are. The key says what the outcome is expected to be.
    pub(super) async fn begin(
        &mut self,
        lease: Duration,
        (key, expected): (CommitKey, Option<&str>),
        in_line: Option<&str>,
        statements: &[Bound],
    ) -> Result<Began, Trouble> {
        let dialect = self.database.dialect();
        let mut opening = self.opening(Purpose::Write, lease);
        opening.extend(in_line.and_then(|job| dialect.line_up(job)));
        let place = opening.len();
        opening.push(dialect.insert_key(key, expected.unwrap_or_default()));
        if statements.iter().any(|statement| statement.may_end) {
            self.marked = true;
            opening.extend(dialect.mark().map(str::to_owned));
        }
        opening.extend(in_line.and_then(|_| dialect.yields()));
        let begun = opening.len();
        let mut ends = Vec::new();
        for steps in along::steps(statements, dialect) {
            opening.extend(steps);
            ends.push(opening.len());
        }
        let answers = self.ask(&opening).await;
        let step = answers.done.len();
        let is_done = answers.done.get(place).is_some_and(|it| it.affected == 0);
        match answers.error {
            _ if is_done => Ok(Began::Done),
            Some(error) if step == place && is_duplicate(&error) => Ok(Began::Done),
            Some(error) if step == place => Err(Trouble::of(&error, "insert into gridloom_commit")),
            // A text is read before its first statement runs.
            Some(error) if step == 0 && !ends.is_empty() => {
                Err(Trouble::of(&error, "read the statements"))
            }
            Some(error) if step < begun => Err(Trouble::of(&error, "begin a transaction")),
            None if !ends.is_empty() && step != opening.len() => Err(several()),
            error => Ok(Began::Held(ended(answers.done, &ends), error)),
        }
    }

    /// One that only looks.
    pub(super) async fn look(
        database: &'d Database,
        lease: Duration,
        traces: bool,
    ) -> Result<Transaction<'d>, Trouble> {
        let mut open = Transaction::on(database, lease, Purpose::Read, traces).await?;
        let opening = open.opening(Purpose::Read, lease);
        match open.script(&opening).await.error {
            None => Ok(open),
            Some(error) => Err(Trouble::of(&error, "begin a transaction")),
        }
    }

    async fn on(
        database: &'d Database,
        lease: Duration,
        purpose: Purpose,
        traces: bool,
    ) -> Result<Transaction<'d>, Trouble> {
        let turn = match purpose {
            Purpose::Write => database.turn().await,
            Purpose::Read => None,
        };
        // What leaves traces may read others', too.
        let lent = match traces {
            true => database.fresh(lease).await?,
            false => database.connect(lease).await?,
        };
        Ok(Transaction {
            database,
            lent: Some(lent),
            traces,
            marked: false,
            _turn: turn,
        })
    }

    /// Whether the server notices while it works or waits that the connection is closed.
    pub(super) fn notices(&self) -> bool {
        self.lent.as_ref().is_some_and(|lent| lent.link.notices())
    }

    fn opening(&self, purpose: Purpose, lease: Duration) -> Vec<String> {
        let waits = Database::session_limit(lease);
        let limits = match &self.lent {
            Some(lent) => lent.link.limits(waits),
            None => Limits::Waits(waits),
        };
        self.database.dialect().begin(purpose, limits)
    }

    pub(super) async fn run(&mut self, statement: &Bound, rows: Rows) -> Result<Returned, Error> {
        match &mut self.lent {
            Some(lent) => {
                let Bound { text, values, .. } = statement;
                lent.link.run(text, values, rows).await
            }
            None => Err(Error::PoolClosed),
        }
    }

    /// Stores the outcome at the key, unless it stands there, and commits both.
    pub(super) async fn seal(
        mut self,
        key: CommitKey,
        (outcome, stands): (&str, bool),
    ) -> Result<(), Unsealed> {
        let dialect = self.database.dialect();
        let store = (!stands).then(|| dialect.store_outcome(key, outcome));
        let mut closing = Vec::new();
        if let Some(store) = &store {
            closing.extend(dialect.unmark().filter(|_| self.marked));
            closing.extend(dialect.settle());
            closing.push(store.as_str());
        }
        let commit = closing.len();
        closing.push("COMMIT");
        if stands {
            closing.extend(dialect.reset());
        }
        closing.extend(dialect.tidy());
        let script = self.script(&closing).await;
        match script.error {
            None => self.give_back(),
            // Committed; what the session has left is unknown.
            Some(_) if script.done.len() > commit => {}
            Some(error) if script.done.is_empty() && is_no_savepoint(&error) => {
                return Err(Unsealed::Left);
            }
            Some(error) => {
                // Refused: the session is as good as new then.
                if !Trouble::of(&error, "commit").wants_fresh() {
                    self.roll_back().await;
                }
                return Err(Unsealed::Error(error));
            }
        }
        if store.is_some() && script.done.get(commit - 1) == Some(&0) {
            return Err(Unsealed::KeyGone);
        }
        Ok(())
    }

    /// Ends one that only looked. What its query did beside that stays done.
    pub(super) async fn end(mut self) -> Result<(), Error> {
        let dialect = self.database.dialect();
        let mut closing = vec!["COMMIT"];
        closing.extend(dialect.reset());
        closing.extend(dialect.tidy());
        match self.script(&closing).await.error {
            None => {
                self.give_back();
                Ok(())
            }
            Some(error) => Err(error),
        }
    }

    /// Ends one that failed; says why again.
    pub(super) async fn fail(self, trouble: Trouble) -> Trouble {
        if !trouble.wants_fresh() {
            self.roll_back().await;
        }
        trouble
    }

    /// Rolls back and keeps the connection if it can.
    pub(super) async fn roll_back(mut self) {
        let dialect = self.database.dialect();
        let mut closing = vec!["ROLLBACK"];
        closing.extend(dialect.reset());
        closing.extend(dialect.tidy());
        if self.script(&closing).await.error.is_none() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some(lent) = self.lent.take() {
            match self.traces {
                true => lent.part(),
                false => self.database.take_back(lent),
            }
        }
    }

    async fn ask(&mut self, statements: &[String]) -> Answers {
        match &mut self.lent {
            Some(lent) => lent.link.ask(statements).await,
            None => Answers {
                error: Some(Error::PoolClosed),
                ..Answers::default()
            },
        }
    }

    async fn script(&mut self, statements: &[impl AsRef<str>]) -> Script {
        match &mut self.lent {
            Some(lent) => lent.link.script(statements).await,
            None => Script {
                error: Some(Error::PoolClosed),
                ..Script::default()
            },
        }
    }
}

/// What each statement returned that was done, by where the steps of each end.
fn ended(mut done: Vec<Returned>, ends: &[usize]) -> Vec<Returned> {
    let there = ends.iter().filter(|end| **end <= done.len()).copied();
    let there: Vec<usize> = there.collect();
    let take = |end: usize| std::mem::take(&mut done[end - 1]);
    there.into_iter().map(take).collect()
}

fn several() -> Trouble {
    Trouble::Failed(Failure::permanent(
        "run the statements: one of them is several: give a list, one statement an item",
    ))
}

fn is_duplicate(error: &Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// MySQL's answer to `RELEASE SAVEPOINT` in another transaction than the one that set it.
#[cfg(feature = "mysql")]
fn is_no_savepoint(error: &Error) -> bool {
    let error = error.as_database_error();
    let error = error.and_then(|it| it.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>());
    error.is_some_and(|error| error.number() == 1305)
}

#[cfg(not(feature = "mysql"))]
fn is_no_savepoint(_: &Error) -> bool {
    false
}
