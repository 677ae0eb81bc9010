//! More open runs than the overview shows: what those wait for that are open for longest is told all the same, on the page, in
//! the list of runs and by the command; and so is what is late.

use super::*;

/// The overview shows fewer.
const MANY: usize = 10;
/// The worker runs so many of them at once.
const SLOTS: u32 = 4;

/// Whether the picture on the browser's tab shows trouble.
const TROUBLE: &str =
    "decodeURIComponent(document.querySelector('link[rel=icon]').href).includes('<circle')";

/// A run that nobody has the handler for, many after it of which most wait for a slot, and one that had to be over at once.
async fn fill(stage: &mut Stage, api: &Api) -> anyhow::Result<String> {
    stage.start_worker(SLOTS, &[]).await?;
    let leads = async || Ok(stage.term().await? > 0);
    eventually(SOON, "a planner leads", leads).await?;
    let job = |name: &str, handler: &str| json!({ "name": name, "handler": handler, "grid": { "slices": 1 } });
    let (stuck, mut slow, mut due) = (
        job("stuck", "resize"),
        job("slow", "noop"),
        job("due", "noop"),
    );
    let long = json!({ "sleep_ms": 600_000 });
    (slow["params"], due["params"]) = (long.clone(), long);
    // However long it takes until that is known, a fire is to come.
    due["schedule"] = json!({ "every": "5s", "finish_within": "1s", "overlap": "skip" });
    for job in [&stuck, &slow, &due] {
        let path = format!("/jobs/{}", job["name"].as_str().unwrap_or_default());
        let (status, told) = api.order(("PUT", &path), Some(job)).await?;
        ensure!(status == 201, "{path}: {status} {told}");
    }
    let stuck = submitted(api, "stuck").await?;
    api.is(&stuck, "running").await?;
    for _ in 0..MANY {
        let slow = submitted(api, "slow").await?;
        api.is(&slow, "running").await?;
    }
    Ok(stuck)
}

/// What open runs are in want of is told once, however many they are.
async fn told_together(api: &Api, stuck: &str) -> anyhow::Result<()> {
    eventually(SOON, "the oldest run is told of", async || {
        let told = api.get("/runs/waits").await?;
        let items = told["items"].as_array().context("items")?;
        let is_it = |item: &Value| {
            (&item["reason"], &item["run"], &item["runs"])
                == (&json!("no_handler"), &json!(stuck), &json!(1))
        };
        Ok(told["leads"] == true
            && told["open"].as_u64() > Some(MANY as u64)
            && items.iter().any(is_it))
    })
    .await?;
    eventually(SOON, "what is late is told", async || {
        let told = api.get("/alarms").await?;
        let late = &told["items"][0];
        Ok(late["job"] == "due" && late["run"].is_string())
    })
    .await?;
    let many = api
        .ask(("GET", "/runs?waits=true&limit=101"), &[], None)
        .await?;
    ensure!(many.status == 400, "{}", many.json());
    let plain = api.get("/runs?limit=1").await?;
    ensure!(plain["items"][0]["waits"] == Value::Null, "{plain}");
    Ok(())
}

/// Why `stuck` waits, first of all, and how many others lie on their queue, as a list of runs says it.
fn reasons(listed: &Value, stuck: &str) -> (Vec<Value>, usize) {
    let runs = listed.as_array().into_iter().flatten();
    let (own, others): (Vec<&Value>, Vec<&Value>) = runs.partition(|run| run["run"] == stuck);
    let own = own.iter().map(|run| run["waits"][0]["reason"].clone());
    let queued = others
        .iter()
        .filter(|run| run["waits"][0]["reason"] == "queued");
    (own.collect(), queued.count())
}

/// The list and the command say of each run what it waits for; of one that lies on its queue that none of it has begun.
async fn told_one_by_one(stage: &Stage, api: &Api, stuck: &str) -> anyhow::Result<()> {
    let lying = MANY - SLOTS as usize;
    eventually(
        SOON,
        "runs that have not begun say so in the list",
        async || {
            let listed = api.get("/runs?state=running&waits=true").await?;
            let (own, queued) = reasons(&listed["items"], stuck);
            Ok(own == ["no_handler"] && queued >= lying)
        },
    )
    .await?;
    let listed = stage.cli(&["runs", "--json"], SOON).await?.succeeded()?;
    let (own, queued) = reasons(&listed.json()?, stuck);
    ensure!(own == ["no_handler"] && queued >= lying, "{listed:?}");
    let shown = stage.cli(&["runs"], SOON).await?.succeeded()?;
    for words in [
        "waits: no worker of queue default has handler resize",
        "waits: none of it has begun",
    ] {
        ensure!(shown.stdout.contains(words), "{words}: {shown:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn oldest_of_many_open_runs_is_told_of_and_so_is_what_is_late() -> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let stuck = fill(stage, &api).await?;
        told_together(&api, &stuck).await?;
        told_one_by_one(stage, &api, &stuck).await?;
        let mut browser = Chromium::start().await?;
        for (width, scheme) in [(1280, "light"), (400, "dark")] {
            browser.look(width, scheme).await?;
            browser.open(&api.url("/")).await?;
            browser
                .says("A run of stuck waits: no worker of queue default has handler resize")
                .await?;
            browser
                .says("A run of due is not over, and had to be by")
                .await?;
            // Nothing is dead, and a planner leads: the picture on the tab shows what is late.
            browser.until(TROUBLE).await?;
            browser.open(&api.url("/runs?state=running")).await?;
            browser
                .says("none of it has begun: 1 tile of it lies in queue default")
                .await?;
            let over =
                "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            ensure!(
                browser.js(over).await?.as_i64() <= Some(0),
                "wider than {width}"
            );
        }
        ensure!(browser.faults().is_empty(), "{:?}", browser.faults());
        browser.end().await
    })
    .await
}
