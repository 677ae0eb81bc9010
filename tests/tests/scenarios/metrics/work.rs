//! Alerts of what keeps workers from their work: a database that is away and what rests because of it, handlers that do not
//! end, tiles that nobody pulls.

use super::*;

/// Jobs of a database whose file is not there yet: one that rests alone, and one with all that use the same.
const LATER: &str =
    "name = \"later\"\nhandler = \"sql\"\n[sql]\ndatabase = \"main\"\nstatement = \"SELECT 1\"";
const SHARED: &str = "name = \"shared\"\nhandler = \"sql\"\n[limits]\nresource = \"warehouse\"\n\
    [sql]\ndatabase = \"main\"\nstatement = \"SELECT 1\"";
/// A shard that blocks its thread long past its limit.
const STUCK: &str = "name = \"stuck\"\nhandler = \"noop\"\n[retry]\nmax_attempts = 1\n[limits]\ntimeout = \"300ms\"";
const BLOCKS_MS: u64 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn alerts_fire_and_clear_where_a_database_is_away_and_where_a_handler_does_not_end()
-> anyhow::Result<()> {
    if !have_prometheus() {
        return Ok(());
    }
    play(async |stage| {
        let (at_planner, at_worker) = (free_port()?, free_port()?);
        planner(stage, at_planner).await?;
        let file = stage.dir().join("later.db");
        let database = format!("main=sqlite:{}", file.display());
        let listen = format!("127.0.0.1:{at_worker}");
        // One slot alone: what blocks it is in the way of all else.
        let flags = ["--listen", &listen, "--database", &database];
        stage.start_worker(1, &flags).await?;
        let prometheus = &prometheus(at_planner, at_worker).await?;
        let later = submit(stage, LATER, json!({})).await?;
        let shared = submit(stage, SHARED, json!({})).await?;
        fires(prometheus, "GridloomDatabaseAway", "database main").await?;
        fires(prometheus, "GridloomJobOnHold", "job later").await?;
        fires(prometheus, "GridloomResourceOnHold", "resource warehouse").await?;
        // An empty file is an empty database.
        std::fs::write(&file, "")?;
        stage.closed(&later, LONG).await?;
        stage.closed(&shared, LONG).await?;
        for alert in [
            "GridloomDatabaseAway",
            "GridloomJobOnHold",
            "GridloomResourceOnHold",
        ] {
            clears(prometheus, alert).await?;
        }

        submit(stage, STUCK, json!({ "block_ms": BLOCKS_MS })).await?;
        fires(prometheus, "GridloomSlotsLost", "1 slots of worker").await?;
        let waits = submit(stage, "name = \"waits\"\nhandler = \"noop\"", json!({})).await?;
        fires(prometheus, "GridloomTileOld", "queue default").await?;
        stage.closed(&waits, LONG).await?;
        clears(prometheus, "GridloomSlotsLost").await?;
        clears(prometheus, "GridloomTileOld").await
    })
    .await
}
