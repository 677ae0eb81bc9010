//! PgBouncer in transaction mode between the worker and PostgreSQL: each transaction may be in
//! another session.

use super::*;

/// A database and its URL through a pooler with two sessions.
async fn pooled(name: &str, more: &str) -> Option<(Database, String, Server)> {
    let server = postgres().await?;
    let pooler = match database::pgbouncer(server, 2, more) {
        Ok(pooler) => pooler,
        Err(error) => {
            not_run("PgBouncer", &error);
            return None;
        }
    };
    let database = Database::new(name).await?;
    let url = database.url.replace(
        &format!(":{}/", database.port),
        &format!(":{}/", pooler.port),
    );
    Some((database, url, pooler))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_behind_a_pooler_fails_no_shard_and_no_probe() {
    let Some((database, url, _pooler)) = pooled("pooled", "").await else {
        return;
    };
    let workers = [handler(&url), handler(&url), handler(&url)];
    let mut tasks = JoinSet::new();
    // Two jobs, whose statements would have the same names in different sessions.
    let jobs = [
        job(&[ADD]),
        job(&["SELECT count(*) AS found FROM items WHERE id > :page", ADD]),
    ];
    for page in 0..60 {
        let worker = Arc::clone(&workers[page as usize % 3]);
        let trial = jobs[page as usize % 2]
            .clone()
            .page(page)
            .attempt(2, Fence(1));
        tasks.spawn(async move { run(&worker, &trial).await.map(|counters| counters[0].1) });
    }
    while let Some(done) = tasks.join_next().await {
        assert_eq!(done.unwrap(), Ok(1));
    }
    let total = database.number("SELECT total FROM sums WHERE id = 1").await;
    assert_eq!(total, (1..=60).sum::<i64>());
    let probe = json!({
        "database": "main", "statement": "SELECT :page_from",
        "probe": "SELECT min(id), max(id) FROM items WHERE :after IS NULL OR id > :after",
    });
    for worker in &workers {
        let probe = Trial::new("sum", "sql").settings(probe.clone()).probe();
        assert_eq!(worker.probe(probe).await.unwrap().pages.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_behind_a_pooler_knows_nothing_of_other_shards_sessions() {
    knows_nothing("pooled_state", "").await;
}

/// Another pooler accepts what a session is told at its start, and tells nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_behind_a_pooler_that_forgets_settings_is_bounded_all_the_same() {
    knows_nothing("forgetful", "ignore_startup_parameters = options").await;
}

async fn knows_nothing(name: &str, more: &str) {
    let Some((database, url, _pooler)) = pooled(name, more).await else {
        return;
    };
    database.execute("CREATE SCHEMA other").await;
    let worker = handler(&url);
    let mut tasks = JoinSet::new();
    for page in 0..40 {
        let statements: &[&str] = match page % 2 {
            0 => &[
                "SET search_path TO other",
                "CREATE TEMP TABLE mine (id int)",
            ],
            _ => &[
                "SELECT (current_setting('search_path') = '\"$user\", public')::int AS path, \
                 (to_regclass('pg_temp.mine') IS NULL)::int AS temporary, \
                 (current_setting('lock_timeout') <> '0')::int AS bounded, \
                 (current_setting('TimeZone') = 'UTC')::int AS zone",
            ],
        };
        let (worker, trial) = (Arc::clone(&worker), job(statements).page(page));
        tasks.spawn(async move { (page, run(&worker, &trial).await) });
    }
    while let Some(done) = tasks.join_next().await {
        let (page, counters) = done.unwrap();
        let ones = counters.unwrap().iter().filter(|(_, n)| *n == 1).count();
        assert_eq!(ones, if page % 2 == 0 { 0 } else { 4 });
    }
}
