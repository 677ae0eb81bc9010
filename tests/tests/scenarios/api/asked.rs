//! What is seen and ordered over HTTP: definitions, runs to their ends, their grids and shards, dead letters, pauses; the
//! same on a standby; and each order on record.

use super::*;

/// A job whose shards die, every other page.
const ILL: &str =
    "read -r shard\ncase $GRIDLOOM_PAGE in *[13579]) echo 'disk full' >&2; exit 3 ;; esac\n";

fn ill() -> Value {
    json!({
        "name": "ill", "handler": "exec", "exec": { "command": "c" },
        "grid": { "slices": 2, "pages": { "count": 4 }, "tile": 1 },
        "retry": { "max_attempts": 1 },
    })
}

async fn start_worker(stage: &mut Stage) -> anyhow::Result<()> {
    let file = stage.dir().join("ill.sh");
    std::fs::write(&file, ILL)?;
    let command = format!("c=/bin/sh {}", file.display());
    stage.start_worker(4, &["--exec", &command]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn job_is_defined_run_looked_at_and_its_dead_shards_tried_again_over_http()
-> anyhow::Result<()> {
    play(async |stage| {
        let leader = start(stage, &[]).await?;
        start_worker(stage).await?;
        eventually(
            SOON,
            "a planner leads",
            async || Ok(stage.term().await? > 0),
        )
        .await?;
        let standby = start(stage, &[]).await?;
        define(&standby).await?;
        let run = submit(&standby).await?;
        let failed = leader.is(&run, "failed").await?;
        ensure!(
            failed["shards"]["dead"] == 4 && failed["shards"]["done"] == 4,
            "{failed}"
        );
        ensure!(failed["errors"][0]["failures"] == 4, "{failed}");
        // Whoever is asked, the answer is the same.
        for path in [
            "/jobs",
            "/jobs/ill",
            "/queues",
            "/pauses",
            "/calendars",
            "/unreadable",
        ] {
            ensure!(
                leader.get(path).await? == standby.get(path).await?,
                "{path}"
            );
        }
        let path = format!("/runs/{run}");
        ensure!(leader.get(&path).await? == standby.get(&path).await?);
        look_at(&standby, &run).await?;
        lists(&standby, &run).await?;
        let audit = standby.get(&format!("/runs/{run}/audit")).await?;
        ensure!(audit["ok"] == true && audit["dead"] == 4, "{audit}");
        try_again(&standby, &run).await?;
        ensure!(standby.get("/workers").await?["items"][0]["answers"] == true);
        let planners = leader.get("/planners").await?;
        let planners = planners["items"].as_array().context("planners")?;
        let leading = planners.iter().filter(|planner| planner["leads"] == true);
        ensure!((planners.len(), leading.count()) == (2, 1), "{planners:?}");
        on_record(&leader, &run).await
    })
    .await
}

async fn define(api: &Api) -> anyhow::Result<()> {
    let put = ("PUT", "/jobs/ill");
    let dry = api
        .order(("PUT", "/jobs/ill?dry_run=true"), Some(&ill()))
        .await?;
    ensure!(
        dry.0 == 200 && dry.1["change"] == "created" && dry.1["revision"] == 0,
        "{dry:?}"
    );
    ensure!(api.ask(("GET", "/jobs/ill"), &[], None).await?.status == 404);
    let only_new = [("if-none-match", "*")];
    let made = api.ask(put, &only_new, Some(&ill())).await?;
    ensure!(made.status == 201, "{}", made.json());
    let first = made.header("etag").context("ETag")?.to_owned();
    let again = api.ask(put, &only_new, Some(&ill())).await?;
    ensure!(
        again.status == 412 && kind(&again.json()) == "changed",
        "{}",
        again.json()
    );
    let mut other = ill();
    other["limits"] = json!({ "concurrency": 2 });
    let changed = api.ask(put, &[("if-match", &first)], Some(&other)).await?;
    let told = changed.json();
    ensure!(
        changed.status == 200 && told["change"] == "changed",
        "{told}"
    );
    ensure!(
        told["changes"][0]["key"]
            .as_str()
            .is_some_and(|key| key.starts_with("limits")),
        "{told}"
    );
    // Somebody who has seen the first one only.
    let late = api.ask(put, &[("if-match", &first)], Some(&ill())).await?;
    ensure!(
        late.status == 412 && late.json()["revision"] == told["revision"],
        "{}",
        late.json()
    );
    let late = api
        .ask(("DELETE", "/jobs/ill"), &[("if-match", &first)], None)
        .await?;
    ensure!(late.status == 412, "{}", late.json());
    let shown = api.ask(("GET", "/jobs/ill"), &[], None).await?;
    ensure!(shown.header("etag") == changed.header("etag"));
    ensure!(shown.json()["definition"]["limits"]["concurrency"] == 2);
    let faulty = json!({ "name": "ill", "handler": "exec", "grid": { "slices": 0 } });
    let (status, told) = api.order(put, Some(&faulty)).await?;
    ensure!(
        status == 422 && told["faults"].as_array().is_some_and(|all| !all.is_empty()),
        "{told}"
    );
    Ok(())
}

async fn submit(api: &Api) -> anyhow::Result<String> {
    let post = ("POST", "/jobs/ill/runs");
    let dry = api
        .order(("POST", "/jobs/ill/runs?dry_run=true"), None)
        .await?;
    ensure!(dry.0 == 200 && dry.1["shards"] == 8, "{dry:?}");
    let key = [("idempotency-key", "monday")];
    let first = api
        .ask(post, &key, Some(&json!({ "params": { "day": 1 } })))
        .await?;
    ensure!(
        first.status == 202 && first.json()["answer"] == "opened",
        "{}",
        first.json()
    );
    let run = first.json()["run"].as_str().context("run")?.to_owned();
    let again = api
        .ask(post, &key, Some(&json!({ "params": { "day": 1 } })))
        .await?
        .json();
    ensure!(
        again["run"] == run && again["answer"] == "exists",
        "{again}"
    );
    // An id that no header may have stands in the body, and the same one is the same there.
    let named = json!({ "id": "monday", "params": { "day": 1 } });
    let (status, named_again) = api.order(post, Some(&named)).await?;
    ensure!(
        status == 202 && named_again["run"] == run && named_again["answer"] == "exists",
        "{named_again}"
    );
    let twice = api.ask(post, &key, Some(&named)).await?;
    ensure!(twice.status == 422, "{}", twice.json());
    // The same request that asks for something else is none.
    let other = api
        .ask(post, &key, Some(&json!({ "params": { "day": 2 } })))
        .await?;
    ensure!(other.status == 422, "{}", other.json());
    let refused = api
        .order(post, Some(&json!({ "grid": { "slices": 9 } })))
        .await?;
    ensure!(refused.0 == 422, "{refused:?}");
    Ok(run)
}

async fn look_at(api: &Api, run: &str) -> anyhow::Result<()> {
    let grid = api.get(&format!("/runs/{run}/grid")).await?;
    // Done, dead, done, dead, in both slices.
    let rows = json!([{ "first": 0, "slices": 2, "runs": [3, 1, 4, 1, 3, 1, 4, 1] }]);
    ensure!(grid["rows"] == rows && grid["all_known"] == true, "{grid}");
    let window = format!("/runs/{run}/grid?first_slice=1&last_slice=1&first_page=1&last_page=2");
    let part = api.get(&window).await?;
    ensure!(
        part["rows"] == json!([{ "first": 1, "slices": 1, "runs": [4, 1, 3, 1] }]),
        "{part}"
    );
    let of = |query: &str| format!("/runs/{run}/shards?{query}");
    let dead = api.get(&of("state=dead&limit=3")).await?;
    ensure!(cells(&dead) == [(0, 1), (0, 3), (1, 1)], "{dead}");
    ensure!(
        dead["items"][0]["error"]
            .as_str()
            .is_some_and(|error| error.contains("disk full"))
    );
    let next = dead["next"].as_str().context("next")?;
    let rest = api
        .get(&of(&format!("state=dead&limit=3&after={next}")))
        .await?;
    ensure!(
        cells(&rest) == [(1, 3)] && rest["next"] == Value::Null,
        "{rest}"
    );
    let some = api.get(&of("slice=1&first_page=2&last_page=3")).await?;
    ensure!(cells(&some) == [(1, 2), (1, 3)], "{some}");
    ensure!(cells(&api.get(&of("error=disk&state=done")).await?).is_empty());
    let worker = api.get("/workers").await?["items"][0]["worker"].clone();
    let worker = worker.as_str().context("worker")?;
    ensure!(cells(&api.get(&of(&format!("worker={worker}"))).await?).len() == 8);
    ensure!(cells(&api.get(&of("worker=nobody")).await?).is_empty());
    let shard = api.get(&format!("/runs/{run}/shards/0/1")).await?;
    ensure!(
        shard["state"] == "dead" && shard["attempts"][0]["result"]["done"] == false,
        "{shard}"
    );
    let absent = api
        .ask(("GET", &format!("/runs/{run}/shards/0/9")), &[], None)
        .await?;
    ensure!(absent.status == 404);
    Ok(())
}

async fn lists(api: &Api, run: &str) -> anyhow::Result<()> {
    let listed = |query: &'static str| async move {
        let page = api.get(&format!("/runs?{query}")).await?;
        let items = page["items"].as_array().into_iter().flatten();
        let runs: Vec<String> = items.map(|run| run["run"].to_string()).collect();
        anyhow::Ok(runs)
    };
    let quoted = json!(run).to_string();
    for query in [
        "",
        "job=ill",
        "state=failed",
        "dead=true",
        "from=2020-01-01T00:00:00Z",
    ] {
        eventually(SOON, query, async || {
            Ok(listed(query).await?.contains(&quoted))
        })
        .await?;
    }
    for query in [
        "job=other",
        "state=running",
        "dead=false",
        "to=2020-01-01T00:00:00Z",
    ] {
        ensure!(listed(query).await?.is_empty(), "{query}");
    }
    let dead = api.get("/dead?limit=3&error=disk").await?;
    let next = dead["next"].as_str().context("next")?;
    let rest = api
        .get(&format!("/dead?limit=3&error=disk&after={next}"))
        .await?;
    ensure!(
        (cells(&dead).len(), cells(&rest)) == (3, vec![(1, 3)]),
        "{dead} {rest}"
    );
    Ok(())
}

/// Slice and page of each shard of a list.
fn cells(page: &Value) -> Vec<(u64, u64)> {
    let items = page["items"].as_array().into_iter().flatten();
    let cell = |shard: &Value| Some((shard["slice"].as_u64()?, shard["page"].as_u64()?));
    items.filter_map(cell).collect()
}

async fn try_again(api: &Api, run: &str) -> anyhow::Result<()> {
    let (retry, drop) = (("POST", "/dead/retry"), ("POST", "/dead/drop"));
    for none in [
        json!({}),
        json!({ "all": true, "job": "ill" }),
        json!({ "slice": 1 }),
    ] {
        ensure!(api.order(drop, Some(&none)).await?.0 == 422, "{none}");
    }
    let which = json!({ "run": run, "slice": 1, "page": 3, "dry_run": true });
    let (status, counted) = api.order(drop, Some(&which)).await?;
    ensure!(
        (status, &counted["shards"]) == (200, &json!(1)),
        "{counted}"
    );
    let which = json!({ "run": run, "slice": 1, "page": 3 });
    let (status, dropped) = api.order(drop, Some(&which)).await?;
    ensure!(
        (status, &dropped["shards"]) == (200, &json!(1)),
        "{dropped}"
    );
    eventually(SOON, "it is told of the run, in lists too", async || {
        let shown = api.get(&format!("/runs/{run}")).await?;
        let listed = api.get("/runs?dead=true").await?;
        let shards = json!([shown["shards"], listed["items"][0]["shards"]]);
        let told = |of: &Value| of["dead"] == 4 && of["given_up"] == 1;
        Ok(shards.as_array().is_some_and(|both| both.iter().all(told)))
    })
    .await?;
    let all = json!({ "all": true, "dry_run": true });
    eventually(SOON, "three are left", async || {
        Ok(api.order(retry, Some(&all)).await?.1["shards"] == 3)
    })
    .await?;
    let (_, retried) = api
        .order(retry, Some(&json!({ "error": "disk full" })))
        .await?;
    ensure!(retried["shards"] == 3 && retried["runs"] == 1, "{retried}");
    eventually(SOON, "they have died again", async || {
        let shown = api.get(&format!("/runs/{run}")).await?;
        Ok(shown["state"] == "failed" && shown["shards"]["retried"] == 3)
    })
    .await?;
    let (status, over) = api
        .order(("POST", &format!("/runs/{run}/cancel")), None)
        .await?;
    ensure!(
        status == 409 && kind(&over) == "conflict",
        "{status} {over}"
    );
    Ok(())
}

/// Each order is on record, the newest first.
async fn on_record(api: &Api, run: &str) -> anyhow::Result<()> {
    let log = api.get("/log").await?;
    let items = log["items"].as_array().context("items")?;
    let told: Vec<(&str, &str)> = items
        .iter()
        .filter_map(|item| Some((item["what"].as_str()?, item["of"].as_str()?)))
        .collect();
    let wanted = [("cancel", run), ("dead retry", ""), ("dead drop", run)];
    ensure!(told.starts_with(&wanted), "{told:?}");
    ensure!(
        told.ends_with(&[("job apply", "ill"), ("job apply", "ill")]),
        "{told:?}"
    );
    ensure!(
        items
            .iter()
            .all(|item| item["by"] == "local" && item["way"] == "api"),
        "{log}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_held_back_and_let_go_over_http_and_calendars_are_kept() -> anyhow::Result<()>
{
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let office = json!({ "name": "office", "weekdays": "MON-FRI", "timezone": "UTC" });
        let made = api
            .order(("PUT", "/calendars/office"), Some(&office))
            .await?;
        ensure!(made.0 == 201, "{made:?}");
        let again = api
            .order(("PUT", "/calendars/office"), Some(&office))
            .await?;
        ensure!(
            again.0 == 200 && again.1["change"] == "unchanged",
            "{again:?}"
        );
        let job = |calendar: &str| {
            json!({
                "name": "nightly", "handler": "noop",
                "schedule": { "cron": "0 2 * * *", "only": calendar },
            })
        };
        let put = ("PUT", "/jobs/nightly");
        ensure!(api.order(put, Some(&job("holidays"))).await?.0 == 422);
        let (status, applied) = api.order(put, Some(&job("office"))).await?;
        ensure!(
            status == 201
                && applied["next"]
                    .as_array()
                    .is_some_and(|next| next.len() == 5)
        );
        let calendar = api.get("/calendars/office").await?;
        ensure!(calendar["jobs"] == json!(["nightly"]), "{calendar}");
        held_back(&api).await?;
        ensure!(api.order(("DELETE", "/calendars/office"), None).await?.0 == 409);
        let (_, deleted) = api
            .order(("DELETE", "/calendars/office?force=true"), None)
            .await?;
        ensure!(deleted["jobs"] == json!(["nightly"]), "{deleted}");
        let (status, deleted) = api
            .order(("DELETE", "/jobs/nightly?cancel=true"), None)
            .await?;
        ensure!(status == 200 && deleted["job"] == "nightly", "{deleted}");
        ensure!(api.ask(("GET", "/jobs/nightly"), &[], None).await?.status == 404);
        Ok(())
    })
    .await
}

async fn held_back(api: &Api) -> anyhow::Result<()> {
    let (_, paused) = api
        .order(
            ("POST", "/jobs/nightly/pause"),
            Some(&json!({ "note": "moved" })),
        )
        .await?;
    ensure!(
        paused["changed"] == true && paused["pauses"][0]["note"] == "moved",
        "{paused}"
    );
    let (_, frozen) = api
        .order(("POST", "/freeze"), Some(&json!({ "note": "all" })))
        .await?;
    ensure!(
        frozen["pauses"]
            .as_array()
            .is_some_and(|pauses| pauses.len() == 2),
        "{frozen}"
    );
    let (_, gone) = api.order(("DELETE", "/freeze"), None).await?;
    ensure!(gone["changed"] == true, "{gone}");
    let (_, resumed) = api
        .order(("POST", "/jobs/nightly/resume?missed=skip"), None)
        .await?;
    ensure!(
        resumed["changed"] == true && resumed["pauses"] == json!([]),
        "{resumed}"
    );
    ensure!(api.get("/pauses").await?["items"] == json!([]));
    Ok(())
}
