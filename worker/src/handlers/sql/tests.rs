//! The handler against real SQLite files: effects, outcomes, failures.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::id::Fence;
use gridloom_shared::job::PagesSpec;
use gridloom_shared::job::handlers::{self, Said};
use gridloom_shared::tile::{Bounds, Key};
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use super::*;
use crate::Trial;

struct Bench {
    _dir: tempfile::TempDir,
    pool: SqlitePool,
    handler: Arc<SqlHandler>,
}

fn handler(path: &Path) -> Arc<SqlHandler> {
    let url = format!("sqlite:{}", path.display());
    Arc::new(SqlHandler::new([("main".to_owned(), url)].into()).unwrap())
}

impl Bench {
    /// A database with `items(id, n)`, ids 1 to 100 with n = 1, and `sums(total)` with 0 in it.
    async fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bench.db");
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        sqlx::raw_sql(
            "CREATE TABLE items (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);
             WITH RECURSIVE ids(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < 100)
             INSERT INTO items SELECT id, 1 FROM ids;
             CREATE TABLE sums (total INTEGER NOT NULL);
             INSERT INTO sums VALUES (0);",
        )
        .execute(&pool)
        .await
        .unwrap();
        Bench {
            handler: handler(&path),
            _dir: dir,
            pool,
        }
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    async fn run(&self, trial: &Trial) -> Result<Vec<(String, i64)>, Failure> {
        let shard = trial.shard();
        self.handler.run(shard.clone()).await?;
        Ok(shard.counters())
    }
}

fn sum_job(statement: &str) -> Trial {
    Trial::new("sum", "sql").settings(json!({"database": "main", "statement": statement}))
}

const ADD: &str = "UPDATE sums SET total = total + \
    (SELECT sum(n) FROM items WHERE id BETWEEN :page_from AND :page_to)";

#[tokio::test]
async fn shard_executed_again_changes_nothing_and_reports_the_first_outcome() {
    let bench = Bench::new().await;
    let trial = sum_job(ADD).bounds(Key::Int(1), Key::Int(10));
    let first = bench.run(&trial).await.unwrap();
    let second = bench
        .run(&trial.clone().attempt(2, Fence(9)))
        .await
        .unwrap();
    assert_eq!(first, [("rows".to_owned(), 1)]);
    assert_eq!(first, second);
    assert_eq!(bench.number("SELECT total FROM sums").await, 10);
    assert_eq!(
        bench.number("SELECT count(*) FROM gridloom_commit").await,
        1
    );
}

#[tokio::test]
async fn other_run_with_the_same_id_is_not_taken_for_this_one() {
    let bench = Bench::new().await;
    for _ in 0..2 {
        let trial = sum_job(ADD).bounds(Key::Int(1), Key::Int(10));
        bench.run(&trial).await.unwrap();
    }
    assert_eq!(bench.number("SELECT total FROM sums").await, 20);
}

#[tokio::test]
async fn failing_statement_leaves_neither_effect_nor_key() {
    let bench = Bench::new().await;
    let settings = json!({"database": "main", "statement": [
        "UPDATE sums SET total = total + 1",
        "INSERT INTO items VALUES (1, 1)",
    ]});
    let trial = Trial::new("sum", "sql").settings(settings);
    let failure = bench.run(&trial).await.unwrap_err();
    assert!(!failure.is_permanent(), "{failure}");
    assert_eq!(bench.number("SELECT total FROM sums").await, 0);
    assert_eq!(
        bench.number("SELECT count(*) FROM gridloom_commit").await,
        0
    );
    // Once the data allows it, the same shard succeeds.
    sqlx::raw_sql("DELETE FROM items WHERE id = 1")
        .execute(&bench.pool)
        .await
        .unwrap();
    assert_eq!(bench.run(&trial).await.unwrap(), [("rows".to_owned(), 2)]);
}

#[tokio::test]
async fn selected_integers_become_counters() {
    let bench = Bench::new().await;
    let settings = json!({"database": "main", "statement": [
        "UPDATE items SET n = 2 WHERE id >= :low",
        "SELECT count(*) AS twos, sum(n) AS weight, 'x' AS text, NULL AS none \
         FROM items WHERE n = 2",
        "SELECT id FROM items",
    ]});
    let trial = Trial::new("sum", "sql").settings(settings);
    let counters = bench.run(&trial.params(json!({"low": 91}))).await.unwrap();
    let expected = [("rows", 10), ("twos", 10), ("weight", 20)];
    assert_eq!(counters, expected.map(|(name, n)| (name.to_owned(), n)));
}

/// What the shard of a job with `settings` and `params` dies of.
async fn death(settings: serde_json::Value, params: serde_json::Value) -> String {
    let bench = Bench::new().await;
    let trial = Trial::new("sum", "sql").settings(settings).params(params);
    let failure = bench.run(&trial).await.unwrap_err();
    assert!(failure.is_permanent(), "{failure}");
    failure.text().to_owned()
}

#[test]
fn url_of_a_server_without_two_slashes_is_refused_with_the_right_form() {
    for (url, form) in [
        ("postgresql:/127.0.0.1/shop", "postgresql://USER"),
        ("postgres:shop", "postgres://USER"),
        ("mysql:/me:hunter2@h/shop", "mysql://USER"),
        ("mariadb:h/shop", "mariadb://USER"),
    ] {
        let fault = SqlHandler::new([("shop".to_owned(), url.to_owned())].into()).unwrap_err();
        let text = fault.to_string();
        assert!(text.contains(form) && !text.contains("hunter2"), "{text}");
    }
    for url in [
        "postgres://127.0.0.1/shop",
        "mariadb://h/shop",
        "sqlite:a.db",
        "sqlite://a.db",
    ] {
        assert!(
            SqlHandler::new([("shop".to_owned(), url.to_owned())].into()).is_ok(),
            "{url}"
        );
    }
}

#[tokio::test]
async fn database_that_this_worker_does_not_have_uses_up_no_attempt() {
    let settings = json!({"database": "other", "statement": "SELECT 1"});
    let bench = Bench::new().await;
    let trial = Trial::new("sum", "sql").settings(settings);
    let failure = bench.run(&trial).await.unwrap_err();
    assert!(failure.is_hold(), "{failure}");
    let words = "find database \"other\" in the configuration of this worker, which has main";
    assert!(failure.text().starts_with(words), "{failure}");
}

#[tokio::test]
async fn what_no_attempt_can_mend_is_permanent_and_says_how_to_mend_it() {
    for (settings, words) in [
        (json!({}), "sql.database"),
        (json!({"database": "main"}), "sql.statement"),
        (
            json!({"database": "main", "statement": []}),
            "list of statements",
        ),
    ] {
        let text = death(settings.clone(), json!({})).await;
        assert!(text.contains(words), "{settings}: {text}");
    }
    for (statement, words) in [
        ("SELEC 1", "syntax error"),
        ("DELETE FROM nowhere", "no such table"),
        ("SELECT :slize", ":slices"),
        ("SELECT :page_from", "probed"),
        ("COMMIT", "transaction"),
        ("SELECT 1; SELECT 2", "list"),
    ] {
        let settings = json!({"database": "main", "statement": statement});
        let text = death(settings, json!({})).await;
        assert!(text.contains(words), "{statement}: {text}");
    }
    for (setting, words) in [("key", "sql.key"), ("probes", "sql.probes")] {
        let settings = json!({"database": "main", "statement": "SELECT 1", setting: "uuid"});
        let text = death(settings, json!({})).await;
        assert!(text.contains(words), "{setting}: {text}");
    }
}

/// Whoever applies a job is told what its shards would die of: by one function, so in the same words.
#[tokio::test]
async fn shard_dies_of_what_job_apply_says() {
    let bench = Bench::new().await;
    let one = PagesSpec::Count { count: 1 };
    let rows = PagesSpec::Rows {
        rows: vec![2, 2],
        page_size: 1,
    };
    for (statement, slices, pages, params) in [
        ("UPDATE sums SET total = 1", 2, one.clone(), json!({})),
        ("UPDATE sums SET total = :slice", 2, rows, json!({})),
        ("SELECT :slize", 1, one.clone(), json!({})),
        ("SELECT :page_from", 1, one.clone(), json!({})),
        ("SELECT 1", 1, one.clone(), json!({"day": 1})),
        ("SELECT :page", 1, one.clone(), json!({"page": 1})),
        ("SELECT 1; SELECT 2", 1, one.clone(), json!({})),
        ("BEGIN", 1, one.clone(), json!({})),
        ("SELECT ?", 1, one.clone(), json!({})),
        ("SELECT $1", 1, one.clone(), json!({})),
        ("-- nothing", 1, one, json!({})),
    ] {
        let trial = sum_job(statement)
            .slices(slices)
            .pages(pages)
            .params(params);
        let shard = trial.shard();
        let found = handlers::check(Said::by_run(shard.spec())).faults;
        assert!(!found.is_empty(), "{statement} may be applied");
        let failure = bench.handler.run(shard).await.unwrap_err();
        assert!(failure.is_permanent(), "{statement}: {failure}");
        let fault = &found[0];
        let words = format!("read {}: it {}", fault.path, fault.message);
        assert_eq!(failure.text(), words, "{statement}");
    }
    assert_eq!(bench.number("SELECT total FROM sums").await, 0);
}

/// What a submission says is a value, whatever it is called.
#[tokio::test]
async fn parameter_that_no_statement_can_use_is_permanent_and_is_no_setting() {
    let settings = |statement: &str| json!({"database": "main", "statement": statement});
    for (settings, params, words) in [
        (settings("SELECT 1"), json!({"day": 1}), "params.day"),
        (settings("SELECT :page"), json!({"page": 1}), "params.page"),
        (
            json!({"database": "main"}),
            json!({"statement": "SELECT 1"}),
            "sql.statement",
        ),
        (
            json!({"statement": "SELECT 1"}),
            json!({"database": "main"}),
            "sql.database",
        ),
    ] {
        let text = death(settings, params.clone()).await;
        assert!(text.contains(words), "{params}: {text}");
    }
}

#[tokio::test]
async fn parameters_called_like_settings_are_values_and_change_no_statement() {
    let bench = Bench::new().await;
    let statement = "UPDATE sums SET total = length(:statement) + length(:database)";
    let trial =
        sum_job(statement).params(json!({"statement": "DELETE FROM items", "database": "other"}));
    bench.run(&trial).await.unwrap();
    assert_eq!(bench.number("SELECT total FROM sums").await, 22);
    assert_eq!(bench.number("SELECT count(*) FROM items").await, 100);
}

#[tokio::test]
async fn counters_that_the_ledger_has_no_room_for_fail_before_the_commit() {
    let bench = Bench::new().await;
    let columns: Vec<String> = (0..17).map(|n| format!("{n} AS c{n}")).collect();
    let settings = json!({"database": "main", "statement": [
        "UPDATE sums SET total = total + 1",
        format!("SELECT {}", columns.join(", ")),
    ]});
    let failure = bench
        .run(&Trial::new("sum", "sql").settings(settings))
        .await
        .unwrap_err();
    assert!(failure.is_permanent());
    assert_eq!(bench.number("SELECT total FROM sums").await, 0);
}

#[tokio::test]
async fn open_last_page_has_no_limit() {
    let bench = Bench::new().await;
    let pages = PagesSpec::Rows {
        rows: vec![50],
        page_size: 30,
    };
    let statement = "UPDATE sums SET total = total + \
        (SELECT sum(n) FROM (SELECT n FROM items ORDER BY id LIMIT :limit OFFSET :offset))";
    let trial = sum_job(statement).pages(pages);
    let nonce_shared = [trial.clone().page(0), trial.clone().page(1)];
    for trial in nonce_shared {
        bench.run(&trial).await.unwrap();
    }
    assert_eq!(bench.number("SELECT total FROM sums").await, 100);
}

const PROBE: &str = "SELECT min(id), max(id) \
    FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / :size AS page FROM items \
          WHERE id % :slices = :slice AND (:after IS NULL OR id > :after)) \
    GROUP BY page ORDER BY 1";

#[tokio::test]
async fn probe_finds_the_pages_of_its_slice_and_goes_on_behind_its_cursor() {
    let bench = Bench::new().await;
    let settings = json!({
        "database": "main", "statement": "SELECT :page_from, :page_to", "probe": PROBE,
    });
    let trial = Trial::new("sum", "sql")
        .settings(settings)
        .params(json!({"size": 20}))
        .slices(2)
        .slice(1);
    let pages = bench.handler.probe(trial.probe()).await.unwrap();
    let page = |from, to| Bounds(Key::Int(from), Key::Int(to));
    assert_eq!(pages.pages, [page(1, 39), page(41, 79), page(81, 99)]);
    assert_eq!(pages.cursor, None);
    let rest = bench
        .handler
        .probe(trial.after(Key::Int(79)).probe())
        .await
        .unwrap();
    assert_eq!(rest.pages, [page(81, 99)]);
}

#[tokio::test]
async fn probe_of_more_pages_than_fit_goes_on_until_the_slice_is_known() {
    let bench = Bench::new().await;
    sqlx::raw_sql(
        "WITH RECURSIVE ids(id) AS (SELECT 101 UNION ALL SELECT id + 1 FROM ids WHERE id < 5000)
         INSERT INTO items SELECT id, 1 FROM ids",
    )
    .execute(&bench.pool)
    .await
    .unwrap();
    let query = "SELECT id, id FROM items WHERE :after IS NULL OR id > :after ORDER BY id";
    let settings = json!({"database": "main", "statement": "SELECT :page_from", "probe": query});
    let trial = Trial::new("sum", "sql").settings(settings);
    let first = bench.handler.probe(trial.probe()).await.unwrap();
    assert_eq!(
        (first.pages.len(), first.cursor.clone()),
        (4_096, Some(Key::Int(4_096)))
    );
    let second = trial.after(Key::Int(4_096)).page(1).probe();
    let second = bench.handler.probe(second).await.unwrap();
    assert_eq!((second.pages.len(), second.cursor), (904, None));
}

#[tokio::test]
async fn text_keys_bound_pages_too() {
    let bench = Bench::new().await;
    let query = "SELECT min(n), max(n) FROM (SELECT 'k' || id AS n FROM items) \
        WHERE :after IS NULL OR n > :after";
    let settings = json!({
        "database": "main", "key": "text", "probe": query,
        "statement": "SELECT count(*) AS found FROM items WHERE 'k' || id >= :page_from \
            AND 'k' || id <= :page_to",
    });
    let trial = Trial::new("sum", "sql").settings(settings);
    let pages = bench.handler.probe(trial.probe()).await.unwrap().pages;
    let Bounds(from, to) = pages[0].clone();
    assert_eq!(
        (&from, &to),
        (&Key::Text("k1".into()), &Key::Text("k99".into()))
    );
    let counters = bench.run(&trial.bounds(from, to)).await.unwrap();
    assert_eq!(counters[1], ("found".to_owned(), 100));
}

/// Three workers (each with connections of its own) and sixteen shards at once in each, every shard
/// executed by two of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workers_on_one_file_do_each_shard_once_and_none_is_refused() {
    let bench = Bench::new().await;
    let path = bench._dir.path().join("bench.db");
    let workers = [handler(&path), handler(&path), handler(&path)];
    let trial = sum_job("UPDATE sums SET total = total + 1 + :page");
    let began = std::time::Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for (place, worker) in workers.iter().enumerate() {
        let gate = Arc::new(tokio::sync::Semaphore::new(16));
        for page in (0..340_u32).filter(|page| *page as usize % 3 != place) {
            let (gate, worker) = (Arc::clone(&gate), Arc::clone(worker));
            let shard = trial.clone().page(page).shard();
            tasks.spawn(async move {
                let _permit = gate.acquire().await.unwrap();
                worker.run(shard.clone()).await.map(|()| shard.counters())
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        assert_eq!(done.unwrap().unwrap(), [("rows".to_owned(), 1)]);
    }
    assert_eq!(
        bench.number("SELECT total FROM sums").await,
        (1..=340).sum::<i64>()
    );
    assert_eq!(
        bench.number("SELECT count(*) FROM gridloom_commit").await,
        340
    );
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn lock_that_another_holds_for_longer_than_the_busy_timeout_is_waited_for() {
    let bench = Bench::new().await;
    let mut other = bench.pool.acquire().await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut *other)
        .await
        .unwrap();
    let shard = sum_job("UPDATE sums SET total = total + 1").lease(Duration::from_millis(1_500));
    let first = shard.shard();
    // The session's limit is one second here; the lease ends after one and a half.
    let blocked = bench.handler.run(first.clone());
    let ended = tokio::time::timeout(Duration::from_secs(20), blocked)
        .await
        .unwrap();
    assert!(ended.unwrap_err().is_stop());
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut *other)
        .await
        .unwrap();
    let longer = shard.lease(Duration::from_secs(60));
    assert_eq!(bench.run(&longer).await.unwrap(), [("rows".to_owned(), 1)]);
    assert_eq!(bench.number("SELECT total FROM sums").await, 1);
}

#[tokio::test]
async fn stopped_shard_leaves_its_transaction_undone() {
    let bench = Bench::new().await;
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) \
        INSERT INTO sums SELECT count(*) FROM n";
    let trial = sum_job(endless);
    let shard = trial.shard();
    let (ended, ()) = tokio::join!(bench.handler.run(shard), async {
        // It has begun once the write lock is taken.
        let mut other = bench.pool.acquire().await.unwrap();
        sqlx::raw_sql("PRAGMA busy_timeout = 0")
            .execute(&mut *other)
            .await
            .unwrap();
        while sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK")
            .execute(&mut *other)
            .await
            .is_ok()
        {
            tokio::task::yield_now().await;
        }
        trial.lose_lease();
    });
    assert!(ended.unwrap_err().is_stop());
    // The next writer gets the lock once the connection is gone.
    let next = sum_job("UPDATE sums SET total = total + 1");
    bench.run(&next).await.unwrap();
    assert_eq!(bench.number("SELECT count(*) FROM sums").await, 1);
}

#[test]
fn urls_of_no_known_kind_are_refused_without_showing_their_passwords() {
    let error = SqlHandler::new([("x".to_owned(), "oracle://me:secret@host/".to_owned())].into());
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("\"oracle\"") && !text.contains("secret"),
        "{text}"
    );
    let error =
        SqlHandler::new([("x".to_owned(), "postgres://me:secret@host:port/".to_owned())].into());
    let text = error.unwrap_err().to_string();
    assert!(text.contains("\"x\"") && !text.contains("secret"), "{text}");
}
