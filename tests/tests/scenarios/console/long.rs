//! The longest names, notes and errors that there can be: no page gets wider than its window by them, and an error is found again
//! however it is written.

use super::*;

/// As long as a name may be, without a place to part it.
fn longest(first: char) -> String {
    first.to_string().repeat(48)
}

/// Errors that are cut after two hundred signs: one of both in the middle of what two units of a browser make up.
const ILL: &str = "read -r shard\nfoxes=$(printf '🦊%.0s' $(seq 100))\ncase $GRIDLOOM_PAGE in 0) echo \"$foxes\" >&2 ;; *) echo \"x$foxes\" >&2 ;; esac\nexit 3\n";

async fn fill(stage: &mut Stage, api: &Api) -> anyhow::Result<(String, String)> {
    let file = stage.dir().join("foxes.sh");
    std::fs::write(&file, ILL)?;
    let command = format!("c=/bin/bash {}", file.display());
    let (job, worker, queue) = (longest('j'), longest('w'), longest('q'));
    let flags = ["--exec", &command, "--name", &worker, "--queue", &queue];
    stage.start_worker(4, &flags).await?;
    eventually(SOON, "it leads", async || Ok(stage.term().await? > 0)).await?;
    let long = json!({
        "name": job, "queue": queue, "handler": "exec", "exec": { "command": "c" },
        "grid": { "slices": 1, "pages": { "count": 2 }, "tile": 1 }, "retry": { "max_attempts": 1 },
        "schedule": { "cron": "0 0 2 * * ?", "timezone": "Europe/Paris" },
    });
    let stuck = json!({ "name": longest('s'), "handler": longest('h'), "queue": longest('q'), "grid": { "slices": 1 } });
    for job in [&long, &stuck] {
        let path = format!("/jobs/{}", job["name"].as_str().unwrap_or_default());
        let (status, told) = api.order(("PUT", &path), Some(job)).await?;
        ensure!(status == 201, "{path}: {status} {told}");
    }
    let holidays = json!({ "name": longest('c'), "timezone": "UTC", "dates": ["01-01"] });
    let path = format!("/calendars/{}", longest('c'));
    ensure!(api.order(("PUT", &path), Some(&holidays)).await?.0 == 201);
    let note = json!({ "note": "w".repeat(400) });
    for path in ["/freeze".to_owned(), format!("/jobs/{job}/pause")] {
        let (status, told) = api.order(("POST", &path), Some(&note)).await?;
        ensure!(status < 300, "{path}: {told}");
    }
    let (ill, stuck) = (
        submitted(api, &job).await?,
        submitted(api, &longest('s')).await?,
    );
    api.is(&ill, "failed").await?;
    api.is(&stuck, "running").await?;
    Ok((ill, stuck))
}

#[tokio::test(flavor = "multi_thread")]
async fn longest_names_notes_and_errors_make_no_page_wider_and_are_found_again()
-> anyhow::Result<()> {
    if !have_chromium() {
        return Ok(());
    }
    play(async |stage| {
        let api = start(stage, &[]).await?;
        let (ill, stuck) = fill(stage, &api).await?;
        let mut browser = Chromium::start().await?;
        let job = longest('j');
        let pages = [
            ("/".to_owned(), "What needs somebody"),
            ("/runs".to_owned(), "failed"),
            ("/jobs".to_owned(), "2 pages each"),
            (format!("/jobs/{job}"), "Fires next"),
            (format!("/jobs/{job}?tab=definition"), "max_attempts"),
            (format!("/runs/{ill}"), "What has failed"),
            (format!("/runs/{ill}?tab=shards"), "🦊"),
            (format!("/runs/{ill}/shards/0/1"), "Attempt 1"),
            (format!("/runs/{stuck}"), "Why it waits"),
            ("/dead".to_owned(), "By error"),
            ("/queues".to_owned(), "In flight"),
            ("/workers".to_owned(), "answers"),
            ("/calendars".to_owned(), "No job names it."),
            ("/log".to_owned(), "job apply"),
            ("/doctor".to_owned(), "looked"),
        ];
        for (width, scheme) in [(400, "dark"), (620, "light")] {
            browser.look(width, scheme).await?;
            for (path, words) in &pages {
                browser.open(&api.url(path)).await?;
                browser.says(words).await.with_context(|| path.clone())?;
                browser.until("!document.querySelector('.loading')").await?;
                let over =
                    "document.documentElement.scrollWidth - document.documentElement.clientWidth";
                let over = browser.js(over).await?.as_i64();
                ensure!(over <= Some(0), "{path} is {over:?} wider than {width}");
            }
        }
        finds(&mut browser, &api, &ill).await?;
        ensure!(browser.faults().is_empty(), "{:?}", browser.faults());
        browser.end().await
    })
    .await
}

/// Each error leads to the one dead shard that has it.
async fn finds(browser: &mut Chromium, api: &Api, run: &str) -> anyhow::Result<()> {
    for place in 0..2 {
        browser.open(&api.url(&format!("/runs/{run}"))).await?;
        let again = format!(
            "[...document.querySelectorAll('main a')].filter((each) => each.innerText === 'try only these again')[{place}]"
        );
        browser.until(&format!("Boolean({again})")).await?;
        browser.js(&format!("{again}.click()")).await?;
        browser
            .until("location.pathname === '/dead' && document.querySelectorAll('[aria-label=\"Dead shards\"] tbody tr').length > 0")
            .await?;
        // The beginning of the one is a part of the other.
        browser.press("Retry these").await?;
        browser
            .until("/^[12] dead shards? of 1 run/.test(document.querySelector('dialog[open] .counted')?.innerText)")
            .await?;
    }
    Ok(())
}
