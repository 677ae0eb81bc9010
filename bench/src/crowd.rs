//! Hundreds of workers on cores that something else keeps busy: nobody of them is dead, so nobody may be declared so, and
//! nothing of what they hold may be taken over.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use gridloom_cli::embedded::SYNC_ALWAYS;
use gridloom_cli::output::{Output, grouped};
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::Reason;
use serde::Serialize;
use serde_json::json;

use crate::args::CrowdFlags;
use crate::engine::Engine;
use crate::records;
use crate::stack::{self, Process, QUEUE, Stack};
use crate::usage::{self, Hardware, Machine};

/// Until what follows a start is over.
const SETTLE: Duration = Duration::from_secs(10);
/// How often it is looked whether all processes are there.
const LOOK: Duration = Duration::from_secs(10);
/// For how long the broker may leave questions without an answer once nobody is busy any more.
const ANSWERED: Duration = Duration::from_secs(60);
/// Workers that are started at once.
const AT_ONCE: u32 = 20;
/// How often a flush of the disk is timed.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// While a flush takes longer the broker answers nobody: leases run out and connections break, and what was on its way on
/// them is delivered again. Nothing is then to be said of who had it.
const STALL: Duration = Duration::from_secs(1);
/// Slices of the run.
const SLICES: u64 = 16;

#[derive(Debug, Serialize)]
struct Report {
    machine: Hardware,
    broker: String,
    workers: u32,
    slots: u32,
    burners: usize,
    seconds: f64,
    /// Shards that were committed a second.
    rate: f64,
    /// Part of the machine that was busy, and the part of it that the burners had, 0 to 1.
    busy: f64,
    burnt: f64,
    /// Memory of all workers together.
    workers_mib: f64,
    /// Who was declared dead, as the planner tells it.
    condemned: Vec<String>,
    /// How often the planner began to lead anew meanwhile: of what it issued under an earlier term it cannot know what
    /// became.
    terms: usize,
    /// Of the disk that the broker's streams are on, the longest flush, in seconds.
    longest_flush: f64,
    /// Tiles that were taken over although their holder lives, by reason.
    taken_over: BTreeMap<String, usize>,
}

/// Keeps whatever core it gets busy until it is killed.
pub(crate) fn burn() -> anyhow::Result<()> {
    let mut number = 1_u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

/// Measures, and prints the report.
///
/// # Errors
/// When a process cannot be started or ends, or somebody was condemned.
pub(crate) async fn run(output: &Output, flags: &CrowdFlags) -> anyhow::Result<()> {
    let mut crowd = Crowd::start(output, flags).await?;
    let run = crowd.submit(flags).await?;
    crowd.light(flags).await?;
    tokio::time::sleep(SETTLE).await;
    let report = crowd.watch(flags, &run).await?;
    crowd.stop().await?;
    report.show(output);
    report.judge()
}

struct Crowd {
    stack: Stack,
    broker: Broker,
    planner: Process,
    workers: Vec<Process>,
    burners: Vec<Process>,
}

impl Crowd {
    async fn start(output: &Output, flags: &CrowdFlags) -> anyhow::Result<Crowd> {
        let stack = Stack::start(output, SYNC_ALWAYS).await?;
        let telling = ["--storage", "memory", "--log", "info"].map(str::to_owned);
        let planner = stack.planner_with("planner", &telling).await?;
        let broker = stack.connect().await?;
        let all = flags.workers.get();
        let heard = tokio::spawn({
            let broker = broker.clone();
            async move { stack::workers_are_there(&broker, all).await }
        });
        let mut workers = Vec::new();
        for first in (0..all).step_by(AT_ONCE as usize) {
            let some = (first..all.min(first + AT_ONCE))
                .map(|number| stack.worker(number, flags.concurrency.get()));
            workers.extend(futures_util::future::try_join_all(some).await?);
        }
        heard.await??;
        output.note(format!("{all} workers are there"));
        Ok(Crowd {
            stack,
            broker,
            planner,
            workers,
            burners: Vec::new(),
        })
    }

    /// A run of more shards than they can do, one a tile, so that each is a delivery.
    async fn submit(&self, flags: &CrowdFlags) -> anyhow::Result<RunId> {
        let each = u64::from(flags.seconds.get() + 60) * 1_000 / u64::from(flags.shard_ms.get());
        let most = u64::from(slots(flags)) * each;
        let mut engine = Engine::new(self.broker.clone()).await?;
        let grid = engine
            .apply_job(json!({
                "name": "steady",
                "handler": "noop",
                "queue": QUEUE,
                "grid": { "slices": SLICES, "pages": { "count": most.div_ceil(SLICES) }, "tile": 1 },
            }))
            .await?;
        let params = json!({ "params": { "sleep_ms": flags.shard_ms.get() } });
        engine.submit(&grid, params).await
    }

    /// Makes the cores busy.
    async fn light(&mut self, flags: &CrowdFlags) -> anyhow::Result<()> {
        let cores = u32::try_from(Hardware::here().cores)?;
        for number in 0..flags.burners.unwrap_or(cores) {
            let name = format!("burner-{number}");
            self.burners
                .push(self.stack.child_with("burn", &name, &[]).await?);
        }
        Ok(())
    }

    /// Processor seconds of the burners.
    fn burnt(&self) -> anyhow::Result<f64> {
        let each = self.burners.iter().map(|one| usage::cpu_seconds(one.pid()));
        each.sum()
    }

    async fn watch(&mut self, flags: &CrowdFlags, run: &RunId) -> anyhow::Result<Report> {
        let (since, begun, before) = (UnixMs::now(), Instant::now(), Machine::now()?);
        let (burnt, done) = (self.burnt()?, done(&self.stack, run).await?);
        let led = self.planner.says("leads term")?.len();
        let flushes = Flushes::of(&self.stack.stores()[0])?;
        let whole = Duration::from_secs(u64::from(flags.seconds.get()));
        while begun.elapsed() < whole {
            tokio::time::sleep(LOOK.min(whole.saturating_sub(begun.elapsed()))).await;
            self.planner.check()?;
            self.workers.iter_mut().try_for_each(Process::check)?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let longest_flush = flushes.longest()?.as_secs_f64();
        let machine = Hardware::here();
        let burnt = (self.burnt()? - burnt) / seconds / machine.cores as f64;
        let busy = Machine::now()?.others(before, 0.0);
        let memory = self
            .workers
            .iter()
            .map(|worker| usage::memory(worker.pid()));
        let memory: Vec<_> = memory.collect::<anyhow::Result<_>>()?;
        let condemned = self.planner.says("a worker is dead")?;
        let terms = self.planner.says("leads term")?.len() - led;
        // What is read now need not be read beside them. The broker may be behind, and a disk stand still for a while.
        let burners = self.burners.drain(..).count();
        self.workers.clear();
        let patience = Instant::now() + ANSWERED;
        let reasons = loop {
            match records::takeovers(&self.broker, run, since).await {
                Err(_) if Instant::now() < patience => tokio::time::sleep(LOOK).await,
                read => break read?,
            }
        };
        Ok(Report {
            machine,
            broker: self.stack.version(),
            workers: flags.workers.get(),
            slots: slots(flags),
            burners,
            seconds,
            rate: (self::done(&self.stack, run).await? - done) as f64 / seconds,
            busy,
            burnt,
            workers_mib: memory.iter().map(|memory| memory.resident_mib).sum(),
            condemned,
            terms,
            longest_flush,
            taken_over: by_reason(&reasons),
        })
    }

    async fn stop(self) -> anyhow::Result<()> {
        drop((self.planner, self.workers, self.burners));
        self.stack.stop().await
    }
}

fn by_reason(reasons: &[Reason]) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for reason in reasons {
        *all.entry(format!("{reason:?}")).or_default() += 1;
    }
    all
}

/// Flushes of a file on a disk, timed on a thread of their own until the longest is asked for.
struct Flushes {
    over: Arc<AtomicBool>,
    thread: thread::JoinHandle<std::io::Result<Duration>>,
}

impl Flushes {
    /// Of the disk that `dir` is on.
    fn of(dir: &Path) -> anyhow::Result<Flushes> {
        let over = Arc::new(AtomicBool::new(false));
        let (path, ends): (PathBuf, _) = (dir.join("flushes"), Arc::clone(&over));
        let thread = thread::Builder::new().spawn(move || {
            let file = File::create(path)?;
            let mut longest = Duration::ZERO;
            while !ends.load(Ordering::Relaxed) {
                let begun = Instant::now();
                file.write_all_at(&[1; 4096], 0)?;
                file.sync_data()?;
                longest = longest.max(begun.elapsed());
                thread::sleep(FLUSH_EVERY);
            }
            Ok(longest)
        })?;
        Ok(Flushes { over, thread })
    }

    fn longest(self) -> anyhow::Result<Duration> {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        Ok(ended.map_err(|_| anyhow!("what times flushes panicked"))??)
    }
}

/// Those whose holder lives. Where the leader or the connection to the broker began anew nobody can tell whether a tile had
/// been delivered, and what is published again then was held by nobody.
fn of_the_living(taken_over: &BTreeMap<String, usize>, terms: usize) -> usize {
    let excused = [Reason::Floor, Reason::Again].map(|reason| format!("{reason:?}"));
    let counted = taken_over.iter();
    let counted = counted.filter(|(reason, _)| terms == 0 || !excused.contains(reason));
    counted.map(|(_, tiles)| tiles).sum()
}

/// Slots of all workers.
fn slots(flags: &CrowdFlags) -> u32 {
    flags.workers.get() * flags.concurrency.get()
}

/// Shards of a run that are done.
async fn done(stack: &Stack, run: &RunId) -> anyhow::Result<u64> {
    let shown = stack.asked(&["show", run.as_str()]).await?;
    // A run that was not opened yet has none.
    Ok(shown["shards"]["done"].as_u64().unwrap_or(0))
}

impl Report {
    fn judge(&self) -> anyhow::Result<()> {
        ensure!(
            self.condemned.is_empty(),
            "{} workers were condemned:\n{}",
            self.condemned.len(),
            self.condemned.join("\n")
        );
        let taken = of_the_living(&self.taken_over, self.terms);
        ensure!(
            taken == 0 || self.longest_flush > STALL.as_secs_f64(),
            "{taken} tiles were taken over whose holders live, of {:?}; {} changes of leadership",
            self.taken_over,
            self.terms
        );
        Ok(())
    }

    fn show(&self, output: &Output) {
        output.show(self, |output| {
            output.say(format!(
                "{}; nats-server {}; {} workers with {} slots and {} burners for {:.0} s: {} shards/s; the machine was busy to {:.0} %, the burners had {:.0} %; all workers {:.0} MiB; {} condemned, tiles taken over {:?}, {} changes of leadership, the longest flush of the disk {:.1} s",
                self.machine,
                self.broker,
                self.workers,
                self.slots,
                self.burners,
                self.seconds,
                grouped(self.rate as u64),
                self.busy * 100.0,
                self.burnt * 100.0,
                self.workers_mib,
                self.condemned.len(),
                self.taken_over,
                self.terms,
                self.longest_flush,
            ));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_that_were_published_again_count_unless_the_leadership_began_anew() {
        let all = by_reason(&[Reason::Floor, Reason::Again, Reason::Again]);
        assert_eq!((of_the_living(&all, 0), of_the_living(&all, 1)), (3, 0));
        let count = by_reason(&[Reason::Count, Reason::Floor]);
        assert_eq!((of_the_living(&count, 0), of_the_living(&count, 1)), (2, 1));
    }
}
