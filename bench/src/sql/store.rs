//! A database of each kind, on a server of its own.

use std::time::Duration;

use anyhow::{Context, bail};
use gridloom_tests::database::{self, Commits, Server};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection, SqliteConnection};
use tokio::time::Instant;

use crate::args::Kind;
use crate::usage;

/// What a shard does.
pub(super) const ROW: &str =
    "INSERT INTO done_rows (slice, page, said) VALUES (:slice, :page, 'done')";
/// How long a server may take to start.
const START: Duration = Duration::from_secs(60);

/// How the kind is called.
pub(super) fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => "PostgreSQL",
        Kind::MariaDb => "MariaDB",
        Kind::Sqlite => "SQLite",
    }
}

/// A database, and our own way into it.
pub(super) struct Store {
    kind: Kind,
    url: String,
    link: Link,
    server: Option<Server>,
    _dir: tempfile::TempDir,
}

enum Link {
    Postgres(PgConnection),
    MariaDb(MySqlConnection),
    Sqlite(SqliteConnection),
}

macro_rules! with_link {
    ($store:expr, $link:ident => $done:expr) => {
        match &mut $store.link {
            Link::Postgres($link) => $done,
            Link::MariaDb($link) => $done,
            Link::Sqlite($link) => $done,
        }
    };
}

impl Store {
    pub(super) async fn start(kind: Kind) -> anyhow::Result<Store> {
        let dir = tempfile::tempdir()?;
        let server = match kind {
            Kind::Postgres => Some(database::postgres_with(Commits::OnDisk)?),
            // As it is installed: its commits are.
            Kind::MariaDb => Some(database::mysql()?),
            Kind::Sqlite => None,
        };
        let url = match &server {
            Some(server) => server.url.clone(),
            None => {
                let file = dir.path().join("bench.db");
                format!("sqlite:{}?mode=rwc", file.display())
            }
        };
        let (link, url) = match connect(kind, &url).await? {
            Link::MariaDb(mut link) => {
                sqlx::raw_sql("CREATE DATABASE bench; USE bench")
                    .execute(&mut link)
                    .await?;
                (Link::MariaDb(link), url.replace("/?", "/bench?"))
            }
            other => (other, url),
        };
        let mut store = Store {
            kind,
            url,
            link,
            server,
            _dir: dir,
        };
        store
            .execute(
                "CREATE TABLE done_rows (slice bigint NOT NULL, page bigint NOT NULL, said varchar(10) NOT NULL)",
            )
            .await?;
        Ok(store)
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Processor seconds of its server; SQLite has none.
    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.server
            .as_ref()
            .map_or(Ok(0.0), |server| usage::tree_seconds(server.pid()))
    }

    pub(super) async fn execute(&mut self, sql: &str) -> anyhow::Result<()> {
        with_link!(self, link => {
            sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(link).await?;
        });
        Ok(())
    }

    pub(super) async fn number(&mut self, sql: &str) -> anyhow::Result<i64> {
        let sql = AssertSqlSafe(sql.to_owned());
        Ok(with_link!(self, link => sqlx::query_scalar(sql).fetch_one(link).await?))
    }

    /// What shards have added.
    pub(super) async fn rows(&mut self) -> anyhow::Result<i64> {
        self.number("SELECT count(*) FROM done_rows").await
    }

    /// Brings the table of commits to so many rows, of runs that nobody asks for.
    pub(super) async fn fill(&mut self, rows: u64) -> anyhow::Result<()> {
        let there = self.number("SELECT count(*) FROM gridloom_commit").await?;
        let (from, to) = (there + 1, i64::try_from(rows)?);
        if from > to {
            return Ok(());
        }
        let outcome = "'[[\"rows\",1]]'";
        let insert = "INSERT INTO gridloom_commit (run_nonce, slice, page, outcome)";
        // As runs leave them: 100,000 shards each.
        let fill = match self.kind {
            Kind::Postgres => format!(
                "{insert} SELECT lpad(to_hex(n / 100000), 16, 'f'), n % 16, n, {outcome} \
                 FROM generate_series({from}, {to}) AS n; ANALYZE gridloom_commit; CHECKPOINT"
            ),
            Kind::MariaDb => format!(
                "{insert} SELECT lpad(hex(seq DIV 100000), 16, 'f'), seq % 16, seq, {outcome} \
                 FROM seq_{from}_to_{to}; ANALYZE TABLE gridloom_commit"
            ),
            Kind::Sqlite => format!(
                "WITH RECURSIVE s(n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM s WHERE n < {to}) \
                 {insert} SELECT printf('f%015x', n / 100000), n % 16, n, {outcome} FROM s"
            ),
        };
        self.execute(&fill).await
    }

    /// How many connections the worker has, where the server says whose they are.
    pub(super) async fn connections(&mut self) -> anyhow::Result<Option<i64>> {
        if self.kind != Kind::Postgres {
            return Ok(None);
        }
        let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gridloom'";
        self.number(count).await.map(Some)
    }
}

/// Waits until the server answers.
async fn connect(kind: Kind, url: &str) -> anyhow::Result<Link> {
    let give_up = Instant::now() + START;
    loop {
        let link = match kind {
            Kind::Postgres => PgConnection::connect(url).await.map(Link::Postgres),
            Kind::MariaDb => MySqlConnection::connect(url).await.map(Link::MariaDb),
            Kind::Sqlite => SqliteConnection::connect(url).await.map(Link::Sqlite),
        };
        match link {
            Ok(link) => return Ok(link),
            Err(error) if Instant::now() > give_up => {
                bail!("connect to {}: {error}", name(kind));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// As the worker opens its own, so that both write in the same way.
pub(super) async fn sqlite(url: &str) -> anyhow::Result<SqliteConnection> {
    use sqlx::ConnectOptions;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
    let options: SqliteConnectOptions = url.parse()?;
    let options = options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    options.connect().await.context("open the file")
}
