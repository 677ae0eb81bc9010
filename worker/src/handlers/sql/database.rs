//! How connections are made and what they are told first, and that the commit table is there.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gridloom_shared::chain;

#[cfg(feature = "mysql")]
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use sqlx::pool::PoolOptions;
#[cfg(feature = "postgres")]
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
#[cfg(feature = "sqlite")]
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
#[cfg(any(feature = "postgres", feature = "mysql"))]
use sqlx::{AssertSqlSafe, Executor};
use sqlx::{ConnectOptions, Error};
use tokio::sync::{Mutex, MutexGuard, OnceCell, Semaphore, SemaphorePermit};

use super::DatabaseError;
use super::dialect::{Dialect, SEE_TABLE};
use super::link::{Link, Rows};
use super::trouble::Trouble;
use crate::failure::Failure;

/// Most connections of one worker process to one database, and so most shards at once there. The
/// others wait their turn, which is nobody's failure.
const CONNECTIONS_MAX: u32 = 64;
/// Longest wait for the server to give a connection before the attempt tries again.
const CONNECTION_WAIT: Duration = Duration::from_secs(10);
/// Bounds of the limits that a session gets: one lease, as it was when the database was first used.
const LEASE_MIN: Duration = Duration::from_secs(1);
const LEASE_MAX: Duration = Duration::from_secs(600);
/// SQLite waits by sleeping in a thread that nothing can wake; beyond this the attempt waits itself.
#[cfg(feature = "sqlite")]
const SQLITE_WAIT: Duration = Duration::from_secs(5);

/// One database of the worker's configuration.
#[derive(Debug)]
pub(super) struct Database {
    name: String,
    dialect: Dialect,
    target: Target,
    pool: OnceLock<Pool>,
    table: OnceCell<()>,
    /// One for each connection.
    slots: Semaphore,
    /// Whose turn it is to write, where only one can: waiting here is fair and costs nothing.
    turn: Mutex<()>,
}

enum Target {
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteConnectOptions),
    #[cfg(feature = "postgres")]
    Postgres(Box<PgConnectOptions>),
    #[cfg(feature = "mysql")]
    MySql(MySqlConnectOptions),
}

/// Without its options: passwords stand in them.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Target(...)")
    }
}

#[derive(Debug)]
enum Pool {
    #[cfg(feature = "sqlite")]
    Sqlite(SqlitePool),
    #[cfg(feature = "postgres")]
    Postgres(PgPool),
    #[cfg(feature = "mysql")]
    MySql(MySqlPool),
}

impl Database {
    /// Reads the URL; connects to nothing.
    pub(super) fn new(name: &str, url: &str) -> Result<Database, DatabaseError> {
        let scheme = url.split(':').next().unwrap_or_default();
        let dialect = Dialect::of_scheme(scheme).ok_or_else(|| DatabaseError::Scheme {
            name: name.to_owned(),
            scheme: scheme.chars().take(20).collect(),
        })?;
        let malformed = |error: Error| DatabaseError::Url {
            name: name.to_owned(),
            reason: chain(&error).to_string(),
        };
        let target = match dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => Target::Sqlite(url.parse().map_err(malformed)?),
            #[cfg(feature = "postgres")]
            Dialect::Postgres => Target::Postgres(Box::new(url.parse().map_err(malformed)?)),
            #[cfg(feature = "mysql")]
            Dialect::MySql => {
                // The driver knows one name for the two.
                let url = url.replacen("mariadb:", "mysql:", 1);
                #[cfg(feature = "mysql")]
                Target::MySql(url.parse().map_err(malformed)?)
            }
            #[cfg(not(all(feature = "sqlite", feature = "postgres", feature = "mysql")))]
            other => {
                return Err(DatabaseError::LeftOut {
                    name: name.to_owned(),
                    feature: other.feature(),
                });
            }
        };
        Ok(Database {
            name: name.to_owned(),
            dialect,
            target,
            pool: OnceLock::new(),
            table: OnceCell::new(),
            slots: Semaphore::new(CONNECTIONS_MAX as usize),
            turn: Mutex::new(()),
        })
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The right to one connection at a time. Asked once for each shard.
    pub(super) async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        self.slots.acquire().await.ok()
    }

    /// A connection; the first decides by `lease` what all sessions are told.
    pub(super) async fn connect(&self, lease: Duration) -> Result<Link, Trouble> {
        let pool = self.pool.get_or_init(|| self.target.pool(lease));
        let link = match pool {
            #[cfg(feature = "sqlite")]
            Pool::Sqlite(pool) => pool.acquire().await.map(Link::Sqlite),
            #[cfg(feature = "postgres")]
            Pool::Postgres(pool) => pool.acquire().await.map(Link::Postgres),
            #[cfg(feature = "mysql")]
            Pool::MySql(pool) => pool.acquire().await.map(Link::MySql),
        };
        link.map_err(|error| match Trouble::of(error, "connect") {
            Trouble::Failed(failure) => {
                let message = format!("use database {:?}: {}", self.name, failure.text());
                Trouble::Failed(Failure::retry(message))
            }
            again @ Trouble::Again(_) => again,
        })
    }

    /// The right to write, where the database has only one.
    pub(super) async fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        match self.dialect {
            Dialect::Sqlite => Some(self.turn.lock().await),
            Dialect::Postgres | Dialect::MySql => None,
        }
    }

    /// Makes sure that the commit table is there, once in this process.
    pub(super) async fn ensure_table(&self, lease: Duration) -> Result<(), Trouble> {
        let seen = self.table.get_or_try_init(|| async {
            let _turn = self.turn().await;
            let mut link = self.connect(lease).await?;
            create_table(&mut link, self.dialect).await
        });
        seen.await.copied()
    }
}

/// Looks first: the worker's rights may not include making tables.
async fn create_table(link: &mut Link, dialect: Dialect) -> Result<(), Trouble> {
    let see: Arc<str> = SEE_TABLE.into();
    if link.run(&see, &[], Rows::Only(0)).await.is_ok() {
        return Ok(());
    }
    let Err(error) = link.plain(dialect.create_table()).await else {
        return Ok(());
    };
    // Two processes may create it at once; PostgreSQL then fails one of them.
    match link.run(&see, &[], Rows::Only(0)).await {
        Ok(_) => Ok(()),
        Err(_) => Err(match Trouble::of(error, "create") {
            again @ Trouble::Again(_) => again,
            Trouble::Failed(failure) => Trouble::Failed(Failure::retry(format!(
                "make the table gridloom_commit: {}",
                failure.text()
            ))),
        }),
    }
}

impl Target {
    fn pool(&self, lease: Duration) -> Pool {
        let lease = lease.clamp(LEASE_MIN, LEASE_MAX);
        match self {
            #[cfg(feature = "sqlite")]
            Target::Sqlite(options) => Pool::Sqlite(sqlite(options.clone(), lease)),
            #[cfg(feature = "postgres")]
            Target::Postgres(options) => Pool::Postgres(postgres(options, lease)),
            #[cfg(feature = "mysql")]
            Target::MySql(options) => Pool::MySql(mysql(options.clone(), lease)),
        }
    }
}

/// A stale connection shows at its first use and is tried again like any other lost one, so that
/// the usual case costs no extra question.
fn pool_options<D: sqlx::Database>() -> PoolOptions<D> {
    PoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(CONNECTION_WAIT)
        .test_before_acquire(false)
}

#[cfg(feature = "sqlite")]
fn sqlite(options: SqliteConnectOptions, lease: Duration) -> SqlitePool {
    let options = options
        .journal_mode(SqliteJournalMode::Wal)
        // A commit that was reported must survive a power failure: the ledger relies on it.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(lease.min(SQLITE_WAIT))
        .disable_statement_logging();
    let pool: SqlitePoolOptions = pool_options();
    pool.connect_lazy_with(options)
}

#[cfg(feature = "postgres")]
fn postgres(options: &PgConnectOptions, lease: Duration) -> PgPool {
    let options = options
        .clone()
        .application_name("gridloom")
        .disable_statement_logging();
    let pool: PgPoolOptions = pool_options();
    let ms = lease.as_millis();
    // The last line is for servers that know it: they then notice in the middle of a statement that
    // its worker is gone.
    let told: Arc<str> = format!(
        "SET lock_timeout = {ms}; SET idle_in_transaction_session_timeout = {ms}; \
         SELECT set_config(name, '1000', false) FROM pg_settings \
         WHERE name = 'client_connection_check_interval'"
    )
    .into();
    pool.after_connect(move |session, _| {
        let told = sqlx::raw_sql(AssertSqlSafe(Arc::clone(&told)));
        Box::pin(async move { session.execute(told).await.map(drop) })
    })
    .connect_lazy_with(options)
}

#[cfg(feature = "mysql")]
fn mysql(options: MySqlConnectOptions, lease: Duration) -> MySqlPool {
    // Its limit on idle sessions holds between transactions too: look before use.
    let pool: MySqlPoolOptions = pool_options().test_before_acquire(true);
    let seconds = lease.as_secs().max(1);
    let told: Arc<str> = format!(
        "SET SESSION innodb_lock_wait_timeout = {seconds}, SESSION wait_timeout = {seconds}"
    )
    .into();
    pool.after_connect(move |session, _| {
        let told = sqlx::raw_sql(AssertSqlSafe(Arc::clone(&told)));
        Box::pin(async move { session.execute(told).await.map(drop) })
    })
    .connect_lazy_with(options.disable_statement_logging())
}
