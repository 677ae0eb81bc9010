//! What stands in an address, and makes no sense: it is told or left out, and no page breaks of it.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn address_that_makes_no_sense_is_told_and_breaks_no_page() -> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let (ill, _) = furnish(stage, &api).await?;
        let mut browser = Chromium::start().await?;
        browser.look(1280, "light").await?;
        for (path, words) in addresses(&ill) {
            let seen = async {
                browser.open(&api.url(&path)).await?;
                browser.says(words).await?;
                let page = browser.js("document.body.innerText").await?;
                let page = page.as_str().unwrap_or_default();
                ensure!(!page.contains("This page is broken"), "{page}");
                ensure!(!page.contains("deserialize"), "{page}");
                let faults = browser.faults();
                ensure!(faults.is_empty(), "{faults:?}");
                anyhow::Ok(())
            };
            seen.await.with_context(|| path.clone())?;
        }
        left_out(&mut browser, &api).await?;
        leads_on(&mut browser, &api, &ill).await?;
        gives_no_larger_order(&mut browser, &api, &ill).await?;
        browser.end().await
    })
    .await
}

/// Each address, and what its page says then.
fn addresses(ill: &str) -> Vec<(String, &'static str)> {
    let fixed = [
        ("/runs?from=nonsense", "from=nonsense is no day"),
        ("/runs?from=5&to=2026-02-31", "to=2026-02-31 is no day"),
        (
            "/runs?to=2026-03-01T99:00Z",
            "to=2026-03-01T99:00Z is no day",
        ),
        ("/runs?state=odd", "odd: there is none"),
        ("/runs?dead=perhaps", "perhaps"),
        ("/runs?after=odd", "is no cursor"),
        ("/jobs?scheduled=perhaps", "perhaps"),
        ("/jobs?after=odd&name=%zz", "is no cursor"),
        ("/jobs/ill?tab=odd", "failed"),
        ("/jobs/ill?after=odd", "is no cursor"),
        ("/jobs/nightly?tab=fires&decision=odd", "odd: there is none"),
        ("/jobs/nightly?tab=fires&after=odd", "is no cursor"),
        ("/dead?run=odd", "odd"),
        ("/dead?slice=odd&page=-1", "slice: invalid digit"),
        ("/dead?after=odd", "is no cursor"),
        ("/log?after=odd", "is no cursor"),
        ("/workers?odd=odd&after=odd", "answers"),
        ("/runs/odd?tab=grid", "odd"),
        ("/runs/odd/shards", "odd"),
        ("/runs/odd/odd", "There is no such page."),
        ("/jobs/ill/odd", "There is no such page."),
        ("/jobs/ill/fires/odd", "There is no such page."),
        ("/runs/odd/shards/0/1/2", "There is no such page."),
        ("/?from=nonsense&after=odd", "What needs somebody"),
    ];
    let of_run = [
        ("?tab=odd", "What has failed"),
        ("?tab=shards&state=odd", "odd: there is none"),
        (
            "?tab=shards&slice=odd&first_page=1e3",
            "slice: invalid digit",
        ),
        ("?tab=shards&last_page=99999999999999", "last_page:"),
        ("?tab=shards&after=odd", "is no cursor"),
        ("/shards/odd/1", "the path: \"odd\" is no number"),
        ("/shards/0/1?kind=odd", "Attempt 1"),
    ];
    let fixed = fixed.map(|(path, words)| (path.to_owned(), words));
    let of_run = of_run.map(|(rest, words)| (format!("/runs/{ill}{rest}"), words));
    fixed.into_iter().chain(of_run).collect()
}

/// What is left out is said, the rest is as it would be, and the word can be taken out.
async fn left_out(browser: &mut Chromium, api: &Api) -> anyhow::Result<()> {
    browser
        .open(&api.url("/runs?from=nonsense&state=failed"))
        .await?;
    browser.says("from=nonsense is no day").await?;
    browser
        .until("document.querySelectorAll('main tbody tr').length === 1")
        .await?;
    browser.press("Take it out").await?;
    browser
        .until(
            "location.search === '?state=failed' && !document.body.innerText.includes('nonsense')",
        )
        .await
}

/// What the API has under a path of its own is found by that path, on the tab where it stands.
async fn leads_on(browser: &mut Chromium, api: &Api, run: &str) -> anyhow::Result<()> {
    let of_run = [
        ("shards", "?tab=shards", "disk full"),
        ("shards/", "?tab=shards", "disk full"),
        ("shards?state=dead", "?state=dead&tab=shards", "disk full"),
        ("shards/1", "?tab=shards&slice=1", "disk full"),
        ("audit", "?tab=audit", "Audit now"),
        ("grid", "?tab=grid", "What has failed"),
    ];
    let of_run = of_run.map(|(path, to, words)| {
        let under = |rest: &str| format!("/runs/{run}{rest}");
        (under(&format!("/{path}")), under(to), words)
    });
    let of_job = [
        ("fires", "What became of one time"),
        ("definition", "at 02:00"),
    ];
    let of_job = of_job.map(|(tab, words)| {
        let (path, to) = (
            format!("/jobs/nightly/{tab}"),
            format!("/jobs/nightly?tab={tab}"),
        );
        (path, to, words)
    });
    // Lists of the API that stand where the id of a run does.
    let lists = ["/runs/waiting", "/runs/waits"];
    let lists = lists.map(|path| {
        let to = "/runs?state=running".to_owned();
        (path.to_owned(), to, "Firings of jobs")
    });
    for (path, to, words) in of_run.into_iter().chain(of_job).chain(lists) {
        let seen = async {
            browser.open(&api.url(&path)).await?;
            browser.says(words).await?;
            let here = browser.js("location.pathname + location.search").await?;
            ensure!(here == to, "{here}");
            anyhow::Ok(())
        };
        seen.await.with_context(|| path.clone())?;
    }
    Ok(())
}

/// A slice that is no number must not make an order of the whole run.
async fn gives_no_larger_order(browser: &mut Chromium, api: &Api, run: &str) -> anyhow::Result<()> {
    let path = format!("/dead?run={run}&slice=odd");
    browser.open(&api.url(&path)).await?;
    browser.says("slice").await?;
    browser
        .until("((all) => all.length === 2 && all.every((each) => each.disabled))([...document.querySelectorAll('button')].filter((each) => /these/.test(each.innerText)))")
        .await
}
