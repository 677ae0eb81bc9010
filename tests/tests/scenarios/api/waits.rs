//! A run of which all lies on its queue, while its workers are busy with others: it is told that none of it has begun, and
//! behind what.

use super::*;

/// A shard that waits for a file.
const LONG: &str = "read -r shard\nwhile [ ! -e \"$1\" ]; do sleep 0.05; done\n";

fn job(name: &str, shards: u32) -> Value {
    json!({
        "name": name, "handler": "exec", "exec": { "command": "c" },
        "grid": { "slices": 1, "pages": { "count": shards }, "tile": 1 },
    })
}

async fn submitted(api: &Api, job: &Value) -> anyhow::Result<String> {
    let path = format!("/jobs/{}", job["name"].as_str().unwrap_or_default());
    ensure!(api.order(("PUT", &path), Some(job)).await?.0 == 201);
    let (status, told) = api.order(("POST", &format!("{path}/runs")), None).await?;
    ensure!(status == 202, "{told}");
    Ok(told["run"].as_str().context("run")?.to_owned())
}

/// What a run waits for, once that has this reason.
async fn waits(api: &Api, run: &str, reason: &str) -> anyhow::Result<Value> {
    let path = format!("/runs/{run}");
    eventually_some(SOON, &format!("{run} waits: {reason}"), async || {
        let told = api.get(&path).await?;
        Ok(Some(told["waits"][0].clone()).filter(|wait| wait["reason"] == reason))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_whose_tiles_all_lie_on_the_queue_says_so_and_behind_what() -> anyhow::Result<()> {
    play(async |stage| {
        let (file, goes_on) = (stage.dir().join("long.sh"), stage.dir().join("goes-on"));
        std::fs::write(&file, LONG)?;
        let command = format!("c=/bin/sh {} {}", file.display(), goes_on.display());
        let api = start(stage, &[]).await?;
        stage.start_worker(1, &["--exec", &command]).await?;
        eventually(
            SOON,
            "a planner leads",
            async || Ok(stage.term().await? > 0),
        )
        .await?;
        let long = submitted(&api, &job("long", 1)).await?;
        eventually(SOON, "the long one is held", async || {
            Ok(api.get(&format!("/runs/{long}")).await?["longest"][0].is_object())
        })
        .await?;
        let next = submitted(&api, &job("next", 3)).await?;
        let wait = waits(&api, &next, "queued").await?;
        ensure!(
            (&wait["tiles"], &wait["others"], &wait["slots"]) == (&json!(3), &json!(1), &json!(1)),
            "{wait}"
        );
        let words = wait["words"].as_str().unwrap_or_default();
        ensure!(
            words.starts_with(
                "none of it has begun: 3 tiles of it lie in queue default, beside 1 of other runs"
            ),
            "{words}"
        );
        let shown = stage
            .cli(&["show", &next, "--json"], SOON)
            .await?
            .succeeded()?
            .json()?;
        ensure!(shown["waits"][0]["reason"] == "queued", "{shown}");
        // What is at work says nothing of that kind.
        let at_work = waits(&api, &long, "shards").await?;
        ensure!(at_work["tiles"] == 1, "{at_work}");
        std::fs::write(&goes_on, "")?;
        api.is(&long, "succeeded").await?;
        api.is(&next, "succeeded").await?;
        Ok(())
    })
    .await
}
