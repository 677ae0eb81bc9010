//! What a question of deleting says, and what is not deleted: a job or a calendar that is another than the page showed. And what the
//! page of a job, and the overview, say of what nobody sees otherwise: times that clocks leave out, tiles of workers that are gone.

use super::*;

/// A job that nobody is there for: one run of it is open, and two wait for that one's end.
async fn crowded(api: &Api) -> anyhow::Result<()> {
    let job = json!({ "name": "crowded", "handler": "nobody", "grid": { "slices": 2 }, "params": { "of": 1 } });
    let (status, told) = api.order(("PUT", "/jobs/crowded"), Some(&job)).await?;
    ensure!(status == 201, "{status} {told}");
    submitted(api, "crowded").await?;
    for _ in 0..2 {
        let behind = json!({ "overlap": "queue_all" });
        let asked = api.order(("POST", "/jobs/crowded/runs"), Some(&behind));
        let (status, told) = asked.await?;
        ensure!(status == 202, "{status} {told}");
    }
    let waiting = "/runs/waiting?job=crowded";
    eventually(SOON, "two wait", async || {
        let told = api.get(waiting).await?;
        Ok(told["items"].as_array().map(Vec::len) == Some(2))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_is_what_was_seen_and_what_is_lost_with_it_is_said() -> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let leads = async || Ok(stage.term().await? > 0);
        eventually(SOON, "a planner leads", leads).await?;
        crowded(&api).await?;
        let mut browser = Chromium::start().await?;
        browser.look(1280, "light").await?;
        deletes_a_job(&mut browser, &api).await?;
        deletes_a_calendar(&mut browser, &api).await?;
        tells_of_clocks(&mut browser, &api).await?;
        ensure!(browser.faults().is_empty(), "{:?}", browser.faults());
        browser.end().await
    })
    .await
}

async fn deletes_a_job(browser: &mut Chromium, api: &Api) -> anyhow::Result<()> {
    browser.open(&api.url("/jobs/crowded")).await?;
    browser.press("Delete").await?;
    let lost = "1 run of it is open: it goes on. 2 that wait to be opened are dropped.";
    browser.says(lost).await?;
    let changed = json!({ "name": "crowded", "handler": "nobody", "grid": { "slices": 2 }, "params": { "of": 2 } });
    let (status, told) = api.order(("PUT", "/jobs/crowded"), Some(&changed)).await?;
    ensure!(status == 200, "{status} {told}");
    browser.confirm().await?;
    browser.says("job crowded was changed since").await?;
    ensure!(api.get("/jobs/crowded").await?["revision"] == told["revision"]);
    browser.press("Leave it").await?;
    // The page has it as it is by then.
    let revision = format!("revision {},", told["revision"]);
    browser
        .until(&format!(
            "document.querySelector('main .sub').innerText.includes('{revision}')"
        ))
        .await?;
    browser.press("Delete").await?;
    browser.says(lost).await?;
    let same = format!(
        "gridloom job delete crowded --if-revision {}",
        told["revision"]
    );
    browser.says(&same).await?;
    browser.confirm().await?;
    browser
        .says("It is deleted; 1 run open, 0 cancelled")
        .await?;
    let (status, _) = api.order(("GET", "/jobs/crowded"), None).await?;
    ensure!(status == 404, "{status}");
    Ok(())
}

/// A calendar that jobs have come to name goes where somebody says so, and else it stays.
async fn deletes_a_calendar(browser: &mut Chromium, api: &Api) -> anyhow::Result<()> {
    let calendar = json!({ "name": "free", "timezone": "Europe/Berlin", "dates": ["12-25"] });
    let (status, told) = api
        .order(("PUT", "/calendars/free"), Some(&calendar))
        .await?;
    ensure!(status == 201, "{status} {told}");
    browser.open(&api.url("/calendars")).await?;
    browser.press("Delete").await?;
    let counted = |words: &str| {
        format!("document.querySelector('dialog[open] .counted')?.innerText.includes('{words}')")
    };
    browser.until(&counted("No job names it.")).await?;
    // The last Sunday of March has no 02:30 there.
    let job = json!({
        "name": "spring", "handler": "nobody", "grid": { "slices": 1 },
        "schedule": { "cron": "0 30 2 ? 3 1L", "timezone": "Europe/Berlin", "except": "free" },
    });
    let (status, told) = api.order(("PUT", "/jobs/spring"), Some(&job)).await?;
    ensure!(status == 201, "{status} {told}");
    browser.confirm().await?;
    browser.says("these name calendar free").await?;
    browser.until(&counted("1 job names it: spring.")).await?;
    browser
        .js("(() => { const force = document.querySelector('dialog[open] select[name=force]'); force.value = 'true'; force.dispatchEvent(new Event('change', { bubbles: true })); })()")
        .await?;
    browser
        .says("gridloom calendar delete free --force")
        .await?;
    browser.confirm().await?;
    browser
        .says("It is deleted. 1 schedule waits for it now: spring.")
        .await?;
    let (status, _) = api.order(("GET", "/calendars/free"), None).await?;
    ensure!(status == 404, "{status}");
    Ok(())
}

async fn tells_of_clocks(browser: &mut Chromium, api: &Api) -> anyhow::Result<()> {
    browser.open(&api.url("/jobs/spring")).await?;
    browser
        .says("moved from 02:30:00: clocks leave it out; waits for free")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_that_a_worker_held_that_is_gone_wait_for_one() -> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let leads = async || Ok(stage.term().await? > 0);
        eventually(SOON, "a planner leads", leads).await?;
        stage.start_worker(4, &[]).await?;
        let job = json!({
            "name": "long", "handler": "noop", "params": { "sleep_ms": 600_000 },
            "grid": { "slices": 2, "tile": 1 },
        });
        let (status, told) = api.order(("PUT", "/jobs/long"), Some(&job)).await?;
        ensure!(status == 201, "{status} {told}");
        submitted(&api, "long").await?;
        let of_queue = async |key: &str| {
            let told = api.get("/queues").await?;
            anyhow::Ok(told["items"][0][key].as_u64())
        };
        let holds = async || Ok(of_queue("in_flight").await? == Some(2));
        eventually(SOON, "it holds both tiles", holds).await?;
        stage.workers[0].kill().await?;
        let gone = async || Ok(of_queue("workers").await? == Some(0));
        eventually(SOON, "nobody is there", gone).await?;
        let mut browser = Chromium::start().await?;
        browser.open(&api.url("/")).await?;
        browser
            .says("2 tiles wait, and no worker is there.")
            .await?;
        // However many of them are still with the one that is gone.
        let standing =
            json!({ "queue": "q", "pending": 0, "in_flight": 2, "workers": 0, "handlers": [] });
        let said = browser
            .js(&format!(
                "import('/console/views/crew.js').then((crew) => crew.unmanned({standing}))"
            ))
            .await?;
        ensure!(
            said == json!(["Queue q: 2 tiles wait, and no worker is there."]),
            "{said}"
        );
        browser.end().await
    })
    .await
}
