//! The largest grid that there may be: no question about it holds others up, and a planner that answers it ends when it is
//! told to.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn question_about_the_largest_grid_is_answered_at_once_and_holds_nobody_up()
-> anyhow::Result<()> {
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let job = json!({
            "name": "vast", "handler": "nobody",
            "grid": { "slices": 65_536, "pages": { "count": 16_777_216 } },
        });
        eventually(SOON, "the job is defined", async || {
            Ok(api
                .ask(("PUT", "/jobs/vast"), &[], Some(&job))
                .await?
                .status
                < 300)
        })
        .await?;
        let body = json!({});
        let (_, submitted) = api.order(("POST", "/jobs/vast/runs"), Some(&body)).await?;
        let run = submitted["run"].as_str().context("run")?.to_owned();
        api.is(&run, "running").await?;
        for (query, found) in [
            ("error=nothing", 0),
            ("error=nothing&state=issued&slice=7", 0),
            ("worker=nobody", 0),
            ("limit=1000", 1_000),
            ("slice=65535&first_page=16777215", 1),
        ] {
            let path = format!("/runs/{run}/shards?{query}");
            // Far above what it takes, far below what a look at each page would.
            let page = tokio::time::timeout(SOON / 3, api.get(&path)).await;
            let page = page.with_context(|| format!("{query}: no answer"))??;
            let items = page["items"].as_array().context("items")?.len();
            ensure!(items == found, "{query}: {items}");
            let about = tokio::time::timeout(SOON / 3, api.get("/about")).await;
            about.with_context(|| format!("no answer beside {query}"))??;
        }
        Ok(())
    })
    .await
}
