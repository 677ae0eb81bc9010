//! Many shards at the same few rows.

use std::time::Instant;

use super::mysql::MySql;
use super::*;

/// Half of the shards take the two rows in one order, half in the other.
const CROSS: &[&str] = &[
    "UPDATE sums SET total = total + 1 WHERE id = 1 + :page % 2",
    "UPDATE sums SET total = total + 1 WHERE id = 2 - :page % 2",
];

/// Forty at once, spread over so many workers. All go through.
async fn cross(url: &str, workers: usize) {
    let workers: Vec<_> = (0..workers).map(|_| handler(url)).collect();
    let trial = job(CROSS).lease(Duration::from_secs(120));
    let mut tasks = JoinSet::new();
    for page in 0..40 {
        let worker = Arc::clone(&workers[page as usize / 2 % workers.len()]);
        let trial = trial.clone().page(page);
        tasks.spawn(async move { run(&worker, &trial).await });
    }
    while let Some(done) = tasks.join_next().await {
        assert_eq!(done.unwrap(), Ok(rows(2)));
    }
}

/// How many deadlocks the server has found. It counts those of a session when that ends at the latest.
async fn deadlocks(database: &Database) -> i64 {
    let ended = "SELECT (count(*) = 0)::int::bigint FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name = 'gridloom'";
    database.until(ended).await;
    let found = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    database.number(found).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_forty_shards_at_two_hot_rows_go_through() {
    let Some(database) = Database::new("hot").await else {
        return;
    };
    cross(&database.url, 4).await;
    let total = "SELECT sum(total)::bigint FROM sums";
    assert_eq!(database.number(total).await, 80);
}

/// PostgreSQL looks for a deadlock only after a second of waiting, once for each wait. Whoever waits
/// beside one begins anew, and does not wait for long even then: another worker that does not know of
/// the deadlock would not learn of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_shard_that_waits_beside_a_deadlock_begins_anew_and_again() {
    let Some(database) = Database::new("beside").await else {
        return;
    };
    database
        .execute(
            "ALTER DATABASE beside SET deadlock_timeout = '100ms'; CREATE SEQUENCE tries; \
             INSERT INTO sums VALUES (3, 0)",
        )
        .await;
    let mut holder = database.pool.begin().await.unwrap();
    let hold = "UPDATE sums SET total = total + 1 WHERE id = 3";
    sqlx::raw_sql(hold).execute(&mut *holder).await.unwrap();
    let worker = handler(&database.url);
    // A sequence counts what was rolled back, too.
    let beside = job(&["SELECT nextval('tries')::text", hold]);
    let meet = job(&[CROSS[0], "SELECT pg_sleep(0.2)", CROSS[1]]);
    let (even, odd) = (meet.clone().page(0), meet.page(1));
    let all = tokio::join!(
        run(&worker, &beside),
        run(&worker, &even),
        run(&worker, &odd),
        async {
            let thrice = "SELECT (last_value >= 3)::int::bigint FROM tries";
            database.until(thrice).await;
            holder.commit().await.unwrap();
        }
    );
    assert_eq!(all, (Ok(rows(1)), Ok(rows(2)), Ok(rows(2)), ()));
    let total = "SELECT sum(total)::bigint FROM sums";
    assert_eq!(database.number(total).await, 6);
}

/// After a deadlock the line of the job is one for all workers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_shard_that_met_another_waits_for_the_line_of_other_workers() {
    let Some(database) = Database::new("line").await else {
        return;
    };
    database.execute("CREATE SEQUENCE tries").await;
    // As another worker's shard does that is in line.
    let mut holder = database.pool.begin().await.unwrap();
    let line = "SELECT pg_advisory_xact_lock(hashtextextended('gridloom sum', 0))";
    sqlx::raw_sql(line).execute(&mut *holder).await.unwrap();
    let worker = handler(&database.url);
    let meet = "DO $$ BEGIN IF nextval('tries') = 1 THEN \
        RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END IF; END $$";
    let trial = job(&[meet, ADD]);
    let (done, ()) = tokio::join!(run(&worker, &trial), async {
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        database.until(waits).await;
        let tries = database.number("SELECT last_value FROM tries").await;
        assert_eq!(tries, 1);
        holder.commit().await.unwrap();
    });
    assert_eq!(done, Ok(rows(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_forty_shards_at_two_hot_rows_go_through() {
    let Some(mut mysql) = MySql::new("hot").await else {
        return;
    };
    mysql.execute("INSERT INTO sums VALUES (2, 0)").await;
    cross(&mysql.url, 2).await;
    let total = "SELECT CAST(sum(total) AS SIGNED) FROM sums";
    assert_eq!(mysql.number(total).await, 80);
}

/// How long that takes: `-- --ignored --nocapture time_of`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
#[expect(clippy::print_stderr, reason = "its result")]
async fn time_of_forty_shards_at_two_hot_rows() {
    let (Some(postgres), Some(mut mysql)) = (Database::new("time").await, MySql::new("time").await)
    else {
        return;
    };
    mysql.execute("INSERT INTO sums VALUES (2, 0)").await;
    for workers in [1, 2, 4] {
        for _ in 0..5 {
            let (before, began) = (deadlocks(&postgres).await, Instant::now());
            cross(&postgres.url, workers).await;
            let took = began.elapsed();
            let met = deadlocks(&postgres).await - before;
            eprintln!("PostgreSQL, {workers} workers: {took:?}, {met} deadlocks");
            let began = Instant::now();
            cross(&mysql.url, workers).await;
            eprintln!("MySQL, {workers} workers: {:?}", began.elapsed());
        }
    }
}

/// What one shard costs, for comparing two builds: `-- --ignored --nocapture cost_of`.
#[expect(clippy::print_stderr, reason = "its result")]
async fn cost(database: &str, url: &str) {
    let worker = handler(url);
    let trial = job(&[ADD]);
    for round in 0..4 {
        let began = Instant::now();
        for page in 0..1_000 {
            let trial = trial.clone().page(round * 1_000 + page);
            assert_eq!(run(&worker, &trial).await, Ok(rows(1)));
        }
        eprintln!("{database}: {:?} a shard", began.elapsed() / 1_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn cost_of_a_shard() {
    let (Some(postgres), Some(mysql)) = (Database::new("cost").await, MySql::new("cost").await)
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite:{}?mode=rwc", dir.path().join("cost.db").display());
    let mut admin = sqlx::SqliteConnection::connect(&sqlite).await.unwrap();
    let made =
        "CREATE TABLE sums (id INTEGER PRIMARY KEY, total INTEGER); INSERT INTO sums VALUES (1, 0)";
    sqlx::raw_sql(made).execute(&mut admin).await.unwrap();
    cost("PostgreSQL", &postgres.url).await;
    cost("MySQL", &mysql.url).await;
    cost("SQLite", &sqlite).await;
}
