//! Everything at once, with handlers in Python: workers, their children, planners and the broker are killed and stopped at moments
//! that follow from the seed. Judged by the oracle, and by what each child has written of its executions.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_shared::id::RunId;
use gridloom_tests::logged::now_us;
use gridloom_tests::oracle::executions::Logs;
use gridloom_tests::oracle::ledger::Ledger;
use gridloom_tests::oracle::overlap::{self, Lives};
use gridloom_tests::process::is_alive;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually_some;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{pids, show};

const LONG: Duration = Duration::from_secs(180);
const ACK_DEADLINE: Duration = Duration::from_secs(2);
/// Faults, one after the other; `GRIDLOOM_TEST_ROUNDS` asks for more.
const ROUNDS: u64 = 9;
const WORKERS: usize = 2;
const PLANNERS: usize = 2;
/// Cells of each run.
const SLICES: u64 = 4;
/// See [`SLICES`].
const PAGES: u64 = 30;

const JOB: &str = "name = \"j\"\nhandler = \"h\"\n[grid]\nslices = 4\npages = { count = 30 }\ntile = 3\n\
    [retry]\nmax_attempts = 50\nbackoff = { initial = \"50ms\", max = \"200ms\" }";

#[derive(Clone, Copy, Debug)]
enum Fault {
    KillChild,
    FreezeChild,
    KillWorker,
    FreezeWorker,
    StopWorker,
    KillPlanner,
    FreezePlanner,
    KillBroker,
    KillAll,
}

const FAULTS: [Fault; ROUNDS as usize] = [
    Fault::KillChild,
    Fault::FreezeChild,
    Fault::KillWorker,
    Fault::FreezeWorker,
    Fault::StopWorker,
    Fault::KillPlanner,
    Fault::FreezePlanner,
    Fault::KillBroker,
    Fault::KillAll,
];

/// Notes when children are gone, whoever has killed them.
struct Watch {
    lives: Arc<Mutex<Lives>>,
    ends: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    fn start(stage: &Stage) -> Watch {
        let (lives, ends) = (Arc::<Mutex<Lives>>::default(), Arc::<AtomicBool>::default());
        let (folder, noted, over) = (
            stage.dir().join("pids"),
            Arc::clone(&lives),
            Arc::clone(&ends),
        );
        let thread = std::thread::spawn(move || {
            let mut known = HashSet::new();
            while !over.load(Ordering::Relaxed) {
                let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
                let names = files.filter_map(|file| file.file_name().to_str()?.parse().ok());
                known.extend(names.filter_map(Pid::from_raw));
                let gone: Vec<Pid> = known
                    .iter()
                    .copied()
                    .filter(|pid| !is_alive(*pid))
                    .collect();
                for pid in gone {
                    died(&noted, pid);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Watch {
            lives,
            ends,
            thread,
        }
    }

    fn end(self) -> anyhow::Result<Lives> {
        self.ends.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.map_err(|_| anyhow::anyhow!("who watches children panicked"))?;
        Ok(self
            .lives
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone())
    }
}

/// It does nothing any more from now on, at the latest.
fn died(lives: &Mutex<Lives>, pid: Pid) {
    let mut lives = lives.lock().unwrap_or_else(PoisonError::into_inner);
    lives.died.entry(number(pid)).or_insert_with(now_us);
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

async fn start_worker(stage: &mut Stage) -> anyhow::Result<()> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let worker = stage.gridloom(&["worker", "--processes", "2", "--slots", "2"])?;
    let worker = worker
        .args(["--child-grace", "500ms", "--", "python3"])
        .args([tests.join("tests/bridge/logged.py")])
        .args([stage.dir()])
        .env("GRIDLOOM_QUEUE_ACK_DEADLINE", "2s")
        .env("PYTHONPATH", tests.join("../sdk/python/src"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    stage.workers.push(worker.start().await?);
    Ok(())
}

async fn moment(stage: &mut Stage, from: u64, most: u64) {
    let (from, most) = (Duration::from_millis(from), Duration::from_millis(most));
    let moment = stage.seed.between(from, most);
    tokio::time::sleep(moment).await;
}

/// A child that has begun with something: one that has not said who it is yet would take its worker along.
async fn child(stage: &mut Stage) -> anyhow::Result<Pid> {
    let has_begun = |pid: &Pid| {
        let log = stage.dir().join(format!("log/{}", number(*pid)));
        is_alive(*pid) && log.metadata().is_ok_and(|log| log.len() > 0)
    };
    let all = eventually_some(LONG, "a child has begun", async || {
        let all: Vec<Pid> = pids(stage).into_iter().filter(has_begun).collect();
        Ok((!all.is_empty()).then_some(all))
    })
    .await?;
    Ok(all[stage.seed.below(all.len() as u64) as usize])
}

async fn kill_planner(stage: &mut Stage) -> anyhow::Result<()> {
    let n = stage.seed.below(PLANNERS as u64) as usize;
    stage.planners.remove(n).kill().await?;
    stage.start_planner().await.map(drop)
}

async fn kill_worker(stage: &mut Stage) -> anyhow::Result<()> {
    let n = stage.seed.below(WORKERS as u64) as usize;
    stage.workers.remove(n).kill().await
}

async fn strike(stage: &mut Stage, fault: Fault, watch: &Watch) -> anyhow::Result<()> {
    match fault {
        Fault::KillChild => {
            let child = child(stage).await?;
            kill_process(child, Signal::KILL)?;
            died(&watch.lives, child);
        }
        Fault::FreezeChild => {
            let child = child(stage).await?;
            kill_process(child, Signal::STOP)?;
            let from = now_us();
            moment(stage, 500, 4_000).await;
            // Its worker may have killed it meanwhile.
            let _ = kill_process(child, Signal::CONT);
            let mut lives = watch.lives.lock().unwrap_or_else(PoisonError::into_inner);
            let spans = lives.frozen.entry(number(child)).or_default();
            spans.push((from, now_us()));
        }
        Fault::KillWorker => {
            kill_worker(stage).await?;
            start_worker(stage).await?;
        }
        Fault::FreezeWorker => {
            let n = stage.seed.below(WORKERS as u64) as usize;
            stage.workers[n].freeze()?;
            moment(stage, 500, 5_000).await;
            stage.workers[n].thaw()?;
        }
        Fault::StopWorker => {
            let n = stage.seed.below(WORKERS as u64) as usize;
            let mut stopped = stage.workers.remove(n);
            stopped.terminate()?;
            let code = stopped.wait(LONG).await?;
            ensure!(
                code == 0,
                "told to stop, it ended with {code}: {}",
                stopped.stderr()
            );
            start_worker(stage).await?;
        }
        Fault::KillPlanner => kill_planner(stage).await?,
        Fault::FreezePlanner => {
            let n = stage.seed.below(PLANNERS as u64) as usize;
            stage.planners[n].freeze()?;
            // Past its leadership, most times.
            moment(stage, 2_000, 5_000).await;
            stage.planners[n].thaw()?;
        }
        Fault::KillBroker => {
            stage.server.kill().await?;
            moment(stage, 0, 1_000).await;
            stage.server.restart().await?;
        }
        Fault::KillAll => {
            stage.server.kill().await?;
            kill_worker(stage).await?;
            for mut planner in std::mem::take(&mut stage.planners) {
                planner.kill().await?;
            }
            stage.server.restart().await?;
            for _ in 0..PLANNERS {
                stage.start_planner().await?;
            }
            start_worker(stage).await?;
        }
    }
    Ok(())
}

/// All faults, in an order that follows from the seed, so many times over that there are enough rounds.
fn order(stage: &mut Stage) -> Vec<Fault> {
    let rounds = std::env::var("GRIDLOOM_TEST_ROUNDS").ok();
    let rounds: u64 = rounds.and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let mut all = Vec::new();
    for _ in 0..rounds.div_ceil(ROUNDS) {
        let mut left = FAULTS.to_vec();
        while !left.is_empty() {
            all.push(left.remove(stage.seed.below(left.len() as u64) as usize));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn mixed_faults_lose_nothing_of_handlers_in_children_and_repeat_nothing_that_was_committed()
-> anyhow::Result<()> {
    play(async |stage| {
        let job = stage.apply(JOB).await?;
        for _ in 0..PLANNERS {
            stage.start_planner().await?;
        }
        for _ in 0..WORKERS {
            start_worker(stage).await?;
        }
        let watch = Watch::start(stage);
        let mut runs: Vec<RunId> = Vec::new();
        for fault in order(stage) {
            runs.push(stage.submit(&job, &json!({"steps": 6})).await?);
            // So that there is somebody to hit.
            let first = runs.first().context("a run")?;
            stage.done(first, 1, LONG).await?;
            moment(stage, 0, 1_500).await;
            strike(stage, fault, &watch)
                .await
                .with_context(|| format!("{fault:?}"))?;
        }
        for run in &runs {
            stage.closed(run, LONG).await?;
        }
        let lives = watch.end()?;
        judged(stage, &runs, &lives).await?;
        for process in stage.planners.iter_mut().chain(&mut stage.workers) {
            ensure!(process.is_running()?, "a process ended by itself");
        }
        Ok(())
    })
    .await
}

/// Each shard once with what it counted, and none twice at once unless a lost lease explains it.
#[expect(
    clippy::print_stderr,
    reason = "counts, for who reads the output of a test"
)]
async fn judged(stage: &Stage, runs: &[RunId], lives: &Lives) -> anyhow::Result<()> {
    let mut logs = Logs::default();
    logs.read(&stage.dir().join("log"))?;
    let (mut executed, mut at_once, mut taken_over) = (0, 0, 0);
    for run in runs {
        let verdict = stage.judge(run).await?.succeeded()?;
        taken_over += verdict.audit.takeovers;
        let shown = show(stage, run).await?;
        let counted = (&shown["rows"], &shown["counters"]["pages"]);
        let wanted = (
            json!(SLICES * PAGES),
            json!(SLICES * (0..PAGES).sum::<u64>()),
        );
        ensure!(counted == (&wanted.0, &wanted.1), "{shown}");
        let ledger = Ledger::read(&stage.broker, run).await?;
        let executions = logs.take(run.as_str(), lives);
        ensure!(
            executions.len() as u64 >= SLICES * PAGES,
            "{run}: {}",
            executions.len()
        );
        executed += executions.len();
        let found = overlap::judge(&ledger, &executions, lives, ACK_DEADLINE, &HashSet::new());
        ensure!(found.breaches.is_empty(), "{run}: {:?}", found.breaches);
        at_once += found.explained.len();
    }
    ensure!(taken_over > 0, "nothing was taken over");
    eprintln!(
        "{executed} executions, {taken_over} tiles taken over, {at_once} at the same time with cause"
    );
    Ok(())
}
