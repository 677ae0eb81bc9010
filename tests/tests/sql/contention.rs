//! Many shards at the same few rows.

use std::time::Instant;

use super::mysql::MySql;
use super::*;

/// Half of the shards take the two rows in one order, half in the other.
const CROSS: &[&str] = &[
    "UPDATE sums SET total = total + 1 WHERE id = 1 + :page % 2",
    "UPDATE sums SET total = total + 1 WHERE id = 2 - :page % 2",
];

/// All at once, from two workers; how long it took.
async fn cross(url: &str) -> Duration {
    let workers = [handler(url), handler(url)];
    let trial = job(CROSS).lease(Duration::from_secs(120));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for page in 0..40 {
        let worker = Arc::clone(&workers[page as usize / 2 % 2]);
        let trial = trial.clone().page(page);
        tasks.spawn(async move { run(&worker, &trial).await });
    }
    while let Some(done) = tasks.join_next().await {
        assert_eq!(done.unwrap(), Ok(rows(2)));
    }
    began.elapsed()
}

/// PostgreSQL looks for a deadlock only after a second of waiting, each time anew: those that met
/// once must not meet again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_forty_shards_at_two_hot_rows_go_through_in_seconds() {
    let Some(database) = Database::new("hot").await else {
        return;
    };
    let took = cross(&database.url).await;
    assert!(took < Duration::from_secs(90), "{took:?}");
    assert_eq!(
        database.number("SELECT sum(total)::bigint FROM sums").await,
        80
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_forty_shards_at_two_hot_rows_go_through_in_seconds() {
    let Some(mut mysql) = MySql::new("hot").await else {
        return;
    };
    mysql.execute("INSERT INTO sums VALUES (2, 0)").await;
    let took = cross(&mysql.url).await;
    assert!(took < Duration::from_secs(90), "{took:?}");
    assert_eq!(
        mysql
            .number("SELECT CAST(sum(total) AS SIGNED) FROM sums")
            .await,
        80
    );
}

/// What one shard costs, for comparing two builds: `-- --ignored --nocapture cost_of`.
#[expect(clippy::print_stderr, reason = "its result")]
async fn cost(database: &str, url: &str) {
    let worker = handler(url);
    let trial = job(&[ADD]);
    for round in 0..4 {
        let began = Instant::now();
        for page in 0..1_000 {
            let trial = trial.clone().slices(4).slice(round).page(page);
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
