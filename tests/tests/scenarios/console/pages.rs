//! Every page: without faults, within its window, of its own host alone, and without a breach of what axe knows of
//! accessibility.

use std::path::PathBuf;

use super::*;

/// The rules that pages are held to, if somebody says where they are: CI fetches them.
const AXE: &str = "GRIDLOOM_TEST_AXE";

/// Where pictures of all pages are put, in three looks, if somebody says so: to be looked at by people.
const PICTURES: &str = "GRIDLOOM_TEST_PICTURES";

/// How wide, and how: each page is fit for all of these.
const LOOKS: [(u32, &str); 2] = [(1280, "light"), (400, "dark")];

/// Breaches, as a line each.
const BREACHES: &str = "axe.run(document, { resultTypes: ['violations'] }).then((found) => \
    found.violations.flatMap((rule) => rule.nodes.map((node) => rule.id + ': ' + node.target.join(' ') + ' ' + node.failureSummary)))";

fn axe() -> anyhow::Result<Option<String>> {
    match std::env::var_os(AXE) {
        Some(place) => Ok(Some(std::fs::read_to_string(place)?)),
        None => {
            eprintln!(
                "\n*** NOT RUN: {AXE} names no axe.min.js: accessibility is not checked ***\n"
            );
            Ok(None)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_loads_in_every_look_and_asks_nobody_else() -> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let (ill, stuck) = furnish(stage, &api).await?;
        let mut browser = Chromium::start().await?;
        let axe = axe()?;
        let pages = pages(&ill, &stuck);
        for (path, _) in &pages {
            let page = api.page(path).await?;
            ensure!(page.status == 200, "{path}: {}", page.status);
        }
        let pictures = std::env::var_os(PICTURES).map(PathBuf::from);
        let dark = pictures.as_ref().map(|_| (1280, "dark"));
        for (width, scheme) in LOOKS.into_iter().chain(dark) {
            browser.look(width, scheme).await?;
            browser.open(&api.url("/runs")).await?;
            browser.says("Firings of jobs").await?;
            if let Some(axe) = &axe {
                browser.js(&format!("{axe};0")).await?;
            }
            for (path, words) in &pages {
                let seen = looked_at(&mut browser, path, words, axe.is_some());
                seen.await
                    .with_context(|| format!("{path}, {scheme}, {width} wide"))?;
                if let Some(dir) = &pictures {
                    let file = format!(
                        "{width}-{scheme}{}.png",
                        path.replace(['/', '?', '%', '&'], "_")
                    );
                    browser.picture(&dir.join(file)).await?;
                }
            }
        }
        let own = api.url("");
        let own = own.trim_start_matches("http://");
        ensure!(
            browser.hosts().iter().all(|host| host == own),
            "{:?}",
            browser.hosts()
        );
        let grids = browser.js(include_str!("cells.js")).await?;
        ensure!(grids == "alike", "{grids}");
        let words = browser.js(include_str!("words.js")).await?;
        ensure!(words == "alike", "{words}");
        skips_to_the_content(&mut browser).await?;
        stays_at_home(&mut browser).await?;
        browser.end().await
    })
    .await
}

/// Goes there as a link would, and looks whether all is well.
async fn looked_at(
    browser: &mut Chromium,
    path: &str,
    words: &str,
    has_axe: bool,
) -> anyhow::Result<()> {
    let go = format!(
        "history.pushState(null, '', {}); dispatchEvent(new PopStateEvent('popstate'))",
        json!(path)
    );
    browser.js(&go).await?;
    browser.says(words).await?;
    browser.until("!document.querySelector('.loading')").await?;
    let faults = browser.faults();
    ensure!(faults.is_empty(), "{faults:?}");
    let over = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    ensure!(
        browser.js(over).await?.as_i64() <= Some(0),
        "it is wider than its window"
    );
    if has_axe {
        let breaches = browser.js(BREACHES).await?;
        ensure!(breaches == json!([]), "{breaches:#}");
    }
    Ok(())
}

/// The browser itself goes to a place in the page: whoever has no mouse is behind the menu then.
async fn skips_to_the_content(browser: &mut Chromium) -> anyhow::Result<()> {
    browser
        .js("document.querySelector('a.skip').click()")
        .await?;
    browser
        .until("location.hash === '#main' && document.activeElement.id === 'main'")
        .await
}

/// Whoever got a script or a style into the page could not reach anybody by it.
async fn stays_at_home(browser: &mut Chromium) -> anyhow::Result<()> {
    let asks = "fetch('http://127.0.0.2:1/').then(() => 'went', (error) => String(error))";
    browser
        .js("window.refused = []; addEventListener('securitypolicyviolation', (event) => refused.push(event.effectiveDirective))")
        .await?;
    browser.js(asks).await?;
    browser.until("refused.includes('connect-src')").await?;
    browser
        .js("document.head.append(Object.assign(document.createElement('script'), { textContent: 'window.ran = true' }))")
        .await?;
    browser
        .until("refused.includes('script-src-elem') && !window.ran")
        .await
}

/// Each page, and what it says once it is there.
fn pages(ill: &str, stuck: &str) -> Vec<(String, &'static str)> {
    let fixed = [
        ("/", "What needs somebody"),
        ("/runs", "failed"),
        ("/runs?state=cancelled", "No run is like that."),
        ("/jobs", "3 pages each"),
        ("/jobs/nightly", "at 02:00"),
        ("/jobs/nightly?tab=runs", "gets no run"),
        ("/jobs/ill?tab=runs", "2 slices, 4 pages each"),
        ("/jobs/nightly?tab=fires", "What became of one time"),
        ("/jobs/ill?tab=definition", "max_attempts"),
        ("/jobs/none", "there is no job none"),
        ("/jobs/none%2Fruns", "begin with a letter or digit"),
        ("/jobs/%zz", "There is no such page."),
        ("/dead", "disk full"),
        ("/queues", "In flight"),
        ("/workers", "answers"),
        ("/planners", "leads, term"),
        ("/doctor", "no worker of queue default has handler resize"),
        ("/calendars", "There is no calendar."),
        ("/unreadable", "None was refused."),
        ("/log", "job apply"),
    ];
    let of_runs = [
        (format!("/runs/{ill}"), "What has failed"),
        (format!("/runs/{ill}?tab=shards&state=dead"), "disk full"),
        (format!("/runs/{ill}?tab=audit"), "Audit now"),
        (format!("/runs/{ill}/shards/0/1"), "Attempt 1"),
        (format!("/runs/{stuck}"), "Why it waits"),
    ];
    let fixed = fixed.map(|(path, words)| (path.to_owned(), words));
    fixed.into_iter().chain(of_runs).collect()
}
