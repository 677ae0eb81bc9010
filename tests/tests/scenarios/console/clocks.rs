//! A browser whose clock is an hour off tells how long ago something was all the same; and what was decided of a job's fires
//! stands on the days that it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::Term;
use gridloom_shared::schedule::Spec;
use gridloom_shared::schedule::record::{Decision, Record, State};
use gridloom_shared::wire;

use super::*;

/// The page's clock is set so many milliseconds ahead.
fn set(ahead_ms: i64) -> Value {
    let script = format!(
        "(() => {{ const Real = Date; globalThis.Date = class extends Real {{ \
         constructor(...said) {{ if (said.length) super(...said); else super(Real.now() + ({ahead_ms})); }} \
         static now() {{ return Real.now() + ({ahead_ms}); }} }}; }})()"
    );
    json!({ "source": script })
}

#[tokio::test(flavor = "multi_thread")]
async fn browser_whose_clock_is_an_hour_off_tells_ages_by_the_planners() -> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let (ill, stuck) = furnish(stage, &api).await?;
        for (ahead_ms, is) in [(3_600_000, "ahead of"), (-3_600_000, "behind")] {
            let mut browser = Chromium::start().await?;
            browser
                .call("Page.addScriptToEvaluateOnNewDocument", set(ahead_ms))
                .await?;
            browser.open(&api.url("/runs")).await?;
            browser
                .says(&format!("the clock here is 1 h {is} the planner's"))
                .await?;
            // Both were opened a moment ago, and one goes on.
            let opened = "[...document.querySelectorAll('td[data-name=Opened] time')].map((each) => each.innerText)";
            browser
                .until(&format!("{opened}.length === 2 && {opened}.every((said) => /^(just now|\\d+ s ago|[1-4] min ago)$/.test(said))"))
                .await?;
            let took = "[...document.querySelectorAll('td[data-name=Took]')].map((each) => each.innerText)";
            browser
                .until(&format!("{took}.length === 2 && !{took}.some((said) => said.includes('h') || said === '0 ms')"))
                .await?;
            for run in [&ill, &stuck] {
                browser.open(&api.url(&format!("/runs/{run}"))).await?;
                browser.says("Opened").await?;
            }
            browser.end().await?;
        }
        // One that agrees says nothing of it.
        let mut browser = Chromium::start().await?;
        browser.open(&api.url("/runs")).await?;
        browser.says("Firings of jobs").await?;
        let said = browser.js("document.body.innerText.includes('the clock here')");
        ensure!(said.await? == false, "it finds a difference");
        browser.end().await
    })
    .await
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A job that fires each hour, of which the last decision was made three days ago: no planner was there since.
async fn left_alone(stage: &Stage) -> anyhow::Result<()> {
    let schedule = json!({ "cron": "0 * * * *", "timezone": "UTC" });
    let job = "name = \"hourly\"\nhandler = \"noop\"\n[grid]\nslices = 1\n[schedule]\ncron = \"0 * * * *\"\ntimezone = \"UTC\"";
    let name = stage.apply(job).await?;
    let then = UnixMs(UnixMs::now().0 - 3 * DAY.as_millis() as u64);
    let record = Record {
        at: then,
        term: Term(1),
        decision: Decision::Adopted,
        state: State::new(Some(Spec::try_from(schedule)?), then, then),
    };
    let subject = stage.broker.subjects().fires(&name);
    stage
        .broker
        .append(subject, wire::encode(&record), None)
        .await?;
    Ok(())
}

/// The days that decisions are about, as 2026-03-01, each with their words.
fn days(fires: &Value) -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let mut days: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for fire in fires["items"].as_array().context("items")? {
        let Some(first) = fire["scheduled_at"].as_str() else {
            continue;
        };
        let last = fire["last"].as_str().unwrap_or(first);
        let time = |text| UnixMs::from_rfc3339(text).context("a time");
        let (mut at, end) = (time(first)?, time(last)?);
        while at <= end {
            let words = days.entry(at.rfc3339()[..10].to_owned()).or_default();
            words.insert(fire["decision"].as_str().context("decision")?.to_owned());
            at = at + HOUR;
        }
    }
    Ok(days)
}

#[tokio::test(flavor = "multi_thread")]
async fn calendar_of_fires_shows_days_with_fires_and_missed_ones_as_what_they_are()
-> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        left_alone(stage).await?;
        let api = start(stage, &[]).await?;
        stage.start_worker(2, &[]).await?;
        let fires = "/jobs/hourly/fires?limit=1000";
        eventually(SOON, "what was missed is answered for", async || {
            let fires = api.get(fires).await?;
            let items = fires["items"].as_array().context("items")?;
            Ok(items.iter().any(|fire| fire["decision"] == "opened"))
        })
        .await?;
        let wanted = days(&api.get(fires).await?)?;
        // Days of which nothing has a run, and one on which a fire has.
        ensure!(wanted.len() >= 4, "{wanted:?}");
        let missed = wanted.values().filter(|words| !words.contains("opened"));
        ensure!(missed.count() >= 2, "{wanted:?}");
        let mut browser = Chromium::start().await?;
        let utc = json!({ "timezoneId": "UTC" });
        browser.call("Emulation.setTimezoneOverride", utc).await?;
        browser
            .open(&api.url("/jobs/hourly?tab=fires"))
            .await?;
        let cells = "[...document.querySelectorAll('.days li')].map((day) => [new Date(`${day.title.split(':')[0]} UTC`).toISOString().slice(0, 10), \
            [...day.querySelectorAll('.state')].map((state) => [state.innerText.replace(/[^a-z ]/g, '').trim(), state.className])])";
        browser
            .until(&format!("{cells}.length === {}", wanted.len()))
            .await?;
        let seen = browser.js(cells).await?;
        for (cell, (day, words)) in seen.as_array().context("days")?.iter().zip(&wanted) {
            ensure!(cell[0] == json!(day), "{cell} is not {day}");
            let states = cell[1].as_array().context("states")?;
            let said: BTreeSet<String> = states
                .iter()
                .map(|state| state[0].as_str().unwrap_or_default().to_owned())
                .collect();
            ensure!(said == *words, "{day}: {cell}, and {words:?}");
            // What has a run looks like it, and what was missed does not.
            for state in states {
                let looks = state[1].as_str().unwrap_or_default();
                let is_opened = state[0] == "opened";
                ensure!(is_opened == looks.contains("is-done"), "{day}: {state}");
                ensure!((state[0] == "expired") == looks.contains("is-trouble"), "{day}: {state}");
            }
        }
        // Of several times both ends are told.
        browser
            .until("[...document.querySelectorAll('td[data-name=Time]')].some((cell) => cell.querySelectorAll('time').length === 2)")
            .await?;
        ensure!(browser.faults().is_empty(), "{:?}", browser.faults());
        browser.end().await
    })
    .await
}
