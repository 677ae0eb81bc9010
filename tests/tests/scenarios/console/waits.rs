//! Why a run waits, as its page says it: a hold, a limit, a run before it; and that one which is not open can be ended.

use gridloom_tests::web::{Answer, Web};

use super::*;

/// A note without a blank, as a long address is.
const NOTE: &str = "https://wiki.example/";

/// A run that a service holds, one that a limit of its job slows down, and one that waits for that.
async fn waiting(stage: &mut Stage, api: &Api, web: &Web) -> anyhow::Result<[String; 3]> {
    let service = format!("down={}", web.origin());
    stage.start_worker(4, &["--http", &service]).await?;
    let leads = async || Ok(stage.term().await? > 0);
    eventually(SOON, "a planner leads", leads).await?;
    let url = format!("{}/{{slice}}", web.origin());
    let held = json!({ "name": "held", "handler": "http", "grid": { "slices": 2 }, "http": { "url": url } });
    let slow = json!({
        "name": "slow", "handler": "noop", "grid": { "slices": 2, "pages": { "count": 3 }, "tile": 1 },
        "limits": { "concurrency": 1 }, "params": { "sleep_ms": 600_000 },
        "schedule": { "cron": "0 0 2 * * ?", "timezone": "Europe/Paris" },
    });
    for job in [&held, &slow] {
        let path = format!("/jobs/{}", job["name"].as_str().unwrap_or_default());
        let (status, told) = api.order(("PUT", &path), Some(job)).await?;
        ensure!(status == 201, "{path}: {status} {told}");
    }
    let pause = json!({ "note": format!("{NOTE}{}", "w".repeat(300)) });
    let paused = api.order(("POST", "/jobs/slow/pause"), Some(&pause));
    ensure!(paused.await?.0 == 200);
    let (held, slow) = (submitted(api, "held").await?, submitted(api, "slow").await?);
    let behind = json!({ "overlap": "queue_all" });
    let (status, told) = api
        .order(("POST", "/jobs/slow/runs"), Some(&behind))
        .await?;
    ensure!(status == 202 && told["answer"] == "queued", "{told}");
    let behind = told["run"].as_str().context("run")?.to_owned();
    Ok([held, slow, behind])
}

#[tokio::test(flavor = "multi_thread")]
async fn page_says_why_a_run_waits_and_ends_one_that_is_not_open() -> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    let web =
        Web::start(|_| Answer::Says(503, vec![("retry-after", "600".to_owned())], String::new()));
    let web = web.await?;
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let [held, slow, behind] = waiting(stage, &api, &web).await?;
        eventually(SOON, "all that is left of it is on hold", async || {
            let run = api.get(&format!("/runs/{held}")).await?;
            Ok(run["waits"][0]["reason"] == "hold" && run["retries"]["shards"] == 2)
        })
        .await?;
        let mut browser = Chromium::start().await?;
        browser.look(1280, "light").await?;
        browser.open(&api.url("/")).await?;
        browser.says("asked that held be left alone until").await?;
        browser.says("Wait to be opened").await?;
        browser.open(&api.url(&format!("/runs/{held}"))).await?;
        browser.says("Why it waits").await?;
        browser.says("no attempt is used up").await?;
        browser.open(&api.url(&format!("/runs/{slow}"))).await?;
        browser.says("limits.concurrency = 1 of job slow").await?;
        drops(&mut browser, &api, (&slow, &behind)).await?;
        fits(&mut browser, &api).await?;
        ensure!(browser.faults().is_empty(), "{:?}", browser.faults());
        browser.end().await
    })
    .await
}

/// What waits is told on the page of its job, and on its own, which says for what and ends it.
async fn drops(
    browser: &mut Chromium,
    api: &Api,
    (slow, behind): (&str, &str),
) -> anyhow::Result<()> {
    browser.open(&api.url("/jobs/slow")).await?;
    browser.says("Wait to be opened").await?;
    browser
        .js(&format!(
            "document.querySelector('main a[title={behind}]').click()"
        ))
        .await?;
    browser.says("It is opened when").await?;
    browser
        .until(&format!(
            "Boolean(document.querySelector('main .note a[title={slow}]'))"
        ))
        .await?;
    browser.press("Cancel").await?;
    browser.says("It is dropped, and never opened.").await?;
    // What is asked stays, where the page behind it loses what it was asked from.
    let asks = "!answered && how.method === 'GET' && path.includes('/api/v1/runs/')";
    browser.js("window.answered = false").await?;
    browser.js(&unanswered(asks)).await?;
    browser.js("dispatchEvent(new Event('online'))").await?;
    browser
        .until("Boolean(document.querySelector('main .note.is-trouble'))")
        .await?;
    browser.js("window.answered = true").await?;
    browser.confirm().await?;
    browser
        .until(
            "document.querySelector('dialog[open] .note.is-fine')?.innerText === 'It is dropped.'",
        )
        .await?;
    browser.says("It is being opened, or was dropped.").await?;
    let waiting = api.get("/runs/waiting").await?;
    ensure!(waiting["items"] == json!([]), "{waiting}");
    browser.open(&api.url("/jobs/slow?tab=fires")).await?;
    browser.says("cancelled it before it was opened").await?;
    browser
        .until("[...document.querySelectorAll('tbody td')].some((each) => each.innerText === 'by hand')")
        .await
}

/// A long word in a note makes no page wider than a telephone.
async fn fits(browser: &mut Chromium, api: &Api) -> anyhow::Result<()> {
    browser.look(400, "dark").await?;
    for path in ["/", "/jobs", "/jobs/slow"] {
        browser.open(&api.url(path)).await?;
        browser.says(NOTE).await?;
        let over = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        let over = browser.js(over).await?.as_i64();
        ensure!(over <= Some(0), "{path} is {over:?} wider than its window");
    }
    Ok(())
}
