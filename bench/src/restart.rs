//! How long commits pause when the broker is killed and restarted under a steady stream of them, alone and beside
//! thousands of open runs. What counts is the longest time between two records of outcomes, by the broker's stamps.
//!
//! Beside the stream workers hold shards that do not end: whoever takes one of them over, or is condemned, makes it fail.

use std::time::{Duration, Instant};

use anyhow::ensure;
use gridloom_cli::output::{Output, grouped};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{QueueName, RunId};
use serde::Serialize;
use serde_json::json;

use crate::args::{Kept, RestartFlags};
use crate::engine::Engine;
use crate::open_runs::{self, AWAY};
use crate::plans::Plans;
use crate::stack::{self, Process, QUEUE, Stack};
use crate::usage::{Hardware, Machine};
use crate::{records, stats};

/// Shards of the steady run take so long.
const SHARD_MS: u64 = 10;
/// Workers, and slots of each for the steady stream.
const WORKERS: u32 = 2;
const SLOTS: u32 = 8;
/// Shards that do not end, for each worker: half of their slots would hold them, so that one which is handed out
/// again finds a place.
const HELD: u32 = 4;
/// They take longer than all of it.
const FOREVER: Duration = Duration::from_secs(3_600);
/// Between two kills: until all is as before.
const BETWEEN: Duration = Duration::from_secs(5);
/// How long the workers may take to take up what they hold.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest pauses that are wanted, alone and beside open runs.
const MOST_MS: [u64; 2] = [500, 5_000];

#[derive(Debug, Serialize)]
struct Report {
    machine: Hardware,
    broker: String,
    storage: Kept,
    /// Open runs beside.
    runs: u32,
    /// From each kill until the broker took clients again, in milliseconds.
    down_ms: Vec<u64>,
    /// The longest pause after each kill, in milliseconds.
    pauses_ms: Vec<u64>,
    /// The longest that is no failure.
    most_ms: u64,
    /// Who was declared dead, as the planner tells it.
    condemned: Vec<String>,
    /// Tiles that workers held all the time and that were handed out again.
    handed_out_again: usize,
    /// Part of the machine that was busy meanwhile with anything, 0 to 1.
    busy: f64,
}

/// Measures, and prints the report.
///
/// # Errors
/// When a process cannot be started, the run does not go on, or what was found is not what is wanted.
pub(crate) async fn run(output: &Output, flags: &RestartFlags) -> anyhow::Result<()> {
    let mut bench = Bench::start(output, flags).await?;
    let report = bench.measure(output, flags).await?;
    bench.stop().await?;
    report.show(output);
    report.judge()
}

struct Bench {
    stack: Stack,
    planner: Process,
    workers: Vec<Process>,
    engine: Engine,
}

impl Bench {
    async fn start(output: &Output, flags: &RestartFlags) -> anyhow::Result<Bench> {
        let stack = Stack::start(output, &flags.jetstream).await?;
        let telling = ["--storage", flags.storage.word(), "--log", "info"].map(str::to_owned);
        let planner = stack.planner_with("planner", &telling).await?;
        let broker = stack.connect().await?;
        let mut workers = Vec::new();
        for number in 0..WORKERS {
            workers.push(stack.worker(number, SLOTS + HELD).await?);
        }
        stack::workers_are_there(&broker, WORKERS).await?;
        let engine = Engine::new(broker.clone()).await?;
        if flags.runs > 0 {
            output.note(format!("{} open runs", flags.runs));
            let away = open_runs::apply_away(&broker, 20).await?;
            let queue: QueueName = AWAY.parse()?;
            let mut plans = Plans::listen(&broker, &queue).await?;
            open_runs::submit(&broker, &away, flags.runs).await?;
            let runs = u64::from(flags.runs);
            plans.until(|seen| seen.opened >= runs).await?;
        }
        Ok(Bench {
            stack,
            planner,
            workers,
            engine,
        })
    }

    /// A run of this installation whose shards sleep.
    async fn sleeping(&mut self, name: &str, pages: u32, sleep: Duration) -> anyhow::Result<RunId> {
        let grid = self
            .engine
            .apply_job(json!({
                "name": name,
                "handler": "noop",
                "queue": QUEUE,
                "grid": { "slices": 8, "pages": { "count": pages }, "tile": 1 },
                "limits": { "concurrency": u64::from(WORKERS * if pages == 1 { HELD } else { SLOTS }) },
            }))
            .await?;
        let params = json!({ "params": { "sleep_ms": sleep.as_millis() as u64 } });
        self.engine.submit(&grid, params).await
    }

    async fn measure(&mut self, output: &Output, flags: &RestartFlags) -> anyhow::Result<Report> {
        let held = self.sleeping("held", 1, FOREVER).await?;
        let steady = self
            .sleeping("steady", 1_000_000, Duration::from_millis(SHARD_MS))
            .await?;
        self.until_held().await?;
        let before = Machine::now()?;
        let (mut killed, mut down_ms) = (Vec::new(), Vec::new());
        for round in 1..=flags.rounds.get() {
            tokio::time::sleep(BETWEEN).await;
            output.note(format!("round {round}: the broker dies"));
            killed.push(UnixMs::now());
            let begun = Instant::now();
            self.stack.restart().await?;
            down_ms.push(begun.elapsed().as_millis() as u64);
            if flags.runs > 0 {
                // Whatever they cost, it is over before the next.
                tokio::time::sleep(BETWEEN * 2).await;
            }
        }
        tokio::time::sleep(BETWEEN * 2).await;
        let busy = Machine::now()?.others(before, 0.0);
        self.planner.check()?;
        self.workers.iter_mut().try_for_each(Process::check)?;
        let broker = self.stack.connect().await?;
        let stamps = records::commits(&broker, &steady).await?;
        let first = killed.first().copied().unwrap_or_else(UnixMs::now);
        Ok(Report {
            machine: Hardware::here(),
            broker: self.stack.version(),
            storage: flags.storage,
            runs: flags.runs,
            down_ms,
            pauses_ms: longest(&stamps, &killed),
            most_ms: flags.most.unwrap_or(MOST_MS[usize::from(flags.runs > 0)]),
            condemned: self.planner.says("a worker is dead")?,
            handed_out_again: records::takeovers(&broker, &held, first).await?.len(),
            busy,
        })
    }

    /// Waits until the workers run all that does not end.
    async fn until_held(&self) -> anyhow::Result<()> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let workers = self.stack.asked(&["workers"]).await?;
            let each = workers.as_array().into_iter().flatten();
            let running: u64 = each.filter_map(|one| one["in_flight"].as_u64()).sum();
            if running >= u64::from(WORKERS * HELD) {
                return Ok(());
            }
            ensure!(
                Instant::now() < give_up,
                "the workers run nothing within {PATIENCE:?}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn stop(self) -> anyhow::Result<()> {
        drop((self.planner, self.workers));
        self.stack.stop().await
    }
}

/// The longest pause between two commits after each kill and before the next: one that spans the next is the next one's.
/// For ever where nothing came after it.
fn longest(stamps: &[u64], killed: &[UnixMs]) -> Vec<u64> {
    let ends = killed.iter().skip(1).map(|next| next.0).chain([u64::MAX]);
    let each = killed.iter().zip(ends).map(|(at, end)| {
        let around = stamps.windows(2).filter_map(|pair| match pair {
            [one, next] if *next > at.0 && (*next <= end || *one < at.0) => Some(next - one),
            _ => None,
        });
        around.max().unwrap_or(u64::MAX)
    });
    each.collect()
}

impl Report {
    fn judge(&self) -> anyhow::Result<()> {
        let longest = self.pauses_ms.iter().max().copied().unwrap_or(u64::MAX);
        ensure!(
            longest <= self.most_ms,
            "commits paused for {longest} ms: more than {} ms",
            self.most_ms
        );
        ensure!(
            self.condemned.is_empty(),
            "{} workers were condemned:\n{}",
            self.condemned.len(),
            self.condemned.join("\n")
        );
        ensure!(
            self.handed_out_again == 0,
            "{} tiles that living workers held were handed out again",
            self.handed_out_again
        );
        Ok(())
    }

    fn show(&self, output: &Output) {
        output.show(self, |output| {
            let each = self.pauses_ms.iter().map(|ms| *ms as f64);
            let down = self.down_ms.iter().map(|ms| *ms as f64);
            output.say(format!("{}; nats-server {}", self.machine, self.broker));
            output.say(format!(
                "queue in {}, {} open runs beside: longest pause of commits after each of {} kills, ms: {:?}; median {:.0}, of which the broker was away {:.0}; wanted {} at most; {} condemned, {} of what the living hold handed out again; {:.0} % of the machine was busy",
                self.storage,
                grouped(u64::from(self.runs)),
                self.pauses_ms.len(),
                self.pauses_ms,
                stats::median(each),
                stats::median(down),
                self.most_ms,
                self.condemned.len(),
                self.handed_out_again,
                self.busy * 100.0,
            ));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_that_spans_a_kill_is_that_kill_s_and_no_other_s() {
        let stamps = [0, 900, 1_000, 1_300, 1_310, 1_320, 1_500];
        let at = |ms: &[u64]| ms.iter().copied().map(UnixMs).collect::<Vec<_>>();
        assert_eq!(longest(&stamps, &at(&[1_005, 1_312])), [300, 180]);
        assert_eq!(
            longest(&stamps, &at(&[1_005, 1_100])),
            [300, 300],
            "nothing came in between"
        );
        assert_eq!(longest(&stamps, &at(&[1_005, 2_000])), [300, u64::MAX]);
    }
}
