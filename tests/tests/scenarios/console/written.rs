//! What is written stays what it is: numbers that JavaScript has no room for, and the words of whoever paused a job first. Where the
//! keys go in a question, and that what was typed is searched for, however soon somebody wants it.

use super::*;

/// No float of 64 bits has a room for these.
const ACCOUNT: u64 = 9_007_199_254_740_993;
const OTHER: u64 = 9_007_199_254_740_995;

/// What the page sends is kept.
const LISTENS: &str = "(() => { const real = fetch; window.sent = []; window.fetch = (path, how) => { \
    if (how.body) sent.push(how.body); return real(path, how); }; })()";

#[tokio::test(flavor = "multi_thread")]
async fn number_stays_as_it_was_written_and_so_does_the_note_of_who_was_first() -> anyhow::Result<()>
{
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        eventually(
            SOON,
            "a planner leads",
            async || Ok(stage.term().await? > 0),
        )
        .await?;
        let job = json!({
            "name": "pay", "handler": "bank", "grid": { "slices": 1 }, "params": { "account": ACCOUNT, "share": 2.0 },
            "submit": { "allow": ["params"] }, "schedule": { "cron": "0 0 2 * * ?" },
        });
        let (status, told) = api.order(("PUT", "/jobs/pay"), Some(&job)).await?;
        ensure!(status == 201, "{status} {told}");
        let mut browser = Chromium::start().await?;
        browser.look(1280, "light").await?;
        browser.open(&api.url("/jobs/pay?tab=definition")).await?;
        browser.says(&ACCOUNT.to_string()).await?;
        browser.js(LISTENS).await?;
        edits(&mut browser, &api).await?;
        runs(&mut browser).await?;
        pauses(&mut browser, &api).await?;
        finds(&mut browser, &api).await?;
        ensure!(browser.faults().is_empty(), "{:?}", browser.faults());
        browser.end().await
    })
    .await
}

/// Whoever edits one key changes no other.
async fn edits(browser: &mut Chromium, api: &Api) -> anyhow::Result<()> {
    browser.press("Edit").await?;
    let text = browser
        .js("document.querySelector('textarea.definition').value")
        .await?;
    let text = text.as_str().context("text")?;
    ensure!(text.contains("\"share\": 2.0"), "{text}");
    let other = text.replace("\"slices\": 1", "\"slices\": 2");
    browser.fill("textarea.definition", &other).await?;
    browser.press("What would change?").await?;
    browser.says("1 key would change").await?;
    browser.press("Apply").await?;
    browser.says("Applied: revision").await?;
    let told = api.get("/jobs/pay").await?;
    let definition = &told["definition"];
    ensure!(definition["params"]["account"] == ACCOUNT && definition["grid"]["slices"] == 2);
    Ok(())
}

const SENT: &str = "sent.filter((body) => body.includes('account') && body.includes('9007'))";
const FOCUS: &str = "document.activeElement?.closest('dialog') && document.activeElement";

/// What is typed is what is sent, and what the command says; and the keys go where one goes on.
async fn runs(browser: &mut Chromium) -> anyhow::Result<()> {
    browser.js("sent.length = 0").await?;
    browser.press("Run now").await?;
    browser
        .until(&format!("({FOCUS})?.name === 'params'"))
        .await?;
    let typed = format!("{{\"account\": {OTHER}}}");
    browser.fill("dialog textarea", &typed).await?;
    let same = format!("gridloom run pay --param account={OTHER} --id ");
    browser.says(&same).await?;
    browser.says("The run has 2 shards.").await?;
    browser.confirm().await?;
    browser.says("It is on its way").await?;
    let sent = browser.js(SENT).await?;
    let sent = sent.as_array().context("bodies")?;
    let is_as_typed = |body: &Value| body.as_str().is_some_and(|body| body.contains(&typed));
    ensure!(sent.len() >= 2 && sent.iter().all(is_as_typed), "{sent:?}");
    browser
        .until(&format!("({FOCUS})?.innerText === 'Close'"))
        .await?;
    browser.confirm().await
}

async fn pauses(browser: &mut Chromium, api: &Api) -> anyhow::Result<()> {
    browser.press("Pause").await?;
    browser.fill("dialog [name=note]", "mine").await?;
    let first = json!({ "note": "the bank is closed" });
    let paused = api.order(("POST", "/jobs/pay/pause"), Some(&first)).await?;
    ensure!(paused.0 == 200, "{paused:?}");
    browser.confirm().await?;
    browser
        .until("document.querySelector('dialog[open] .note.is-fine')?.innerText.includes('the bank is closed')")
        .await?;
    browser
        .says("Nothing is changed: it was paused already")
        .await?;
    browser.confirm().await?;
    // Where nothing is asked for the keys are at what leaves it.
    browser.open(&api.url("/runs?job=pay")).await?;
    browser
        .until("Boolean(document.querySelector('td a.id'))")
        .await?;
    browser
        .js("document.querySelector('td a.id').click()")
        .await?;
    browser.press("Cancel").await?;
    browser
        .until(&format!("({FOCUS})?.innerText === 'Leave it'"))
        .await
}

/// What somebody does who knows what they want: the search has not begun when they press Enter.
const HURRIES: &str = "(() => { const field = document.querySelector('dialog[open] input'); field.value = 'pay'; \
    field.dispatchEvent(new Event('input', { bubbles: true })); \
    field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true })); })()";

async fn finds(browser: &mut Chromium, api: &Api) -> anyhow::Result<()> {
    browser.open(&api.url("/runs")).await?;
    browser.says("Firings of jobs").await?;
    browser.press("Search /").await?;
    browser
        .until("document.querySelectorAll('#found li').length > 5")
        .await?;
    browser.js(HURRIES).await?;
    browser
        .until("location.pathname !== '/runs' && document.querySelector('h1').innerText === 'pay'")
        .await
}
