//! The same promises on MySQL or MariaDB, and what only they do.

use anyhow::Context;
use sqlx::MySqlConnection;

use super::*;

/// The server that all tests share.
pub(crate) struct MySql {
    pub(crate) url: String,
    pub(crate) admin: MySqlConnection,
}

impl MySql {
    /// A database of its own with `sums(id, total)`, id 1 at 0. `None` where none can be had.
    pub(crate) async fn new(name: &str) -> Option<MySql> {
        static SERVER: OnceCell<Option<Server>> = OnceCell::const_new();
        let start = || async {
            let server = database::mysql().inspect_err(|error| not_run("MySQL", error));
            server.ok()
        };
        let server = SERVER.get_or_init(start).await.as_ref()?;
        Some(MySql::on(server, name).await.unwrap())
    }

    async fn on(server: &Server, name: &str) -> anyhow::Result<MySql> {
        let answers = eventually_some(SOON, "the server answers", async || {
            Ok(MySqlConnection::connect(&server.url).await.ok())
        });
        let mut admin = answers.await?;
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut admin)
            .await?;
        let url = server.url.replace("/?", &format!("/{name}?"));
        let mut admin = MySqlConnection::connect(&url).await.context("connect")?;
        sqlx::raw_sql(
            "CREATE TABLE sums (id INT PRIMARY KEY, total BIGINT NOT NULL); \
             INSERT INTO sums VALUES (1, 0)",
        )
        .execute(&mut admin)
        .await?;
        Ok(MySql { url, admin })
    }

    pub(crate) async fn execute(&mut self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.admin).await.unwrap();
    }

    pub(crate) async fn number(&mut self, sql: &'static str) -> i64 {
        let number = sqlx::query_scalar(sql).fetch_one(&mut self.admin);
        number.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_shard_executed_by_three_workers_at_once_happens_once() {
    let Some(mut mysql) = MySql::new("at_once").await else {
        return;
    };
    let workers = [
        handler(&mysql.url),
        handler(&mysql.url),
        handler(&mysql.url),
    ];
    let trial = job(&[ADD]);
    let mut tasks = JoinSet::new();
    for page in 0..30 {
        for worker in &workers {
            let (worker, trial) = (Arc::clone(worker), trial.clone().page(page));
            tasks.spawn(async move { run(&worker, &trial).await });
        }
    }
    while let Some(done) = tasks.join_next().await {
        assert_eq!(done.unwrap(), Ok(rows(1)));
    }
    let total = mysql.number("SELECT total FROM sums").await;
    assert_eq!(total, (1..=30).sum::<i64>());
    let failure = run(&workers[0], &job(&["UPDATE nowhere SET a = 1"])).await;
    assert!(failure.is_err_and(|failure| failure.is_permanent()));
    let probe = json!({
        "database": "main", "statement": "SELECT :page_from",
        "probe": "SELECT min(id), max(id) FROM sums WHERE :after IS NULL OR id > :after",
    });
    let probe = Trial::new("sum", "sql").settings(probe).probe();
    let pages = workers[0].probe(probe).await.unwrap().pages;
    assert_eq!(pages, [Bounds(Key::Int(1), Key::Int(1))]);
}

#[tokio::test]
async fn mysql_procedure_that_ends_the_transaction_is_found_out_and_not_run_again() {
    let Some(mut mysql) = MySql::new("procedures").await else {
        return;
    };
    for procedure in [
        "CREATE PROCEDURE quiet() UPDATE sums SET total = total + 1",
        "CREATE PROCEDURE loud() BEGIN UPDATE sums SET total = total + 100; COMMIT; END",
        "CREATE PROCEDURE anew() BEGIN UPDATE sums SET total = total + 10000; COMMIT; START TRANSACTION; END",
    ] {
        mysql.execute(procedure).await;
    }
    let worker = handler(&mysql.url);
    let quiet = job(&["CALL quiet()"]);
    assert!(run(&worker, &quiet).await.is_ok());
    assert!(run(&worker, &quiet).await.is_ok());
    assert_eq!(mysql.number("SELECT total FROM sums").await, 1);
    for (call, total) in [("CALL loud()", 101), ("CALL anew()", 10_101)] {
        let trial = job(&[call]);
        for _ in 0..2 {
            let failure = run(&worker, &trial).await.unwrap_err();
            assert!(
                failure.is_permanent() && failure.text().contains("gridloom_commit"),
                "{failure}"
            );
            assert_eq!(mysql.number("SELECT total FROM sums").await, total);
        }
    }
}

/// What its shards report mostly stands at no key before it is so: the key of one whose procedure commits early is
/// known for what it is.
#[tokio::test]
async fn mysql_shard_whose_procedure_ends_the_transaction_is_found_out_behind_others_that_did_well()
{
    let Some(mut mysql) = MySql::new("sometimes").await else {
        return;
    };
    mysql
        .execute(
            "CREATE PROCEDURE sometimes(page BIGINT) BEGIN UPDATE sums SET total = total + 1; \
             IF page = 3 THEN COMMIT; SIGNAL SQLSTATE '45000'; END IF; END",
        )
        .await;
    let worker = handler(&mysql.url);
    let call = job(&["CALL sometimes(:page)"]);
    for page in [1, 2] {
        assert!(run(&worker, &call.clone().page(page)).await.is_ok());
    }
    assert!(run(&worker, &call.clone().page(3)).await.is_err());
    let again = run(&worker, &call.clone().page(3)).await.unwrap_err();
    assert!(
        again.is_permanent() && again.text().contains("without its outcome"),
        "{again}"
    );
    assert_eq!(mysql.number("SELECT total FROM sums").await, 3);
}

/// What reads or changes rows cannot end its transaction: nothing marks that, and an outcome like the last one's is not
/// written once more.
#[tokio::test]
async fn mysql_shard_that_cannot_end_its_transaction_has_no_mark_and_writes_its_outcome_with_its_key()
 {
    let Some(mut mysql) = MySql::new("unmarked").await else {
        return;
    };
    mysql.execute("CREATE TABLE done (page BIGINT)").await;
    let worker = handler(&mysql.url);
    // The session's own counts: all shards here run on one connection.
    let look = job(&[
        "SELECT MAX(IF(variable_name = 'COM_SAVEPOINT', CAST(variable_value AS SIGNED), 0)) AS marks, \
         MAX(IF(variable_name = 'COM_UPDATE', CAST(variable_value AS SIGNED), 0)) AS updates \
         FROM information_schema.session_status",
    ]);
    let counts = async |page| {
        let found = run(&worker, &look.clone().page(page)).await.unwrap();
        let of = |name: &str| found.iter().find(|(known, _)| known == name).unwrap().1;
        (of("marks"), of("updates"))
    };
    let (_, before) = counts(0).await;
    // The last page has two rows.
    let add =
        job(&["INSERT INTO done SELECT :page UNION ALL SELECT :page FROM DUAL WHERE :page = 7"]);
    for page in 1..8 {
        let expected = if page < 7 { 1 } else { 2 };
        let done = run(&worker, &add.clone().page(page)).await;
        assert_eq!(done, Ok(rows(expected)));
    }
    // The first one's outcome, the last one's, and that of the look before.
    assert_eq!(counts(1).await, (0, before + 3));
    for (page, expected) in [(2, 1), (7, 2)] {
        let late = add.clone().page(page).attempt(2, Fence(2));
        assert_eq!(run(&worker, &late).await, Ok(rows(expected)));
    }
    let keys = "SELECT COUNT(*) FROM gridloom_commit WHERE outcome = ''";
    assert_eq!(mysql.number(keys).await, 0);
    assert_eq!(mysql.number("SELECT COUNT(*) FROM done").await, 8);
}

/// On which it rests that such a shard has no mark: what a trigger calls may not commit.
#[tokio::test]
async fn mysql_trigger_that_commits_is_refused_and_nothing_of_its_shard_happens() {
    let Some(mut mysql) = MySql::new("triggers").await else {
        return;
    };
    for made in [
        "CREATE TABLE done (page BIGINT)",
        "CREATE PROCEDURE commits() COMMIT",
        "CREATE TRIGGER early AFTER INSERT ON done FOR EACH ROW CALL commits()",
    ] {
        mysql.execute(made).await;
    }
    let worker = handler(&mysql.url);
    let add = job(&["INSERT INTO done VALUES (:page)"]);
    let refused = run(&worker, &add).await.unwrap_err();
    assert!(refused.is_permanent(), "{refused}");
    for table in [
        "SELECT COUNT(*) FROM done",
        "SELECT COUNT(*) FROM gridloom_commit",
    ] {
        assert_eq!(mysql.number(table).await, 0);
    }
}

#[tokio::test]
async fn mysql_variables_and_locks_of_a_shard_end_with_it() {
    let Some(mut mysql) = MySql::new("variables").await else {
        return;
    };
    mysql
        .execute("CREATE TRIGGER counted BEFORE UPDATE ON sums FOR EACH ROW SET @changes = 7")
        .await;
    let worker = handler(&mysql.url);
    let leaves = job(&[
        "SELECT @mine := 5",
        "SELECT GET_LOCK('mine', 0) AS got",
        ADD,
    ]);
    assert_eq!(
        run(&worker, &leaves).await.unwrap()[2],
        ("got".to_owned(), 1)
    );
    // A trigger stands in no statement: who looks for a variable begins on a fresh connection.
    assert!(run(&worker, &job(&[ADD])).await.is_ok());
    let look = job(&[
        "SELECT @mine IS NULL AS mine, @changes IS NULL AS changes, IS_FREE_LOCK('mine') AS free",
    ]);
    let found = run(&worker, &look).await.unwrap();
    let expected = [("rows", 0), ("mine", 1), ("changes", 1), ("free", 1)];
    assert_eq!(found, expected.map(|(name, n)| (name.to_owned(), n)));
}
