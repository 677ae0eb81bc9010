//! What a worker may write to a ledger makes nobody who reads it hang or grow.

use std::time::{Duration, Instant};

use anyhow::Context;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{Fence, Nonce, QueueName, RunId, Session, Term};
use gridloom_shared::job::PagesSpec;
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::ledger::outcomes::{self, Entry, Failed, Retry, Status};
use gridloom_shared::ledger::record::{Author, Opened, PlanRecord, TileRun, Wave, WorkRecord};
use gridloom_shared::tile::{TileKind, TileRef};
use gridloom_shared::wire;
use gridloom_tests::process::Output;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;

/// All that each command may take; on an idle machine it is a fraction of a second.
const SOON: Duration = Duration::from_secs(20);
/// Most memory that whoever reads the ledger may take, in bytes: beside the program itself it is little.
const MEMORY: u64 = 300 * 1024 * 1024;

/// Runs a command to its end, and looks how much memory it takes meanwhile.
async fn cli(stage: &Stage, args: &[&str]) -> anyhow::Result<Output> {
    let mut command = stage.gridloom(args)?.start().await?;
    let mut peak = 0;
    eventually(SOON, "the command has ended", async || {
        peak = peak.max(command.peak().unwrap_or_default());
        Ok(!command.is_running()?)
    })
    .await?;
    eprintln!("{}: {} MiB", args.join(" "), peak >> 20);
    assert!((1..=MEMORY).contains(&peak), "it took {peak} bytes");
    command.finish(SOON).await
}

async fn append(
    stage: &Stage,
    run: &RunId,
    author: Author,
    bytes: bytes::Bytes,
) -> anyhow::Result<u64> {
    let queue = QueueName::new("default")?;
    let subject = stage.broker.subjects().ledger_of(&queue, run, author);
    Ok(stage.broker.append(subject, bytes, None).await?)
}

/// A run with as many cells as can be, of which one slice was issued in part: by that wave.
async fn vast(stage: &Stage) -> anyhow::Result<(RunId, Fence)> {
    let text = "name = \"vast\"\nhandler = \"noop\"\n[grid]\nslices = 1";
    let mut job = parse::parse(text, Format::Toml).map_err(|faults| anyhow::anyhow!("{faults}"))?;
    job.grid.slices = 1 << 16;
    job.grid.pages = PagesSpec::Count { count: 1 << 24 };
    let run = RunId::new("vast_s_1")?;
    let opened = PlanRecord::Opened(Box::new(Opened {
        nonce: Nonce(1),
        job,
        scheduled_at: UnixMs::now(),
        content: 0,
        term: Term(1),
        first: Vec::new(),
        traceparent: None,
        reports: 1,
    }));
    append(stage, &run, Author::Plan, wire::encode(&opened)).await?;
    let tiles = TileRun {
        kind: TileKind::Page,
        slice: 0,
        first: 0,
        pages: 1_000,
        tiles: 1_000,
        attempt: 1,
        bounds: Vec::new(),
        after: None,
    };
    let wave = PlanRecord::Wave(Wave {
        n: 0,
        folded: 0,
        term: Term(1),
        tiles: vec![tiles],
    });
    let wave = append(stage, &run, Author::Plan, wire::encode(&wave)).await?;
    Ok((run, Fence(wave)))
}

/// Entries of `pages` pages each, every one a page further, as much as fits.
fn bomb(number: u64, fence: Fence, pages: u32, entries: u32, status: &Status) -> bytes::Bytes {
    let entry = |n: u32| Entry {
        tile: TileRef {
            wave: 0,
            index: n % 1_000,
        },
        kind: TileKind::Page,
        fence,
        slice: 0,
        first: n,
        pages,
        status: status.clone(),
        columns: Vec::new(),
        results: Vec::new(),
    };
    let entries: Vec<Entry> = (0..entries).map(entry).collect();
    wire::encode(&WorkRecord::Outcomes {
        session: Session(1),
        number,
        block: outcomes::encode(&entries).into(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn few_bytes_that_name_ever_so_many_pages_are_judged_at_once() -> anyhow::Result<()> {
    play(async |stage| {
        let (run, fence) = vast(stage).await?;
        let failed = Status::Failed(Failed {
            error: String::new(),
            retry: Retry::Backoff,
        });
        for (number, (pages, entries, status)) in [
            (65_536, 1_200, &Status::Done),
            (65_536, 1_200, &failed),
            (1_000, 60_000, &Status::Done),
            (1_000, 6_000, &Status::Done),
            (1_000, 6_000, &failed),
        ]
        .into_iter()
        .enumerate()
        {
            let record = bomb(number as u64, fence, pages, entries, status);
            append(stage, &run, Author::Work, record).await?;
        }
        let begun = Instant::now();
        let said = cli(stage, &["audit", run.as_str(), "--json"]).await?;
        eprintln!("the audit took {:?}", begun.elapsed());
        assert_eq!(said.code, 1, "{said:?}");
        let report = said.json()?;
        assert_eq!(report["unexpected_records"], 3, "{report}");
        assert_eq!(report["lost"].as_array().map(Vec::len), Some(1_000));
        assert_eq!(report["lost_cells"], (1_u64 << 40) - 6_999, "{report}");
        let begun = Instant::now();
        for args in [&["show", run.as_str()][..], &["runs"], &["dead", "list"]] {
            cli(stage, args).await?.succeeded()?;
        }
        eprintln!("three folds took {:?}", begun.elapsed());
        let planner = stage.start_planner().await?;
        let planner = &stage.planners[planner];
        eventually(SOON, "a planner has read it", async || {
            Ok(planner.stderr().contains(" leads"))
        })
        .await?;
        let peak = planner.peak().context("the planner has ended")?;
        eprintln!("a planner: {} MiB", peak >> 20);
        assert!(peak <= MEMORY, "it took {peak} bytes");
        Ok(())
    })
    .await
}
