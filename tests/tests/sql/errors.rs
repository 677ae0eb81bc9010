//! What each class of error does to a shard, raised by the servers themselves.

use super::mysql::MySql;
use super::*;

/// What is to become of a shard.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// It is tried again, and goes through.
    Passes,
    /// It uses up an attempt.
    Retried,
    /// It is dead at once, and told how to mend it.
    Dies,
}
use Then::{Dies, Passes, Retried};

fn seen(ended: &Result<Counters, Failure>) -> Option<Then> {
    match ended {
        Ok(_) => Some(Passes),
        Err(failure) if failure.is_permanent() => Some(Dies),
        Err(failure) if failure.is_hold() || failure.is_stop() => None,
        Err(_) => Some(Retried),
    }
}

/// At least one of each class that a server can raise; those that pass are raised twice.
const POSTGRES: &[(&str, Then)] = &[
    ("40001", Passes),
    ("40P01", Passes),
    ("55P03", Passes),
    ("55006", Passes),
    ("72000", Passes),
    ("08000", Passes),
    ("08006", Passes),
    ("25006", Passes),
    ("25P03", Passes),
    ("26000", Passes),
    ("42P05", Passes),
    ("53100", Passes),
    ("53200", Passes),
    ("53300", Passes),
    ("57000", Passes),
    ("57P01", Passes),
    ("57P03", Passes),
    ("58000", Passes),
    ("58030", Passes),
    ("28000", Passes),
    ("28P01", Passes),
    ("3D000", Passes),
    ("F0000", Passes),
    ("20000", Retried),
    ("21000", Retried),
    ("22012", Retried),
    ("22P02", Retried),
    ("23505", Retried),
    ("23503", Retried),
    ("40002", Retried),
    ("44000", Retried),
    ("57014", Retried),
    ("25P04", Retried),
    ("38000", Retried),
    ("39000", Retried),
    ("HV000", Retried),
    ("P0001", Retried),
    ("55000", Retried),
    ("XX000", Retried),
    ("UE001", Retried),
    ("0A000", Dies),
    ("0B000", Dies),
    ("0L000", Dies),
    ("0P000", Dies),
    ("0Z000", Dies),
    ("24000", Dies),
    ("25001", Dies),
    ("2BP01", Dies),
    ("2D000", Dies),
    ("2F000", Dies),
    ("34000", Dies),
    ("3B000", Dies),
    ("3F000", Dies),
    ("42601", Dies),
    ("42P01", Dies),
    ("42501", Dies),
    ("54000", Dies),
    ("55P02", Dies),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_each_class_of_error_means_what_the_table_says() {
    let Some(database) = Database::new("classes").await else {
        return;
    };
    // A sequence counts what was rolled back, too.
    database.execute("CREATE SEQUENCE tries").await;
    let worker = handler(&database.url);
    for (code, then) in POSTGRES {
        let last = if *then == Passes {
            "nextval('tries') % 3 <> 0"
        } else {
            "true"
        };
        let raise = format!(
            "DO $$ BEGIN IF {last} THEN RAISE EXCEPTION 'told to' USING ERRCODE = '{code}'; END IF; END $$"
        );
        let ended = run(&worker, &job(&[&raise])).await;
        assert_eq!(seen(&ended), Some(*then), "{code}: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_errors_of_statements_themselves() {
    let Some(database) = Database::new("real").await else {
        return;
    };
    database
        .execute(
            "CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$; \
             CREATE TABLE kept (id int PRIMARY KEY REFERENCES sums DEFERRABLE INITIALLY DEFERRED)",
        )
        .await;
    let worker = handler(&database.url);
    for (statement, code, then) in [
        ("CALL commits()", "2D000", Dies),
        ("VACUUM sums", "25001", Dies),
        ("SELECT 1 / (total - total) FROM sums", "22012", Retried),
        ("SELECT (SELECT id FROM items)", "21000", Retried),
        // Found only at the end.
        ("INSERT INTO kept VALUES (77)", "23503", Retried),
        ("UPDATE sums SET total = 'x'", "22P02", Retried),
        ("SELECT cast(:slice AS date)", "42846", Dies),
    ] {
        let ended = run(&worker, &job(&[statement])).await;
        assert_eq!(seen(&ended), Some(then), "{statement}: {ended:?}");
        assert!(ended.unwrap_err().text().contains(code), "{statement}");
    }
}

/// What a session cannot do, another may: none that was there before is asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_error_of_a_session_is_tried_again_on_a_fresh_one() {
    let Some(database) = Database::new("sessions").await else {
        return;
    };
    let counters = "CREATE SEQUENCE here; CREATE SEQUENCE tries; CREATE SEQUENCE since";
    database.execute(counters).await;
    let worker = handler(&database.url);
    // Three at once, so that there are three sessions.
    let meet = job(&["DO $$ BEGIN PERFORM nextval('here'); \
         WHILE (SELECT last_value FROM here) < 3 LOOP PERFORM pg_sleep(0.01); END LOOP; END $$"]);
    for (code, message) in [
        ("0A000", "cached plan must not change result type"),
        ("25006", "cannot execute INSERT in a read-only transaction"),
        ("26000", "prepared statement does not exist"),
        ("42P05", "prepared statement already exists"),
        ("57P01", "terminating connection"),
    ] {
        let anew = "SELECT setval('here', 1, false), setval('tries', 1, false), setval('since', 1)";
        database.execute(anew).await;
        let [a, b, c] = [1, 2, 3].map(|page| meet.clone().page(page));
        let met = tokio::join!(run(&worker, &a), run(&worker, &b), run(&worker, &c));
        assert!(met.0.is_ok() && met.1.is_ok() && met.2.is_ok(), "{met:?}");
        // In microseconds; what a sequence holds is not rolled back.
        let raise = format!(
            "DO $$ DECLARE born bigint; first bigint; BEGIN \
               PERFORM nextval('tries'); \
               SELECT extract(epoch FROM backend_start) * 1000000 INTO born \
                 FROM pg_stat_activity WHERE pid = pg_backend_pid(); \
               SELECT last_value INTO first FROM since; \
               IF first = 1 THEN \
                 first := extract(epoch FROM clock_timestamp()) * 1000000; \
                 PERFORM setval('since', first); \
               END IF; \
               IF born < first THEN RAISE EXCEPTION '{message}' USING ERRCODE = '{code}'; END IF; \
             END $$"
        );
        assert_eq!(run(&worker, &job(&[&raise])).await, Ok(rows(0)), "{code}");
        let tries = database.number("SELECT last_value FROM tries").await;
        assert_eq!(tries, 2, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_takes_no_writes_for_a_while_is_waited_for() {
    let Some(database) = Database::new("standby").await else {
        return;
    };
    database
        .execute("ALTER DATABASE standby SET default_transaction_read_only = on")
        .await;
    let mut admin = connect(&database.url).await.unwrap();
    // The table is made by hand: its worker's sessions write nothing.
    let writes = "SET default_transaction_read_only = off";
    sqlx::raw_sql(writes).execute(&mut admin).await.unwrap();
    let made = "CREATE TABLE gridloom_commit (run_nonce char(16), slice bigint, page bigint, outcome text, \
        at timestamptz DEFAULT now(), PRIMARY KEY (run_nonce, slice, page))";
    sqlx::raw_sql(made).execute(&mut admin).await.unwrap();
    let proxy = Proxy::start(database.port, Cut::BeforeCommit, 0)
        .await
        .unwrap();
    let worker = handler(&database.url_over(&proxy));
    let trial = job(&[ADD]);
    let (done, ()) = tokio::join!(run(&worker, &trial), async {
        // It asks on a second connection, so the first was refused.
        let again = eventually(SOON, "a second connection", async || {
            Ok(proxy.connections() > 1)
        });
        again.await.unwrap();
        let back = "ALTER DATABASE standby RESET ALL";
        sqlx::raw_sql(back).execute(&mut admin).await.unwrap();
    });
    assert_eq!(done, Ok(rows(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_that_is_away_holds_its_shards_and_is_named_until_it_is_back() {
    let Some(database) = Database::new("away").await else {
        return;
    };
    // Nobody listens there yet.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = database
        .url
        .replace(&format!(":{}/", database.port), &format!(":{port}/"));
    let worker = handler(&url);
    let failure = run(&worker, &job(&[ADD])).await.unwrap_err();
    assert!(failure.is_hold(), "{failure}");
    let trouble = worker.trouble().unwrap();
    assert!(
        trouble.contains("main") && trouble.contains("refused"),
        "{trouble}"
    );
    // Known to be away, it is asked once and not for long.
    let began = std::time::Instant::now();
    assert!(run(&worker, &job(&[ADD])).await.unwrap_err().is_hold());
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    // After hours the attempts count.
    let late = job(&[ADD]).attempt(1_001, Fence(9));
    let failure = run(&worker, &late).await.unwrap_err();
    assert!(!failure.is_hold() && !failure.is_permanent(), "{failure}");
    let _proxy = Proxy::listen_on(port, database.port).await.unwrap();
    assert_eq!(run(&worker, &job(&[ADD])).await, Ok(rows(1)));
    assert_eq!(worker.trouble(), None);
    // No such database, and a login that is refused: the configuration, which may be mended.
    let nowhere = handler(&database.url.replace("/away?", "/nowhere?"));
    let failure = run(&nowhere, &job(&[ADD])).await.unwrap_err();
    assert!(
        failure.is_hold() && failure.text().contains("3D000"),
        "{failure}"
    );
}

/// Numbers that a procedure raises as the server would.
const MYSQL: &[(u16, Then)] = &[
    (1205, Passes),
    (1213, Passes),
    (1020, Passes),
    (3572, Passes),
    (1040, Passes),
    (1203, Passes),
    (1053, Passes),
    (1290, Passes),
    (1792, Passes),
    (1836, Passes),
    (1615, Passes),
    (1021, Passes),
    (1114, Passes),
    (2013, Passes),
    (1927, Passes),
    (1045, Passes),
    (4031, Passes),
    (1048, Retried),
    (1062, Retried),
    (1452, Retried),
    (1264, Retried),
    (1292, Retried),
    (1406, Retried),
    (1317, Retried),
    (3024, Retried),
    (1969, Retried),
    (1644, Retried),
    (1105, Retried),
    (1054, Dies),
    (1064, Dies),
    (1136, Dies),
    (1142, Dies),
    (1146, Dies),
    (1305, Dies),
    (1364, Dies),
    (1267, Dies),
    (1422, Dies),
    (1295, Dies),
    (1104, Dies),
    (1153, Dies),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_each_kind_of_error_means_what_the_table_says() {
    let Some(mut mysql) = MySql::new("classes").await else {
        return;
    };
    // A table without transactions counts what was rolled back, too.
    mysql
        .execute("CREATE TABLE tries (n INT) ENGINE=MyISAM")
        .await;
    mysql.execute("INSERT INTO tries VALUES (0)").await;
    mysql
        .execute(
            "CREATE PROCEDURE raised(number INT, passes INT) BEGIN \
               DECLARE counted INT; \
               UPDATE tries SET n = n + 1; SELECT n INTO counted FROM tries; \
               IF passes = 0 OR counted % 3 <> 0 THEN \
                 SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = number, MESSAGE_TEXT = 'told to'; \
               END IF; END",
        )
        .await;
    let worker = handler(&mysql.url);
    for (number, then) in MYSQL {
        let call = format!("CALL raised({number}, {})", u8::from(*then == Passes));
        let ended = run(&worker, &job(&[&call])).await;
        assert_eq!(seen(&ended), Some(*then), "{number}: {ended:?}");
    }
    for (statement, then) in [
        ("UPDATE sums SET nothing = 1", Dies),
        ("SELECT 1 FROM nowhere.sums", Dies),
        ("INSERT INTO sums VALUES (1, 0)", Retried),
        ("INSERT INTO sums VALUES (2, 99999999999999999999)", Retried),
        ("UPDAT sums", Dies),
    ] {
        let ended = run(&worker, &job(&[statement])).await;
        assert_eq!(seen(&ended), Some(then), "{statement}: {ended:?}");
    }
}

/// The driver looks such a type up between reading a statement and running it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_statements_that_return_types_of_the_database_s_own_go_through() {
    let Some(database) = Database::new("own_types").await else {
        return;
    };
    database
        .execute(
            "CREATE TYPE mood AS ENUM ('well', 'ill'); \
             CREATE TABLE people (id int PRIMARY KEY, mood mood NOT NULL); \
             INSERT INTO people VALUES (1, 'well')",
        )
        .await;
    let worker = handler(&database.url);
    let own = &[
        "SELECT mood FROM people",
        "UPDATE people SET mood = 'ill' RETURNING mood, ARRAY[mood], people",
    ];
    for page in 0..3 {
        let took = tokio::time::timeout(SOON / 6, run(&worker, &job(own).page(page))).await;
        assert_eq!(took.unwrap(), Ok(rows(1)));
    }
}
