//! Submissions to a queue that has as many open runs as it may: they wait on the stream, and cost the
//! planners nothing.

use std::time::{Duration, Instant};

use anyhow::Context;
use gridloom_cli::output::Output;
use gridloom_planner::metrics::{QUEUE_CLOSED, SUBMISSIONS_WAITING};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::waiting::{AWAY, apply_away, at_rest, first_run, others};
use super::{Queued, submit};
use crate::args::OpenRunsFlags;
use crate::latency;
use crate::plans::Plans;
use crate::stack::{self, Process, Stack};
use crate::stats::Spread;
use crate::usage::{self, Memory};

/// Until what follows the submissions is over.
const SETTLE: Duration = Duration::from_secs(5);

pub(super) async fn measure(
    output: &Output,
    flags: &OpenRunsFlags,
) -> anyhow::Result<(String, Queued)> {
    let stack = Stack::start(output, "").await?;
    let port = free_port().await?;
    let more = |listen: u16| {
        let bound = flags.bound.to_string();
        [
            "--open-runs",
            &bound,
            "--listen",
            &format!("127.0.0.1:{listen}"),
        ]
        .map(str::to_owned)
    };
    let leader = stack.planner_with("leader", &more(port)).await?;
    let broker = stack.connect().await?;
    let away = apply_away(&broker, 1).await?;
    let stamped = latency::apply(&broker, 4).await?;
    let worker = stack.child("stamp-worker").await?;
    stack::workers_are_there(&broker, 1).await?;
    // The first run shows that the leader leads before another planner is there.
    first_run(&broker, &stamped, "first").await?;
    let standby = stack.planner_with("standby", &more(0)).await?;

    let mut plans = Plans::listen(&broker, &AWAY.parse()?).await?;
    let begun = Instant::now();
    let tenth = flags.submissions / 10;
    output.note(format!("{tenth} submissions"));
    submit(&broker, &away, tenth).await?;
    let bound = u64::from(flags.bound.get());
    plans.until(|seen| seen.opened >= bound).await?;
    tokio::time::sleep(SETTLE).await;
    let some = memories(&leader, &standby)?;
    output.note(format!("{} more", flags.submissions - tenth));
    submit(&broker, &away, flags.submissions - tenth).await?;
    let submitted_s = (begun.elapsed() - SETTLE).as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let all = memories(&leader, &standby)?;

    let (leader_cpu, standby_cpu) = at_rest(&leader, &standby, flags.seconds.get()).await?;
    output.note("runs of another queue");
    let waits = others(&stack, &broker, &stamped, flags).await?;
    let open = plans.opened();
    let on_the_stream = broker.info(&broker.subjects().submit()).await?.messages;
    let doctor = doctor(&stack).await?;
    let metrics = metrics(port).await?;
    let version = stack.version();
    drop((leader, standby, worker));
    stack.stop().await?;
    let found = Queued {
        bound: flags.bound.get(),
        submissions: flags.submissions,
        submitted_s,
        open,
        on_the_stream,
        leader: [some.0, all.0],
        standby: [some.1, all.1],
        leader_cpu,
        standby_cpu,
        first_start_ms: Spread::of(&waits),
        doctor,
        metrics,
    };
    Ok((version, found))
}

fn memories(leader: &Process, standby: &Process) -> anyhow::Result<(Memory, Memory)> {
    Ok((usage::memory(leader.pid())?, usage::memory(standby.pid())?))
}

async fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port())
}

/// What `doctor` finds of submissions.
async fn doctor(stack: &Stack) -> anyhow::Result<String> {
    let checks = stack.asked(&["doctor"]).await?;
    let mut checks = checks.as_array().into_iter().flatten();
    let check = checks.find(|check| check["check"] == "submissions");
    let check = check.context("a word of doctor about submissions")?;
    let text = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
    Ok(format!("{}: {}", text("result"), text("found")))
}

/// What the leader's metrics say of submissions.
async fn metrics(port: u16) -> anyhow::Result<Vec<String>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let question = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(question).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let wanted = [QUEUE_CLOSED.name, SUBMISSIONS_WAITING.name];
    let lines = answer
        .lines()
        .filter(|line| wanted.iter().any(|name| line.starts_with(name)));
    Ok(lines.map(str::to_owned).collect())
}
