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
        goes_to_the_first_page(&mut browser, &api, &ill).await?;
        takes_out(&mut browser, &api, &ill).await?;
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

/// More such paths, and pages with a slash at their end: where each leads, and what stands there.
const OTHERS: [(&str, &str, &str); 6] = [
    ("/jobs/nightly/next", "/jobs/nightly", "By its own clocks"),
    (
        "/jobs/nightly/why?time=2037-03-01T02:00",
        "/jobs/nightly?time=2037-03-01T02%3A00&tab=fires",
        "job nightly, fire of 2037-03-01",
    ),
    (
        "/calendars/free",
        "/calendars?name=free",
        "There is no calendar.",
    ),
    ("/jobs/", "/jobs", "Definitions: what is done"),
    (
        "/runs/?state=failed",
        "/runs?state=failed",
        "Firings of jobs",
    ),
    ("/log/", "/log", "Who has ordered what"),
];

/// What the API has under a path of its own is found by that path, on the tab where it stands.
async fn leads_on(browser: &mut Chromium, api: &Api, run: &str) -> anyhow::Result<()> {
    let of_run = [
        ("shards", "?tab=shards", "disk full"),
        ("shards/", "?tab=shards", "disk full"),
        ("shards?state=dead", "?state=dead&tab=shards", "disk full"),
        ("shards/1", "?tab=shards&slice=1", "disk full"),
        ("audit", "?tab=audit", "Audit now"),
        ("grid", "?tab=grid", "What has failed"),
        ("workers", "?tab=grid", "Workers over time"),
        ("", "", "What has failed"),
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
    let found = OTHERS.map(|(path, to, words)| (path.to_owned(), to.to_owned(), words));
    let all = of_run.into_iter().chain(of_job).chain(lists).chain(found);
    for (path, to, words) in all {
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

/// A list that goes on behind a place that is none is left for its beginning.
async fn goes_to_the_first_page(
    browser: &mut Chromium,
    api: &Api,
    run: &str,
) -> anyhow::Result<()> {
    let shards = format!("/runs/{run}?tab=shards");
    let lists = [
        "/runs?state=failed",
        "/jobs?name=i",
        "/jobs/ill?tab=runs",
        "/jobs/nightly?tab=fires",
        "/dead?error=disk",
        "/log?by=all",
        shards.as_str(),
    ];
    for path in lists {
        let seen = async {
            browser.open(&api.url(&format!("{path}&after=odd"))).await?;
            browser.says("is no cursor").await?;
            browser.press("First page").await?;
            let is_there = format!("location.pathname + location.search === '{path}'");
            browser.until(&is_there).await?;
            browser
                .until("!document.body.innerText.includes('is no cursor')")
                .await
        };
        seen.await.with_context(|| path.to_owned())?;
    }
    Ok(())
}

/// What an address filters by is shown in a field, whatever it is, and gone with what that held once it is emptied.
async fn takes_out(browser: &mut Chromium, api: &Api, run: &str) -> anyhow::Result<()> {
    let of_run = format!("/dead?run={run}&slice=1&page=1");
    browser.open(&api.url(&of_run)).await?;
    browser
        .says(&format!("gridloom dead list {run} --slice 1 --page 1"))
        .await?;
    let odd = format!("/dead?run={run}&slice=odd&page=1");
    let addresses = [
        (of_run.as_str(), "run", run),
        (odd.as_str(), "slice", "odd"),
        ("/dead?slice=1&page=3", "slice", "1"),
        ("/dead?page=3", "page", "3"),
        ("/runs?from=2026-11-30T10:00Z", "from", "2026-11-30T10:00Z"),
        ("/runs?to=2026-02-31", "to", "2026-02-31"),
    ];
    for (path, name, value) in addresses {
        let seen = async {
            browser.open(&api.url(path)).await?;
            let field = format!(".filters input[name={name}]");
            let shown = format!("document.querySelector('{field}')?.value === '{value}'");
            browser.until(&shown).await?;
            browser.fill(&field, "").await?;
            let left = match name {
                "slice" if path == odd => format!("?run={run}"),
                _ => String::new(),
            };
            browser
                .until(&format!("location.search === '{left}'"))
                .await
        };
        seen.await.with_context(|| format!("{name} of {path}"))?;
    }
    Ok(())
}
