//! A database of each kind, empty, each on a server of its own that dies with the test.

use std::time::Duration;

use anyhow::Context;
use gridloom_tests::database::{self, Server};
use gridloom_tests::wait::eventually_some;
use gridloom_worker::handlers::sql::SqlHandler;
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection, Row, SqliteConnection};

const SOON: Duration = Duration::from_secs(60);

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    MySql,
    Sqlite,
}

impl Kind {
    /// As the documentation calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Postgres => "PostgreSQL",
            Kind::MySql => "MySQL",
            Kind::Sqlite => "SQLite",
        }
    }
}

/// A database, and our own way into it.
pub(crate) struct Store {
    pub(crate) kind: Kind,
    url: String,
    link: Link,
    _server: Option<Server>,
    _dir: tempfile::TempDir,
}

enum Link {
    Postgres(PgConnection),
    MySql(MySqlConnection),
    Sqlite(SqliteConnection),
}

impl Store {
    /// `None`, and said, where its server cannot be had.
    pub(crate) async fn open(kind: Kind) -> anyhow::Result<Option<Store>> {
        let dir = tempfile::tempdir()?;
        let server = match kind {
            Kind::Sqlite => None,
            Kind::Postgres | Kind::MySql => match serve(kind) {
                Some(server) => Some(server),
                None => return Ok(None),
            },
        };
        let (url, link) = match &server {
            None => {
                let path = dir.path().join("data.db");
                std::fs::File::create(&path)?;
                let url = format!("sqlite:{}", path.display());
                let link = SqliteConnection::connect(&url).await?;
                (url, Link::Sqlite(link))
            }
            Some(server) if kind == Kind::Postgres => {
                let link = eventually_some(SOON, "PostgreSQL answers", async || {
                    Ok(PgConnection::connect(&server.url).await.ok())
                });
                (server.url.clone(), Link::Postgres(link.await?))
            }
            Some(server) => {
                let mut link = eventually_some(SOON, "MySQL answers", async || {
                    Ok(MySqlConnection::connect(&server.url).await.ok())
                })
                .await?;
                sqlx::raw_sql("CREATE DATABASE data; USE data")
                    .execute(&mut link)
                    .await?;
                let url = server.url.replace("/?", "/data?");
                (url, Link::MySql(link))
            }
        };
        Ok(Some(Store {
            kind,
            url,
            link,
            _server: server,
            _dir: dir,
        }))
    }

    /// A worker's handler that knows it as `main`.
    pub(crate) fn handler(&self) -> SqlHandler {
        SqlHandler::new([("main".to_owned(), self.url.clone())].into()).unwrap()
    }

    /// Runs statements.
    pub(crate) async fn run(&mut self, statements: &str) -> anyhow::Result<()> {
        let text = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
        match &mut self.link {
            Link::Postgres(link) => text.execute(link).await.map(drop),
            Link::MySql(link) => text.execute(link).await.map(drop),
            Link::Sqlite(link) => text.execute(link).await.map(drop),
        }
        .with_context(|| format!("{}: {statements}", self.kind.name()))
    }

    /// Two columns of a query, each as text that says all of it.
    pub(crate) async fn texts(
        &mut self,
        columns: [&str; 2],
        rest: &str,
    ) -> anyhow::Result<Vec<(String, String)>> {
        let [first, second] = columns.map(|column| match self.kind {
            Kind::Postgres => format!("CAST({column} AS text)"),
            Kind::MySql => format!("CAST({column} AS char)"),
            // As text its floats have 15 digits.
            Kind::Sqlite => column.to_owned(),
        });
        let query = AssertSqlSafe(format!("SELECT {first}, {second} {rest}"));
        let rows = match &mut self.link {
            Link::Postgres(link) => sqlx::query_as(query).fetch_all(link).await,
            Link::MySql(link) => sqlx::query_as(query).fetch_all(link).await,
            Link::Sqlite(link) => sqlx::query(query).fetch_all(link).await.map(|rows| {
                let texts = rows
                    .iter()
                    .map(|row| (sqlite_text(row, 0), sqlite_text(row, 1)));
                texts.collect()
            }),
        };
        rows.with_context(|| format!("{}: {rest}", self.kind.name()))
    }
}

fn sqlite_text(row: &SqliteRow, place: usize) -> String {
    let number = row.try_get::<i64, _>(place).map(|whole| whole.to_string());
    number
        .or_else(|_| {
            row.try_get::<f64, _>(place)
                .map(|float| json!(float).to_string())
        })
        .or_else(|_| row.try_get::<String, _>(place))
        .unwrap_or_default()
}

#[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
fn serve(kind: Kind) -> Option<Server> {
    let server = if kind == Kind::Postgres {
        database::postgres()
    } else {
        database::mysql()
    };
    let what = kind.name();
    server
        .inspect_err(|error| {
            eprintln!("\n*** NOT RUN: the test against {what} did not run: {error:#} ***\n");
            let needed = kind == Kind::Postgres && std::env::var_os("CI").is_some();
            assert!(!needed, "no {what} in CI: {error:#}");
        })
        .ok()
}
