//! What one finds out and does there: why a run waits, which rows failed, and trying exactly those again; who may not;
//! and that a page outlives the leader.

use gridloom_planner::api::access::digest;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn newcomer_learns_why_nothing_happens_and_tries_the_dead_shards_again() -> anyhow::Result<()>
{
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let (ill, stuck) = furnish(stage, &api).await?;
        let mut browser = Chromium::start().await?;
        browser.look(1280, "light").await?;
        browser.open(&api.url("/")).await?;
        browser.says("has handler resize").await?;
        browser
            .says("nightly is paused: the database moves")
            .await?;
        browser.open(&api.url(&format!("/runs/{stuck}"))).await?;
        browser.says("has handler resize").await?;
        browser.open(&api.url("/jobs/nightly")).await?;
        browser.says("the database moves. It fires nothing").await?;
        points_and_clicks(&mut browser, &api, &ill).await?;
        tries_again(&mut browser, &api, &ill).await?;
        presses_again(&mut browser, &api).await?;
        freezes(&mut browser, &api).await?;
        ensure!(browser.faults().is_empty(), "{:?}", browser.faults());
        browser.end().await
    })
    .await
}

/// Whether the grid names the dead shard that the pointer is at.
const NAMED: &str = "document.querySelector('.readout').innerText === 'slice 0, page 1: dead'";

/// The grid names what one points at, and opens it by the keyboard as well.
async fn points_and_clicks(browser: &mut Chromium, api: &Api, run: &str) -> anyhow::Result<()> {
    browser.open(&api.url(&format!("/runs/{run}"))).await?;
    browser.says("What has failed").await?;
    let place = "(() => { const box = document.querySelector('canvas').getBoundingClientRect(); return [box.x + box.width * 3 / 8, box.y + box.height / 4]; })()";
    // What is above the grid may still come, and move it.
    for _ in 0..20 {
        let at = browser.js(place).await?;
        let moved = json!({ "type": "mouseMoved", "x": at[0], "y": at[1] });
        browser.call("Input.dispatchMouseEvent", moved).await?;
        if browser.js(NAMED).await? == true {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    browser.until(NAMED).await?;
    browser
        .js("document.querySelector('canvas').focus()")
        .await?;
    for key in [
        "ArrowRight",
        "ArrowDown",
        "ArrowRight",
        "ArrowRight",
        "Enter",
    ] {
        let down = json!({ "type": "keyDown", "key": key });
        browser.call("Input.dispatchKeyEvent", down).await?;
    }
    browser.says("Shard 1/3").await?;
    browser.says("disk full").await
}

async fn tries_again(browser: &mut Chromium, api: &Api, run: &str) -> anyhow::Result<()> {
    browser.open(&api.url(&format!("/runs/{run}"))).await?;
    browser.press("try only these again").await?;
    let filtered =
        format!("location.pathname === '/dead' && location.search.startsWith('?run={run}&error=')");
    browser.until(&filtered).await?;
    browser.says("disk full").await?;
    browser.open(&api.url("/dead?error=disk")).await?;
    browser.press("Retry these").await?;
    browser.says("4 dead shards of 1 run.").await?;
    browser
        .says("gridloom dead retry --error-like disk")
        .await?;
    let before = api.get(&format!("/runs/{run}")).await?;
    ensure!(before["shards"]["retried"] == 0, "{before}");
    browser.confirm().await?;
    browser
        .until("document.querySelector('dialog[open] .note.is-fine')?.innerText.includes('4 dead shards of 1 run are tried again')")
        .await?;
    eventually(SOON, "exactly those have run again", async || {
        let run = api.get(&format!("/runs/{run}")).await?;
        Ok(run["state"] == "failed" && run["errors"][0]["failures"] == 8)
    })
    .await
}

/// The planner gets the first order, and the page never hears of it.
const LOSES: &str = "(() => { const real = fetch; window.lost = 0; window.fetch = async (path, how) => { \
    const answer = await real(path, how); \
    if (how.method === 'POST' && !path.includes('dry_run') && !lost++) throw new TypeError('lost'); \
    return answer; }; })()";

/// Whoever presses again because an answer was lost makes no second run.
async fn presses_again(browser: &mut Chromium, api: &Api) -> anyhow::Result<()> {
    browser.open(&api.url("/jobs/nightly")).await?;
    browser.says("It has not run yet.").await?;
    browser.js(LOSES).await?;
    browser.press("Run now").await?;
    browser.says("The run has 1 shard.").await?;
    browser.says("gridloom run nightly --id ").await?;
    browser.confirm().await?;
    browser
        .until("Boolean(document.querySelector('dialog[open] .note.is-trouble'))")
        .await?;
    browser.confirm().await?;
    browser.says("It is on its way").await?;
    // Submissions are opened in their order: where this one is, all before it are.
    let last = submitted(api, "nightly").await?;
    let of_job = "/runs?job=nightly";
    eventually(SOON, "what was asked for last is open", async || {
        let runs = api.get(of_job).await?;
        let mut items = runs["items"].as_array().context("items")?.iter();
        Ok(items.any(|run| run["run"] == *last))
    })
    .await?;
    let runs = api.get(of_job).await?;
    let runs = runs["items"].as_array().context("items")?;
    ensure!(runs.len() == 2, "{runs:?}");
    Ok(())
}

async fn freezes(browser: &mut Chromium, api: &Api) -> anyhow::Result<()> {
    browser.open(&api.url("/jobs")).await?;
    browser.press("Freeze all").await?;
    browser
        .says("1 job with a schedule fires nothing then")
        .await?;
    browser
        .fill("dialog[open] input[name=note]", "release")
        .await?;
    browser
        .says("gridloom job pause --all --note release")
        .await?;
    browser.confirm().await?;
    browser.says("All schedules are frozen by").await?;
    let pauses = api.get("/pauses").await?;
    let all = pauses["items"].as_array().context("pauses")?;
    ensure!(
        all.iter().any(|pause| pause["job"] == Value::Null),
        "{pauses}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn page_says_that_no_planner_leads_and_goes_on_with_the_next() -> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        start(stage, &[]).await?;
        eventually(SOON, "it leads", async || Ok(stage.term().await? > 0)).await?;
        let api = start(stage, &[]).await?;
        let (_, stuck) = furnish(stage, &api).await?;
        let mut browser = Chromium::start().await?;
        browser.open(&api.url(&format!("/runs/{stuck}"))).await?;
        browser.says("Why it waits").await?;
        stage.planners[0].kill().await?;
        browser.says("No planner leads just now.").await?;
        browser
            .until("!document.body.innerText.includes('No planner leads just now')")
            .await?;
        browser.says("has handler resize").await?;
        // And where the planner that shows it is gone, it says that.
        stage.planners[1].kill().await?;
        browser.says("Disconnected.").await?;
        browser.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn token_is_asked_for_and_a_viewer_is_told_why_a_button_does_nothing() -> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let token = format!("--api-token=eve=viewer:{}", digest("glt_eve"));
        let api = start(stage, &[&token, "--api-base-path", "/gridloom"]).await?;
        let mut browser = Chromium::start().await?;
        browser.open(&api.url("/gridloom/runs")).await?;
        browser.says("This planner asks for a token").await?;
        asks_only_who_it_is(&mut browser).await?;
        browser.fill("input[name=token]", "glt_nobody").await?;
        browser.press("Log in").await?;
        browser.says("there is no such token").await?;
        browser.fill("input[name=token]", "glt_eve").await?;
        browser.press("Log in").await?;
        browser.says("Nothing has run yet.").await?;
        browser.press("Jobs").await?;
        browser.until("location.pathname === '/gridloom/jobs'").await?;
        browser
            .until("[...document.querySelectorAll('button')].some((each) => each.disabled && each.title.includes('role admin'))")
            .await?;
        browser.end().await
    })
    .await
}

/// While nobody is logged in, the page asks who that is, and nothing that it would not be told.
async fn asks_only_who_it_is(browser: &mut Chromium) -> anyhow::Result<()> {
    let asked = |path| {
        format!(
            "performance.getEntriesByType('resource').filter((each) => each.name.endsWith('/api/v1/{path}')).length"
        )
    };
    let before = browser
        .js(&asked("about"))
        .await?
        .as_u64()
        .context("about")?;
    let again = format!("{} > {before}", asked("about"));
    browser.until(&again).await?;
    let planners = browser.js(&asked("planners")).await?;
    ensure!(planners.as_u64() <= Some(2), "asked {planners} times");
    Ok(())
}
