//! Everything at once: workers, planners and the broker killed and stopped at moments that follow
//! from the seed, while runs with failing shards go on.

use std::time::Duration;

use gridloom_shared::id::RunId;
use gridloom_tests::scenario::{Stage, play};
use serde_json::json;

const LONG: Duration = Duration::from_secs(180);
/// Faults, one after the other; `GRIDLOOM_TEST_ROUNDS` asks for more.
const ROUNDS: u64 = 8;
const WORKERS: u64 = 3;
const PLANNERS: u64 = 2;

const JOB: &str = "name = \"mixed\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 100 }\ntile = 3\n\
    [retry]\nmax_attempts = 50\nbackoff = { initial = \"50ms\", max = \"200ms\" }\n\
    [params]\nsleep_ms = 5\nfail_percent = 5";

#[derive(Clone, Copy, Debug)]
enum Fault {
    KillWorker,
    StopWorker,
    KillPlanner,
    StopPlanner,
    KillBroker,
    KillAll,
}

const FAULTS: [Fault; 6] = [
    Fault::KillWorker,
    Fault::StopWorker,
    Fault::KillPlanner,
    Fault::StopPlanner,
    Fault::KillBroker,
    Fault::KillAll,
];

async fn moment(stage: &mut Stage, most: Duration) {
    let moment = stage.seed.between(Duration::ZERO, most);
    tokio::time::sleep(moment).await;
}

/// Which of the last `count` of `started` processes it hits.
fn victim(stage: &mut Stage, started: usize, count: u64) -> usize {
    started - 1 - stage.seed.below(count) as usize
}

async fn kill_worker(stage: &mut Stage) -> anyhow::Result<()> {
    let victim = victim(stage, stage.workers.len(), WORKERS);
    let mut gone = stage.workers.remove(victim);
    gone.kill().await?;
    stage.start_worker(4, &[]).await.map(|_| ())
}

async fn kill_planner(stage: &mut Stage) -> anyhow::Result<()> {
    let victim = victim(stage, stage.planners.len(), PLANNERS);
    let mut gone = stage.planners.remove(victim);
    gone.kill().await?;
    stage.start_planner().await.map(|_| ())
}

async fn kill_broker(stage: &mut Stage) -> anyhow::Result<()> {
    stage.server.kill().await?;
    moment(stage, Duration::from_millis(500)).await;
    Ok(stage.server.restart().await?)
}

async fn strike(stage: &mut Stage, fault: Fault) -> anyhow::Result<()> {
    match fault {
        Fault::KillWorker => kill_worker(stage).await,
        Fault::KillPlanner => kill_planner(stage).await,
        Fault::KillBroker => kill_broker(stage).await,
        Fault::KillAll => {
            stage.server.kill().await?;
            let worker = victim(stage, stage.workers.len(), WORKERS);
            stage.workers.remove(worker).kill().await?;
            for mut planner in std::mem::take(&mut stage.planners) {
                planner.kill().await?;
            }
            stage.server.restart().await?;
            for _ in 0..PLANNERS {
                stage.start_planner().await?;
            }
            stage.start_worker(4, &[]).await.map(|_| ())
        }
        Fault::StopWorker => {
            let victim = victim(stage, stage.workers.len(), WORKERS);
            stage.workers[victim].freeze()?;
            moment(stage, Duration::from_secs(4)).await;
            stage.workers[victim].thaw()
        }
        Fault::StopPlanner => {
            let victim = victim(stage, stage.planners.len(), PLANNERS);
            stage.planners[victim].freeze()?;
            // Past its leadership: the other has taken over, and this one does not know.
            tokio::time::sleep(Duration::from_secs(4)).await;
            stage.planners[victim].thaw()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mixed_faults_lose_nothing_and_repeat_nothing_that_was_committed() -> anyhow::Result<()> {
    let rounds = std::env::var("GRIDLOOM_TEST_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok());
    play(async |stage| {
        eprintln!("seed {}", stage.seed.number());
        let job = stage.apply(JOB).await?;
        for _ in 0..PLANNERS {
            stage.start_planner().await?;
        }
        for _ in 0..WORKERS {
            stage.start_worker(4, &[]).await?;
        }
        let mut runs: Vec<RunId> = Vec::new();
        for _ in 0..rounds.unwrap_or(ROUNDS) {
            runs.push(stage.submit(&job, &json!({})).await?);
            moment(stage, Duration::from_millis(1_500)).await;
            let fault = FAULTS[stage.seed.below(FAULTS.len() as u64) as usize];
            eprintln!("{fault:?}");
            strike(stage, fault).await?;
        }
        for run in &runs {
            stage.closed(run, LONG).await?;
            stage.judge(run).await?.succeeded()?;
        }
        for process in stage.planners.iter_mut().chain(&mut stage.workers) {
            anyhow::ensure!(process.is_running()?, "a process ended by itself");
        }
        Ok(())
    })
    .await
}
