//! What comes of a schedule, what became of it, and times that are run again: asked over HTTP, and as the commands tell it.

use super::*;

async fn define(api: &Api, name: &str, schedule: Value) -> anyhow::Result<()> {
    let job =
        json!({ "name": name, "handler": "noop", "grid": { "slices": 1 }, "schedule": schedule });
    let (status, told) = api
        .order(("PUT", &format!("/jobs/{name}")), Some(&job))
        .await?;
    ensure!(status == 201, "{name}: {status} {told}");
    Ok(())
}

/// One field of each item.
fn each(told: &Value, key: &str) -> Vec<Value> {
    let items = told.as_array().into_iter().flatten();
    items.map(|item| item[key].clone()).collect()
}

async fn refused(api: &Api, path: &str, status: u16) -> anyhow::Result<Value> {
    let reply = api.ask(("GET", path), &[], None).await?;
    ensure!(
        reply.status == status,
        "{path}: {} {}",
        reply.status,
        reply.json()
    );
    Ok(reply.json())
}

async fn comes(stage: &Stage, api: &Api) -> anyhow::Result<()> {
    let told = api.get("/jobs/hourly/next?count=3&from=2030-01-01").await?;
    let times = each(&told["items"], "scheduled_at");
    let hour = |hour: u32| json!(format!("2030-01-01T{hour:02}:00:00.000Z"));
    // What is taken out is told, and is none of those that open.
    ensure!(times == [hour(0), hour(1), hour(2)], "{told}");
    let excluded: Vec<bool> = each(&told["items"], "excluded")
        .iter()
        .map(Value::is_string)
        .collect();
    ensure!(excluded == [false, true, false], "{told}");
    let now = api.get("/jobs/hourly/next?count=2").await?;
    let command = ["job", "next", "hourly", "--count", "2", "--json"];
    let command = stage.cli(&command, SOON).await?.succeeded()?.json()?;
    ensure!(each(&now["items"], "opens_at").len() == 2, "{now}");
    ensure!(
        command.to_string().contains(
            now["items"][0]["scheduled_at"]
                .as_str()
                .unwrap_or("?")
                .trim_end_matches(".000Z")
        ),
        "{command} {now}"
    );
    refused(api, "/jobs/hourly/next?count=0", 400).await?;
    refused(api, "/jobs/hourly/next?from=soon", 400).await?;
    refused(api, "/jobs/none/next", 404).await?;
    refused(api, "/jobs/plain/next", 409).await?;
    Ok(())
}

/// Each fire has its answer, page by page and one by one.
async fn became(stage: &Stage, api: &Api) -> anyhow::Result<()> {
    let path = "/jobs/often/fires?decision=opened";
    eventually(SOON, "three fires are opened", async || {
        Ok(each(&api.get(path).await?["items"], "run").len() == 3)
    })
    .await?;
    let all = api.get(path).await?;
    let first = api.get(&format!("{path}&limit=2")).await?;
    let next = first["next"].as_str().context("next")?;
    let rest = api.get(&format!("{path}&limit=2&after={next}")).await?;
    let paged = [each(&first["items"], "run"), each(&rest["items"], "run")].concat();
    ensure!(
        paged == each(&all["items"], "run") && rest["next"] == Value::Null,
        "{first} {rest}"
    );
    let command = stage
        .cli(&["job", "fires", "often", "--json"], SOON)
        .await?;
    let command = command.succeeded()?.stdout;
    for fire in all["items"].as_array().into_iter().flatten() {
        let (at, run) = (fire["scheduled_at"].as_str(), fire["run"].as_str());
        let (at, run) = (at.context("a time")?, run.context("a run")?);
        ensure!(command.contains(run), "{run}: {command}");
        for time in [at, run] {
            let why = api.get(&format!("/jobs/often/why?time={time}")).await?;
            let decided = &why["decisions"][0];
            ensure!(
                (&decided["decision"], &decided["run"]) == (&json!("opened"), &json!(run)),
                "{why}"
            );
            ensure!(
                why["words"]
                    .as_str()
                    .is_some_and(|words| words.contains(run)),
                "{why}"
            );
        }
    }
    ensure!(
        each(
            &api.get("/jobs/often/fires?decision=skipped").await?["items"],
            "run"
        )
        .is_empty()
    );
    refused(api, "/jobs/often/why?time=soon", 400).await?;
    refused(api, "/jobs/none/why?time=2030-01-01", 404).await?;
    Ok(())
}

/// Times are run again, after it was counted which those are.
async fn again(api: &Api) -> anyhow::Result<()> {
    let post = ("POST", "/jobs/hourly/backfills");
    let wanted = json!({ "name": "newyear", "from": "2026-01-01T00:00", "to": "2026-01-01T03:00" });
    let (status, counted) = api
        .order(
            ("POST", "/jobs/hourly/backfills?dry_run=true"),
            Some(&wanted),
        )
        .await?;
    ensure!(
        status == 200 && counted["count"] == 3 && counted["excluded"] == 1,
        "{counted}"
    );
    ensure!(counted["backfill"] == Value::Null, "{counted}");
    let path = "/jobs/hourly/backfills";
    ensure!(api.get(path).await?["items"] == json!([]));
    let (status, begun) = api.order(post, Some(&wanted)).await?;
    ensure!(status == 201 && begun["begun"] == true, "{status} {begun}");
    let (_, same) = api.order(post, Some(&wanted)).await?;
    ensure!(
        same["begun"] == false && same["backfill"] == "newyear",
        "{same}"
    );
    eventually(SOON, "all of it has run", async || {
        let told = api.get(path).await?;
        let one = &told["items"][0];
        Ok(one["opened"] == 3 && one["ended"] == true)
    })
    .await?;
    eventually(SOON, "its runs are listed", async || {
        let runs = api.get("/runs?job=hourly&state=succeeded").await?;
        Ok(each(&runs["items"], "run").len() == 3)
    })
    .await?;
    let unnamed = json!({ "name": "new-year", "from": "2026-01-01", "to": "2026-01-01" });
    let (status, told) = api.order(post, Some(&unnamed)).await?;
    let words = told["detail"].as_str().unwrap_or_default();
    ensure!(
        status == 422 && words.starts_with("name: must be"),
        "{told}"
    );
    for (body, why) in [
        (json!({ "from": "2026-01-02", "to": "2026-01-01" }), "to"),
        (
            json!({ "from": "2026-01-01", "to": "2026-01-02", "concurrency": 0 }),
            "concurrency",
        ),
        (
            json!({ "from": "2026-01-01", "to": "2026-01-02", "overlap": "odd" }),
            "overlap",
        ),
    ] {
        let (status, told) = api.order(post, Some(&body)).await?;
        ensure!(matches!(status, 400 | 422), "{why}: {status} {told}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_and_what_became_of_fires_is_told_and_times_are_run_again() -> anyhow::Result<()>
{
    play(async |stage| {
        let api = start(stage, &[]).await?;
        stage.start_worker(2, &[]).await?;
        let leads = async || Ok(stage.term().await? > 0);
        eventually(SOON, "a planner leads", leads).await?;
        define(&api, "often", json!({ "every": "1s", "max_fires": 3 })).await?;
        // The second hour of a day is taken out.
        let except = json!({ "name": "night", "timezone": "UTC", "times": ["01:00-02:00"] });
        let (status, told) = api
            .order(("PUT", "/calendars/night"), Some(&except))
            .await?;
        ensure!(status == 201, "{told}");
        let hourly = json!({ "cron": "0 * * * *", "timezone": "UTC", "except": "night" });
        define(&api, "hourly", hourly).await?;
        let plain = json!({ "name": "plain", "handler": "noop", "grid": { "slices": 1 } });
        ensure!(api.order(("PUT", "/jobs/plain"), Some(&plain)).await?.0 == 201);
        comes(stage, &api).await?;
        became(stage, &api).await?;
        again(&api).await?;
        // A pause is of a schedule.
        let note = json!({ "note": "moved" });
        let (status, told) = api
            .order(("POST", "/jobs/plain/pause"), Some(&note))
            .await?;
        let words = told["detail"].as_str().unwrap_or_default();
        ensure!(
            status == 409 && words.contains("neither runs by hand nor submissions"),
            "{told}"
        );
        Ok(())
    })
    .await
}
