//! How fast the page is, in figures with limits: the first picture of a million shards, frames while they change, bytes.

use std::time::{Duration, Instant};

use super::*;

/// From the answer to the first picture.
const PAINTED_MS: f64 = 300.0;
/// Frames a second while one points, turns the wheel and moves.
const FRAMES: f64 = 50.0;
/// A frame: so soon it is named what one points at.
const NAMED_MS: f64 = 1_000.0 / 60.0;
const BYTES: usize = 200_000;
/// Shards that are to change each second meanwhile.
const CHANGES: f64 = 5_000.0;
const LOOKED: Duration = Duration::from_secs(10);

/// Notes when the grid is painted, before anything of the page runs.
const NOTES: &str = "window.painted = []; const put = CanvasRenderingContext2D.prototype.putImageData; \
    CanvasRenderingContext2D.prototype.putImageData = function (...all) { put.apply(this, all); requestAnimationFrame(() => window.painted.push(performance.now())); };";

/// From the end of the grid's answer to the frame behind its first picture, in milliseconds.
const FIRST: &str = "(() => { const grid = performance.getEntriesByType('resource').find((each) => each.name.endsWith('/grid')); \
    return window.painted.length && grid?.responseEnd ? window.painted[0] - grid.responseEnd : null; })()";

/// Points, turns the wheel and walks in every frame for so many seconds. Tells frames a second, the longest of nearly all,
/// how long naming took at most of nearly all, and how often it was painted.
const USES: &str = "(seconds) => new Promise((told) => {
    const canvas = document.querySelector('.cells canvas');
    const readout = document.querySelector('.grid .readout');
    const [frames, named] = [[], []];
    const painted = window.painted.length;
    const begun = performance.now();
    let last = begun;
    const unnamed = new Set();
    const step = (now) => {
      const number = frames.push(now - last);
      last = now;
      // What is above the grid may still come, and move it.
      const box = canvas.getBoundingClientRect();
      const [x, y] = [box.x + box.width * (0.5 + 0.45 * Math.sin(number / 17)), box.y + box.height * (0.5 + 0.45 * Math.cos(number / 23))];
      const at = performance.now();
      canvas.dispatchEvent(new PointerEvent('pointermove', { bubbles: true, clientX: x, clientY: y }));
      if (!/^slice [\\d,]+, page [\\d,]+: /.test(readout.innerText)) unnamed.add(readout.innerText);
      named.push(performance.now() - at);
      if (number % 4 === 0) canvas.dispatchEvent(new WheelEvent('wheel', { bubbles: true, cancelable: true, clientX: x, clientY: y, deltaY: number % 160 < 80 ? -60 : 60 }));
      if (number % 4 === 2) canvas.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, cancelable: true, key: ['ArrowRight', 'ArrowDown', 'ArrowLeft', 'ArrowUp'][number % 16 >> 2], shiftKey: true }));
      if (now - begun < seconds * 1000) return requestAnimationFrame(step);
      const nearly = (all) => all.sort((a, b) => a - b)[Math.floor(all.length * 0.99)];
      const rate = frames.length / ((now - begun) / 1000);
      return told({ rate, frame: nearly(frames), named: nearly(named), unnamed: [...unnamed], painted: window.painted.length - painted });
    };
    requestAnimationFrame(step);
  })";

/// A run that changes so fast, with so many slices and pages, of whose attempts a fifth fails: neighbours differ.
async fn running(api: &Api, (slices, pages): (u32, u32)) -> anyhow::Result<String> {
    let name = format!("wide-{slices}");
    let job = json!({
        "name": name, "handler": "noop", "params": { "fail_percent": 20 },
        "grid": { "slices": slices, "pages": { "count": pages }, "tile": 8 },
        "retry": { "max_attempts": 3, "backoff": { "initial": "2s" } },
        "limits": { "rate": "7000/s" },
    });
    let (status, told) = api
        .order(("PUT", &format!("/jobs/{name}")), Some(&job))
        .await?;
    ensure!(status == 201, "{status} {told}");
    let run = submitted(api, &name).await?;
    let path = format!("/runs/{run}");
    eventually(Duration::from_secs(120), "some of it is done", async || {
        let told = api.ask(("GET", &path), &[], None).await?.json();
        Ok(told["shards"]["done"].as_u64() > Some(60_000))
    })
    .await?;
    Ok(run)
}

async fn done(api: &Api, run: &str) -> anyhow::Result<f64> {
    let told = api.get(&format!("/runs/{run}")).await?;
    // Each outcome changes a cell, whether it succeeds or not.
    let of = |key: &str| told["shards"][key].as_f64().unwrap_or(0.0);
    Ok(of("done") + of("retried") + of("dead"))
}

async fn measured(stage: &Stage, api: &Api, shape: (u32, u32)) -> anyhow::Result<Vec<String>> {
    let run = running(api, shape).await?;
    let grid = api
        .ask(("GET", &format!("/runs/{run}/grid")), &[], None)
        .await?;
    let (bytes, told) = (grid.body.len(), grid.json());
    let mut browser = Chromium::start().await?;
    browser.look(1280, "light").await?;
    browser
        .call(
            "Page.addScriptToEvaluateOnNewDocument",
            json!({ "source": NOTES }),
        )
        .await?;
    browser.open(&api.url(&format!("/runs/{run}"))).await?;
    browser.until(&format!("{FIRST} !== null")).await?;
    let first = browser.js(FIRST).await?.as_f64().context("a time")?;
    let (before, begun) = (done(api, &run).await?, Instant::now());
    let used = browser
        .js(&format!("({USES})({})", LOOKED.as_secs()))
        .await?;
    let changed = (done(api, &run).await? - before) / begun.elapsed().as_secs_f64();
    let of = |key: &str| used[key].as_f64().unwrap_or(f64::NAN);
    eprintln!(
        "{} slices, {} pages (told in blocks of {} by {}): {bytes} bytes of {BYTES}; first picture after {first:.0} ms of {PAINTED_MS}; \
         {:.1} frames/s of {FRAMES}, 99 % within {:.1} ms; named within {:.2} ms of {NAMED_MS:.1}; {} pictures in {} s; \
         {changed:.0} shards/s changed of {CHANGES}; not named: {}",
        shape.0,
        shape.1,
        told["slices_a_block"],
        told["pages_a_block"],
        of("rate"),
        of("frame"),
        of("named"),
        used["painted"],
        LOOKED.as_secs(),
        used["unnamed"],
    );
    let limits = [
        (bytes <= BYTES, "bytes of the grid"),
        (first <= PAINTED_MS, "the first picture"),
        (of("rate") >= FRAMES, "frames a second"),
        (
            of("named") <= NAMED_MS && used["unnamed"] == json!([]),
            "what one points at is named",
        ),
        (
            changed >= CHANGES,
            "too little has changed: the engine was too slow for this measurement",
        ),
    ];
    let missed = limits.iter().filter(|(holds, _)| !holds);
    let missed = missed
        .map(|(_, what)| format!("{shape:?}: {what}"))
        .collect();
    ensure!(browser.faults().is_empty(), "{:?}", browser.faults());
    browser.end().await?;
    stage.cli(&["cancel", &run], SOON).await?.succeeded()?;
    api.is(&run, "cancelled").await?;
    Ok(missed)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute, for figures: of a quiet machine alone"]
async fn million_shards_are_painted_at_once_and_move_while_they_change() -> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        eventually(SOON, "it leads", async || Ok(stage.term().await? > 0)).await?;
        stage.start_worker(64, &[]).await?;
        let mut missed = Vec::new();
        for shape in [(64, 15_625), (65_536, 16)] {
            missed.extend(measured(stage, &api, shape).await?);
        }
        ensure!(missed.is_empty(), "{missed:#?}");
        Ok(())
    })
    .await
}
