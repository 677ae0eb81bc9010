//! The `sql` handler against real servers: each shard's effect exactly once, whatever happens
//! between the worker and the database.

#![expect(
    clippy::unwrap_used,
    reason = "what the tests share is test code as well"
)]

use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::id::Fence;
use gridloom_shared::tile::{Bounds, Key};
use gridloom_tests::database::{self, Server};
use gridloom_tests::wait::{eventually, eventually_some};
use gridloom_worker::handlers::sql::SqlHandler;
use gridloom_worker::{Failure, Handler, Trial};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

#[path = "sql/contention.rs"]
mod contention;
#[path = "sql/cut.rs"]
mod cut;
#[path = "sql/errors.rs"]
mod errors;
#[path = "sql/mysql.rs"]
mod mysql;
#[path = "sql/pooler.rs"]
mod pooler;
#[path = "sql/questions.rs"]
mod questions;
#[path = "sql/state.rs"]
mod state;
#[path = "sql/table.rs"]
mod table;

use cut::{Cut, Proxy};

const SOON: Duration = Duration::from_secs(60);

type Counters = Vec<(String, i64)>;

fn rows(n: i64) -> Counters {
    vec![("rows".to_owned(), n)]
}

fn handler(url: &str) -> Arc<SqlHandler> {
    Arc::new(SqlHandler::new([("main".to_owned(), url.to_owned())].into()).unwrap())
}

async fn run(handler: &SqlHandler, trial: &Trial) -> Result<Counters, Failure> {
    let shard = trial.shard();
    handler.run(shard.clone()).await?;
    Ok(shard.counters())
}

fn job(statements: &[&str]) -> Trial {
    Trial::new("sum", "sql").settings(json!({"database": "main", "statement": statements}))
}

/// Says why a test did not run; in CI that is a failure.
#[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
fn not_run(what: &str, error: &anyhow::Error) {
    eprintln!("\n*** NOT RUN: the tests against {what} did not run: {error:#} ***\n");
    assert!(
        std::env::var_os("CI").is_none(),
        "no {what} in CI: {error:#}"
    );
}

/// The server that all tests share. `None` where none can be had.
async fn postgres() -> Option<&'static Server> {
    static SERVER: OnceCell<Option<Server>> = OnceCell::const_new();
    let start = || async {
        let server = database::postgres().inspect_err(|error| not_run("PostgreSQL", error));
        server.ok()
    };
    SERVER.get_or_init(start).await.as_ref()
}

/// One database of its own on that server.
struct Database {
    url: String,
    port: u16,
    pool: PgPool,
}

impl Database {
    /// With `sums(id, total)`, ids 1 and 2 at 0, and `items(id, name)`, ids 1 to 100. `None` where
    /// no PostgreSQL can be had.
    async fn new(name: &str) -> Option<Database> {
        Some(Database::on(postgres().await?, name).await.unwrap())
    }

    async fn on(server: &Server, name: &str) -> anyhow::Result<Database> {
        let mut admin = connect(&server.url).await?;
        let create = format!("CREATE DATABASE {name}");
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut admin)
            .await?;
        let url = server.url.replace("/postgres?", &format!("/{name}?"));
        let pool = PgPool::connect(&url).await?;
        sqlx::raw_sql(
            "CREATE TABLE sums (id int PRIMARY KEY, total bigint NOT NULL);
             INSERT INTO sums VALUES (1, 0), (2, 0);
             CREATE TABLE items (id int PRIMARY KEY, name varchar(20) NOT NULL, day date NOT NULL);
             INSERT INTO items SELECT n, 'n' || n, date '2026-01-01' + n
             FROM generate_series(1, 100) AS n;",
        )
        .execute(&pool)
        .await?;
        Ok(Database {
            url,
            port: server.port,
            pool,
        })
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
    }

    /// Waits until the number is no longer 0.
    async fn until(&self, sql: &'static str) {
        let seen = eventually(SOON, sql, async || Ok(self.number(sql).await > 0)).await;
        seen.unwrap();
    }

    /// The same database over a proxy.
    fn url_over(&self, proxy: &Proxy) -> String {
        self.url
            .replace(&format!(":{}/", self.port), &format!(":{}/", proxy.port))
    }
}

/// Waits until the server answers.
async fn connect(url: &str) -> anyhow::Result<PgConnection> {
    let answers = eventually_some(SOON, "the server answers", async || {
        Ok(PgConnection::connect(url).await.ok())
    });
    answers.await
}

const ADD: &str = "UPDATE sums SET total = total + 1 + :page WHERE id = 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_shard_executed_by_three_workers_at_once_happens_once() {
    let Some(database) = Database::new("at_once").await else {
        return;
    };
    let workers = [
        handler(&database.url),
        handler(&database.url),
        handler(&database.url),
    ];
    let trial = job(&[ADD]);
    let mut tasks = JoinSet::new();
    for page in 0..60 {
        for worker in &workers {
            let (worker, trial) = (Arc::clone(worker), trial.clone().page(page));
            tasks.spawn(async move { run(&worker, &trial).await });
        }
    }
    while let Some(done) = tasks.join_next().await {
        assert_eq!(done.unwrap(), Ok(rows(1)));
    }
    let later = trial.page(7).attempt(2, Fence(99));
    assert_eq!(run(&workers[0], &later).await, Ok(rows(1)));
    let total = database.number("SELECT total FROM sums WHERE id = 1").await;
    assert_eq!(total, (1..=60).sum::<i64>());
    assert_eq!(
        database
            .number("SELECT count(*) FROM gridloom_commit")
            .await,
        60
    );
}

#[tokio::test]
async fn postgres_commit_whose_answer_was_lost_is_looked_up() {
    let Some(database) = Database::new("lost_answer").await else {
        return;
    };
    let proxy = Proxy::start(database.port, Cut::AfterCommit, 3)
        .await
        .unwrap();
    let worker = handler(&database.url_over(&proxy));
    let trial = job(&[ADD]);
    for page in 0..4 {
        assert_eq!(run(&worker, &trial.clone().page(page)).await, Ok(rows(1)));
    }
    assert_eq!(proxy.cuts(), 3);
    assert_eq!(
        database.number("SELECT total FROM sums WHERE id = 1").await,
        10
    );
    assert_eq!(
        database
            .number("SELECT count(*) FROM gridloom_commit")
            .await,
        4
    );
}

#[tokio::test]
async fn postgres_commit_that_never_arrived_is_done_again() {
    let Some(database) = Database::new("lost_commit").await else {
        return;
    };
    let proxy = Proxy::start(database.port, Cut::BeforeCommit, 3)
        .await
        .unwrap();
    let worker = handler(&database.url_over(&proxy));
    assert_eq!(run(&worker, &job(&[ADD])).await, Ok(rows(1)));
    assert_eq!(proxy.cuts(), 3);
    assert_eq!(
        database.number("SELECT total FROM sums WHERE id = 1").await,
        1
    );
}

#[tokio::test]
async fn postgres_failing_statement_leaves_neither_effect_nor_key() {
    let Some(database) = Database::new("failing").await else {
        return;
    };
    let worker = handler(&database.url);
    let trial = job(&[ADD, "INSERT INTO sums VALUES (1, 0)"]);
    let failure = run(&worker, &trial).await.unwrap_err();
    assert!(
        !failure.is_permanent() && failure.text().contains("23505"),
        "{failure}"
    );
    assert_eq!(
        database.number("SELECT total FROM sums WHERE id = 1").await,
        0
    );
    assert_eq!(
        database
            .number("SELECT count(*) FROM gridloom_commit")
            .await,
        0
    );
    for (statement, words) in [
        ("UPDATE nowhere SET a = 1", "nowhere"),
        ("UPDATE sums SET nothing = 1", "nothing"),
        ("UPDAT sums", "syntax"),
        ("SELECT total FROM sums WHERE id = $1", "$1"),
    ] {
        let failure = run(&worker, &job(&[statement])).await.unwrap_err();
        assert!(
            failure.is_permanent() && failure.text().contains(words),
            "{failure}"
        );
    }
    // The connections are as good as new.
    assert_eq!(run(&worker, &job(&[ADD])).await, Ok(rows(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_deadlock_is_tried_again_and_not_reported() {
    let Some(database) = Database::new("deadlock").await else {
        return;
    };
    database
        .execute("ALTER DATABASE deadlock SET deadlock_timeout = '50ms'")
        .await;
    // A sequence counts what was rolled back, too.
    database.execute("CREATE SEQUENCE tries").await;
    let worker = handler(&database.url);
    let statements = [
        "UPDATE sums SET total = total + 1 + 0 * nextval('tries') WHERE id = 1 + :page % 2",
        "SELECT pg_sleep(0.2)",
        "UPDATE sums SET total = total + 1 WHERE id = 2 - :page % 2",
    ];
    let trial = job(&statements);
    let (even, odd) = (trial.clone().page(0), trial.page(1));
    let both = tokio::join!(run(&worker, &even), run(&worker, &odd));
    assert_eq!(both, (Ok(rows(2)), Ok(rows(2))));
    assert_eq!(
        database.number("SELECT sum(total)::bigint FROM sums").await,
        4
    );
    let tries = database.number("SELECT last_value FROM tries").await;
    assert!(tries > 2, "the two never met");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_serialisation_failures_are_tried_again() {
    let Some(database) = Database::new("serial").await else {
        return;
    };
    let isolation = "ALTER DATABASE serial SET default_transaction_isolation = 'serializable'";
    database.execute(isolation).await;
    let worker = handler(&database.url);
    let trial = job(&[ADD]);
    let mut tasks = JoinSet::new();
    for page in 0..12 {
        let (worker, trial) = (Arc::clone(&worker), trial.clone().page(page));
        tasks.spawn(async move { run(&worker, &trial).await });
    }
    while let Some(done) = tasks.join_next().await {
        assert_eq!(done.unwrap(), Ok(rows(1)));
    }
    assert_eq!(
        database.number("SELECT total FROM sums WHERE id = 1").await,
        78
    );
}

#[tokio::test]
async fn postgres_second_holder_waits_at_the_key_and_the_killed_first_is_undone() {
    let Some(database) = Database::new("holders").await else {
        return;
    };
    let (first, second) = (handler(&database.url), handler(&database.url));
    let trial = job(&[ADD, "SELECT pg_sleep(1000) WHERE :slow"]);
    let slow = trial.clone().params(json!({"slow": true}));
    let quick = trial
        .params(json!({"slow": false}))
        .lease(Duration::from_secs(600));
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'holders' \
        AND query LIKE '%INSERT INTO gridloom_commit%' AND wait_event_type = 'Lock'";
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'holders' \
        AND wait_event = 'PgSleep'";
    let (older, newer, ()) = tokio::join!(
        run(&first, &slow),
        async {
            database.until(sleeping).await;
            run(&second, &quick).await
        },
        async {
            database.until(waiting).await;
            slow.lose_lease();
        }
    );
    assert!(older.unwrap_err().is_stop());
    assert_eq!(newer, Ok(rows(1)));
    assert_eq!(
        database.number("SELECT total FROM sums WHERE id = 1").await,
        1
    );
}

#[tokio::test]
async fn postgres_lost_connection_in_mid_statement_is_no_failure() {
    let Some(database) = Database::new("killed").await else {
        return;
    };
    let worker = handler(&database.url);
    let trial = job(&[ADD, "SELECT pg_sleep(0.5)"]);
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
        WHERE datname = 'killed' AND wait_event = 'PgSleep'";
    let (done, ()) = tokio::join!(run(&worker, &trial), database.until(kill));
    assert_eq!(done, Ok(rows(1)));
    assert_eq!(
        database.number("SELECT total FROM sums WHERE id = 1").await,
        1
    );
}

#[tokio::test]
async fn postgres_probe_casts_and_counters() {
    let Some(database) = Database::new("probes").await else {
        return;
    };
    let worker = handler(&database.url);
    let probe = "SELECT min(id), max(id) FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / 20 \
        AS page FROM items WHERE id % :slices = :slice AND (:after IS NULL OR id > :after)) AS n \
        GROUP BY page ORDER BY 1";
    let statement = "WITH gone AS (DELETE FROM items WHERE id BETWEEN :page_from AND :page_to \
        AND day > :day::date RETURNING id) \
        SELECT count(*) AS gone, sum(id)::bigint AS weight, 'x' AS text FROM gone";
    let settings = json!({"database": "main", "probe": probe, "statement": statement});
    let trial = Trial::new("sum", "sql")
        .settings(settings)
        .params(json!({"day": "2026-01-11"}))
        .slices(2)
        .slice(1);
    let pages = worker.probe(trial.probe()).await.unwrap().pages;
    let page = |from, to| Bounds(Key::Int(from), Key::Int(to));
    assert_eq!(pages, [page(1, 39), page(41, 79), page(81, 99)]);
    let rest = worker
        .probe(trial.clone().after(Key::Int(79)).probe())
        .await
        .unwrap();
    assert_eq!(rest.pages, [page(81, 99)]);
    let counters = run(&worker, &trial.bounds(Key::Int(1), Key::Int(12)))
        .await
        .unwrap();
    let expected = [("rows", 0), ("gone", 2), ("weight", 23)];
    assert_eq!(counters, expected.map(|(name, n)| (name.to_owned(), n)));

    let text = json!({
        "database": "main", "key": "text", "statement": "SELECT 1 AS one WHERE :page_from < :page_to",
        "probe": "SELECT min(name), max(name) FROM items WHERE :after IS NULL OR name > :after",
    });
    let trial = Trial::new("sum", "sql").settings(text);
    let pages = worker.probe(trial.probe()).await.unwrap().pages;
    let Bounds(from, to) = pages[0].clone();
    assert_eq!(to, Key::Text("n99".to_owned()));
    let counters = run(&worker, &trial.bounds(from, to)).await.unwrap();
    assert_eq!(counters[1], ("one".to_owned(), 1));
}
