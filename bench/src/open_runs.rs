//! What thousands of open runs cost whose workers are away, whom they delay, how soon another planner
//! takes them over; and how soon thousands of small runs are done once their workers are there.
//!
//! | room | what it measures |
//! |------|------------------|
//! | [`waiting`] | open runs that wait: processor time, memory, runs of another queue, takeover |
//! | [`drain`] | open runs that are done |
//! | [`queued`] | submissions beyond the bound on open runs |

use bytes::Bytes;
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
mod queued;
mod waiting;

pub(crate) use waiting::{AWAY, apply_away};

/// Submissions that are on their way to the broker at once.
const AT_ONCE: usize = 512;

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    machine: Hardware,
    broker: String,
    /// Part of the machine that was busy meanwhile with anything, 0 to 1.
    busy: f64,
    waiting: Option<Waiting>,
    drain: Option<Drain>,
    queued: Option<Queued>,
}

/// Submissions that wait.
#[derive(Debug, Serialize)]
struct Queued {
    bound: u32,
    submissions: u32,
    submitted_s: f64,
    /// Open runs at the end.
    open: u64,
    /// Messages on the stream at the end.
    on_the_stream: u64,
    /// After a tenth of them, and after all.
    leader: [Memory; 2],
    standby: [Memory; 2],
    /// Part of a core while they wait.
    leader_cpu: f64,
    standby_cpu: f64,
    /// Submission to first start of runs of another queue, in milliseconds.
    first_start_ms: Spread,
    /// What `doctor` finds of submissions.
    doctor: String,
    metrics: Vec<String>,
}

/// Runs that wait.
#[derive(Debug, Serialize)]
struct Waiting {
    /// Remembered ids of runs that are gone.
    ids: u32,
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
    let (mut broker, mut waiting, mut drain, mut queued) = (String::new(), None, None, None);
    if !flags.submissions_only {
        let (version, found) = Box::pin(waiting::measure(output, flags)).await?;
        (broker, waiting) = (version, Some(found));
        drain = Some(Box::pin(drain::measure(output, flags)).await?);
    }
    if flags.submissions > 0 {
        let (version, found) = Box::pin(queued::measure(output, flags)).await?;
        (broker, queued) = (version, Some(found));
    }
    let report = Report {
        machine: Hardware::here(),
        broker,
        busy: Machine::now()?.others(before, 0.0),
        waiting,
        drain,
        queued,
    };
    report.show(output);
    Ok(())
}

/// Publishes `count` empty submissions, many at once.
pub(crate) async fn submit(broker: &Broker, job: &JobName, count: u32) -> anyhow::Result<()> {
    append(broker, count, |_| {
        let subject = broker.subjects().submit_to(job);
        Ok((subject, json!({}).to_string().into()))
    })
    .await
}

/// Publishes `count` messages, many at once, and waits for the confirmation of each.
async fn append(
    broker: &Broker,
    count: u32,
    message: impl Fn(u32) -> anyhow::Result<(String, Bytes)>,
) -> anyhow::Result<()> {
    let mut sent = JoinSet::new();
    for number in 0..count {
        if sent.len() >= AT_ONCE
            && let Some(done) = sent.join_next().await
        {
            done??;
        }
        let (broker, (subject, payload)) = (broker.clone(), message(number)?);
        sent.spawn(async move {
            broker.append(subject, payload, None).await?;
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
                "{}; nats-server {}; busy to {:.0} % meanwhile",
                machine,
                self.broker,
                self.busy * 100.0,
            ));
            output.say("");
            output.table(&self.table(), "nothing was measured");
        });
    }

    fn table(&self) -> Table {
        let mut table = Table::new([
            ("", Align::Left),
            ("wanted", Align::Left),
            ("reached", Align::Left),
        ]);
        let waiting = self.waiting.iter().flat_map(Waiting::rows);
        let drain = self.drain.iter().flat_map(Drain::rows);
        let queued = self.queued.iter().flat_map(Queued::rows);
        for (what, wanted, reached) in waiting.chain(drain).chain(queued) {
            table.row([what, wanted.to_owned(), reached]);
        }
        table
    }
}

type Row = (String, &'static str, String);

fn mib(memory: Memory) -> String {
    format!(
        "{:.0} MiB, peak {:.0}",
        memory.resident_mib, memory.peak_mib
    )
}

fn percent(part: f64) -> String {
    format!("{:.1} % of a core", part * 100.0)
}

fn first_start(spread: &Spread) -> Row {
    (
        "a run of another queue, to its first start".into(),
        "p99 20 ms",
        format!(
            "p50 {:.1}, p99 {:.1}, max {:.1} ms",
            spread.p50, spread.p99, spread.max
        ),
    )
}

impl Waiting {
    fn rows(&self) -> Vec<Row> {
        let ids = match self.ids {
            0 => String::new(),
            ids => format!(", beside {} remembered ids", grouped(u64::from(ids))),
        };
        vec![
            (
                format!(
                    "{} submissions until all are open{ids}",
                    grouped(u64::from(self.runs))
                ),
                "",
                format!("{:.1} s", self.opened_s),
            ),
            (
                "the leader, while they wait".into(),
                "10 %",
                percent(self.leader_cpu),
            ),
            ("a standby".into(), "", percent(self.standby_cpu)),
            ("memory of the leader".into(), "", mib(self.leader)),
            ("memory of the standby".into(), "", mib(self.standby)),
            first_start(&self.first_start_ms),
            (
                "SIGKILL of the leader to the standby's first wave".into(),
                "3 s + 5 s",
                format!("{:.2} s", self.takeover_s),
            ),
            ("memory of the successor".into(), "", mib(self.successor)),
        ]
    }
}

impl Drain {
    fn rows(&self) -> Vec<Row> {
        vec![(
            format!(
                "{} runs of {} shards, start of the worker to the last end",
                grouped(u64::from(self.runs)),
                self.shards_a_run
            ),
            "5 s",
            format!(
                "{:.2} s ({:.2} s from the first end; processor seconds: planner {:.1}, worker {:.1}, broker {:.1})",
                self.seconds,
                self.from_the_first_s,
                self.planner_cpu_s,
                self.worker_cpu_s,
                self.broker_cpu_s
            ),
        )]
    }
}

impl Queued {
    fn rows(&self) -> Vec<Row> {
        let all = u64::from(self.submissions);
        let memory = |who: &str, [some, all]: [Memory; 2]| {
            (
                format!("memory of the {who}, after a tenth and after all"),
                "no growth",
                format!("{}; {}", mib(some), mib(all)),
            )
        };
        vec![
            (
                format!(
                    "{} submissions, {} runs may be open",
                    grouped(all),
                    self.bound
                ),
                "",
                format!(
                    "{:.1} s; {} open, {} on the stream",
                    self.submitted_s,
                    grouped(self.open),
                    grouped(self.on_the_stream)
                ),
            ),
            memory("leader", self.leader),
            memory("standby", self.standby),
            (
                "the leader, while they wait".into(),
                "10 %",
                percent(self.leader_cpu),
            ),
            ("a standby".into(), "", percent(self.standby_cpu)),
            first_start(&self.first_start_ms),
            ("doctor".into(), "", self.doctor.clone()),
            ("metrics".into(), "", self.metrics.join("; ")),
        ]
    }
}
