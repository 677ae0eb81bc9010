//! That the page is alive: its picture on the tab, the grid under wheel, keys and fingers, motion for whoever wants none,
//! a definition that is edited, and a planner or a broker that goes and comes back.

use super::*;

/// The picture on the browser's tab.
const ICON: &str = "decodeURIComponent(document.querySelector('link[rel=icon]').href)";

/// Whether the picture on the tab has this in it.
fn icon_has(part: &str) -> String {
    format!("{ICON}.includes({})", json!(part))
}

const FINE: &str = "<rect x=\"9.75\"";
const TROUBLE: &str = "<circle";
const AWAY: &str = "M9 9l6 6";

#[tokio::test(flavor = "multi_thread")]
async fn page_shows_trouble_on_its_tab_and_goes_on_when_planner_and_broker_are_back()
-> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        eventually(SOON, "it leads", async || Ok(stage.term().await? > 0)).await?;
        let mut browser = Chromium::start().await?;
        browser.open(&api.url("/runs")).await?;
        browser.until(&icon_has(FINE)).await?;
        let (ill, _) = furnish(stage, &api).await?;
        // Dead shards that nobody has given up.
        browser.until(&icon_has(TROUBLE)).await?;
        browser.open(&api.url(&format!("/runs/{ill}"))).await?;
        browser.says("What has failed").await?;

        stage.server.kill().await?;
        browser.says("The broker is away.").await?;
        browser.says("What has failed").await?;
        stage.server.restart().await?;
        browser
            .until("!document.body.innerText.includes('is away')")
            .await?;

        let address = api.url("").trim_start_matches("http://").to_owned();
        stage.planners[0].kill().await?;
        browser.says("Disconnected.").await?;
        browser.until(&icon_has(AWAY)).await?;
        // What was there stays.
        browser.says("What has failed").await?;
        let again = stage.gridloom(&["planner", "--api-listen", &address])?;
        stage.planners[0] = again.start().await?;
        browser
            .until("!document.body.innerText.includes('Disconnected')")
            .await?;
        browser.until(&icon_has(TROUBLE)).await?;
        browser.says("What has failed").await?;
        browser.end().await
    })
    .await
}

/// Nobody has its handler: it stays as it is.
const WIDE: u32 = 65_536;

async fn key(browser: &mut Chromium, key: &str) -> anyhow::Result<()> {
    let down = json!({ "type": "keyDown", "key": key });
    browser.call("Input.dispatchKeyEvent", down).await?;
    Ok(())
}

/// Where in the grid the pointer is put: a part of its width and of its height.
fn inside(x: f64, y: f64) -> String {
    format!(
        "(() => {{ const box = document.querySelector('.cells canvas').getBoundingClientRect(); return [box.x + box.width * {x}, box.y + box.height * {y}]; }})()"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn grid_of_65536_slices_is_seen_whole_and_nearer_by_wheel_and_keys() -> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        eventually(SOON, "it leads", async || Ok(stage.term().await? > 0)).await?;
        let job = json!({ "name": "wide", "handler": "resize", "grid": { "slices": WIDE, "pages": { "count": 40 } } });
        let (status, told) = api.order(("PUT", "/jobs/wide"), Some(&job)).await?;
        ensure!(status == 201, "{told}");
        let run = submitted(&api, "wide").await?;
        api.is(&run, "running").await?;
        let mut browser = Chromium::start().await?;
        browser.look(1280, "light").await?;
        browser.open(&api.url(&format!("/runs/{run}"))).await?;
        browser.says("65,536 slices down, 40 pages across").await?;
        let farther = "document.querySelector('[aria-label=\"Farther away\"]')";
        browser.until(&format!("{farther}.disabled")).await?;
        let readout = "document.querySelector('.grid .readout').innerText";
        let slice = format!("Number(({readout}.match(/^slice ([\\d,]+), page 20: not issued$/) ?? ['', '-1'])[1].replaceAll(',', ''))");
        let middle = inside(20.5 / 40.0, 0.5);
        eventually(SOON, "what is in the middle is named", async || {
            let at = browser.js(&middle).await?;
            let moved = json!({ "type": "mouseMoved", "x": at[0], "y": at[1] });
            browser.call("Input.dispatchMouseEvent", moved).await?;
            let slice = browser.js(&slice).await?.as_i64().unwrap_or(-1);
            Ok((32_000..34_000).contains(&slice))
        })
        .await?;
        let at = browser.js(&middle).await?;
        for _ in 0..4 {
            let wheel = json!({ "type": "mouseWheel", "x": at[0], "y": at[1], "deltaX": 0, "deltaY": -120 });
            browser.call("Input.dispatchMouseEvent", wheel).await?;
        }
        browser.until(&format!("!{farther}.disabled")).await?;
        // The place that one points at stays where it is.
        browser.until(&format!("{slice} >= 32000 && {slice} < 34000")).await?;
        browser.js("document.querySelector('.cells canvas').focus()").await?;
        key(&mut browser, "0").await?;
        browser.until(&format!("{farther}.disabled")).await?;
        for _ in 0..30 {
            key(&mut browser, "+").await?;
        }
        let nearer = "document.querySelector('[aria-label=\"Nearer\"]')";
        browser.until(&format!("{nearer}.disabled")).await?;
        // Nearer than that each cell is one that can be walked to.
        for _ in 0..3 {
            key(&mut browser, "ArrowDown").await?;
        }
        key(&mut browser, "ArrowRight").await?;
        browser.until(&format!("{readout} === 'slice 3, page 1: not issued'")).await?;
        key(&mut browser, "-").await?;
        browser.until(&format!("!{nearer}.disabled")).await?;
        key(&mut browser, "0").await?;
        lets_go(&mut browser).await?;
        ensure!(browser.faults().is_empty(), "{:?}", browser.faults());
        stage.cli(&["cancel", &run], SOON).await?.succeeded()?;
        browser.end().await
    })
    .await
}

/// A finger that the system takes for something else opens nothing; one that is lifted does.
async fn lets_go(browser: &mut Chromium) -> anyhow::Result<()> {
    let event = |kind: &str| {
        format!(
            "(() => {{ const canvas = document.querySelector('.cells canvas'); const [x, y] = {}; \
             canvas.dispatchEvent(new PointerEvent('{kind}', {{ bubbles: true, button: 0, clientX: x, clientY: y }})); }})()",
            inside(0.5, 0.5)
        )
    };
    let is_open = "location.pathname.includes('/shards/')";
    for kind in ["pointerdown", "pointercancel", "pointerup"] {
        browser.js(&event(kind)).await?;
    }
    ensure!(
        browser.js(is_open).await? == false,
        "a cancelled touch has opened a shard"
    );
    for kind in ["pointerdown", "pointerup"] {
        browser.js(&event(kind)).await?;
    }
    browser.until(is_open).await
}

#[tokio::test(flavor = "multi_thread")]
async fn definition_is_edited_after_its_changes_and_fires_were_seen() -> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        furnish(stage, &api).await?;
        let holidays = json!({ "name": "holidays", "timezone": "UTC", "dates": ["01-01"] });
        let put = api.order(("PUT", "/calendars/holidays"), Some(&holidays)).await?;
        ensure!(put.0 == 201, "{put:?}");
        let mut browser = Chromium::start().await?;
        browser.look(1280, "light").await?;
        browser.open(&api.url("/jobs/nightly?tab=definition")).await?;
        browser.press("Edit").await?;
        let apply = "[...document.querySelectorAll('button')].find((each) => each.innerText.trim() === 'Apply')";
        browser.until(&format!("{apply}?.disabled")).await?;
        let mut job = api.get("/jobs/nightly").await?["definition"].clone();
        job["schedule"]["cron"] = json!("0 0 4 * * ?");
        browser.fill("textarea.definition", &job.to_string()).await?;
        browser.press("What would change?").await?;
        browser.says("1 key would change").await?;
        browser.says("schedule.cron").await?;
        // Five fires that go, and five that come.
        let fires = "[...document.querySelectorAll('[aria-label=\"Fires before and after\"] tbody tr')].map((row) => [...row.cells].map((cell) => cell.innerText))";
        let rows = browser.js(fires).await?;
        let rows = rows.as_array().context("rows")?;
        let differs = |row: &Value| {
            let cell = |at: usize| row[at].as_str().unwrap_or_default().to_owned();
            cell(0).contains("− goes") && cell(1).contains("+ new")
        };
        ensure!(rows.len() == 5 && rows.iter().all(differs), "{rows:?}");
        ensure!(api.get("/jobs/nightly").await?["definition"]["schedule"]["cron"] == "0 0 2 * * ?");
        browser.press("Apply").await?;
        browser.says("Applied: revision").await?;
        ensure!(api.get("/jobs/nightly").await?["definition"]["schedule"]["cron"] == "0 0 4 * * ?");

        says_how_many(&mut browser, &api).await?;
        finds_a_calendar(&mut browser, &api).await?;
        stands_still(&mut browser, &api).await?;
        ensure!(browser.faults().is_empty(), "{:?}", browser.faults());
        browser.end().await
    })
    .await
}

/// What takes something away says of how many.
async fn says_how_many(browser: &mut Chromium, api: &Api) -> anyhow::Result<()> {
    browser.open(&api.url("/jobs/stuck")).await?;
    browser.press("Delete").await?;
    browser.says("1 run of it is open: it goes on.").await?;
    browser
        .js("(() => { const open = document.querySelector('dialog[open] select[name=open]'); open.value = 'cancel'; open.dispatchEvent(new Event('change', { bubbles: true })); })()")
        .await?;
    browser
        .says("1 run of it is open: what has no outcome yet is cancelled.")
        .await?;
    browser.press("Leave it").await?;
    browser.open(&api.url("/jobs")).await?;
    browser.press("Freeze all").await?;
    browser
        .says("1 job with a schedule fires nothing then; 1 paused one by one.")
        .await?;
    browser
        .fill("dialog[open] input[name=note]", "release")
        .await?;
    browser.confirm().await?;
    browser.says("All schedules are frozen by").await?;
    browser.press("Close").await?;
    browser.press("Thaw").await?;
    browser
        .says("1 job with a schedule fires again; 1 paused one by one.")
        .await?;
    browser.confirm().await?;
    browser
        .until("!document.body.innerText.includes('All schedules are frozen')")
        .await
}

/// A search that is not answered says so, and asks again.
async fn finds_a_calendar(browser: &mut Chromium, api: &Api) -> anyhow::Result<()> {
    browser.open(&api.url("/runs")).await?;
    browser.says("Firings of jobs").await?;
    browser.js("document.body.focus()").await?;
    let first = unanswered("path.endsWith('/calendars') && !window.lost++");
    browser.js("window.lost = 0").await?;
    browser.js(&first).await?;
    key(browser, "/").await?;
    browser.fill("dialog.search input", "holi").await?;
    browser
        .until("document.querySelector('dialog.search').innerText.includes('no answer')")
        .await?;
    browser
        .until("document.querySelector('#found li')?.innerText.includes('calendar')")
        .await?;
    key(browser, "Enter").await?;
    browser
        .until("location.pathname === '/calendars' && location.search === '?name=holidays'")
        .await?;
    browser.says("No job names it.").await
}

/// Whoever wants no motion has none.
async fn stands_still(browser: &mut Chromium, api: &Api) -> anyhow::Result<()> {
    browser.open(&api.url("/runs")).await?;
    browser
        .until("Boolean(document.querySelector('.bar span'))")
        .await?;
    let moves = "(() => { const bar = getComputedStyle(document.querySelector('.bar span')); const pulse = document.body.appendChild(Object.assign(document.createElement('i'), { className: 'pulse' })); \
        const said = [bar.transitionDuration, getComputedStyle(pulse).animationName]; pulse.remove(); return said; })()";
    let usual = browser.js(moves).await?;
    ensure!(usual == json!(["0.3s", "pulse"]), "{usual}");
    let still = json!({ "features": [{ "name": "prefers-reduced-motion", "value": "reduce" }] });
    browser.call("Emulation.setEmulatedMedia", still).await?;
    let still = browser.js(moves).await?;
    ensure!(still == json!(["0s", "none"]), "{still}");
    Ok(())
}
