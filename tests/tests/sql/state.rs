//! What one shard leaves on its connection, and that the next finds nothing of it.

use serde_json::json;
use sqlx::Connection;

use super::*;

/// What a session of its own finds. One connection serves both: the handler has no other.
const LOOK: &str = "SELECT pg_backend_pid()::bigint AS session, \
    (current_setting('search_path') = '\"$user\", public')::int AS path, \
    (current_user = session_user)::int AS role, \
    (coalesce(current_setting('app.tenant', true), '') = '')::int AS tenant, \
    (to_regclass('pg_temp.mine') IS NULL)::int AS temporary, \
    (current_setting('TimeZone') = 'UTC')::int AS zone, \
    (current_setting('lock_timeout') <> '0' \
     AND current_setting('idle_in_transaction_session_timeout') <> '0')::int AS bounded, \
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks, \
    (SELECT count(*) FROM pg_listening_channels()) AS channels, \
    (SELECT count(*) FROM pg_cursors WHERE name <> '') AS cursors, \
    (SELECT count(*) FROM pg_prepared_statements) AS prepared";

const LEAVE: &[&str] = &[
    "SET search_path TO other",
    "SET TimeZone TO 'Asia/Tokyo'",
    "SET lock_timeout TO 0",
    "SET idle_in_transaction_session_timeout TO 0",
    "SELECT set_config('app.tenant', 'acme', false)",
    "CREATE TEMP TABLE mine (id int)",
    "SELECT pg_advisory_lock(42)",
    "LISTEN here",
    "DECLARE held CURSOR WITH HOLD FOR SELECT 1",
    "DO $$ BEGIN EXECUTE 'PREPARE p AS SELECT 1'; END $$",
    "SET ROLE limited",
];

fn counter(counters: &Counters, name: &str) -> i64 {
    counters.iter().find(|(known, _)| known == name).unwrap().1
}

fn assert_clean(counters: &Counters) {
    for name in ["path", "role", "tenant", "temporary", "zone", "bounded"] {
        assert_eq!(counter(counters, name), 1, "{name}");
    }
    for name in ["locks", "channels", "cursors", "prepared"] {
        assert_eq!(counter(counters, name), 0, "{name}");
    }
}

#[tokio::test]
async fn postgres_what_a_shard_told_its_session_ends_with_the_shard() {
    let Some(database) = Database::new("leftover").await else {
        return;
    };
    database
        .execute(
            "CREATE ROLE limited; CREATE SCHEMA other; CREATE TABLE other.gridloom_commit (a int)",
        )
        .await;
    let worker = handler(&database.url);
    let before = run(&worker, &job(&[LOOK])).await.unwrap();
    assert_clean(&before);
    // Its outcome is written although its role may not, and its path shows another table; and again
    // on the connection where all of this was said before.
    for _ in 0..2 {
        let leaves = job(LEAVE);
        let left = run(&worker, &leaves).await;
        assert!(left.is_ok(), "{left:?}");
        assert_eq!(left, run(&worker, &leaves).await);
    }
    let after = run(&worker, &job(&[LOOK])).await.unwrap();
    assert_clean(&after);
    assert_eq!(counter(&before, "session"), counter(&after, "session"));
    // Locks of a session outlive a rollback as well.
    let failing = job(&[
        "SELECT pg_advisory_lock(43)",
        "INSERT INTO sums VALUES (1, 0)",
    ]);
    assert!(run(&worker, &failing).await.is_err());
    let after = run(&worker, &job(&[LOOK])).await.unwrap();
    assert_clean(&after);
    assert_eq!(counter(&before, "session"), counter(&after, "session"));
}

#[tokio::test]
async fn postgres_probe_leaves_nothing_either() {
    let Some(database) = Database::new("probing").await else {
        return;
    };
    let worker = handler(&database.url);
    let probe = "SELECT min(id), max(id) FROM items, set_config('search_path', 'other', false), \
        pg_advisory_lock(44)";
    let params = json!({"database": "main", "statement": "SELECT :page_from", "probe": probe});
    let trial = Trial::new("sum", "sql").settings(params);
    assert_eq!(worker.probe(trial.probe()).await.unwrap().pages.len(), 1);
    assert_clean(&run(&worker, &job(&[LOOK])).await.unwrap());
}

#[tokio::test]
async fn postgres_table_that_is_migrated_under_a_worker_fails_no_shard() {
    let Some(database) = Database::new("migrated").await else {
        return;
    };
    let worker = handler(&database.url);
    let all = job(&["SELECT * FROM items WHERE id = 1"]);
    for change in [
        "SELECT 1",
        "ALTER TABLE items ADD COLUMN more int DEFAULT 7",
    ] {
        sqlx::raw_sql(change).execute(&database.pool).await.unwrap();
        for page in 0..6 {
            let done = run(&worker, &all.clone().page(page).attempt(2, Fence(1))).await;
            assert!(done.is_ok(), "{done:?}");
        }
    }
    // So does the table of commits itself.
    database.execute("DROP TABLE gridloom_commit").await;
    assert_eq!(run(&worker, &job(&[ADD])).await, Ok(rows(1)));
}

#[tokio::test]
async fn sqlite_connection_that_a_statement_may_have_changed_is_not_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}?mode=rwc", dir.path().join("left.db").display());
    let mut admin = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(
        "CREATE TABLE sums (id INTEGER PRIMARY KEY, total INTEGER); INSERT INTO sums VALUES (1, 0)",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    let worker = handler(&url);
    for _ in 0..2 {
        let leaves = job(&[
            ADD,
            "CREATE TEMP TABLE mine (id INTEGER)",
            "PRAGMA recursive_triggers = 1",
        ]);
        assert_eq!(run(&worker, &leaves).await, Ok(rows(1)));
    }
    let look = job(&["SELECT recursive_triggers AS kept FROM pragma_recursive_triggers"]);
    assert_eq!(counter(&run(&worker, &look).await.unwrap(), "kept"), 0);
}
