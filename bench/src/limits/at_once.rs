//! Limits of tiles at once and of shards a second: never exceeded, and met.

use std::time::Duration;

use anyhow::Context;
use gridloom_cli::output::Output;
use rustix::process::Signal;
use serde_json::json;

use super::installation::{Installation, job, sleeping};
use super::worker::Executed;
use super::{Figure, log};
use crate::args::LimitsFlags;

/// The limit of tiles at once, and how long a shard takes.
const AT_ONCE: u32 = 100;
const SHARD_MS: u32 = 200;
/// Shards of one run: ten seconds of work at the limit.
const SHARDS: u32 = 5_000;
/// The limit of shards a second.
const RATE: u32 = 500;

/// A limit of tiles at once, once in peace and once over the death of the leader.
pub(super) async fn concurrency(output: &Output) -> anyhow::Result<Vec<Figure>> {
    let mut all = Installation::start(output, AT_ONCE * 4).await?;
    let standby = all.stack.planner_named("standby", "memory").await?;
    let limits = json!({ "concurrency": AT_ONCE });
    let grid = all
        .engine
        .apply_job(job("at-once", SHARDS, &limits))
        .await?;
    all.engine
        .measure_with(&grid, sleeping(1, SHARD_MS), |_| {})
        .await
        .context("run in peace")?;
    let run = all.engine.submit(&grid, sleeping(2, SHARD_MS)).await?;
    tokio::time::sleep(Duration::from_millis(3_210)).await;
    all.planner.signal(Signal::KILL)?;
    all.engine
        .until_closed(&run, |_| {})
        .await
        .context("run over the leader's death")?;
    let (peace, death) = (all.executed(1)?, all.executed(2)?);
    drop(standby);
    all.stop().await?;
    let mean = log::mean_at_once(&peace) / f64::from(AT_ONCE);
    Ok(vec![
        Figure::new(
            "concurrency = 100: most at once",
            "100 at most",
            log::most_at_once(&peace).to_string(),
        ),
        Figure::new(
            "… mean while there is work",
            "0.95 of it",
            format!("{mean:.3}"),
        ),
        Figure::new(
            "… most at once over the leader's death",
            "100 at most",
            format!(
                "{} ({} executions of {SHARDS} shards, {:.1} s without a start)",
                log::most_at_once(&death),
                death.len(),
                log::longest_gap(&death),
            ),
        ),
    ])
}

/// A limit of shards a second.
pub(super) async fn rate(output: &Output, flags: &LimitsFlags) -> anyhow::Result<Vec<Figure>> {
    let mut all = Installation::start(output, 64).await?;
    let shards = RATE * flags.seconds.get();
    let limits = json!({ "rate": format!("{RATE}/s") });
    let grid = all.engine.apply_job(job("rate", shards, &limits)).await?;
    let run = all.engine.submit(&grid, sleeping(1, 1)).await?;
    all.engine.until_closed(&run, |_| {}).await?;
    let executed: Vec<Executed> = all.executed(1)?;
    let issued: Vec<Executed> = all
        .engine
        .issued(&run)
        .await?
        .into_iter()
        .flat_map(|(at, shards)| {
            let at_ns = at.0 * 1_000_000;
            let one = Executed {
                tag: 1,
                from_ns: at_ns,
                to_ns: at_ns,
            };
            std::iter::repeat_n(one, shards as usize)
        })
        .collect();
    all.stop().await?;
    Ok(vec![
        Figure::new(
            "rate = \"500/s\": starts a second",
            "475 to 500",
            format!("{:.1}", log::rate(&executed)),
        ),
        Figure::new(
            "… most started in any second",
            "500 at most",
            worst(&executed),
        ),
        Figure::new("… most issued in any second", "500 at most", worst(&issued)),
    ])
}

/// The second with the most starts, for people.
fn worst(executed: &[Executed]) -> String {
    let (most, from_s) = log::worst_second(executed);
    let gap_ms = log::longest_gap(executed) * 1e3;
    format!("{most}, from {from_s:.2} s on; at most {gap_ms:.0} ms without one")
}
