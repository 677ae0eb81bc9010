//! Who gets the workers where several want them: equal worker-seconds, and small runs at once.

use std::time::Duration;

use gridloom_cli::output::Output;
use serde_json::{Value, json};

use super::installation::{Installation, job, sleeping};
use super::{Figure, log};
use crate::args::LimitsFlags;
use crate::stats::median;

/// Slots of the worker.
const SLOTS: u32 = 32;
/// Shards of a run that does not end while it is measured.
const LONG: u32 = 1_000_000;
/// Shards of a small one.
const SMALL: u32 = 10;

/// Jobs of quick and of slow shards get the same worker-seconds.
pub(super) async fn fair(output: &Output, flags: &LimitsFlags) -> anyhow::Result<Vec<Figure>> {
    let mut all = Installation::start(output, SLOTS).await?;
    let none = json!({});
    let quick = all.engine.apply_job(job("quick", LONG, &none)).await?;
    let slow = all.engine.apply_job(job("slow", LONG, &none)).await?;
    all.engine.submit(&quick, sleeping(1, 10)).await?;
    all.engine.submit(&slow, sleeping(2, 1_000)).await?;
    let length = Duration::from_secs(u64::from(flags.seconds.get()));
    // What began within the time has ended by then.
    tokio::time::sleep(length + Duration::from_secs(3)).await;
    let (quick, slow) = (all.executed(1)?, all.executed(2)?);
    all.stop().await?;
    let from = log::span(&quick).0.max(log::span(&slow).0);
    let to = from + u64::try_from(length.as_nanos())?;
    let (quick, slow) = (
        log::seconds(&quick, from, to),
        log::seconds(&slow, from, to),
    );
    let slots = f64::from(SLOTS) * length.as_secs_f64();
    Ok(vec![
        Figure::new(
            "worker-seconds of shards of 10 ms to those of 1 s",
            "0.90 to 1.10",
            format!(
                "{:.3} ({quick:.0} and {slow:.0} in {length:?})",
                quick / slow
            ),
        ),
        Figure::new(
            "… part of the slots that was used",
            "",
            format!("{:.3}", (quick + slow) / slots),
        ),
    ])
}

/// A run of ten shards beside one of a million, of another job and of the same.
pub(super) async fn small(output: &Output, flags: &LimitsFlags) -> anyhow::Result<Vec<Figure>> {
    let mut all = Installation::start(output, SLOTS).await?;
    let none = json!({});
    let long = all.engine.apply_job(job("long", LONG, &none)).await?;
    let small = all.engine.apply_job(job("small", SMALL, &none)).await?;
    all.engine.submit(&long, sleeping(1, 10)).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (mut of_another, mut of_the_same) = (Vec::new(), Vec::new());
    let mut few = sleeping(2, 10);
    few["grid"] = json!({ "slices": 1, "pages": { "count": SMALL } });
    let part = crate::engine::Grid {
        name: long.name.clone(),
        shards: u64::from(SMALL),
    };
    for _ in 0..flags.rounds.get() {
        for (grid, body, took) in [
            (&small, sleeping(3, 10), &mut of_another),
            (&part, few.clone(), &mut of_the_same),
        ] {
            let body: Value = body;
            let one = all.engine.measure_with(grid, body, |_| {}).await?;
            took.push(one.as_secs_f64());
        }
    }
    all.stop().await?;
    let figure = |what, took: &[f64]| {
        let most = took.iter().copied().fold(0.0, f64::max);
        let middle = median(took.iter().copied());
        let reached = format!("{middle:.3} s, at most {most:.3} s in {} times", took.len());
        Figure::new(what, "1 s", reached)
    };
    Ok(vec![
        figure("10 shards beside 1,000,000 of another job", &of_another),
        figure("10 shards beside 1,000,000 of the same job", &of_the_same),
    ])
}
