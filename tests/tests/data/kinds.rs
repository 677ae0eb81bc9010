//! A key of whatever type: each of its rows is done once, or the job is refused with words. A type may be ordered among
//! its own otherwise than beside the plain text or number that a statement is given.

use anyhow::{Context, ensure};
use gridloom_shared::tile::Bounds;
use gridloom_worker::{Failure, Handler, Trial};
use serde_json::json;

use crate::stores::{Kind, Store};

/// Distinct also where case does not count, in an order that is none of anybody's.
const WORDS: &[&str] = &[
    "g", "B", "a", "D", "c", "ab", "Ac", "10", "9", "2", "e1", "E2", "f",
];
/// Values as a type's own.
type Values = fn(usize) -> String;

fn word(n: usize) -> String {
    format!("'{}'", WORDS[n])
}

fn number(n: usize) -> String {
    format!("{}", [7, 100, 9, -3, 0, 11, 2, 1, 65, 12, 80, 5, 6][n])
}

fn uuid(n: usize) -> String {
    format!("'0000000{n:x}-0000-4000-8000-000000000000'")
}

fn day(n: usize) -> String {
    format!("'2013-{:02}-1{}'", n % 12 + 1, n % 7)
}

/// What a job with such a key comes to, by what it says of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Once,
    Refused,
}

use End::{Once, Refused};

/// Types, with the ends of `key = "text"` and of `key = "integer"`.
const POSTGRES: &[(&str, Values, End, End)] = &[
    ("text", word, Once, Refused),
    ("text COLLATE \"C\"", word, Once, Refused),
    ("varchar(9)", word, Once, Refused),
    ("char(9)", word, Once, Refused),
    ("name", word, Once, Refused),
    ("citext", word, Refused, Refused),
    ("letters", word, Refused, Refused),
    ("uuid", uuid, Refused, Refused),
    ("date", day, Refused, Refused),
    ("timestamptz", day, Refused, Refused),
    ("bytea", word, Refused, Refused),
    ("numeric(9,2)", number, Refused, Refused),
    ("double precision", number, Refused, Refused),
    ("smallint", number, Refused, Once),
    ("int", number, Refused, Once),
    ("bigint", number, Refused, Once),
];
const MYSQL: &[(&str, Values, End, End)] = &[
    ("varchar(9)", word, Once, Refused),
    ("varchar(9) COLLATE utf8mb4_bin", word, Once, Refused),
    ("varchar(9) CHARACTER SET latin1", word, Once, Refused),
    ("char(9)", word, Once, Refused),
    ("enum", word, Refused, Refused),
    ("varbinary(9)", word, Refused, Refused),
    ("date", day, Refused, Refused),
    ("decimal(9,2)", number, Refused, Refused),
    ("double", number, Refused, Refused),
    ("tinyint", number, Refused, Once),
    ("int", number, Refused, Once),
    ("bigint", number, Refused, Once),
];
const SQLITE: &[(&str, Values, End, End)] = &[
    ("TEXT", word, Once, Refused),
    ("TEXT COLLATE NOCASE", word, Once, Refused),
    ("", word, Once, Refused),
    ("DATE", day, Once, Refused),
    ("REAL", number, Refused, Refused),
    ("NUMERIC", number, Refused, Once),
    ("INTEGER", number, Refused, Once),
];

/// Probes the table as the documentation does, in pages of three rows, and runs each page.
async fn play(store: &Store, key: &str) -> Result<(), Failure> {
    let settings = json!({
        "database": "main", "key": key,
        "probe": "SELECT min(k), max(k) FROM (SELECT k, row_number() OVER (ORDER BY k) - 1 AS n FROM t \
                  WHERE :after IS NULL OR k > :after) AS numbered GROUP BY n - n % 3 ORDER BY min(n)",
        "statement": "UPDATE t SET done = done + 1 WHERE k BETWEEN :page_from AND :page_to",
    });
    let handler = store.handler();
    let trial = Trial::new("kinds", "sql").settings(settings);
    let mut next = trial.clone().room(40);
    let mut page = 0;
    loop {
        let found = handler.probe(next.probe()).await?;
        for Bounds(from, to) in found.pages {
            let cell = trial.clone().page(page).bounds(from, to);
            handler.run(cell.shard()).await?;
            page += 1;
        }
        let Some(cursor) = found.cursor else {
            return Ok(());
        };
        next = next.after(cursor);
    }
}

async fn each_row_once_or_refused(
    kind: Kind,
    cases: &[(&str, Values, End, End)],
) -> anyhow::Result<()> {
    let Some(mut store) = Store::open(kind).await? else {
        return Ok(());
    };
    let letters = WORDS.iter().map(|word| format!("'{word}'"));
    let letters = letters.collect::<Vec<_>>().join(", ");
    if kind == Kind::Postgres {
        store
            .run(&format!("CREATE TYPE letters AS ENUM ({letters})"))
            .await?;
    }
    for (of, values, text, integer) in cases {
        // Of the server's own packages, and so not everywhere.
        if *of == "citext" && store.run("CREATE EXTENSION citext").await.is_err() {
            continue;
        }
        let column = match *of {
            "enum" => format!("enum({letters})"),
            of => of.to_owned(),
        };
        for (key, end) in [("text", *text), ("integer", *integer)] {
            let what = || format!("{}: {of}, key = {key}", kind.name());
            let made = format!(
                "DROP TABLE IF EXISTS t; CREATE TABLE t (k {column} NOT NULL, done int NOT NULL)"
            );
            store.run(&made).await?;
            let rows: Vec<String> = (0..WORDS.len())
                .map(|n| format!("({}, 0)", values(n)))
                .collect();
            let rows = format!("INSERT INTO t VALUES {}", rows.join(", "));
            store.run(&rows).await.with_context(what)?;
            let played = play(&store, key).await;
            let done = store
                .texts(["min(done)", "max(done)"], "FROM t")
                .await
                .with_context(what)?;
            match end {
                Once => {
                    ensure!(played.is_ok(), "{}: {played:?}", what());
                    let once = ("1".to_owned(), "1".to_owned());
                    ensure!(done == [once], "{}: {done:?}", what());
                }
                Refused => {
                    let refused = played.as_ref().is_err_and(Failure::is_permanent);
                    ensure!(refused, "{}: {played:?}, {done:?}", what());
                    let told = played.map_err(|failure| failure.text().to_owned());
                    let mends = |told: &str| told.contains("cast") || told.contains("key = ");
                    ensure!(
                        told.as_ref().is_err_and(|told| mends(told)),
                        "{}: {told:?}",
                        what()
                    );
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn key_of_any_type_does_each_row_once_or_is_refused_on_postgresql() {
    each_row_once_or_refused(Kind::Postgres, POSTGRES)
        .await
        .unwrap();
}

#[tokio::test]
async fn key_of_any_type_does_each_row_once_or_is_refused_on_mysql() {
    each_row_once_or_refused(Kind::MySql, MYSQL).await.unwrap();
}

#[tokio::test]
async fn key_of_any_type_does_each_row_once_or_is_refused_on_sqlite() {
    each_row_once_or_refused(Kind::Sqlite, SQLITE)
        .await
        .unwrap();
}
