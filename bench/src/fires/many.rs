//! Many schedules of which few fire: how soon they are known, what they cost while nothing happens, how soon a change is in
//! force, and how soon fires go on when the leader dies.

use std::time::{Duration, Instant};

use anyhow::Context;
use gridloom_cli::output::Output;
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::job::JobSpec;
use gridloom_shared::schedule::record::Record;
use gridloom_shared::wire;
use rustix::process::Signal;
use serde::Serialize;
use serde_json::json;

use super::jobs::{self, Opening};
use super::{Row, count, percent};
use crate::args::FiresFlags;
use crate::stack::{Process, Stack};
use crate::stats::Spread;
use crate::usage::{self, Memory};

/// A queue without workers.
const AWAY: &str = "away";
/// Until nothing more follows from what was done.
const SETTLE: Duration = Duration::from_secs(8);
/// Jobs that are changed, one after the other.
const CHANGES: usize = 50;
/// Jobs that fire while the leader dies, each once in [`PERIOD`].
const FIRING: usize = 3_000;
const PERIOD: Duration = Duration::from_secs(30);
/// What is looked at before the leader's death, and after.
const BEFORE: Duration = Duration::from_secs(5);
const AFTER: Duration = Duration::from_secs(15);
/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Many {
    schedules: usize,
    /// From the first definition's writing until each has its first decision.
    applied_s: f64,
    seconds: u32,
    /// Part of a core while nothing happens.
    leader_cpu: f64,
    standby_cpu: f64,
    leader: Memory,
    standby: Memory,
    /// From the definition's stamp to the decision's, in milliseconds.
    change_ms: Spread,
    /// SIGKILL to the first fire by the other planner.
    takeover_s: f64,
    /// How late the latest fire was of those that came due meanwhile.
    latest_s: f64,
    successor: Memory,
    /// From the start of a planner's process, none being there, to its first decision.
    loaded_s: f64,
}

pub(super) async fn measure(output: &Output, flags: &FiresFlags) -> anyhow::Result<Many> {
    let stack = Stack::start(output, &flags.jetstream).await?;
    let mut leader = stack.planner_named("leader", "memory").await?;
    let broker = stack.connect().await?;
    let number = flags.schedules.get() as usize;
    output.note(format!("{number} schedules"));
    let far = jobs::second_in(Duration::from_secs(100 * 86_400));
    let all = idle(number, far)?;
    let begun = Instant::now();
    jobs::apply(&broker, &all).await?;
    jobs::decisions(&broker, number as u64).await?;
    let applied_s = begun.elapsed().as_secs_f64();
    let standby = stack.planner_named("standby", "memory").await?;
    tokio::time::sleep(SETTLE).await;

    let (leader_cpu, standby_cpu) = at_rest(&leader, &standby, flags).await?;
    let memories = (usage::memory(leader.pid())?, usage::memory(standby.pid())?);
    output.note("some are changed");
    let later = idle(CHANGES.min(number), far + Duration::from_secs(3_600))?;
    let mut changes = Vec::new();
    for job in &later {
        changes.push(change(&broker, job).await?);
    }
    changes.sort_by(f64::total_cmp);

    output.note("the leader dies");
    let firing = fire(&broker, &all).await?;
    let (takeover_s, latest_s) = takeover(&broker, &firing, &mut leader).await?;
    let successor = usage::memory(standby.pid())?;
    output.note("all planners stop, and one starts");
    let loaded_s = load(&stack, &broker, standby, &all).await?;
    drop(leader);
    stack.stop().await?;
    Ok(Many {
        schedules: number,
        applied_s,
        seconds: flags.seconds.get(),
        leader_cpu,
        standby_cpu,
        leader: memories.0,
        standby: memories.1,
        change_ms: Spread::of(&changes),
        takeover_s,
        latest_s,
        successor,
        loaded_s,
    })
}

/// Jobs that fire in months: half of them by a cadence, half by clocks.
fn idle(number: usize, far: UnixMs) -> anyhow::Result<Vec<JobSpec>> {
    let all = (0..number).map(|number| {
        let start = far.rfc3339();
        let schedule = match number % 2 {
            0 => json!({ "every": "30d", "start": start }),
            _ => json!({ "cron": "0 6 * * MON-FRI", "timezone": "Europe/Berlin", "start": start }),
        };
        jobs::job(&format!("idle-{number}"), AWAY, 5, &schedule)
    });
    all.collect()
}

/// Processor time of both planners, as a part of a core, while nothing happens.
async fn at_rest(
    leader: &Process,
    standby: &Process,
    flags: &FiresFlags,
) -> anyhow::Result<(f64, f64)> {
    let used = || -> anyhow::Result<(f64, f64)> {
        Ok((
            usage::cpu_seconds(leader.pid())?,
            usage::cpu_seconds(standby.pid())?,
        ))
    };
    let (before, begun) = (used()?, Instant::now());
    tokio::time::sleep(Duration::from_secs(u64::from(flags.seconds.get()))).await;
    let (after, passed) = (used()?, begun.elapsed().as_secs_f64());
    Ok(((after.0 - before.0) / passed, (after.1 - before.1) / passed))
}

/// Milliseconds from a change of `job` to the decision that follows from it, by the broker's stamps.
async fn change(broker: &Broker, job: &JobSpec) -> anyhow::Result<f64> {
    let key = job.name.as_str();
    broker.jobs().put(key, wire::encode(job)).await?;
    let put = broker.jobs().place_of(key).await?;
    let put = put.at().context("the definition")?;
    Ok((adopted(broker, job, put).await?.0 + 1 - put.0) as f64)
}

/// When it was decided about a job first since `since`.
async fn adopted(broker: &Broker, job: &JobSpec, since: UnixMs) -> anyhow::Result<UnixMs> {
    let subjects = broker.subjects();
    let (history, fires) = (subjects.history(), subjects.fires(&job.name));
    let give_up = Instant::now() + PATIENCE;
    loop {
        let last = broker.last_of_leader(&history, &fires).await?;
        if let Some(last) = last.filter(|last| last.at >= since) {
            wire::decode::<Record>(&last.payload)?;
            return Ok(last.at);
        }
        anyhow::ensure!(
            Instant::now() < give_up,
            "a change is not in force after {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Has some of the jobs fire from now on.
async fn fire(broker: &Broker, all: &[JobSpec]) -> anyhow::Result<Vec<JobSpec>> {
    let period = format!("{}s", PERIOD.as_secs());
    let start = jobs::second_in(Duration::from_secs(5)).rfc3339();
    let schedule = json!({ "every": period, "start": start, "spread": period, "overlap": "allow" });
    let firing = all.iter().rev().take(FIRING);
    let firing = firing.map(|job| jobs::job(job.name.as_str(), AWAY, 5, &schedule));
    let firing: Vec<JobSpec> = firing.collect::<anyhow::Result<_>>()?;
    jobs::apply(broker, &firing).await?;
    tokio::time::sleep(PERIOD).await;
    Ok(firing)
}

/// How long no fire was opened after the leader's death, and by how much the latest was late, in seconds.
async fn takeover(
    broker: &Broker,
    firing: &[JobSpec],
    leader: &mut Process,
) -> anyhow::Result<(f64, f64)> {
    let ledger = broker.subjects().ledger();
    let after = broker.info(&ledger).await?.last_seq;
    tokio::time::sleep(BEFORE).await;
    let died = UnixMs::now();
    leader.signal(Signal::KILL)?;
    tokio::time::sleep(AFTER).await;
    let openings = jobs::openings(broker, after).await?;
    // What was on its way lands within a moment.
    let moment = Duration::from_millis(100);
    let goes_on = openings.iter().filter(|opening| opening.at > died + moment);
    let goes_on = goes_on.map(|opening: &Opening| opening.at).min();
    let goes_on = goes_on.context("no fire after the leader's death")?;
    let begin = UnixMs(died.0 - BEFORE.as_millis() as u64) + moment * 10;
    let end = died + (AFTER - moment * 20);
    let expected = jobs::expected(firing, (begin, end))?;
    let late = jobs::lateness(&expected, &openings)?;
    let latest = late.last().copied().unwrap_or(0.0) / 1_000.0;
    Ok(((goes_on.0 - died.0) as f64 / 1_000.0, latest))
}

/// Stops the last planner, changes a job, and starts another: seconds from there to the decision about the change.
async fn load(
    stack: &Stack,
    broker: &Broker,
    mut last: Process,
    all: &[JobSpec],
) -> anyhow::Result<f64> {
    last.signal(Signal::TERM)?;
    last.wait().await?;
    let changed = jobs::job(
        all[0].name.as_str(),
        AWAY,
        5,
        &json!({ "every": "20d", "start": jobs::second_in(PERIOD * 1_000).rfc3339() }),
    )?;
    broker
        .jobs()
        .put(changed.name.as_str(), wire::encode(&changed))
        .await?;
    let begun = UnixMs::now();
    let planner = stack.planner_named("afresh", "memory").await?;
    let decided = adopted(broker, &changed, begun).await?;
    drop(planner);
    Ok((decided.0 - begun.0) as f64 / 1_000.0)
}

impl Many {
    pub(super) fn rows(&self) -> Vec<Row> {
        let all = count(self.schedules);
        let Spread { p50, p99, max, .. } = self.change_ms;
        let mib = |memory: Memory| format!("{:.0} MiB", memory.resident_mib);
        vec![
            (
                format!("{all} definitions: applied, each with its first decision"),
                "",
                format!("{:.1} s", self.applied_s),
            ),
            (
                "... loaded: start of a planner to its first decision".into(),
                "5 s",
                format!("{:.2} s", self.loaded_s),
            ),
            ("... leader while nothing happens; standby".into(), "1 %", {
                let (leader, standby) = (percent(self.leader_cpu), percent(self.standby_cpu));
                format!("{leader}; {standby}")
            }),
            (
                "... memory of leader, standby, and the standby once it leads".into(),
                "",
                format!(
                    "{}, {}, {}",
                    mib(self.leader),
                    mib(self.standby),
                    mib(self.successor)
                ),
            ),
            (
                "... a change is in force after".into(),
                "100 ms",
                format!("p50 {p50:.0}, p99 {p99:.0}, max {max:.0} ms"),
            ),
            (
                "... SIGKILL of the leader to the next fire; the latest fire was late by".into(),
                "5 s",
                format!("{:.2} s; {:.2} s", self.takeover_s, self.latest_s),
            ),
        ]
    }
}
