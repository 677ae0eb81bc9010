//! Answers that fail now and then: what cannot be told is said, and never shown as if there were nothing.

use gridloom_planner::api::access::digest;

use super::*;

/// What each answer says that fails.
const WHY: &str = "the store is being moved";

/// From when a page is opened on, answers fail whose method and path match `failing`, and such that match `broken` break off.
const FAILS: &str = "(() => { const real = fetch; window.failing = null; window.broken = null; \
    window.fetch = async (path, how = {}) => { \
    const asked = `${how.method ?? 'GET'} ${path}`; \
    if (window.broken?.test(asked)) return new Response('{\"run\":', { status: 202, headers: { 'content-type': 'application/json' } }); \
    if (!window.failing?.test(asked)) return real(path, how); \
    const told = { type: 'urn:gridloom:unavailable', title: 'Not just now', status: 503, detail: WHY }; \
    return new Response(JSON.stringify(told), { status: 503, headers: { 'content-type': 'application/problem+json' } }); }; })()";

/// A browser whose pages are opened while answers fail that match.
async fn failing(browser: &mut Chromium, failing: &str) -> anyhow::Result<String> {
    let script = format!(
        "{}; window.failing = {failing}",
        FAILS.replace("WHY", &json!(WHY).to_string())
    );
    let added = json!({ "source": script });
    let added = browser
        .call("Page.addScriptToEvaluateOnNewDocument", added)
        .await?;
    Ok(added["identifier"].as_str().context("script")?.to_owned())
}

/// Opens a page while answers fail, waits until it says these words, and has the answers come again.
async fn opened(
    browser: &mut Chromium,
    url: &str,
    (fails, says): (&str, &str),
) -> anyhow::Result<()> {
    let script = failing(browser, fails).await?;
    browser.open(url).await?;
    browser
        .says(says)
        .await
        .with_context(|| format!("{url} while {fails} fails"))?;
    let script = json!({ "identifier": script });
    browser
        .call("Page.removeScriptToEvaluateOnNewDocument", script)
        .await?;
    Ok(())
}

/// Whether the page says so anywhere.
fn says(words: &str) -> String {
    format!("document.body.innerText.includes({})", json!(words))
}

async fn says_not(browser: &mut Chromium, words: &str) -> anyhow::Result<()> {
    let said = browser.js(&says(words)).await?;
    ensure!(said == false, "it says {words:?}");
    Ok(())
}

/// The button that is called so.
fn button(name: &str) -> String {
    format!(
        "[...document.querySelectorAll('main button')].find((each) => each.innerText.trim() === {})",
        json!(name)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_that_fails_is_said_and_never_shown_as_if_there_were_nothing() -> anyhow::Result<()>
{
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        eventually(SOON, "it leads", async || Ok(stage.term().await? > 0)).await?;
        let mut browser = Chromium::start().await?;
        browser.look(1280, "light").await?;
        nothing_is_the_matter(&mut browser, &api).await?;
        let (ill, stuck) = furnish(stage, &api).await?;
        of_jobs(&mut browser, &api).await?;
        of_runs(&mut browser, &api, (&ill, &stuck)).await?;
        breaks_off(&mut browser, &api).await?;
        ensure!(browser.faults().is_empty(), "{:?}", browser.faults());
        browser.end().await
    })
    .await
}

/// That nothing is the matter is said where all that it follows from was told.
async fn nothing_is_the_matter(browser: &mut Chromium, api: &Api) -> anyhow::Result<()> {
    const FINE: &str = "document.querySelector('main .panel .state.is-fine')?.innerText.trim().endsWith('nothing') ?? false";
    const ICON: &str = "decodeURIComponent(document.querySelector('link[rel=icon]').href)";
    let home = api.url("/");
    browser.open(&home).await?;
    browser.until(FINE).await?;
    browser.until(&says("no dead letters")).await?;
    for path in [
        "/runs/waits",
        "/alarms",
        "/pauses",
        "/unreadable",
        "/queues",
    ] {
        let fails = format!("/^GET .*{}/", path.replace('/', "\\/"));
        opened(
            browser,
            &home,
            (&fails, "not all of it can be told just now"),
        )
        .await?;
        browser.says(WHY).await?;
        let is_fine = browser.until(&format!("!({FINE})")).await;
        is_fine.with_context(|| path.to_owned())?;
    }
    let fails = "/^GET .*\\/runs\\?dead=true/";
    opened(browser, &home, (fails, WHY)).await?;
    says_not(browser, "no dead letters").await?;
    // Nor does the picture on the tab say that all is well.
    browser
        .until(&format!("{ICON}.includes('<circle')"))
        .await?;
    for (path, title) in [
        ("/fires/next", "Fires next"),
        ("/runs/waiting", "Wait to be opened"),
    ] {
        let fails = format!("/^GET .*{}/", path.replace('/', "\\/"));
        opened(browser, &home, (&fails, title)).await?;
        browser.says(WHY).await?;
    }
    // It goes on by itself.
    browser.js("window.failing = null").await?;
    browser.until(&format!("!{}", says(WHY))).await
}

/// A job whose next fires are not told is none without a schedule, and it may be paused.
async fn of_jobs(browser: &mut Chromium, api: &Api) -> anyhow::Result<()> {
    let row = "[...document.querySelectorAll('main tbody tr')].find((row) => row.innerText.includes('nightly'))?.innerText";
    let fails = "/^GET .*\\/jobs\\/nightly\\/next/";
    opened(
        browser,
        &api.url("/jobs"),
        (fails, "cannot be told just now"),
    )
    .await?;
    let nightly = browser.js(row).await?;
    let nightly = nightly.as_str().context("the row")?;
    ensure!(!nightly.contains("by hand alone"), "{nightly}");
    let fails = "/^GET .*\\/runs\\?job=nightly/";
    opened(
        browser,
        &api.url("/jobs"),
        (fails, "cannot be told just now"),
    )
    .await?;
    let fails = "/^GET .*\\/jobs\\/nightly\\/next/";
    opened(browser, &api.url("/jobs/nightly"), (fails, WHY)).await?;
    let unknown = format!(
        "{}?.title === 'it is not known yet whether it is paused'",
        button("Pause")
    );
    browser.until(&unknown).await?;
    browser.js("window.failing = null").await?;
    browser
        .until(&format!("Boolean({})", button("Resume")))
        .await?;
    browser.says("the database moves").await
}

async fn of_runs(
    browser: &mut Chromium,
    api: &Api,
    (ill, stuck): (&str, &str),
) -> anyhow::Result<()> {
    let fails = "/^GET .*\\/runs\\/waiting/";
    opened(browser, &api.url("/runs"), (fails, "Wait to be opened")).await?;
    let fails = "/^GET .*\\/dead/";
    opened(browser, &api.url("/dead"), (fails, WHY)).await?;
    says_not(browser, "No shard is dead").await?;
    let unknown = format!(
        "{}?.title === 'it is not known yet which there are'",
        button("Retry these")
    );
    browser.until(&unknown).await?;
    is_not_counted(browser, api).await?;
    // A list that goes on behind the only run of its job has one all the same.
    let next = api.get("/runs?limit=1").await?;
    let next = next["next"].as_str().context("a second page")?;
    let job = stuck.split('_').next().unwrap_or_default();
    let behind = format!("/runs?job={job}&after={next}");
    ensure!(api.get(&behind).await?["items"] == json!([]));
    browser.open(&api.url(&behind)).await?;
    browser
        .says("Nothing stands behind that place of the list any more.")
        .await?;
    browser
        .open(&api.url(&format!("/runs/{ill}?tab=shards&state=cancelled")))
        .await?;
    browser.says("No shard is like that.").await?;
    browser
        .open(&api.url("/jobs/nightly?tab=fires&decision=expired"))
        .await?;
    browser.says("No decision is like that.").await
}

/// What cannot be counted is not ordered, until it is.
async fn is_not_counted(browser: &mut Chromium, api: &Api) -> anyhow::Result<()> {
    let submit = "document.querySelector('dialog[open] button[type=submit]')";
    let fails = "/^POST .*\\/dead\\/drop/";
    opened(browser, &api.url("/dead"), (fails, "disk full")).await?;
    browser.press("Give these up").await?;
    let told = format!(
        "document.querySelector('dialog[open]')?.innerText.includes({}) ?? false",
        json!(WHY)
    );
    browser.until(&told).await?;
    browser.until(&format!("{submit}.disabled")).await?;
    browser.js("window.failing = null").await?;
    browser.press("Try again").await?;
    browser.says("4 dead shards of 1 run.").await?;
    browser.until(&format!("!{submit}.disabled")).await?;
    browser.press("Leave it").await
}

/// An answer to an order that breaks off is none, and no page breaks of it.
async fn breaks_off(browser: &mut Chromium, api: &Api) -> anyhow::Result<()> {
    let script = failing(browser, "null").await?;
    browser.open(&api.url("/jobs/ill")).await?;
    browser
        .js("window.broken = /^POST .*\\/jobs\\/ill\\/runs$/")
        .await?;
    browser.press("Run now").await?;
    browser.says("The run has 8 shards.").await?;
    browser
        .js("document.querySelector('dialog[open] button[type=submit]').click()")
        .await?;
    browser
        .until("document.querySelector('dialog[open] .note.is-trouble')?.innerText.includes('No connection') ?? false")
        .await?;
    says_not(browser, "This page is broken").await?;
    let script = json!({ "identifier": script });
    browser
        .call("Page.removeScriptToEvaluateOnNewDocument", script)
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_logged_out_is_told_so() -> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let token = format!("--api-token=eve=viewer:{}", digest("glt_eve"));
        let api = start(stage, &[&token]).await?;
        let mut browser = Chromium::start().await?;
        failing(&mut browser, "/^DELETE .*\\/session/").await?;
        browser.open(&api.url("/runs")).await?;
        browser.says("This planner asks for a token").await?;
        browser.fill("input[name=token]", "glt_eve").await?;
        browser.press("Log in").await?;
        browser.says("Nothing has run yet.").await?;
        browser.press("Log out").await?;
        browser.says(&format!("not logged out: {WHY}")).await?;
        browser.js("window.failing = null").await?;
        browser.press("Log out").await?;
        browser.says("This planner asks for a token").await?;
        browser.end().await
    })
    .await
}
