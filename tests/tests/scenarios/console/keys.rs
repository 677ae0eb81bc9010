//! Keys that work everywhere, and the list of them; and that a planner which changes nothing says so.

use super::*;

async fn press(browser: &mut Chromium, key: &str) -> anyhow::Result<()> {
    for kind in ["keyDown", "keyUp"] {
        let event = json!({ "type": kind, "key": key });
        browser.call("Input.dispatchKeyEvent", event).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_and_lead_where_they_say() -> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let mut browser = Chromium::start().await?;
        browser.look(1280, "light").await?;
        browser.open(&api.url("/")).await?;
        browser.says("What needs somebody").await?;
        press(&mut browser, "?").await?;
        let listed =
            "[...document.querySelectorAll('dialog[open] dt')].map((each) => each.innerText)";
        browser.until(&format!("{listed}.includes('?')")).await?;
        let keys = browser.js(listed).await?;
        let keys = keys.as_array().context("keys")?;
        ensure!(
            keys.contains(&json!("/")) && keys.contains(&json!("t")),
            "{keys:?}"
        );
        // No key leads away from what is open, also where a click beside it has taken its focus.
        browser.js("document.activeElement.blur()").await?;
        for key in ["g", "r", "/"] {
            press(&mut browser, key).await?;
        }
        let stays =
            "location.pathname === '/' && document.querySelectorAll('dialog[open]').length === 1";
        ensure!(browser.js(stays).await? == true, "a key leads away");
        let close = "document.querySelector('dialog[open] button').click()";
        browser.js(close).await?;
        browser
            .until("!document.querySelector('dialog[open]')")
            .await?;
        // Each letter that the list names behind g leads to a page of its own.
        let pages = [
            ("r", "/runs"),
            ("j", "/jobs"),
            ("d", "/dead"),
            ("q", "/queues"),
            ("w", "/workers"),
            ("c", "/calendars"),
            ("l", "/log"),
            ("p", "/planners"),
            ("u", "/unreadable"),
            ("h", "/doctor"),
            ("o", "/"),
        ];
        let named = format!("g, then {}", "o r j d q w c l p u h");
        ensure!(keys.contains(&json!(named)), "{keys:?}");
        for (key, path) in pages {
            press(&mut browser, "g").await?;
            press(&mut browser, key).await?;
            browser
                .until(&format!("location.pathname === '{path}'"))
                .await?;
        }
        let look = "document.documentElement.dataset.look";
        press(&mut browser, "t").await?;
        browser.until(&format!("{look} === 'dark'")).await?;
        press(&mut browser, "t").await?;
        browser.until(&format!("{look} === 'light'")).await?;
        ensure!(browser.faults().is_empty(), "{:?}", browser.faults());
        browser.end().await
    })
    .await
}

/// An order is not answered before the page is told so.
const HOLDS: &str = "(() => { const real = fetch; const until = new Promise((go) => { window.answer = go; }); \
    window.fetch = async (path, how) => { if (how?.method === 'POST') await until; return real(path, how); }; })()";
const IS_OPEN: &str = "document.querySelectorAll('dialog[open]').length === 1";

async fn escape(browser: &mut Chromium) -> anyhow::Result<()> {
    for kind in ["rawKeyDown", "keyUp"] {
        let event =
            json!({ "type": kind, "key": "Escape", "code": "Escape", "windowsVirtualKeyCode": 27 });
        browser.call("Input.dispatchKeyEvent", event).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn question_stays_until_what_was_ordered_is_answered_and_is_left_by_a_key_otherwise()
-> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let mut browser = Chromium::start().await?;
        browser.open(&api.url("/jobs")).await?;
        browser.press("Freeze all").await?;
        browser.until(IS_OPEN).await?;
        escape(&mut browser).await?;
        browser
            .until("!document.querySelector('dialog[open]')")
            .await?;
        browser.press("Freeze all").await?;
        browser.says("a schedule fire nothing then").await?;
        browser.fill("dialog [name=note]", "later").await?;
        browser.js(HOLDS).await?;
        browser.confirm().await?;
        browser.says("One moment").await?;
        for _ in 0..3 {
            escape(&mut browser).await?;
            ensure!(browser.js(IS_OPEN).await? == true, "it is closed");
        }
        browser.js("answer()").await?;
        browser
            .until("Boolean(document.querySelector('dialog[open] .note.is-fine'))")
            .await?;
        escape(&mut browser).await?;
        browser
            .until("!document.querySelector('dialog[open]')")
            .await?;
        ensure!(browser.faults().is_empty(), "{:?}", browser.faults());
        browser.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn planner_that_changes_nothing_says_so_on_its_page_and_offers_nothing() -> anyhow::Result<()>
{
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &["--api-read-only"]).await?;
        let mut browser = Chromium::start().await?;
        browser.open(&api.url("/jobs")).await?;
        browser.says("This planner changes nothing.").await?;
        let orders = "[...document.querySelectorAll('main button')].filter((each) => ['Define a job', 'Freeze all'].includes(each.innerText))";
        browser
            .until(&format!("{orders}.length === 2 && {orders}.every((each) => each.disabled && each.title.includes('--api-read-only'))"))
            .await?;
        browser.end().await
    })
    .await
}
