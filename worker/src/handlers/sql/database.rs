//! How connections are made and what they are told first, and that the commit table is there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gridloom_shared::chain;

#[cfg(any(feature = "sqlite", feature = "mysql"))]
use sqlx::ConnectOptions;
use sqlx::Error;
#[cfg(feature = "mysql")]
use sqlx::mysql::MySqlConnectOptions;
#[cfg(feature = "postgres")]
use sqlx::postgres::PgConnectOptions;
#[cfg(feature = "sqlite")]
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};

use super::DatabaseError;
use super::availability::Availability;
use super::calm::Calm;
use super::dialect::{Dialect, SEE_TABLE, Speaks};
use super::idle::{Idle, Lent};
use super::link::Link;
#[cfg(feature = "postgres")]
use super::session::Opener;
use super::trouble::Trouble;

/// Most connections of one worker process to one database, and so most shards at once there. The
/// others wait their turn, which is nobody's failure.
const CONNECTIONS_MAX: u32 = 64;
/// Longest wait for the server to give a connection before the attempt tries again.
const CONNECTION_WAIT: Duration = Duration::from_secs(10);
/// How long a connection may wait for its next transaction.
const IDLE_MAX: Duration = Duration::from_secs(300);
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
    span: OnceLock<tracing::Span>,
    standing: Availability,
    calm: Calm,
    /// Made with the first lease.
    sessions: OnceLock<Sessions>,
    /// Whether the commit table was seen.
    table: AtomicBool,
    /// Who makes it.
    maker: Mutex<()>,
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

/// Who opens sessions, once it is known for how long they may wait.
enum Opens {
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteConnectOptions),
    #[cfg(feature = "postgres")]
    Postgres(Box<Opener>),
    #[cfg(feature = "mysql")]
    MySql(MySqlConnectOptions),
}

/// Without its options, likewise.
impl std::fmt::Debug for Opens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opens(...)")
    }
}

/// What all sessions have in common.
#[derive(Debug)]
struct Sessions {
    opens: Opens,
    idle: Arc<Idle>,
    /// What each is told first.
    told: Option<String>,
}

impl Database {
    /// Reads the URL; connects to nothing.
    pub(super) fn new(name: &str, url: &str) -> Result<Database, DatabaseError> {
        let scheme = url.split(':').next().unwrap_or_default();
        let dialect = Dialect::of_scheme(scheme).ok_or_else(|| DatabaseError::Scheme {
            name: name.to_owned(),
            scheme: scheme.chars().take(20).collect(),
        })?;
        let server = !matches!(dialect, Dialect::Sqlite);
        if server && !url[scheme.len()..].starts_with("://") {
            // The driver would take what it does not find there from elsewhere.
            return Err(DatabaseError::Url {
                name: name.to_owned(),
                reason: format!(
                    "write {scheme}://USER:PASSWORD@HOST:PORT/DATABASE, with two slashes"
                ),
            });
        }
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
            span: OnceLock::new(),
            standing: Availability::new(name),
            calm: Calm::new(),
            sessions: OnceLock::new(),
            table: AtomicBool::new(false),
            maker: Mutex::new(()),
            slots: Semaphore::new(CONNECTIONS_MAX as usize),
            turn: Mutex::new(()),
        })
    }

    pub(super) fn standing(&self) -> &Availability {
        &self.standing
    }

    /// What the log says beside whatever a database says by itself, as PostgreSQL's notices: which one it is. There
    /// at every level of the log, as what it says is.
    pub(super) fn span(&self) -> tracing::Span {
        let span = || tracing::error_span!("sql", database = self.name);
        self.span.get_or_init(span).clone()
    }

    pub(super) fn calm(&self) -> &Calm {
        &self.calm
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The right to one connection at a time. Asked once for each shard.
    pub(super) async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        self.slots.acquire().await.ok()
    }

    /// What a session is told about how long it may wait: one lease.
    pub(super) fn session_limit(lease: Duration) -> Duration {
        lease.clamp(LEASE_MIN, LEASE_MAX)
    }

    /// A connection without an open transaction; the first decides by `lease` what all sessions are
    /// told.
    pub(super) async fn connect(&self, lease: Duration) -> Result<Lent, Trouble> {
        match self.sessions(lease).idle.take() {
            Some(lent) => Ok(lent),
            None => self.fresh(lease).await,
        }
    }

    /// A connection that nobody has used.
    pub(super) async fn fresh(&self, lease: Duration) -> Result<Lent, Trouble> {
        let sessions = self.sessions(lease);
        let made = tokio::time::timeout(CONNECTION_WAIT, sessions.connect()).await;
        let error = match made {
            Ok(Ok(link)) => return Ok(Lent::new(link)),
            Ok(Err(error)) => error,
            Err(_) => Error::PoolTimedOut,
        };
        Err(Trouble::of_setup(&error, &self.connecting()))
    }

    /// What failed when no connection could be made. SQLite's own words name no file.
    fn connecting(&self) -> String {
        let name = &self.name;
        match &self.target {
            #[cfg(feature = "sqlite")]
            Target::Sqlite(options) => {
                let path = options.get_filename();
                let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                let hint = match full.exists() {
                    true => "",
                    false => {
                        " (which is not there: ?mode=rwc in its URL makes it, in a directory that is)"
                    }
                };
                format!("open database {name:?} in {}{hint}", full.display())
            }
            #[cfg(feature = "postgres")]
            Target::Postgres(_) => format!("connect to database {name:?}"),
            #[cfg(feature = "mysql")]
            Target::MySql(_) => format!("connect to database {name:?}"),
        }
    }

    /// Takes a connection back, whose transaction has ended and which has been tidied.
    pub(super) fn take_back(&self, lent: Lent) {
        match self.sessions.get() {
            Some(sessions) => sessions.idle.put(lent),
            None => lent.part(),
        }
    }

    /// Uses no connection again that there is.
    pub(super) fn doubt_all(&self) {
        if let Some(sessions) = self.sessions.get() {
            sessions.idle.doubt_all();
        }
    }

    fn sessions(&self, lease: Duration) -> &Sessions {
        let limit = Database::session_limit(lease);
        self.sessions.get_or_init(|| self.target.sessions(limit))
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
        if self.table.load(Ordering::Relaxed) {
            return Ok(());
        }
        let _maker = self.maker.lock().await;
        if self.table.load(Ordering::Relaxed) {
            return Ok(());
        }
        let _turn = self.turn().await;
        let mut lent = self.connect(lease).await?;
        create_table(&mut lent.link, self.dialect).await?;
        self.take_back(lent);
        self.table.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the commit table was seen.
    pub(super) fn has_table(&self) -> bool {
        self.table.load(Ordering::Relaxed)
    }

    /// It may have been removed: it is looked for again. Whether it had been seen.
    pub(super) fn forget_table(&self) -> bool {
        self.table.swap(false, Ordering::Relaxed)
    }
}

/// Looks first: the worker's rights may not include making tables.
async fn create_table(link: &mut Link, dialect: Dialect) -> Result<(), Trouble> {
    let Some(error) = link.script(&[SEE_TABLE]).await.error else {
        return Ok(());
    };
    if let again @ Trouble::Again(..) = Trouble::of(&error, "look for the table gridloom_commit") {
        return Err(again);
    }
    let Some(error) = link.script(&[dialect.create_table()]).await.error else {
        return Ok(());
    };
    // Two processes may create it at once; PostgreSQL then fails one of them.
    if link.script(&[SEE_TABLE]).await.error.is_none() {
        return Ok(());
    }
    // Whoever may, makes it by hand; no shard dies of that.
    let doing = "make the table gridloom_commit (docs/SQL.md says how to make it by hand)";
    Err(Trouble::of_setup(&error, doing))
}

impl Target {
    fn sessions(&self, limit: Duration) -> Sessions {
        match self {
            #[cfg(feature = "sqlite")]
            Target::Sqlite(options) => {
                let options = options
                    .clone()
                    .journal_mode(SqliteJournalMode::Wal)
                    // A commit that was reported must survive a power failure: the ledger relies on it.
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(limit.min(SQLITE_WAIT))
                    .disable_statement_logging();
                Sessions {
                    opens: Opens::Sqlite(options),
                    idle: Idle::new(IDLE_MAX),
                    told: None,
                }
            }
            #[cfg(feature = "postgres")]
            Target::Postgres(options) => Sessions {
                opens: Opens::Postgres(Box::new(Opener::new(options, limit))),
                idle: Idle::new(IDLE_MAX),
                told: None,
            },
            #[cfg(feature = "mysql")]
            Target::MySql(options) => {
                let seconds = limit.as_secs().max(1);
                Sessions {
                    opens: Opens::MySql(options.clone().disable_statement_logging()),
                    // Its limit on idle sessions holds between transactions, too.
                    idle: Idle::new(IDLE_MAX.min(limit / 2)),
                    told: Some(format!(
                        "SET SESSION innodb_lock_wait_timeout = {seconds}, SESSION wait_timeout = {seconds}"
                    )),
                }
            }
        }
    }
}

impl Sessions {
    async fn connect(&self) -> Result<Link, Error> {
        let mut link = match &self.opens {
            #[cfg(feature = "sqlite")]
            Opens::Sqlite(options) => Link::Sqlite(options.connect().await?),
            #[cfg(feature = "postgres")]
            Opens::Postgres(opener) => Link::Postgres(opener.open().await?),
            #[cfg(feature = "mysql")]
            Opens::MySql(options) => Link::MySql(options.connect().await?),
        };
        if let Some(told) = &self.told
            && let Some(error) = link.script(&[told]).await.error
        {
            return Err(error);
        }
        Ok(link)
    }
}
