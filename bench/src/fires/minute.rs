//! Many jobs that are due at one instant, some of them more urgent than the others; and the same with `spread`.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::ensure;
use gridloom_cli::output::Output;
use gridloom_shared::clock::UnixMs;
use serde::Serialize;
use serde_json::json;

use super::jobs::{self, Opening};
use super::{Row, count, late};
use crate::args::FiresFlags;
use crate::plans::Plans;
use crate::stack::Stack;
use crate::stats::Spread;
use crate::usage;

/// A queue without workers: what counts is the opening.
const AWAY: &str = "away";
/// Jobs of the most urgent priority among them, whose names come last.
const URGENT: u32 = 10;
/// Until what was published is stored.
const MOMENT: Duration = Duration::from_secs(1);
/// Over which `spread` spreads them.
const SPREAD: Duration = Duration::from_secs(60);

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Minute {
    jobs: usize,
    is_spread: bool,
    /// In milliseconds, from when each was to open.
    late: Spread,
    /// From the instant on, in milliseconds.
    first_urgent_ms: f64,
    last_urgent_ms: f64,
    all_ms: f64,
    /// Opened in the fullest second.
    most_a_second: usize,
    /// Processor seconds until all were open.
    planner_cpu_s: f64,
    broker_cpu_s: f64,
}

pub(super) async fn measure(
    output: &Output,
    flags: &FiresFlags,
    is_spread: bool,
) -> anyhow::Result<Minute> {
    let stack = Stack::start(output, &flags.jetstream).await?;
    let planner = stack.planner("memory").await?;
    let broker = stack.connect().await?;
    let due = flags.due.get();
    let time = Duration::from_secs(8) + Duration::from_secs(1) * (due / 1_000);
    let start = jobs::second_in(time);
    let spread = if is_spread { SPREAD } else { Duration::ZERO };
    let mut schedule = json!({ "every": "1h", "start": start.rfc3339() });
    if is_spread {
        schedule["spread"] = format!("{}s", SPREAD.as_secs()).into();
    }
    let all = (0..due).map(|number| match number < URGENT {
        true => jobs::job(&format!("z-urgent-{number}"), AWAY, 0, &schedule),
        false => jobs::job(&format!("due-{number}"), AWAY, 5, &schedule),
    });
    let all: Vec<_> = all.collect::<anyhow::Result<_>>()?;
    output.note(format!(
        "{due} jobs that are due together, spread over {spread:?}"
    ));
    jobs::apply(&broker, &all).await?;
    jobs::decisions(&broker, all.len() as u64).await?;
    ensure!(
        UnixMs::now() < start,
        "the jobs were not known after {time:?}"
    );

    let mut plans = Plans::listen(&broker, &AWAY.parse()?).await?;
    jobs::until(start).await;
    let used = || -> anyhow::Result<(f64, f64)> {
        Ok((
            usage::cpu_seconds(planner.pid())?,
            usage::cpu_seconds(stack.pid()?)?,
        ))
    };
    let before = used()?;
    let end = start + spread + Duration::from_secs(1);
    let expected = jobs::expected(&all, (start, end))?;
    let wanted = expected.len() as u64;
    plans.until(|seen| seen.opened >= wanted).await?;
    let after = used()?;
    drop(plans);
    // The last was heard of before it was stored.
    tokio::time::sleep(MOMENT).await;
    let openings = jobs::openings(&broker, 0).await?;
    let late = jobs::lateness(&expected, &openings)?;
    let since = |opening: &Opening| (opening.at.0 + 1).saturating_sub(start.0) as f64;
    let urgent = openings
        .iter()
        .filter(|opening| opening.job.starts_with("z-"));
    let urgent: Vec<f64> = urgent.map(since).collect();
    let found = Minute {
        jobs: all.len(),
        is_spread,
        late: Spread::of(&late),
        first_urgent_ms: urgent.iter().copied().fold(f64::INFINITY, f64::min),
        last_urgent_ms: urgent.iter().copied().fold(0.0, f64::max),
        all_ms: openings.iter().map(since).fold(0.0, f64::max),
        most_a_second: most_a_second(&openings),
        planner_cpu_s: after.0 - before.0,
        broker_cpu_s: after.1 - before.1,
    };
    drop(planner);
    stack.stop().await?;
    Ok(found)
}

fn most_a_second(openings: &[Opening]) -> usize {
    let mut seconds: HashMap<u64, usize> = HashMap::new();
    for opening in openings {
        *seconds.entry(opening.at.0 / 1_000).or_default() += 1;
    }
    seconds.into_values().max().unwrap_or(0)
}

impl Minute {
    pub(super) fn rows(&self) -> Vec<Row> {
        let cpu = format!(
            "processor seconds: planner {:.1}, broker {:.1}",
            self.planner_cpu_s, self.broker_cpu_s
        );
        let jobs = count(self.jobs);
        let most = format!("{} in the fullest second", count(self.most_a_second));
        if self.is_spread {
            return vec![(
                format!("{jobs} jobs due together with spread = \"60s\": late by"),
                "flat",
                format!("{}; {most}; {cpu}", late(&self.late)),
            )];
        }
        vec![
            (
                format!("{jobs} jobs due together: all open"),
                "10 s",
                format!("{:.2} s ({most}; {cpu})", self.all_ms / 1_000.0),
            ),
            (
                "... the first of priority = 0; the last of ten".into(),
                "100 ms",
                format!("{:.0}; {:.0} ms", self.first_urgent_ms, self.last_urgent_ms),
            ),
        ]
    }
}
