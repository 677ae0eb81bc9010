//! A planner that stopped planning says so: each task of it is given a fault, in a process of its own.

use std::time::Duration;

use gridloom_planner::{Fault, Health, How, Owner, Planner, PlannerOptions, Task};
use gridloom_shared::broker::topology::TopologyOptions;
use gridloom_shared::broker::{Broker, Options};
use gridloom_shared::id::Namespace;
use gridloom_shared::job::Shares;
use gridloom_shared::telemetry::Health as _;
use gridloom_shared::telemetry::spans::Tracer;
use gridloom_tests::process::Process;
use gridloom_tests::scenario::{NAMESPACE, Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(90);
/// A planner leads within this, where nobody else does.
const BEGUN: Duration = Duration::from_secs(5);

async fn faulty(stage: &Stage, task: Task, how: &str) -> anyhow::Result<Process> {
    let fault = format!("{task}={how}");
    let planner = stage.gridloom(&["planner", "--fault", &fault])?;
    planner.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn task_of_a_leadership_that_ends_or_panics_ends_it_by_name_and_the_next_one_goes_on()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_worker(4, &[]).await?;
        let job = "name = \"plain\"\nhandler = \"noop\"\n[grid]\npages = { count = 3 }";
        let job = stage.apply(job).await?;
        let tasks = Task::ALL.iter().copied();
        let tasks = tasks.filter(|task| task.owner() != Owner::Service);
        for (n, task) in tasks.enumerate() {
            let (how, word) = if n % 2 == 0 || task.owner() == Owner::Errand {
                ("panics", "has panicked")
            } else {
                ("ends", "has ended")
            };
            let mut planner = faulty(stage, task, how).await?;
            let what = format!("it gives up by the name of {task}");
            let said = format!("{task} {word}");
            eventually(SOON, &what, async || {
                let log = planner.stderr();
                let gave_up = |line: &str| line.contains("given up") && line.contains(&said);
                Ok(log.lines().any(gave_up))
            })
            .await?;
            if task.owner() == Owner::Leadership {
                let run = stage.submit(&job, &json!({})).await?;
                stage.closed(&run, SOON).await?;
            }
            planner.terminate()?;
            assert_eq!(planner.wait(SOON).await?, 0, "{}", planner.stderr());
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn task_of_the_process_that_ends_or_panics_ends_it_with_a_code_and_the_name()
-> anyhow::Result<()> {
    play(async |stage| {
        for task in Task::ALL {
            if task.owner() != Owner::Service {
                continue;
            }
            for (how, word) in [("panics", "has panicked"), ("ends", "has ended")] {
                let mut planner = faulty(stage, *task, how).await?;
                let code = planner.wait(SOON).await?;
                let said = planner.stderr();
                assert_eq!(code, 1, "{said}");
                assert!(said.contains(&format!("{task} {word}")), "{said}");
            }
        }
        Ok(())
    })
    .await
}

/// A planner of a namespace of its own, one task of which hangs. All of them together have to fit into what the broker
/// may keep in memory.
async fn hanging(stage: &Stage, n: usize, task: Task) -> anyhow::Result<Process> {
    // Only beside a leader one stands by.
    if let Task::Standby | Task::Warmth = task {
        return faulty(stage, task, "hangs").await;
    }
    let fault = format!("{task}=hangs");
    let small = ["planner", "--fault", &fault, "--max-bytes", "shards=16MiB"];
    let small = stage.gridloom(&small)?;
    let own = small.env("GRIDLOOM_NAMESPACE", format!("hangs-{n}"));
    own.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn task_that_hangs_ends_its_leadership_or_its_process_by_name_and_the_next_one_leads()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let leads = async || Ok(stage.planners[0].stderr().contains(" leads"));
        eventually(SOON, "somebody leads", leads).await?;
        let lasting = |task: &Task| task.owner() != Owner::Errand && *task != Task::Loop;
        let tasks: Vec<Task> = Task::ALL.iter().copied().filter(lasting).collect();
        let mut planners = Vec::new();
        for (n, task) in tasks.into_iter().enumerate() {
            planners.push((task, hanging(stage, n, task).await?));
        }
        for (task, planner) in &mut planners {
            let said = format!("{task} hangs");
            eventually(LONG, &said, async || Ok(planner.stderr().contains(&said))).await?;
            if task.owner() == Owner::Service {
                assert_eq!(planner.wait(SOON).await?, 1, "{}", planner.stderr());
                continue;
            }
            let again = format!("it leads again, without it: {task}");
            let leads_again = |line: &str| line.contains(" leads") && line.contains("term=2");
            eventually(SOON, &again, async || {
                Ok(planner.stderr().lines().any(leads_again))
            })
            .await?;
            assert!(planner.stderr().contains("the leadership is given up"));
            planner.terminate()?;
            assert_eq!(planner.wait(SOON).await?, 0, "{}", planner.stderr());
        }
        Ok(())
    })
    .await
}

/// A planner that leads and whose loop hangs then. It may hang before: then it is another one's turn.
async fn hanging_leader(stage: &Stage) -> anyhow::Result<Process> {
    for _ in 0..5 {
        let mut planner = faulty(stage, Task::Loop, "hangs").await?;
        let leads = async || Ok(planner.stderr().contains(" leads"));
        if eventually(BEGUN, "it leads", leads).await.is_ok() {
            return Ok(planner);
        }
        planner.kill().await?;
        stage.free_leadership().await?;
    }
    anyhow::bail!("each hung before it led")
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_whose_loop_hangs_gives_way_to_another() -> anyhow::Result<()> {
    play(async |stage| {
        let hanging = hanging_leader(stage).await?;
        stage.planners.push(hanging);
        let term = stage.term().await?;
        stage.start_planner().await?;
        eventually(SOON, "another leads", async || {
            Ok(stage.term().await? > term)
        })
        .await?;
        let said = stage.planners[0].stderr();
        assert!(said.contains("loop stands still"), "{said}");
        stage.start_worker(4, &[]).await?;
        let job = "name = \"plain\"\nhandler = \"noop\"\n[grid]\npages = { count = 3 }";
        let job = stage.apply(job).await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

async fn within(stage: &Stage, task: Task, how: How) -> anyhow::Result<(Planner, Health)> {
    let namespace = Namespace::new(NAMESPACE)?;
    let options = Options::new(stage.server.url(), namespace, "faulty planner");
    let options_of_planner = PlannerOptions {
        name: "faulty".into(),
        topology: TopologyOptions::default(),
        retention: gridloom_planner::retention::Retention::default(),
        shares: Shares::default(),
        open_runs: 1_000,
        tracer: Tracer::default(),
        fault: Some(Fault { task, how }),
    };
    let broker = Broker::connect(&options).await?;
    let planner = Planner::start(broker, options_of_planner).await?;
    let health = planner.health();
    Ok((planner, health))
}

#[tokio::test(flavor = "multi_thread")]
async fn loop_that_hangs_or_ends_is_not_ready() -> anyhow::Result<()> {
    play(async |stage| {
        let (planner, health) = within(stage, Task::Loop, How::Hangs).await?;
        eventually(SOON, "it is ready", async || Ok(health.ready().is_ok())).await?;
        // The ledger is still heard of.
        let why = "the planner's loop has not gone round";
        eventually(SOON, "it says that its loop stands still", async || {
            Ok(health.ready().is_err_and(|said| said.contains(why)))
        })
        .await?;
        drop(planner);
        let (mut planner, health) = within(stage, Task::Loop, How::Panics).await?;
        let ended = planner.ended().await;
        assert_eq!(ended, Err(gridloom_planner::Ended::Panicked(Task::Loop)));
        assert!(health.ready().is_err());
        assert_eq!(health.leads(), None);
        Ok(())
    })
    .await
}
