//! What a list costs that looks into the ledgers of thousands of runs: `dead list` over runs whose shards
//! are all dead, beside lists that read less. Each is the command as people type it, in a process of its own.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use gridloom_cli::output::{Align, Output, Table, grouped};
use gridloom_shared::id::RunId;
use gridloom_shared::job::parse;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::args::ListsFlags;
use crate::open_runs::submit;
use crate::plans::Plans;
use crate::stack::{self, NAMESPACE, QUEUE, Stack};
use crate::stats::median;
use crate::usage::{self, Hardware, Watch};

/// Slots of the worker.
const SLOTS: u32 = 1_000;
/// Until the last summaries are written.
const SETTLE: Duration = Duration::from_secs(2);
/// How often a command's memory is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    machine: Hardware,
    broker: String,
    runs: u32,
    shards_a_run: u32,
    /// Part of the machine that something else used, 0 to 1.
    others: f64,
    lists: Vec<Listed>,
}

/// One command.
#[derive(Debug, Serialize)]
struct Listed {
    command: String,
    wanted: &'static str,
    /// Median over the rounds.
    seconds: f64,
    /// Processor seconds of the broker over one round.
    broker_cpu_s: f64,
    peak_mib: f64,
    items: usize,
}

/// Measures, and prints the report.
///
/// # Errors
/// When a process cannot be started, ends, or does not do what was asked of it.
pub(crate) async fn run(output: &Output, flags: &ListsFlags) -> anyhow::Result<()> {
    let stack = Stack::start(output, "").await?;
    let planner = stack.planner("memory").await?;
    let broker = stack.connect().await?;
    let spec = parse::from_value(json!({
        "name": "bad",
        "handler": "noop",
        "queue": QUEUE,
        "grid": { "slices": flags.shards.get() },
        "retry": { "max_attempts": 1 },
        "params": { "fail_attempts": 1, "permanent": true },
    }))?;
    stack::define(&broker, &spec).await?;
    let worker = stack.worker(0, SLOTS).await?;
    stack::workers_are_there(&broker, 1).await?;
    output.note(format!("{} runs that fail", flags.runs));
    let mut plans = Plans::listen_to_failures(&broker, &QUEUE.parse()?).await?;
    submit(&broker, &spec.name, flags.runs.get()).await?;
    let runs = u64::from(flags.runs.get());
    plans.until(|seen| seen.ended_otherwise >= runs).await?;
    let some = plans.last().context("a run that was closed")?;
    drop(worker);
    tokio::time::sleep(SETTLE).await;

    let (mut lists, watch) = (Vec::new(), Watch::begin()?);
    let all = flags.runs.get() as usize * flags.shards.get() as usize;
    for (command, wanted, items) in commands(&some, all) {
        output.note(format!("gridloom {}", command.join(" ")));
        let listed = measure(&stack, flags.rounds.get(), &command, wanted).await?;
        if listed.items != items {
            bail!("{} items instead of {items}: {command:?}", listed.items);
        }
        lists.push(listed);
    }
    let report = Report {
        machine: Hardware::here(),
        broker: stack.version(),
        runs: flags.runs.get(),
        shards_a_run: flags.shards.get(),
        others: watch.others()?,
        lists,
    };
    drop(planner);
    stack.stop().await?;
    report.show(output);
    Ok(())
}

/// What is typed, in how many seconds it is to end, and how many items it lists.
fn commands(some: &RunId, all: usize) -> Vec<(Vec<&str>, &'static str, usize)> {
    let shards = all.max(1);
    vec![
        (vec!["dead", "list"], "2 s", shards),
        (vec!["dead", "list", "--error-like", "attempt 7"], "2 s", 0),
        (vec!["runs", "--limit", "50"], "", 50.min(shards)),
        (vec!["show", some.as_str()], "", 1),
    ]
}

async fn measure(
    stack: &Stack,
    rounds: u32,
    command: &[&str],
    wanted: &'static str,
) -> anyhow::Result<Listed> {
    let broker = stack.pid()?;
    let before = usage::cpu_seconds(broker)?;
    let mut listed = Listed {
        command: command.join(" "),
        wanted,
        seconds: 0.0,
        broker_cpu_s: 0.0,
        peak_mib: 0.0,
        items: 0,
    };
    let mut times = Vec::new();
    for _ in 0..rounds {
        let begun = Instant::now();
        let (said, peak_mib) = once(stack, command).await?;
        times.push(begun.elapsed().as_secs_f64());
        listed.peak_mib = listed.peak_mib.max(peak_mib);
        listed.items = match serde_json::from_slice(&said)? {
            Value::Array(items) => items.len(),
            _ => 1,
        };
    }
    listed.seconds = median(times);
    listed.broker_cpu_s = (usage::cpu_seconds(broker)? - before) / f64::from(rounds);
    Ok(listed)
}

/// Runs the command, and says what it printed and how much memory it had at most.
async fn once(stack: &Stack, command: &[&str]) -> anyhow::Result<(Vec<u8>, f64)> {
    let own = std::env::current_exe().context("find the running program")?;
    let child = Command::new(own)
        .args(command)
        .args(["--json", "--namespace", NAMESPACE, "--nats", &stack.url()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let pid = child.id().context("a process id")?;
    let mut ended = std::pin::pin!(child.wait_with_output());
    let mut peak = 0.0_f64;
    loop {
        tokio::select! {
            ended = &mut ended => {
                let ended = ended?;
                if !ended.status.success() {
                    bail!("{command:?} ended with {}", ended.status);
                }
                return Ok((ended.stdout, peak));
            }
            () = tokio::time::sleep(LOOK) => {
                // Of one that has just ended nothing is known any more.
                peak = usage::memory(pid).map_or(peak, |memory| peak.max(memory.peak_mib));
            }
        }
    }
}

impl Report {
    fn show(&self, output: &Output) {
        output.show(self, |output| {
            let machine = &self.machine;
            output.say(format!(
                "{}; nats-server {}; {} failed runs of {} shards; others had {:.0} % of the machine",
                machine,
                self.broker,
                grouped(u64::from(self.runs)),
                self.shards_a_run,
                self.others * 100.0,
            ));
            output.say("");
            let mut table = Table::new([
                ("command", Align::Left),
                ("wanted", Align::Right),
                ("took", Align::Right),
                ("broker", Align::Right),
                ("memory", Align::Right),
                ("items", Align::Right),
            ]);
            for list in &self.lists {
                table.row([
                    list.command.clone(),
                    list.wanted.to_owned(),
                    format!("{:.2} s", list.seconds),
                    format!("{:.2} s", list.broker_cpu_s),
                    format!("{:.0} MiB", list.peak_mib),
                    grouped(list.items as u64),
                ]);
            }
            output.table(&table, "nothing was measured");
        });
    }
}
