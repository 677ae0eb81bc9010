//! What one shard asks of PostgreSQL: two questions on a connection that it has for itself, and nothing
//! that takes longer with each row of `gridloom_commit`. And how often it writes its outcome.

use sqlx::{Connection, Row};

use super::*;

async fn counted(name: &str) -> Option<(Database, Proxy, Arc<SqlHandler>)> {
    let database = Database::new(name).await?;
    let proxy = Proxy::start(database.port, Cut::BeforeCommit, 0)
        .await
        .unwrap();
    let worker = handler(&database.url_over(&proxy));
    // It has a connection, and has seen its table.
    assert_eq!(run(&worker, &job(&[ADD])).await, Ok(rows(1)));
    Some((database, proxy, worker))
}

#[tokio::test]
async fn postgres_shard_is_two_questions() {
    let Some((database, proxy, worker)) = counted("two_questions").await else {
        return;
    };
    let before = proxy.answers();
    let several = job(&[
        ADD,
        "SELECT total FROM sums WHERE id = 1 + 0 * :page -- as it is now",
        "UPDATE sums SET total = total + 1 WHERE id = 2",
    ]);
    for page in 0..10 {
        let counters = run(&worker, &several.clone().page(page)).await.unwrap();
        assert_eq!(counters[0], ("rows".to_owned(), 2));
        assert_eq!(counters[1].0, "total");
    }
    assert_eq!(proxy.answers() - before, 20);
    assert_eq!(proxy.connections(), 1);
    let total = database.number("SELECT total FROM sums WHERE id = 2").await;
    assert_eq!(total, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_shards_have_no_more_connections_than_run_at_once() {
    let Some((_database, proxy, worker)) = counted("connections").await else {
        return;
    };
    let gate = Arc::new(tokio::sync::Semaphore::new(8));
    let mut tasks = JoinSet::new();
    for page in 1..200 {
        let (gate, worker, trial) = (Arc::clone(&gate), Arc::clone(&worker), job(&[ADD]));
        tasks.spawn(async move {
            let _permit = gate.acquire().await.unwrap();
            run(&worker, &trial.page(page)).await
        });
    }
    while let Some(done) = tasks.join_next().await {
        assert_eq!(done.unwrap(), Ok(rows(1)));
    }
    assert!(proxy.connections() <= 8, "{}", proxy.connections());
}

/// The holder that waits at the key runs nothing behind it: a sequence would count it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_second_holder_waits_at_the_key_and_finds_what_the_first_did() {
    let Some(database) = Database::new("finds").await else {
        return;
    };
    database.execute("CREATE SEQUENCE tries").await;
    let mut gate = database.pool.begin().await.unwrap();
    let shut = "SELECT pg_advisory_xact_lock(7)";
    sqlx::raw_sql(shut).execute(&mut *gate).await.unwrap();
    let (first, second) = (handler(&database.url), handler(&database.url));
    let trial = job(&[
        "UPDATE sums SET total = total + 1 + 0 * nextval('tries') WHERE id = 1 + 0 * :page",
        "SELECT pg_advisory_xact_lock_shared(7)::text",
    ]);
    let (older, newer, ()) = tokio::join!(
        run(&first, &trial),
        async {
            database
                .until("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
                .await;
            run(&second, &trial).await
        },
        async {
            database
                .until("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND wait_event = 'transactionid' AND query LIKE '%INSERT INTO gridloom_commit%'")
                .await;
            gate.commit().await.unwrap();
        }
    );
    assert_eq!((older, newer), (Ok(rows(1)), Ok(rows(1))));
    let total = database.number("SELECT total FROM sums WHERE id = 1").await;
    assert_eq!(total, 1);
    let tries = database.number("SELECT last_value FROM tries").await;
    assert_eq!(tries, 1);
}

/// One more that finds its key on a connection of its own, and then goes on with it.
#[tokio::test]
async fn postgres_key_that_is_there_ends_the_question() {
    let Some((database, proxy, worker)) = counted("taken").await else {
        return;
    };
    database.execute("CREATE SEQUENCE tries").await;
    let trial = job(&["SELECT nextval('tries') AS try, :page AS page"]);
    for _ in 0..3 {
        let counters = run(&worker, &trial).await.unwrap();
        assert_eq!(counters[1], ("try".to_owned(), 1));
    }
    let tries = database.number("SELECT last_value FROM tries").await;
    assert_eq!((tries, proxy.connections()), (1, 1));
}

/// However large it is, and whatever is known of what stands in it.
#[tokio::test]
async fn postgres_table_of_commits_is_never_read_from_end_to_end() {
    let Some((database, _proxy, worker)) = counted("large").await else {
        return;
    };
    database
        .execute(
            "INSERT INTO gridloom_commit \
             SELECT '0000000000000000', n % 100, n, '' FROM generate_series(1, 30000) AS n; \
             ANALYZE gridloom_commit",
        )
        .await;
    let scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'gridloom_commit'";
    let found = "SELECT (idx_scan > 0)::int::bigint FROM pg_stat_user_tables \
        WHERE relname = 'gridloom_commit'";
    drop(worker);
    // A session tells what it did when it ends at the latest.
    let gone = "SELECT (count(*) = 0)::int::bigint FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name = 'gridloom'";
    database.until(gone).await;
    let before = database.number(scans).await;
    let worker = handler(&database.url);
    let trial = job(&[ADD]);
    for page in 1..40 {
        assert_eq!(run(&worker, &trial.clone().page(page)).await, Ok(rows(1)));
    }
    // Their outcomes are found, too.
    assert_eq!(run(&worker, &trial.page(1)).await, Ok(rows(1)));
    worker.forget(&[job(&[ADD]).shard().nonce()]).await;
    drop(worker);
    database.until(gone).await;
    database.until(found).await;
    // Whoever opens a connection looks once whether it is there.
    let after = database.number(scans).await;
    assert!(after - before <= 1, "read {} times", after - before);
}

#[tokio::test]
async fn postgres_values_arrive_as_they_are() {
    let Some((database, proxy, worker)) = counted("values").await else {
        return;
    };
    database
        .execute("CREATE TABLE said (page int, a text, b bigint, c numeric, d boolean, e text)")
        .await;
    let before = proxy.answers();
    let texts = [
        "",
        "it's",
        "a\\'; DROP TABLE said; --",
        "\\x00",
        "$1 :page é\u{1F980}\n\r",
    ];
    for (page, text) in (0..).zip(texts) {
        let say = job(&["INSERT INTO said VALUES (:page, :a, :b, :c, :d, :e)"])
            .params(json!({"a": text, "b": i64::MIN, "c": 0.10, "d": true, "e": null}))
            .page(page);
        assert_eq!(run(&worker, &say).await, Ok(rows(1)));
    }
    assert_eq!(proxy.answers() - before, 2 * texts.len() as u32);
    let said = sqlx::query("SELECT a, b, c = 0.1, d, e FROM said ORDER BY page")
        .fetch_all(&database.pool)
        .await
        .unwrap();
    let found: Vec<String> = said.iter().map(|row| row.get(0)).collect();
    assert_eq!(found, texts);
    for row in &said {
        assert_eq!(row.get::<i64, _>(1), i64::MIN);
        assert!(row.get::<bool, _>(2) && row.get::<bool, _>(3));
        assert_eq!(row.get::<Option<String>, _>(4), None);
    }
    // No text of PostgreSQL's has this in it.
    let nothing = job(&["INSERT INTO said (a) VALUES (:a)"]).params(json!({"a": "a\0b"}));
    let failure = run(&worker, &nothing).await.unwrap_err();
    assert!(!failure.is_permanent(), "{failure}");
}

/// What no prepared statement can be still has its values.
#[tokio::test]
async fn postgres_statement_that_is_not_prepared_is_asked_on_its_own() {
    let Some((database, _proxy, worker)) = counted("alone").await else {
        return;
    };
    database
        .execute("CREATE PROCEDURE add(n bigint) LANGUAGE sql AS 'UPDATE sums SET total = total + n WHERE id = 2'")
        .await;
    let call = job(&[ADD, "CALL add(:n)"]).params(json!({"n": 7}));
    assert_eq!(run(&worker, &call).await, Ok(rows(1)));
    assert_eq!(run(&worker, &call).await, Ok(rows(1)));
    let total = database.number("SELECT total FROM sums WHERE id = 2").await;
    assert_eq!(total, 7);
    let made = job(&["SELECT :n AS n INTO copied"]).params(json!({"n": 7}));
    assert!(run(&worker, &made).await.is_ok());
    assert_eq!(database.number("SELECT n FROM copied").await, 7);
    // Where this literal ends, a setting decides.
    let odd = job(&["SELECT 'a\\', :page AS page"]).page(3);
    let counters = run(&worker, &odd).await.unwrap();
    assert_eq!(counters[1], ("page".to_owned(), 3));
    for statement in ["UPDAT sums SET a = :page", "UPDAT sums SET a = 1"] {
        let failure = run(&worker, &job(&[ADD, statement])).await;
        assert!(failure.is_err_and(|failure| failure.is_permanent()));
    }
    let total = database.number("SELECT total FROM sums WHERE id = 1").await;
    assert_eq!(total, 2);
}

/// An outcome like the last one's goes with its key, and is not written once more.
#[tokio::test]
async fn postgres_outcome_that_was_expected_is_written_once_and_any_other_stands_there_too() {
    let Some((database, proxy, worker)) = counted("expected").await else {
        return;
    };
    database
        .execute(
            "CREATE TABLE written (page bigint, outcome text); CREATE TABLE done (page bigint);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO written VALUES (NEW.page, NEW.outcome); RETURN NEW; END $$;
             CREATE TRIGGER note AFTER INSERT OR UPDATE ON gridloom_commit
             FOR EACH ROW EXECUTE FUNCTION note()",
        )
        .await;
    let before = proxy.answers();
    // The last page of five has two rows.
    let add = job(&["INSERT INTO done SELECT :page FROM generate_series(1, 1 + :page / 5)"]);
    let again = add.clone();
    for page in 1..8 {
        let expected = if page < 5 { 1 } else { 2 };
        assert_eq!(
            run(&worker, &add.clone().page(page)).await,
            Ok(rows(expected))
        );
    }
    assert_eq!(proxy.answers() - before, 14);
    let written =
        sqlx::query("SELECT page, count(*), max(outcome) FROM written GROUP BY 1 ORDER BY 1")
            .fetch_all(&database.pool)
            .await
            .unwrap();
    let written: Vec<(i64, i64, String)> = written
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    let (one, two) = ("[[\"rows\",1]]".to_owned(), "[[\"rows\",2]]".to_owned());
    let times = [2, 1, 1, 1, 2, 1, 1];
    for (place, (page, count, outcome)) in written.iter().enumerate() {
        assert_eq!((*page, *count), (place as i64 + 1, times[place]));
        assert_eq!(outcome, if *page < 5 { &one } else { &two });
    }
    // What stands there is what is reported to whoever comes next.
    for (page, expected) in [(2, 1), (5, 2), (7, 2)] {
        let late = again.clone().page(page).attempt(2, Fence(2));
        assert_eq!(run(&worker, &late).await, Ok(rows(expected)));
    }
    let done = database.number("SELECT count(*) FROM done").await;
    assert_eq!(done, 4 + 6);
}

/// A deferred trigger refuses the commit: the key with its outcome is not there.
#[tokio::test]
async fn postgres_expected_outcome_of_a_refused_commit_is_nowhere() {
    let Some((database, _proxy, worker)) = counted("refused").await else {
        return;
    };
    database
        .execute(
            "CREATE TABLE done (page bigint);
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN IF NEW.page = 3 THEN RAISE 'not three'; END IF; RETURN NEW; END $$;
             CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON done DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
    let add = job(&["SET app.tenant = 'acme'", "INSERT INTO done VALUES (:page)"]);
    for page in [1, 2] {
        assert_eq!(run(&worker, &add.clone().page(page)).await, Ok(rows(1)));
    }
    let refused = run(&worker, &add.clone().page(3)).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(run(&worker, &add.clone().page(4)).await, Ok(rows(1)));
    let keys = "SELECT count(*) FROM gridloom_commit WHERE page = 3";
    assert_eq!(database.number(keys).await, 0);
    let done = database.number("SELECT sum(page)::bigint FROM done").await;
    assert_eq!(done, 1 + 2 + 4);
    let look =
        job(&["SELECT (coalesce(current_setting('app.tenant', true), '') = '')::int AS clean"]);
    let counters = run(&worker, &look).await.unwrap();
    assert_eq!(counters[1], ("clean".to_owned(), 1));
}

#[tokio::test]
async fn sqlite_outcome_that_was_expected_is_written_once_and_any_other_stands_there_too() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}?mode=rwc", dir.path().join("done.db").display());
    let worker = handler(&url);
    let mut admin = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE done (page INTEGER)")
        .execute(&mut admin)
        .await
        .unwrap();
    let add = job(&["INSERT INTO done SELECT :page UNION ALL SELECT :page WHERE :page = 3"]);
    assert_eq!(run(&worker, &add.clone().page(0)).await, Ok(rows(1)));
    sqlx::raw_sql(
        "CREATE TABLE written (page INTEGER);
         CREATE TRIGGER put AFTER UPDATE ON gridloom_commit BEGIN INSERT INTO written VALUES (NEW.page); END",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    for _ in 0..2 {
        for (page, expected) in [(1, 1), (2, 1), (3, 2), (4, 1)] {
            assert_eq!(
                run(&worker, &add.clone().page(page)).await,
                Ok(rows(expected))
            );
        }
    }
    let written: Vec<i64> = sqlx::query_scalar("SELECT page FROM written ORDER BY rowid")
        .fetch_all(&mut admin)
        .await
        .unwrap();
    assert_eq!(written, [3, 4]);
}
