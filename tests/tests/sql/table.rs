//! The table of commits: made by hand as the documentation says, and not for ever.

use sqlx::{Connection, MySqlConnection, SqliteConnection};

use super::mysql::MySql;
use super::*;

/// The statement that docs/SQL.md has for a database.
fn by_hand(database: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/SQL.md")).unwrap();
    let (_, from) = page
        .split_once(&format!("<!-- {database} -->\n```sql\n"))
        .unwrap();
    from.split_once("```").unwrap().0.to_owned()
}

#[tokio::test]
async fn postgres_table_made_by_hand_serves_a_user_who_may_make_none() {
    let Some(database) = Database::new("by_hand").await else {
        return;
    };
    database
        .execute(
            "CREATE ROLE bare LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC; \
             GRANT SELECT, UPDATE ON sums TO bare",
        )
        .await;
    let worker = handler(&database.url.replace("gridloom@", "bare@"));
    // Nobody's fault but the database's: no shard dies of it.
    let failure = run(&worker, &job(&[ADD])).await.unwrap_err();
    assert!(
        failure.is_hold() && failure.text().contains("docs/SQL.md"),
        "{failure}"
    );
    sqlx::raw_sql(AssertSqlSafe(by_hand("postgres")))
        .execute(&database.pool)
        .await
        .unwrap();
    database
        .execute("GRANT SELECT, INSERT, UPDATE, DELETE ON gridloom_commit TO bare")
        .await;
    twice(&worker).await;
}

#[tokio::test]
async fn mysql_table_made_by_hand_serves_a_user_who_may_make_none() {
    let Some(mut mysql) = MySql::new("by_hand").await else {
        return;
    };
    mysql.execute("CREATE USER bare@'%'").await;
    mysql
        .execute("GRANT SELECT, INSERT, UPDATE, DELETE ON by_hand.* TO bare@'%'")
        .await;
    let admin: &mut MySqlConnection = &mut mysql.admin;
    sqlx::raw_sql(AssertSqlSafe(by_hand("mysql")))
        .execute(admin)
        .await
        .unwrap();
    twice(&handler(&mysql.url.replace("root@", "bare@"))).await;
}

#[tokio::test]
async fn sqlite_table_made_by_hand_serves() {
    let (_dir, url, mut admin) = sqlite().await;
    sqlx::raw_sql(AssertSqlSafe(by_hand("sqlite")))
        .execute(&mut admin)
        .await
        .unwrap();
    twice(&handler(&url)).await;
}

/// A shard executed twice changes the data once.
async fn twice(worker: &SqlHandler) {
    let trial = job(&[ADD]);
    assert_eq!(run(worker, &trial).await, Ok(rows(1)));
    assert_eq!(run(worker, &trial).await, Ok(rows(1)));
    let total = run(worker, &job(&["SELECT total FROM sums WHERE id = 1"])).await;
    assert_eq!(total.unwrap()[1], ("total".to_owned(), 1));
}

async fn sqlite() -> (tempfile::TempDir, String, SqliteConnection) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}?mode=rwc", dir.path().join("table.db").display());
    let mut admin = SqliteConnection::connect(&url).await.unwrap();
    let made =
        "CREATE TABLE sums (id INTEGER PRIMARY KEY, total INTEGER); INSERT INTO sums VALUES (1, 0)";
    sqlx::raw_sql(made).execute(&mut admin).await.unwrap();
    (dir, url, admin)
}

/// Forgets one of two runs, whose shards and 12,000 more rows stand in the table.
async fn forget_one(worker: &SqlHandler, fill: impl AsyncFnOnce(String)) {
    let (gone, stays) = (job(&[ADD]), job(&[ADD]));
    for trial in [&gone, &stays] {
        assert_eq!(run(worker, trial).await, Ok(rows(1)));
    }
    let nonce = gone.shard().nonce();
    fill(format!("{:016x}", nonce.0)).await;
    worker.forget(&[nonce]).await;
    let left = run(
        worker,
        &job(&["SELECT count(*) AS found FROM gridloom_commit"]),
    )
    .await;
    // One that stays, and that of the question.
    assert_eq!(left.unwrap()[1], ("found".to_owned(), 2));
    assert_eq!(run(worker, &stays).await, Ok(rows(1)));
    let total = run(worker, &job(&["SELECT total FROM sums WHERE id = 1"])).await;
    assert_eq!(total.unwrap()[1], ("total".to_owned(), 2));
}

#[tokio::test]
async fn postgres_forgets_purged_runs_and_no_other() {
    let Some(database) = Database::new("forget").await else {
        return;
    };
    forget_one(&handler(&database.url), async |nonce| {
        let fill = format!(
            "INSERT INTO gridloom_commit SELECT '{nonce}', n, 1, '' FROM generate_series(1, 12000) AS n"
        );
        let fill = sqlx::raw_sql(AssertSqlSafe(fill));
        fill.execute(&database.pool).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn mysql_forgets_purged_runs_and_no_other() {
    let Some(mut mysql) = MySql::new("forget").await else {
        return;
    };
    forget_one(&handler(&mysql.url.clone()), async |nonce| {
        let fill = format!(
            "INSERT INTO gridloom_commit (run_nonce, slice, page, outcome) \
             SELECT '{nonce}', seq, 1, '' FROM seq_1_to_12000"
        );
        let fill = sqlx::raw_sql(AssertSqlSafe(fill));
        // MySQL has no such sequences; the two runs suffice there.
        let _ = fill.execute(&mut mysql.admin).await;
    })
    .await;
}

#[tokio::test]
async fn sqlite_forgets_purged_runs_and_no_other() {
    let (_dir, url, mut admin) = sqlite().await;
    forget_one(&handler(&url), async |nonce| {
        let fill = format!(
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 12000) \
             INSERT INTO gridloom_commit (run_nonce, slice, page, outcome) SELECT '{nonce}', n, 1, '' FROM s"
        );
        let fill = sqlx::raw_sql(AssertSqlSafe(fill));
        fill.execute(&mut admin).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn sqlite_file_that_cannot_be_opened_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("orders.db");
    let worker = handler(&format!("sqlite:{}", file.display()));
    let name = file.to_str().unwrap();
    let said = run(&worker, &job(&[ADD])).await.unwrap_err();
    let said = said.text();
    assert!(said.contains(name) && said.contains("?mode=rwc"), "{said}");
    // One that is there, and no database.
    std::fs::write(&file, "hello, this is no database at all").unwrap();
    let said = run(&worker, &job(&[ADD])).await.unwrap_err();
    let said = said.text();
    assert!(!said.contains("?mode=rwc"), "{said}");
}

/// What docs/SQL.md says of files.
#[tokio::test]
async fn sqlite_file_is_in_wal_and_foreign_keys_hold() {
    let (_dir, url, mut admin) = sqlite().await;
    let child = "CREATE TABLE child (id INTEGER REFERENCES sums (id))";
    sqlx::raw_sql(child).execute(&mut admin).await.unwrap();
    let worker = handler(&url);
    let failure = run(&worker, &job(&["INSERT INTO child VALUES (77)"]))
        .await
        .unwrap_err();
    assert!(failure.text().contains("FOREIGN KEY"), "{failure}");
    let mut anew = SqliteConnection::connect(&url).await.unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut anew)
        .await
        .unwrap();
    assert_eq!(mode, "wal");
}
