//! What thousands of open runs cost whose workers are away, whom they delay, how soon another planner
//! takes them over; and how soon thousands of small runs are done once their workers are there.
//!
//! | room | what it measures |
//! |------|------------------|
//! | [`waiting`] | open runs that wait: processor time, memory, runs of another queue, takeover |
//! | [`drain`] | open runs that are done |

use gridloom_cli::output::{Align, Output, Table, grouped};
use gridloom_shared::broker::Broker;
use gridloom_shared::id::JobName;
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use crate::args::OpenRunsFlags;
use crate::stats::Spread;
use crate::usage::{Hardware, Machine, Memory};

mod drain;
mod waiting;

/// Submissions that are on their way to the broker at once.
const AT_ONCE: usize = 512;

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    machine: Hardware,
    broker: String,
    /// Part of the machine that was busy meanwhile with anything, 0 to 1.
    busy: f64,
    waiting: Waiting,
    drain: Drain,
}

/// Runs that wait.
#[derive(Debug, Serialize)]
struct Waiting {
    runs: u32,
    shards_a_run: u32,
    /// From the first submission until all were open.
    opened_s: f64,
    seconds: u32,
    /// Part of a core while nothing happens.
    leader_cpu: f64,
    standby_cpu: f64,
    leader: Memory,
    standby: Memory,
    /// Submission to first start of runs of another queue, in milliseconds.
    first_start_ms: Spread,
    /// SIGKILL of the leader to a wave by the other planner.
    takeover_s: f64,
    /// The other planner after that.
    successor: Memory,
}

/// Runs that are done.
#[derive(Debug, Serialize)]
struct Drain {
    runs: u32,
    shards_a_run: u32,
    /// From the start of the worker's process to the last `closed`.
    seconds: f64,
    /// From the first `closed`.
    from_the_first_s: f64,
    planner_cpu_s: f64,
    worker_cpu_s: f64,
    broker_cpu_s: f64,
}

/// Measures, and prints the report.
///
/// # Errors
/// When a process cannot be started, ends, or does not do what was asked of it.
pub(crate) async fn run(output: &Output, flags: &OpenRunsFlags) -> anyhow::Result<()> {
    let before = Machine::now()?;
    let (broker, waiting) = Box::pin(waiting::measure(output, flags)).await?;
    let drain = Box::pin(drain::measure(output, flags)).await?;
    let report = Report {
        machine: Hardware::here(),
        broker,
        busy: Machine::now()?.others(before, 0.0),
        waiting,
        drain,
    };
    report.show(output);
    Ok(())
}

/// Publishes `count` empty submissions, many at once.
async fn submit(broker: &Broker, job: &JobName, count: u32) -> anyhow::Result<()> {
    let mut sent = JoinSet::new();
    for _ in 0..count {
        if sent.len() >= AT_ONCE
            && let Some(done) = sent.join_next().await
        {
            done??;
        }
        let (broker, subject) = (broker.clone(), broker.subjects().submit_to(job));
        sent.spawn(async move {
            broker
                .append(subject, json!({}).to_string().into(), None)
                .await?;
            anyhow::Ok(())
        });
    }
    while let Some(done) = sent.join_next().await {
        done??;
    }
    Ok(())
}

impl Report {
    fn show(&self, output: &Output) {
        output.show(self, |output| {
            let machine = &self.machine;
            output.say(format!(
                "{} cores of {}, Linux {}; nats-server {}; busy to {:.0} % meanwhile",
                machine.cores,
                machine.processor,
                machine.kernel,
                self.broker,
                self.busy * 100.0,
            ));
            output.say("");
            output.table(&self.table(), "nothing was measured");
        });
    }

    fn table(&self) -> Table {
        let (waiting, drain) = (&self.waiting, &self.drain);
        let mib = |memory: Memory| {
            format!(
                "{:.0} MiB, peak {:.0}",
                memory.resident_mib, memory.peak_mib
            )
        };
        let percent = |part: f64| format!("{:.1} % of a core", part * 100.0);
        let spread = &waiting.first_start_ms;
        let mut table = Table::new([
            ("", Align::Left),
            ("wanted", Align::Left),
            ("reached", Align::Left),
        ]);
        for (what, wanted, reached) in [
            (
                format!(
                    "{} submissions until all are open",
                    grouped(u64::from(waiting.runs))
                ),
                "",
                format!("{:.1} s", waiting.opened_s),
            ),
            (
                "the leader, while they wait".into(),
                "10 %",
                percent(waiting.leader_cpu),
            ),
            ("a standby".into(), "", percent(waiting.standby_cpu)),
            ("memory of the leader".into(), "", mib(waiting.leader)),
            ("memory of the standby".into(), "", mib(waiting.standby)),
            (
                "a run of another queue, to its first start".into(),
                "p99 20 ms",
                format!(
                    "p50 {:.1}, p99 {:.1}, max {:.1} ms",
                    spread.p50, spread.p99, spread.max
                ),
            ),
            (
                "SIGKILL of the leader to the standby's first wave".into(),
                "3 s + 5 s",
                format!("{:.2} s", waiting.takeover_s),
            ),
            ("memory of the successor".into(), "", mib(waiting.successor)),
            (
                format!(
                    "{} runs of {} shards, start of the worker to the last end",
                    grouped(u64::from(drain.runs)),
                    drain.shards_a_run
                ),
                "5 s",
                format!(
                    "{:.2} s ({:.2} s from the first end; processor seconds: planner {:.1}, worker {:.1}, broker {:.1})",
                    drain.seconds,
                    drain.from_the_first_s,
                    drain.planner_cpu_s,
                    drain.worker_cpu_s,
                    drain.broker_cpu_s
                ),
            ),
        ] {
            table.row([what, wanted.to_owned(), reached]);
        }
        table
    }
}
