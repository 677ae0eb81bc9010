//! Dead shards that somebody gave up wait for nobody, wherever it is told what does.

use gridloom_shared::id::RunId;
use gridloom_shared::ledger::summary::RunSummary;
use gridloom_shared::wire;

use super::stream::Stream;
use super::*;

/// A run of which four shards are dead.
async fn failed(stage: &mut Stage) -> anyhow::Result<RunId> {
    let job = "name = \"bad\"\nhandler = \"noop\"\n[grid]\nslices = 4\n[retry]\nmax_attempts = 1";
    let job = stage.apply(job).await?;
    let params = json!({ "fail_attempts": 9, "permanent": true });
    let run = stage.submit(&job, &params).await?;
    stage.closed(&run, SOON).await?;
    Ok(run)
}

/// How many runs are listed with dead shards.
async fn with_dead(api: &Api) -> anyhow::Result<usize> {
    let listed = api.get("/runs?dead=true").await?;
    Ok(listed["items"].as_array().context("items")?.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_no_trouble_in_lists_events_and_commands() -> anyhow::Result<()> {
    play(async |stage| {
        let api = start(stage, &[]).await?;
        stage.start_worker(4, &[]).await?;
        let run = failed(stage).await?;
        let mut stream = Stream::open(&api, "dead", None).await?;
        let told =
            |runs: u64, shards: u64| json!({ "topic": "dead", "runs": runs, "shards": shards });
        let all = told(1, 4);
        stream
            .until("what is dead", |event| event.of("dead") == Some(&all))
            .await?;
        ensure!(with_dead(&api).await? == 1);
        let one = json!({ "run": run, "slice": 1, "page": 0 });
        ensure!(api.order(("POST", "/dead/drop"), Some(&one)).await?.0 == 200);
        let three = told(1, 3);
        stream
            .until("three are left", |event| event.of("dead") == Some(&three))
            .await?;
        let shown = stage.cli(&["runs"], SOON).await?.succeeded()?.stdout;
        ensure!(shown.contains("4 dead, 1 of them given up"), "{shown}");

        let rest = json!({ "run": run });
        ensure!(api.order(("POST", "/dead/drop"), Some(&rest)).await?.0 == 200);
        let none = told(0, 0);
        stream
            .until("none is left", |event| event.of("dead") == Some(&none))
            .await?;
        ensure!(with_dead(&api).await? == 0);
        let listed = api.get("/runs?dead=false").await?;
        let shards = &listed["items"][0]["shards"];
        ensure!(shards["dead"] == 4 && shards["given_up"] == 4, "{listed}");
        let shown = stage
            .cli(&["show", run.as_str()], SOON)
            .await?
            .succeeded()?;
        ensure!(shown.stdout.contains("4 dead, all given up"), "{shown:?}");
        let said = [&shown.stdout, &shown.stderr];
        ensure!(
            said.iter().all(|said| !said.contains("dead list")),
            "{shown:?}"
        );
        // They are dead all the same, and one that is named is tried again.
        let (status, tried) = api.order(("POST", "/dead/retry"), Some(&one)).await?;
        ensure!(status == 200 && tried["shards"] == 1, "{status} {tried}");
        api.is(run.as_str(), "failed").await?;
        let one = told(1, 1);
        stream
            .until("it has died again", |event| event.of("dead") == Some(&one))
            .await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn summary_of_an_earlier_build_is_mended_by_the_next_leader() -> anyhow::Result<()> {
    play(async |stage| {
        let api = start(stage, &[]).await?;
        stage.start_worker(4, &[]).await?;
        let run = failed(stage).await?;
        let all = json!({ "run": run });
        ensure!(api.order(("POST", "/dead/drop"), Some(&all)).await?.0 == 200);
        eventually(SOON, "none waits", async || Ok(with_dead(&api).await? == 0)).await?;
        stage.planners[0].kill().await?;
        // As a build has left it that knew of no such number.
        let summaries = stage.broker.runs();
        let entry = summaries.get(run.as_str()).await?.context("summary")?;
        let mut summary: RunSummary = wire::decode(&entry.value.context("value")?)?;
        summary.shards.given_up = 0;
        summaries.put(run.as_str(), wire::encode(&summary)).await?;
        let api = start(stage, &["--retention-every", "200ms"]).await?;
        eventually(SOON, "none waits", async || Ok(with_dead(&api).await? == 0)).await?;
        let listed = api.get("/runs").await?;
        ensure!(listed["items"][0]["shards"]["given_up"] == 4, "{listed}");
        Ok(())
    })
    .await
}
