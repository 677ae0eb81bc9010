//! Runs SQL statements, each shard's effect exactly once (docs/PROTOCOL.md §8).
//!
//! The databases (SQLite, PostgreSQL, MySQL) are named in the worker's configuration; a job says
//! only the name. A shard's statements run in one transaction together with its row in
//! `gridloom_commit`, so that a shard that is executed twice, at once or after a crash, changes the
//! data once, and both executions report the same outcome.
//!
//! **Settings of a job**, the table `[sql]` of its file: no submission can change them.
//!
//! | key | meaning |
//! |-----|---------|
//! | `database` | a name from the worker's configuration |
//! | `statement` | one statement, or a list of statements that run in one transaction |
//! | `probe` | for `pages = { probe = true }`: a query for the pages of a slice, see below |
//! | `key` | what bounds the pages: `"integer"` (the default) or `"text"` |
//!
//! **Parameters**, whatever their names, are values for the statements, as `:name`; a list or table is bound as
//! JSON text. They are bound and never become a piece of a statement.
//!
//! **Names in statements**: `:slice`, `:slices` and `:page` always; `:page_from` and `:page_to`, both
//! inside the page, where the pages were probed; `:offset` and `:limit` where the grid has `rows`
//! (the last page of a slice is open: its `:limit` is 2^53, more rows than there are, so that
//! `:offset + :limit` is a number too); `:after` in a probe; and
//! the parameters. Integers are 64 bits wide, texts are text: PostgreSQL wants a cast
//! where a column has another type (`day = :day::date`).
//!
//! **A probe** returns one row a page, the first and the last key, in order:
//! ```sql
//! SELECT min(id), max(id)
//! FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS n
//!       FROM flights
//!       WHERE (id % :slices + :slices) % :slices = :slice
//!         AND (:after IS NULL OR id > :after)) AS numbered
//! GROUP BY n - n % 1000 ORDER BY 1
//! ```
//! At most 4,096 pages a question, and fewer with long keys: with `:after` in the query (the last key that
//! is known; null at first) the engine asks on where there are more. The key must be unique, not null, and
//! compared as it is ordered: a key that is in two pages is refused (docs/HANDLERS.md has more forms).
//!
//! **What is reported**: `rows` is the number of rows that the statements inserted, updated or
//! deleted. A `SELECT` that returns one row adds a counter for each of its integer columns, by name
//! (in PostgreSQL and MySQL a sum must be cast: `sum(n)::bigint AS seats`).
//!
//! **The table** `gridloom_commit(run_nonce, slice, page, outcome, at)` is created where it is
//! missing. Its rows are deleted once the ledger has purged their run.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | `along` | which statements go along with the key, and how their values stand there |
//! | `order` | which value each name of a statement has |
//! | `number` | how a number goes into each database as it was written |
//! | `numeric` | how a decimal number goes to PostgreSQL |
//! | `dialect` | what the three kinds of database call things |
//! | `link` | how values go in and come out |
//! | `session` | what a session of PostgreSQL is told when it is opened, and whether it is ours alone |
//! | `database` | how connections and the table are made, and how many at once |
//! | `idle` | which connections wait for their next transaction |
//! | `transaction` | that no transaction meets what another left, and no open one is used again |
//! | `commit` | the commit protocol |
//! | `habit` | what the shards of a run report mostly |
//! | `calm` | that shards which met in a deadlock do not meet again |
//! | `forget` | what the commit table need not keep |
//! | `probe` | which pages a query's rows mean |
//! | `codes` | what each error of a database means |
//! | `trouble` | which errors are tried again, and which never |
//! | `patience` | how long, and what is waited for in between |
//! | `availability` | whether a database serves |

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use gridloom_shared::id::Nonce;
use gridloom_shared::job::handlers::named::Named;
use tracing::Instrument;

use super::lacking::Lacking;
use crate::failure::Failure;
use crate::handler::{Boxed, Handler, ProbedPages};
use crate::shard::{Probe, Shard};

mod along;
mod availability;
mod calm;
mod codes;
mod commit;
mod database;
mod dialect;
mod forget;
mod habit;
mod idle;
mod link;
mod literal;
mod number;
#[cfg(feature = "postgres")]
mod numeric;
mod order;
mod patience;
mod probe;
#[cfg(feature = "postgres")]
mod session;
mod transaction;
mod trouble;

use commit::Work;
use database::Database;
use order::{Order, Statements};

/// Why a database of a worker's configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL begins with something else.
    #[error(
        "use database {name:?}: its URL must begin with sqlite:, postgres: or mysql:, found {scheme:?}"
    )]
    Scheme {
        /// The database's name in the configuration.
        name: String,
        /// What the URL begins with; the rest may hold a password.
        scheme: String,
    },
    /// The worker was built without the driver.
    #[error(
        "use database {name:?}: this worker was built without {feature}: build gridloom-worker with its feature {feature:?}"
    )]
    LeftOut {
        /// The database's name in the configuration.
        name: String,
        /// The feature that brings the driver.
        feature: &'static str,
    },
    /// The URL has the right beginning and is malformed after it.
    #[error("use database {name:?}: its URL is malformed: {reason}")]
    Url {
        /// The database's name in the configuration.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The handler `sql`.
#[derive(Debug)]
pub struct SqlHandler {
    databases: BTreeMap<String, Database>,
    lacking: Lacking,
}

impl SqlHandler {
    /// A handler for `databases`: URLs by the names that jobs use. Connects to none of them yet.
    ///
    /// # Errors
    /// When a URL is of no known kind or malformed.
    pub fn new(databases: BTreeMap<String, String>) -> Result<SqlHandler, DatabaseError> {
        let open = |(name, url): (String, String)| {
            let database = Database::new(&name, &url)?;
            Ok((name, database))
        };
        let databases = databases.into_iter().map(open).collect::<Result<_, _>>()?;
        let lacking = Lacking::new(Named::Database);
        Ok(SqlHandler { databases, lacking })
    }

    fn database(&self, name: &str, shard: &Shard) -> Result<&Database, Failure> {
        let known = self.databases.keys();
        let found = self.databases.get(name);
        found.ok_or_else(|| self.lacking.failure(name, known, shard))
    }
}

impl Handler for SqlHandler {
    async fn run(&self, shard: Shard) -> Result<(), Failure> {
        self.execute(shard).await
    }

    async fn probe(&self, probe: Probe) -> Result<ProbedPages, Failure> {
        self.ask(probe).await
    }

    async fn forget(&self, runs: &[Nonce]) {
        self.remove(runs).await;
    }

    fn knows(&self) -> Vec<String> {
        self.databases.keys().cloned().collect()
    }

    fn trouble(&self) -> Option<String> {
        let databases = self.databases.values();
        let troubles: Vec<String> = databases.filter_map(|it| it.standing().trouble()).collect();
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }
}

/// Their types are forgotten: the drivers of three databases are compiled here, and not once more by
/// whoever registers the handler.
impl SqlHandler {
    #[inline(never)]
    fn execute(&self, shard: Shard) -> Boxed<'_, ()> {
        Box::pin(self.execute_once(shard))
    }

    #[inline(never)]
    fn ask(&self, probe: Probe) -> Boxed<'_, ProbedPages> {
        Box::pin(self.find_pages(probe))
    }

    #[inline(never)]
    fn remove<'a>(&'a self, runs: &'a [Nonce]) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            for (name, database) in &self.databases {
                match forget::runs(database, runs).await {
                    Ok(0) => {}
                    Ok(rows) => {
                        tracing::info!(database = name, rows, "forgot shards of purged runs")
                    }
                    // Another round follows, and other workers have it, too.
                    Err(trouble) => {
                        tracing::info!(
                            database = name,
                            error = trouble.text(),
                            "cannot forget purged runs"
                        )
                    }
                }
            }
        })
    }

    async fn execute_once(&self, shard: Shard) -> Result<(), Failure> {
        let (database, read) = self.statements(&shard)?;
        let statements = read.bind(&shard)?;
        let work = Work {
            shard: &shard,
            statements: &statements,
            habit: &read.habit,
        };
        let work = commit::exactly_once(database, work);
        let work = work.instrument(database.span());
        let counters = unless_stopped(&shard, work).await?;
        shard.restore(counters);
        Ok(())
    }

    /// What the shard's run says, which is read once.
    fn statements(&self, shard: &Shard) -> Result<(&Database, Arc<Statements>), Failure> {
        let read = || {
            let order = Order::read(shard)?;
            let database = self.database(order.database(), shard)?;
            order.statements(shard, database.dialect())
        };
        let kept = shard.kept().or_make(read)?;
        let database = self.database(kept.database(), shard)?;
        match kept.are_for(shard, database.dialect()) {
            true => Ok((database, kept)),
            false => Ok((database, Arc::new(read()?))),
        }
    }

    async fn find_pages(&self, probe: Probe) -> Result<ProbedPages, Failure> {
        let order = Order::read(&probe)?;
        let database = self.database(order.database(), &probe)?;
        let query = order.query_for(&probe, database.dialect())?;
        let work = probe::pages(database, &probe, &query, order.key());
        let work = work.instrument(database.span());
        unless_stopped(&probe, work).await
    }
}

/// Drops the work, and with it its transaction, when the shard is to stop.
async fn unless_stopped<T>(
    shard: &Shard,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        () = shard.cancelled() => {
            shard.check()?;
            Err(Failure::retry("finish: told to stop"))
        }
    }
}

#[cfg(test)]
mod tests;
