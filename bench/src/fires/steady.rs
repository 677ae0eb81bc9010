//! Fires that come all the time while a leader is there: one after the other, or all of a second with its first instant.

use std::time::Duration;

use anyhow::ensure;
use gridloom_cli::output::Output;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::job::JobSpec;
use serde::Serialize;
use serde_json::json;

use super::{Row, count, jobs, late, percent};
use crate::args::FiresFlags;
use crate::stack::{self, QUEUE, Stack};
use crate::stats::Spread;
use crate::usage;

/// Fires before this moment are not counted.
const WARM_UP: Duration = Duration::from_secs(3);
/// What is due at the end may take so long.
const LAST: Duration = Duration::from_secs(3);
/// Slots of the worker.
const SLOTS: u32 = 1_000;

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Steady {
    jobs: u32,
    /// Whether their openings are spread over the time, or those of a second come at once.
    is_spread: bool,
    fires: usize,
    seconds: u32,
    /// In milliseconds.
    late: Spread,
    /// Part of a core.
    planner: f64,
    broker: f64,
    /// `None`: there was none.
    worker: Option<f64>,
}

pub(super) async fn measure(
    output: &Output,
    flags: &FiresFlags,
    rate: u32,
    is_spread: bool,
) -> anyhow::Result<Steady> {
    let stack = Stack::start(output, &flags.jetstream).await?;
    let planner = stack.planner("memory").await?;
    let broker = stack.connect().await?;
    let worker = match rate > flags.worker_up_to {
        true => None,
        false => Some(stack.worker(0, SLOTS).await?),
    };
    if worker.is_some() {
        stack::workers_are_there(&broker, 1).await?;
    }
    let count = flags.jobs.get();
    output.note(format!("{count} jobs, {rate} fires a second"));
    let time = Duration::from_secs(5) + Duration::from_secs(1) * (count / 1_000);
    let start = jobs::second_in(time);
    let all = firing(flags, rate, (start, is_spread), worker.is_some())?;
    jobs::apply(&broker, &all).await?;
    jobs::decisions(&broker, all.len() as u64).await?;
    ensure!(
        UnixMs::now() < start,
        "the jobs were not known after {time:?}"
    );

    let used = || -> anyhow::Result<[f64; 3]> {
        Ok([
            usage::cpu_seconds(planner.pid())?,
            usage::cpu_seconds(stack.pid()?)?,
            worker
                .as_ref()
                .map_or(Ok(0.0), |worker| usage::cpu_seconds(worker.pid()))?,
        ])
    };
    let from = start + WARM_UP;
    let until = from + Duration::from_secs(u64::from(flags.seconds.get()));
    jobs::until(from).await;
    let before = used()?;
    jobs::until(until).await;
    let after = used()?;
    tokio::time::sleep(LAST).await;
    let openings = jobs::openings(&broker, 0).await?;
    let late = jobs::lateness(&jobs::expected(&all, (from, until))?, &openings)?;
    let part = |of: usize| (after[of] - before[of]) / f64::from(flags.seconds.get());
    let found = Steady {
        jobs: count,
        is_spread,
        fires: late.len(),
        seconds: flags.seconds.get(),
        late: Spread::of(&late),
        planner: part(0),
        broker: part(1),
        worker: worker.as_ref().map(|_| part(2)),
    };
    drop((planner, worker));
    stack.stop().await?;
    Ok(found)
}

/// Jobs each of which fires in turn, so that there are `rate` fires a second from `start` on.
fn firing(
    flags: &FiresFlags,
    rate: u32,
    (start, is_spread): (UnixMs, bool),
    has_worker: bool,
) -> anyhow::Result<Vec<JobSpec>> {
    let period = (flags.jobs.get() / rate).max(1);
    let every = format!("{period}s");
    let overlap = if has_worker { "skip" } else { "allow" };
    let all = (0..flags.jobs.get()).map(|number| {
        let schedule = match is_spread {
            true => json!({
                "every": every, "start": start.rfc3339(), "spread": every, "overlap": overlap,
            }),
            false => {
                let start = start + Duration::from_secs(u64::from(number % period));
                json!({ "every": every, "start": start.rfc3339(), "overlap": overlap })
            }
        };
        jobs::job(&format!("steady-{number}"), QUEUE, 5, &schedule)
    });
    all.collect()
}

impl Steady {
    pub(super) fn rows(&self) -> Vec<Row> {
        let rate = self.fires as f64 / f64::from(self.seconds);
        let how = match self.is_spread {
            true => "one after the other",
            false => "all of a second at once",
        };
        let wanted = match self.is_spread {
            true => "p50 5, p99 50 ms",
            false => "",
        };
        let worker = self.worker.map_or_else(|| "away".into(), percent);
        vec![
            (
                format!(
                    "{} jobs, {rate:.0} fires/s, {how}: late by",
                    count(self.jobs as usize)
                ),
                wanted,
                late(&self.late),
            ),
            ("... planner; broker; worker".into(), "60 %", {
                let (planner, broker) = (percent(self.planner), percent(self.broker));
                format!("{planner}; {broker}; {worker}")
            }),
        ]
    }
}
