//! The loops that somebody would write: so many connections, each of which takes the next shard, does
//! its transaction and goes on. They keep the shard's key and outcome, so that nothing happens twice; they
//! have no plan, no lease, no retry, and leave on a connection whatever a statement leaves there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gridloom_shared::id::Nonce;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection, SqliteConnection};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::SLICES;
use super::store::{self, Store};
use crate::args::Kind;

/// The same transaction with any driver: `$begin`, and the texts of key, row and outcome.
macro_rules! steps {
    ($name:ident, $link:ty, $begin:literal, $key:literal, $row:literal, $outcome:literal) => {
        async fn $name(link: &mut $link, nonce: &str, slice: i64, page: i64) -> sqlx::Result<()> {
            sqlx::raw_sql($begin).execute(&mut *link).await?;
            let key = sqlx::query($key).bind(nonce).bind(slice).bind(page);
            let is_new = key.execute(&mut *link).await?.rows_affected() == 1;
            if !is_new {
                return Err(sqlx::Error::RowNotFound);
            }
            let row = sqlx::query($row).bind(slice).bind(page);
            let rows = row.execute(&mut *link).await?.rows_affected();
            let outcome = sqlx::query($outcome)
                .bind(format!("[[\"rows\",{rows}]]"))
                .bind(nonce)
                .bind(slice)
                .bind(page);
            outcome.execute(&mut *link).await?;
            sqlx::raw_sql("COMMIT").execute(&mut *link).await?;
            Ok(())
        }
    };
}

// A text that is not told to be `char(16)` is compared as a text, for which there is no index.
steps!(
    postgres,
    PgConnection,
    "BEGIN",
    "INSERT INTO gridloom_commit (run_nonce, slice, page, outcome) VALUES ($1::char(16), $2, $3, '') \
     ON CONFLICT DO NOTHING",
    "INSERT INTO done_rows (slice, page, said) VALUES ($1, $2, 'done')",
    "UPDATE gridloom_commit SET outcome = $1 WHERE run_nonce = $2::char(16) AND slice = $3 AND page = $4"
);
steps!(
    sqlite,
    SqliteConnection,
    "BEGIN IMMEDIATE",
    "INSERT INTO gridloom_commit (run_nonce, slice, page, outcome) VALUES (?, ?, ?, '') \
     ON CONFLICT DO NOTHING",
    "INSERT INTO done_rows (slice, page, said) VALUES (?, ?, 'done')",
    "UPDATE gridloom_commit SET outcome = ? WHERE run_nonce = ? AND slice = ? AND page = ?"
);
// One that is there is an error.
steps!(
    mariadb,
    MySqlConnection,
    "START TRANSACTION",
    "INSERT INTO gridloom_commit (run_nonce, slice, page, outcome) VALUES (?, ?, ?, '')",
    "INSERT INTO done_rows (slice, page, said) VALUES (?, ?, 'done')",
    "UPDATE gridloom_commit SET outcome = ? WHERE run_nonce = ? AND slice = ? AND page = ?"
);

/// Two questions of several statements each, without values of their own.
macro_rules! questions {
    ($name:ident, $link:ty, $begin:literal) => {
        async fn $name(link: &mut $link, nonce: &str, slice: i64, page: i64) -> sqlx::Result<()> {
            let begin = $begin;
            let first = format!(
                "{begin}; INSERT INTO gridloom_commit (run_nonce, slice, page, outcome) VALUES ('{nonce}', {slice}, {page}, ''); \
                 INSERT INTO done_rows (slice, page, said) VALUES ({slice}, {page}, 'done')"
            );
            let rows = sqlx::raw_sql(AssertSqlSafe(first))
                .execute(&mut *link)
                .await?;
            let rows = rows.rows_affected() - 1;
            let second = format!(
                "UPDATE gridloom_commit SET outcome = '[[\"rows\",{rows}]]' \
                 WHERE run_nonce = '{nonce}' AND slice = {slice} AND page = {page}; COMMIT"
            );
            sqlx::raw_sql(AssertSqlSafe(second))
                .execute(&mut *link)
                .await?;
            Ok(())
        }
    };
}

questions!(postgres_questions, PgConnection, "BEGIN");
questions!(sqlite_questions, SqliteConnection, "BEGIN IMMEDIATE");

enum Link {
    Postgres(PgConnection),
    MariaDb(MySqlConnection),
    Sqlite(SqliteConnection),
}

#[derive(Clone, Copy)]
enum Asks {
    Steps,
    Questions,
}

impl Link {
    async fn shard(&mut self, asks: Asks, nonce: &str, number: u64) -> anyhow::Result<()> {
        let slice = i64::try_from(number % u64::from(SLICES))?;
        let page = i64::try_from(number / u64::from(SLICES))?;
        match (self, asks) {
            (Link::Postgres(link), Asks::Steps) => postgres(link, nonce, slice, page).await?,
            (Link::Postgres(link), Asks::Questions) => {
                postgres_questions(link, nonce, slice, page).await?;
            }
            (Link::MariaDb(link), _) => mariadb(link, nonce, slice, page).await?,
            (Link::Sqlite(link), Asks::Steps) => sqlite(link, nonce, slice, page).await?,
            (Link::Sqlite(link), Asks::Questions) => {
                sqlite_questions(link, nonce, slice, page).await?;
            }
        }
        Ok(())
    }
}

/// Its connections.
pub(super) struct Loop {
    links: Vec<Link>,
    /// SQLite has one writer: who waits here does not poll for the file's lock.
    turn: Option<Arc<Mutex<()>>>,
}

impl Loop {
    pub(super) async fn connect(store: &Store, connections: u32) -> anyhow::Result<Loop> {
        let mut links = Vec::new();
        for _ in 0..connections {
            let url = store.url();
            links.push(match store.kind() {
                Kind::Postgres => Link::Postgres(PgConnection::connect(url).await?),
                Kind::MariaDb => Link::MariaDb(MySqlConnection::connect(url).await?),
                Kind::Sqlite => Link::Sqlite(store::sqlite(url).await?),
            });
        }
        let turn = (store.kind() == Kind::Sqlite).then(Arc::default);
        Ok(Loop { links, turn })
    }

    /// So many shards, one thing asked after the other.
    pub(super) async fn steps(&mut self, shards: u64) -> anyhow::Result<Duration> {
        self.go(shards, Asks::Steps).await
    }

    /// So many, in two questions each.
    pub(super) async fn questions(&mut self, shards: u64) -> anyhow::Result<Duration> {
        self.go(shards, Asks::Questions).await
    }

    async fn go(&mut self, shards: u64, asks: Asks) -> anyhow::Result<Duration> {
        let nonce = Arc::new(format!("{:016x}", Nonce::random().0));
        let next = Arc::new(AtomicU64::new(0));
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for mut link in self.links.drain(..) {
            let (nonce, next) = (Arc::clone(&nonce), Arc::clone(&next));
            let turn = self.turn.clone();
            tasks.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= shards {
                        return anyhow::Ok(link);
                    }
                    let _turn = match &turn {
                        Some(turn) => Some(turn.lock().await),
                        None => None,
                    };
                    link.shard(asks, &nonce, number).await?;
                }
            });
        }
        while let Some(link) = tasks.join_next().await {
            self.links.push(link??);
        }
        Ok(began.elapsed())
    }
}
