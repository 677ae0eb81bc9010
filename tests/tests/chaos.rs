//! A minute of the seeded mix, and half a minute of the steady one. `GRIDLOOM_TEST_SEED=...` plays it again, `GRIDLOOM_TEST_SECONDS=...`
//! longer; by hand: `cargo run -p gridloom-tests --bin chaos -- --seconds 600`.
#![expect(
    clippy::print_stderr,
    reason = "seeds and measurements, for who reads the output of a test"
)]

use std::time::Duration;

use gridloom_tests::chaos::fault::Fault;
use gridloom_tests::chaos::{self, Options};
use gridloom_tests::seed::Seed;
use gridloom_tests::soak;

/// How long there may be new faults.
const SECONDS: u64 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn minute_of_all_faults_loses_nothing_and_repeats_nothing() -> anyhow::Result<()> {
    let seconds = std::env::var("GRIDLOOM_TEST_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let options = Options {
        seed: Seed::from_env()?.number(),
        lasts: Duration::from_secs(seconds.unwrap_or(SECONDS)),
        cluster: false,
        on_file: false,
        ticks: true,
        faults: Fault::all().to_vec(),
        logs: None,
    };
    eprintln!("seed {}", options.seed);
    let tally = Box::pin(chaos::run(&options, &|line| eprintln!("{line}"))).await?;
    eprintln!(
        "{} runs, {} shards, {} taken over, {} at the same time with cause; the machine lost {:.1?}; {}",
        tally.runs,
        tally.committed,
        tally.takeovers,
        tally.overlaps.len(),
        tally.lost,
        tally.rates
    );
    assert!(
        tally.breaches.is_empty(),
        "seed {}:\n{}",
        options.seed,
        tally.breaches.join("\n")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_minute_of_the_steady_mix_is_judged_run_by_run() -> anyhow::Result<()> {
    let options = soak::Options {
        seed: Seed::from_env()?.number(),
        lasts: Duration::from_secs(30),
        cluster: false,
        on_file: false,
        faults_every: Some(Duration::from_secs(12)),
        logs: None,
    };
    let report = Box::pin(soak::run(&options, &|line| eprintln!("{line}"))).await?;
    report.lines().iter().for_each(|line| eprintln!("{line}"));
    assert!(
        report.is_well(),
        "seed {}:\n{}",
        options.seed,
        report.breaches.join("\n")
    );
    let measured = report.document();
    let jobs = measured["jobs"].as_object().map(serde_json::Map::len);
    // Seven kinds, effects in a database or two, five schedules.
    assert!(jobs >= Some(13), "{measured:#}");
    // Five processes and a broker, and what is stored.
    assert!(report.lines.len() >= 10, "{measured:#}");
    Ok(())
}
