//! Who has worked on a run when: as the API tells it of a run whose worker was killed, and as the page shows it.

use super::*;

const SHARDS: u64 = 240;

/// A run that two workers shared until one of them was killed. Its id, and the session of the one that is left.
async fn shared(stage: &mut Stage, api: &Api) -> anyhow::Result<String> {
    eventually(
        SOON,
        "a planner leads",
        async || Ok(stage.term().await? > 0),
    )
    .await?;
    for name in ["left", "killed"] {
        stage.start_worker(8, &["--name", name]).await?;
    }
    let job = json!({
        "name": "shared", "handler": "noop", "params": { "sleep_ms": 100, "fail_percent": 5 },
        "grid": { "slices": 4, "pages": { "count": 60 }, "tile": 1 },
        "retry": { "max_attempts": 9, "backoff": { "initial": "100ms" } },
    });
    let (status, told) = api.order(("PUT", "/jobs/shared"), Some(&job)).await?;
    ensure!(status == 201, "{status} {told}");
    let run = submitted(api, "shared").await?;
    let path = format!("/runs/{run}/workers");
    eventually(SOON, "both have committed something", async || {
        let reply = api.ask(("GET", &path), &[], None).await?;
        let told = reply.json();
        let workers = told["workers"].as_array().map_or(&[][..], Vec::as_slice);
        let done = workers.iter().filter(|one| one["done"].as_u64() > Some(4));
        Ok(done.count() == 2)
    })
    .await?;
    stage.workers[1].kill().await?;
    api.is(&run, "succeeded").await?;
    Ok(run)
}

fn numbers(of: &Value) -> Vec<u64> {
    let numbers = of.as_array().into_iter().flatten();
    numbers.filter_map(Value::as_u64).collect()
}

/// Every shard was committed by one of them, in a span of time in which it held something; what the killed one held was
/// taken over by the other after that one had told of its last.
fn adds_up(work: &Value, run: &Value) -> anyhow::Result<()> {
    let workers = work["workers"].as_array().context("workers")?;
    let of = |name: &str| workers.iter().find(|one| one["worker"] == name);
    let (left, killed) = (of("left").context("left")?, of("killed").context("killed")?);
    let sum = |key: &str| -> u64 { workers.iter().filter_map(|one| one[key].as_u64()).sum() };
    ensure!(workers.len() == 2 && sum("done") == SHARDS, "{work}");
    ensure!(
        sum("taken_over") == run["shards"]["taken_over"],
        "{work} {run}"
    );
    ensure!(
        left["taken_over"].as_u64() > Some(0) && killed["taken_over"] == 0,
        "{work}"
    );
    ensure!(
        sum("failed") > 0 && sum("failed") == run["shards"]["retried"],
        "{work} {run}"
    );
    let spans = work["spans"].as_u64().context("spans")?;
    for one in workers {
        let first = one["first"].as_u64().context("first")?;
        let (commits, held) = (numbers(&one["commits"]), numbers(&one["held"]));
        ensure!(first + commits.len() as u64 <= spans, "{one}");
        ensure!(commits.iter().sum::<u64>() == one["done"], "{one}");
        let turns = held.iter().enumerate();
        let out: Vec<bool> = turns
            .flat_map(|(at, spans)| vec![at.is_multiple_of(2); *spans as usize])
            .collect();
        let mut told = commits.iter().zip(&out);
        ensure!(
            out.len() == commits.len() && told.all(|(done, out)| *done == 0 || *out),
            "{one}"
        );
    }
    let last =
        |one: &Value| one["first"].as_u64().unwrap_or(0) + numbers(&one["commits"]).len() as u64;
    let taken = numbers(&left["takeovers"])[0];
    ensure!(
        taken + 1 >= last(killed) && last(killed) < last(left),
        "{work}"
    );
    Ok(())
}

/// Where in a lane the pointer is put, so that it is at a span: its middle.
fn pointed(lane: usize, span: u64, spans: u64) -> String {
    format!(
        "(() => {{ const box = document.querySelector('.lanes-frame').getBoundingClientRect(); \
         const lane = document.querySelectorAll('.lane')[{lane}].getBoundingClientRect(); \
         return [box.x + box.width * ({span} + 0.5) / {spans}, lane.y + lane.height / 2]; }})()"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_lane_ends_and_the_others_says_what_it_took_over() -> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let run = shared(stage, &api).await?;
        let work = api.get(&format!("/runs/{run}/workers")).await?;
        adds_up(&work, &api.get(&format!("/runs/{run}")).await?)?;
        ensure!(work.to_string().len() < 4_000, "{work}");
        // It is told the same by a planner that has not followed it; but the dead one is registered no more, and was never
        // seen there.
        let other = start(stage, &[]).await?;
        let mut same = other.get(&format!("/runs/{run}/workers")).await?;
        for (told, named) in [0, 1].map(|at| (at, work["workers"][at]["worker"].clone())) {
            same["workers"][told]["worker"] = named;
        }
        ensure!(same == work, "{same} {work}");
        let none = api.ask(("GET", "/runs/none_r_1/workers"), &[], None).await?;
        ensure!(none.status == 404, "{}", none.json());

        let mut browser = Chromium::start().await?;
        browser.look(1280, "light").await?;
        browser.open(&api.url(&format!("/runs/{run}"))).await?;
        browser.says("Workers over time").await?;
        browser.says("⇄ took over").await?;
        let workers = work["workers"].as_array().context("workers")?;
        let lane = workers.iter().position(|one| one["worker"] == "left");
        let lane = lane.context("left")?;
        let taken = numbers(&workers[lane]["takeovers"]);
        let place = pointed(lane, taken[0], work["spans"].as_u64().unwrap_or(1));
        let named = format!(
            "document.querySelector('.lanes .readout').innerText.match(/^left, .* \\(.* UTC\\): .*took over {} shard/) !== null",
            taken[1]
        );
        eventually(SOON, "it is named what one points at", async || {
            let at = browser.js(&place).await?;
            let moved = json!({ "type": "mouseMoved", "x": at[0], "y": at[1] });
            browser.call("Input.dispatchMouseEvent", moved).await?;
            Ok(browser.js(&named).await? == true)
        })
        .await?;
        // By keys as well, and for whoever sees none of it.
        browser.js("document.querySelector('.lanes-all').focus()").await?;
        for _ in 0..2 {
            let down = json!({ "type": "keyDown", "key": "ArrowUp" });
            browser.call("Input.dispatchKeyEvent", down).await?;
        }
        let first = workers[0]["worker"].as_str().context("a name")?;
        let begins = format!("document.querySelector('.lanes .readout').innerText.startsWith('{first}, ')");
        browser.until(&begins).await?;
        let cells = "[...document.querySelectorAll('.lanes details tbody tr')].map((row) => row.cells[0].innerText.trim() + ' ' + row.cells[1].innerText.trim())";
        browser.js("document.querySelector('.lanes details').open = true").await?;
        let rows: Vec<String> = workers
            .iter()
            .map(|one| format!("{} {}", one["worker"].as_str().unwrap_or(""), one["done"]))
            .collect();
        ensure!(browser.js(cells).await? == json!(rows), "{rows:?}");
        ensure!(browser.faults().is_empty(), "{:?}", browser.faults());
        browser.end().await
    })
    .await
}
