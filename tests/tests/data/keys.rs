//! Keys that are not unique: where a page begins with the key that the one before it ends with, the rows of
//! that key would be done twice.

use gridloom_worker::{Handler, Trial};
use serde_json::json;

use crate::stores::{Kind, Store};

async fn pages_that_share_a_key_are_refused(kind: Kind) -> anyhow::Result<()> {
    let Some(mut store) = Store::open(kind).await? else {
        return Ok(());
    };
    let table =
        "CREATE TABLE visits (id int PRIMARY KEY, code varchar(10) NOT NULL, day int NOT NULL)";
    store.run(table).await?;
    let rows = "INSERT INTO visits VALUES (1, 'a', -1), (2, 'b', 2), (3, 'b', 2), (4, 'c', 3), (5, 'd', 4)";
    store.run(rows).await?;
    let handler = store.handler();
    let pages = |kind: &str, key: &str| {
        let probe = format!(
            "SELECT min({key}), max({key}) FROM \
             (SELECT {key}, row_number() OVER (ORDER BY {key}) - 1 AS n FROM visits) AS numbered \
             GROUP BY n - n % 2 ORDER BY 1"
        );
        let settings = json!({
            "database": "main", "key": kind, "probe": probe,
            "statement": format!("SELECT 1 AS one FROM visits WHERE {key} BETWEEN :page_from AND :page_to"),
        });
        handler.probe(Trial::new("visits", "sql").settings(settings).probe())
    };
    for (kind, key) in [("text", "code"), ("integer", "day")] {
        let shared = pages(kind, key).await;
        assert!(
            shared.as_ref().is_err_and(|failure| failure.is_permanent()),
            "{key}: {shared:?}"
        );
    }
    store.run("DELETE FROM visits WHERE id = 3").await?;
    for (kind, key) in [("text", "code"), ("integer", "day")] {
        assert_eq!(pages(kind, key).await.unwrap().pages.len(), 2, "{key}");
    }
    Ok(())
}

#[tokio::test]
async fn pages_that_share_a_key_are_refused_on_postgresql() {
    pages_that_share_a_key_are_refused(Kind::Postgres)
        .await
        .unwrap();
}

#[tokio::test]
async fn pages_that_share_a_key_are_refused_on_mysql() {
    pages_that_share_a_key_are_refused(Kind::MySql)
        .await
        .unwrap();
}

#[tokio::test]
async fn pages_that_share_a_key_are_refused_on_sqlite() {
    pages_that_share_a_key_are_refused(Kind::Sqlite)
        .await
        .unwrap();
}
