//! The console as people use it: in a real browser, against planners that live and die.
//!
//! | room | what it shows |
//! |------|---------------|
//! | `addresses` | what makes no sense in an address is told, and breaks nothing |
//! | `pages` | every page loads without a fault, in every look, asks nobody else, and is fit for everybody |
//! | `lanes` | who has worked on a run when, of one whose worker was killed |
//! | `alive` | the picture on the tab, the grid under wheel and keys, motion, an edit, a planner and a broker that come back |
//! | `pace` | how fast it is, in figures with limits |
//! | `deletes` | what is deleted is what was seen, and what is lost with it is said; what a worker held that is gone waits |
//! | `doctor` | what is wrong, and that it is gone once it was mended |
//! | `keys` | the keys, and the list of them; a planner that changes nothing |
//! | `many` | of more open runs than are shown, those that are open for longest; what is late |
//! | `waits` | why a run waits: a hold, a limit, a run before it |
//! | `untold` | answers that fail now and then are said, and never shown as if there were nothing |
//! | `clocks` | a browser whose clock is an hour off; days on which fires were, and were missed |
//! | `long` | the longest names, notes and errors in every list |
//! | `strips` | how the last runs of a job ended, and how late they were |
//! | `written` | numbers that JavaScript has no room for; a pause that somebody else had first; where the keys go in a question |
//! | `steering` | what a newcomer finds out and does there; who may not; a leader that dies |

use anyhow::{Context, ensure};
use gridloom_tests::chromium::{Chromium, program};
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::{Value, json};

use crate::api::{Api, SOON, start};

#[path = "console/addresses.rs"]
mod addresses;
#[path = "console/alive.rs"]
mod alive;
#[path = "console/clocks.rs"]
mod clocks;
#[path = "console/deletes.rs"]
mod deletes;
#[path = "console/doctor.rs"]
mod doctor;
#[path = "console/keys.rs"]
mod keys;
#[path = "console/lanes.rs"]
mod lanes;
#[path = "console/long.rs"]
mod long;
#[path = "console/many.rs"]
mod many;
#[path = "console/pace.rs"]
mod pace;
#[path = "console/pages.rs"]
mod pages;
#[path = "console/steering.rs"]
mod steering;
#[path = "console/strips.rs"]
mod strips;
#[path = "console/untold.rs"]
mod untold;
#[path = "console/waits.rs"]
mod waits;
#[path = "console/written.rs"]
mod written;

/// Whether Chromium is here; it is said if not, and in CI that is a failure.
fn have_chromium() -> bool {
    let Err(error) = program() else {
        return true;
    };
    eprintln!("\n*** NOT RUN: the tests of the console did not run: {error:#} ***\n");
    assert!(
        std::env::var_os("CI").is_none(),
        "no Chromium in CI: {error:#}"
    );
    false
}

/// A command whose odd pages fail.
const ILL: &str =
    "read -r shard\ncase $GRIDLOOM_PAGE in *[13579]) echo 'disk full' >&2; exit 3 ;; esac\n";

/// A job that fails in part, one that waits for a handler that nobody has, and one that is paused.
async fn furnish(stage: &mut Stage, api: &Api) -> anyhow::Result<(String, String)> {
    let file = stage.dir().join("ill.sh");
    std::fs::write(&file, ILL)?;
    let command = format!("c=/bin/sh {}", file.display());
    stage.start_worker(4, &["--exec", &command]).await?;
    eventually(
        SOON,
        "a planner leads",
        async || Ok(stage.term().await? > 0),
    )
    .await?;
    let ill = json!({
        "name": "ill", "handler": "exec", "exec": { "command": "c" },
        "grid": { "slices": 2, "pages": { "count": 4 }, "tile": 1 }, "retry": { "max_attempts": 1 },
    });
    let stuck = json!({ "name": "stuck", "handler": "resize", "grid": { "slices": 2, "pages": { "count": 3 } } });
    let nightly = json!({
        "name": "nightly", "handler": "noop", "schedule": { "cron": "0 0 2 * * ?", "timezone": "Europe/Paris" },
        "grid": { "slices": 1, "pages": { "count": 1 } },
    });
    for job in [&ill, &stuck, &nightly] {
        let path = format!("/jobs/{}", job["name"].as_str().unwrap_or_default());
        let (status, told) = api.order(("PUT", &path), Some(job)).await?;
        ensure!(status == 201, "{path}: {status} {told}");
    }
    let pause = json!({ "note": "the database moves" });
    let paused = api.order(("POST", "/jobs/nightly/pause"), Some(&pause));
    ensure!(paused.await?.0 == 200);
    let ill = submitted(api, "ill").await?;
    let stuck = submitted(api, "stuck").await?;
    api.is(&ill, "failed").await?;
    Ok((ill, stuck))
}

async fn submitted(api: &Api, job: &str) -> anyhow::Result<String> {
    let path = format!("/jobs/{job}/runs");
    let (status, told) = api.order(("POST", &path), None).await?;
    ensure!(status == 202, "{path}: {status} {told}");
    Ok(told["run"].as_str().context("run")?.to_owned())
}

/// From now on no broker answers the page's questions of which an expression, of `path` and `how`, is true.
fn unanswered(which: &str) -> String {
    let answer = json!({ "type": "urn:gridloom:unavailable", "title": "Not just now", "detail": "no answer", "status": 503 });
    format!(
        "(() => {{ const real = fetch; window.fetch = async (path, how) => {which} \
            ? new Response('{answer}', {{ status: 503 }}) : real(path, how); }})()"
    )
}
