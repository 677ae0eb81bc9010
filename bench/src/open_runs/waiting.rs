//! Open runs whose workers are away.

use std::time::{Duration, Instant};

use anyhow::Context;
use gridloom_cli::output::Output;
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, Nonce, QueueName, RunId, Term};
use gridloom_shared::job::parse;
use gridloom_shared::ledger::record::{PlanRecord, Retired};
use gridloom_shared::wire;
use rustix::process::Signal;
use serde_json::json;

use super::{Waiting, append, submit};
use crate::args::{Kept, LatencyFlags, OpenRunsFlags};
use crate::latency::{self, worker};
use crate::plans::{self, Plans};
use crate::stack::{self, Process, QUEUE, Stack};
use crate::stats::Spread;
use crate::usage;

/// The queue without workers.
pub(crate) const AWAY: &str = "away";
/// Until summaries are written, and what else follows the opening of runs.
const SETTLE: Duration = Duration::from_secs(10);
/// How long a takeover may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) async fn measure(
    output: &Output,
    flags: &OpenRunsFlags,
) -> anyhow::Result<(String, Waiting)> {
    let stack = Stack::start(output, "").await?;
    let mut leader = stack.planner_named("leader", "memory").await?;
    let broker = stack.connect().await?;
    let away = apply_away(&broker, flags.shards.get()).await?;
    let stamped = latency::apply(&broker, 4).await?;
    let worker = stack.child("stamp-worker").await?;
    stack::workers_are_there(&broker, 1).await?;
    // The first run shows that the leader leads before another planner is there.
    first_run(&broker, &stamped, "first").await?;
    let standby = stack.planner_named("standby", "memory").await?;

    if flags.ids > 0 {
        output.note(format!("{} remembered ids", flags.ids));
        remember(&broker, &away, flags.ids).await?;
    }
    output.note(format!("{} submissions", flags.runs));
    let mut plans = Plans::listen(&broker, &AWAY.parse()?).await?;
    let begun = Instant::now();
    submit(&broker, &away, flags.runs.get()).await?;
    let runs = u64::from(flags.runs.get());
    plans.until(|seen| seen.opened >= runs).await?;
    let opened_s = begun.elapsed().as_secs_f64();
    drop(plans);
    output.note(format!("all are open after {opened_s:.1} s"));
    tokio::time::sleep(SETTLE).await;

    let (leader_cpu, standby_cpu) = at_rest(&leader, &standby, flags.seconds.get()).await?;
    let memory = (usage::memory(leader.pid())?, usage::memory(standby.pid())?);
    output.note("runs of another queue");
    let waits = others(&stack, &broker, &stamped, flags).await?;
    output.note("the leader dies");
    let takeover = takeover(&broker, &stamped, &mut leader).await?;
    let successor = usage::memory(standby.pid())?;
    let version = stack.version();
    drop((leader, standby, worker));
    stack.stop().await?;
    let found = Waiting {
        ids: flags.ids,
        runs: flags.runs.get(),
        shards_a_run: flags.shards.get(),
        opened_s,
        seconds: flags.seconds.get(),
        leader_cpu,
        standby_cpu,
        leader: memory.0,
        standby: memory.1,
        first_start_ms: Spread::of(&waits),
        takeover_s: takeover.as_secs_f64(),
        successor,
    };
    Ok((version, found))
}

/// Writes what retention leaves of runs that are gone.
async fn remember(broker: &Broker, job: &JobName, ids: u32) -> anyhow::Result<()> {
    let queue: QueueName = AWAY.parse()?;
    append(broker, ids, |number| {
        let run = RunId::from_request(job, &format!("gone {number}"));
        let retired = PlanRecord::Retired(Retired {
            nonce: Some(Nonce(u64::from(number))),
            content: Some(u64::from(number)),
            closed_at: UnixMs::now(),
            dead: 0,
            term: Term(1),
        });
        Ok((
            broker.subjects().id_of(&queue, &run),
            wire::encode(&retired),
        ))
    })
    .await
}

pub(crate) async fn apply_away(broker: &Broker, shards: u32) -> anyhow::Result<JobName> {
    let spec = parse::from_value(json!({
        "name": "away",
        "handler": "noop",
        "queue": AWAY,
        "grid": { "slices": shards, "pages": { "count": 1 } },
    }))?;
    stack::define(broker, &spec).await?;
    Ok(spec.name)
}

/// Processor time of both planners, as a part of a core, while nothing happens.
pub(super) async fn at_rest(
    leader: &Process,
    standby: &Process,
    seconds: u32,
) -> anyhow::Result<(f64, f64)> {
    let used = || -> anyhow::Result<(f64, f64)> {
        Ok((
            usage::cpu_seconds(leader.pid())?,
            usage::cpu_seconds(standby.pid())?,
        ))
    };
    let (before, begun) = (used()?, Instant::now());
    tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await;
    let (after, passed) = (used()?, begun.elapsed().as_secs_f64());
    Ok(((after.0 - before.0) / passed, (after.1 - before.1) / passed))
}

/// How long runs of another queue wait for their first start, in milliseconds, in ascending order.
pub(super) async fn others(
    stack: &Stack,
    broker: &Broker,
    job: &JobName,
    flags: &OpenRunsFlags,
) -> anyhow::Result<Vec<f64>> {
    let flags = LatencyFlags {
        rate: flags.rate,
        seconds: flags.seconds,
        shards: flags.shards,
        storage: Kept::Memory,
    };
    let counted = latency::submit(broker, job, &flags).await?;
    let starts = worker::starts(&stack.url(), counted.end, latency::PATIENCE).await?;
    latency::waits(&starts, counted)
}

/// From the leader's death to the first wave of a run that was submitted then.
async fn takeover(
    broker: &Broker,
    job: &JobName,
    leader: &mut Process,
) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    leader.signal(Signal::KILL)?;
    first_run(broker, job, "after-death").await?;
    Ok(begun.elapsed())
}

/// Submits a run and waits until it has a wave.
pub(super) async fn first_run(broker: &Broker, job: &JobName, id: &str) -> anyhow::Result<()> {
    let queue: QueueName = QUEUE.parse()?;
    let body = json!({ "id": id, "params": { "number": 0, "sent_ns": 0 } });
    let subject = broker.subjects().submit_to(job);
    broker
        .append(subject, body.to_string().into(), None)
        .await
        .context("submit a run")?;
    let run = RunId::from_request(job, id);
    plans::first_wave(broker, &queue, &run, PATIENCE).await
}
