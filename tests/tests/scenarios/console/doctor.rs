//! The page Doctor: what is bad stands first, with what to do; and what was mended is gone when it is looked again.

use super::*;

/// What the page says first: the state of the first line in words.
const FIRST: &str = "document.querySelector('.examined li').innerText";

#[tokio::test(flavor = "multi_thread")]
async fn newcomer_reads_what_to_do_does_it_and_looks_again() -> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let leads = async || Ok(stage.term().await? > 0);
        eventually(SOON, "a planner leads", leads).await?;
        let job = stage
            .apply(
                "name = \"plain\"\nhandler = \"noop\"\n[grid]\nslices = 2\npages = { count = 1 }",
            )
            .await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.queued(2, SOON).await?;
        let mut browser = Chromium::start().await?;
        browser.open(&api.url("/")).await?;
        browser.says("examine everything").await?;
        browser.press("examine everything").await?;
        browser.says("no worker of queue default answers").await?;
        let first = browser.js(FIRST).await?;
        let first = first.as_str().context("a line")?;
        ensure!(
            first.contains("bad") && first.contains("gridloom worker --queue default"),
            "{first}"
        );
        stage.start_worker(2, &[]).await?;
        stage.closed(&run, SOON).await?;
        // What was found a moment ago is told again.
        eventually(SOON, "nothing is bad any more", async || {
            browser.press("Examine again").await?;
            browser
                .until("!document.querySelector('main').innerText.includes('looking again')")
                .await?;
            Ok(browser
                .js("document.querySelector('main').innerText.includes('Nothing is bad')")
                .await?
                == true)
        })
        .await?;
        ensure!(browser.faults().is_empty(), "{:?}", browser.faults());
        browser.end().await
    })
    .await
}
