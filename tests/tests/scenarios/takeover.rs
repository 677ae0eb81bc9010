//! What a planner knows of schedules that takes over from another, with real processes: all that the one before it knew, also
//! where it did not hear of it in time.

use std::time::Duration;

use gridloom_shared::broker::subjects::StreamName;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId, Term};
use gridloom_shared::schedule::Spec;
use gridloom_shared::schedule::record::{Decision, Record, State};
use gridloom_shared::wire;
use gridloom_tests::http::{metric, served_at};
use gridloom_tests::oracle::fires::Fires;
use gridloom_tests::proxy::{Mode, Proxy};
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::{Value, json};

use crate::schedules::{SOON, apply, decided};

/// What the broker tells who follows definitions; it does not stand in what is answered to who reads one.
const TOLD_OF_A_JOB: &str = "MSG $KV.test-jobs.";
/// What is answered to who asks how much the stream of fires holds.
const END_OF_FIRES: &str = "\"name\":\"test-history\"";

/// What is answered to who reads the definition of the job `plain` as it stands.
const DEFINITION_OF_PLAIN: &str = "\"subject\":\"$KV.test-jobs.plain\"";
/// What a planner says that opens a run.
const OPENING: &str = "test.ledger.default.tick_";
/// By so much a fire may be late here: less than an answer is waited for.
const LATE: Duration = Duration::from_secs(3);

/// Consumers of a stream, as the broker lists them.
async fn consumers(stage: &Stage, stream: &StreamName) -> anyhow::Result<Vec<Value>> {
    let list = format!("$JS.API.CONSUMER.LIST.{stream}");
    let answer = stage.broker.request(list, "{}".into(), SOON).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    Ok(answer["consumers"].as_array().cloned().unwrap_or_default())
}

/// Starts a planner that stands by, and waits until it knows all there is of schedules beside one that leads.
async fn start_standby(stage: &mut Stage, url: &str) -> anyhow::Result<()> {
    let standby = stage.gridloom(&["planner", "--nats", url])?.start().await?;
    stage.planners.push(standby);
    let standby = &stage.planners[stage.planners.len() - 1];
    // What the broker sent is not what was read: whoever loses it from now on takes away nothing that was there before.
    eventually(SOON, "a planner stands by and follows", async || {
        Ok(standby.stderr().contains("stands by and follows schedules"))
    })
    .await
}

/// Kills the leader, and waits until the other planner leads.
async fn take_over(stage: &mut Stage) -> anyhow::Result<()> {
    let term = stage.term().await?;
    stage.planners[0].kill().await?;
    stage.free_leadership().await?;
    eventually(SOON, "the other one leads", async || {
        Ok(stage.term().await? > term)
    })
    .await
}

/// Waits until leadership `term` has opened so many fires.
async fn opened_by(stage: &Stage, job: &JobName, term: u64, times: usize) -> anyhow::Result<Fires> {
    let what = format!("{times} fires are opened in term {term}");
    eventually_some(SOON, &what, async || {
        let fires = Fires::read(&stage.broker, job).await?;
        let by = |record: &&Record| {
            record.term == Term(term) && matches!(record.decision, Decision::Opened { .. })
        };
        let opened = fires.records.iter().filter(by).count();
        Ok((opened >= times).then_some(fires))
    })
    .await
}

async fn ask(stage: &Stage, id: &str) -> anyhow::Result<Value> {
    let line = ["run", "tick", "--json", "--overlap", "skip", "--id", id];
    stage.cli(&line, SOON).await?.succeeded()?.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_leader_opens_runs_by_hand_of_a_job_that_it_passed_by_as_it_never_fires()
-> anyhow::Result<()> {
    play(async |stage| {
        let text = "name = \"tick\"\nhandler = \"noop\"";
        let job = stage.apply(text).await?;
        stage.start_all(1).await?;
        let url = stage.server.url();
        start_standby(stage, &url).await?;
        // From here on there is a record of it.
        assert_eq!(ask(stage, "first").await?["answer"], "opened");
        eventually(SOON, "it is over", async || {
            let runs = Fires::read(&stage.broker, &job).await?.runs;
            Ok(runs.len() == 1 && runs.values().all(|run| run.is_over()))
        })
        .await?;
        take_over(stage).await?;
        assert_eq!(ask(stage, "second").await?["answer"], "opened");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn new_leader_decides_by_the_definitions_that_the_one_before_it_knew() -> anyhow::Result<()> {
    play(async |stage| {
        let proxy = Proxy::start(stage.server.port()).await?;
        stage.start_all(1).await?;
        let edited = apply(stage, 5, "cron = \"0 0 1 1 *\"").await?;
        let text = "name = \"gone\"\nhandler = \"noop\"\n[schedule]\nevery = \"1s\"";
        let gone = stage.apply(text).await?;
        decided(stage, &edited, "adopted", 1).await?;
        decided(stage, &gone, "opened", 1).await?;
        start_standby(stage, &proxy.url()).await?;
        // It does not hear of what people do now.
        proxy.set(Mode::Lose(TOLD_OF_A_JOB));
        apply(stage, 5, "every = \"1s\"").await?;
        stage.broker.jobs().delete(gone.as_str(), None).await?;
        decided(stage, &edited, "adopted", 2).await?;
        decided(stage, &gone, "ended", 1).await?;
        proxy.lost(2, SOON).await?;
        take_over(stage).await?;
        let fires = opened_by(stage, &edited, 2, 3).await?;
        assert_eq!(fires.count("adopted"), 2, "it took the old schedule again");
        let fires = Fires::read(&stage.broker, &gone).await?;
        let by_it = fires.records.iter().filter(|record| record.term == Term(2));
        assert_eq!(by_it.count(), 0, "a job that is deleted was decided again");
        Ok(())
    })
    .await
}

/// Writes, as another leader would, that the job has this schedule from now on.
async fn adopt(stage: &Stage, job: &JobName, spec: &Spec) -> anyhow::Result<()> {
    let subjects = stage.broker.subjects();
    let (history, subject) = (subjects.history(), subjects.fires(job));
    eventually(SOON, "another leader has decided", async || {
        let last = stage.broker.last_of_leader(&history, &subject).await?;
        let Some(last) = last else { return Ok(false) };
        let before: Record = wire::decode(&last.payload)?;
        let record = Record {
            at: UnixMs::now(),
            decision: Decision::Adopted,
            state: State {
                spec: Some(spec.clone()),
                cursor: UnixMs::now(),
                accepted: 0,
                ..before.state
            },
            ..before
        };
        let bytes = wire::encode(&record);
        let stored = stage
            .broker
            .append(subject.clone(), bytes, Some(last.seq))
            .await;
        Ok(stored.is_ok())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_that_meets_a_record_of_a_newer_definition_does_not_go_back_to_its_own()
-> anyhow::Result<()> {
    play(async |stage| {
        let proxy = Proxy::start(stage.server.port()).await?;
        stage.start_planner_behind(&proxy).await?;
        stage.start_worker(4, &[]).await?;
        let job = apply(stage, 5, "every = \"2s\"\noverlap = \"allow\"").await?;
        decided(stage, &job, "opened", 1).await?;
        proxy.set(Mode::Lose(TOLD_OF_A_JOB));
        let newer = "every = \"1s\"\noverlap = \"allow\"\nmax_fires = 4";
        apply(stage, 5, newer).await?;
        proxy.lost(1, SOON).await?;
        let newer = json!({ "every": "1s", "overlap": "allow", "max_fires": 4 });
        adopt(stage, &job, &Spec::try_from(newer)?).await?;
        // It counts them once.
        let fires = decided(stage, &job, "ended", 1).await?;
        assert_eq!(fires.count("adopted"), 2);
        let state = fires.state();
        assert_eq!(state.map(|state| state.accepted), Some(4));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_that_is_lost_at_the_takeover_costs_nothing_of_what_was_known() -> anyhow::Result<()>
{
    play(async |stage| {
        let proxy = Proxy::start(stage.server.port()).await?;
        stage.start_all(1).await?;
        let job = apply(stage, 5, "every = \"1s\"\noverlap = \"allow\"").await?;
        decided(stage, &job, "opened", 1).await?;
        start_standby(stage, &proxy.url()).await?;
        let history = stage.broker.subjects().history();
        let reads_all = |of: &Value| of["config"]["deliver_policy"] == "last_per_subject";
        let before = consumers(stage, &history).await?;
        proxy.set(Mode::Lose(END_OF_FIRES));
        take_over(stage).await?;
        eventually(SOON, "it was not answered", async || {
            Ok(stage.planners[1]
                .stderr()
                .contains("decided about fires; trying again"))
        })
        .await?;
        proxy.set(Mode::Pass);
        opened_by(stage, &job, 2, 1).await?;
        for reader in consumers(stage, &history)
            .await?
            .iter()
            .filter(|of| reads_all(of))
        {
            let name = &reader["name"];
            let is_old = before.iter().any(|old| old["name"] == *name);
            assert!(is_old, "all records were read again");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_said_by_who_leads_and_not_by_who_stands_by() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(0).await?;
        let tick = apply(stage, 5, "every = \"1s\"\noverlap = \"allow\"").await?;
        decided(stage, &tick, "adopted", 1).await?;
        let odd = JobName::new("odd")?;
        let subject = stage.broker.subjects().fires(&odd);
        stage
            .broker
            .append(subject, "nonsense".into(), None)
            .await?;
        stage
            .broker
            .jobs()
            .put("strange", "nonsense".into())
            .await?;
        let url = stage.server.url();
        start_standby(stage, &url).await?;
        take_over(stage).await?;
        opened_by(stage, &tick, 2, 1).await?;
        let text = stage.planners[1].stderr();
        let (stood_by, led) = text.split_once(" leads ").unwrap_or_default();
        assert_eq!(stood_by.matches("ERROR").count(), 0, "{text}");
        for job in ["job=odd", "job=strange"] {
            assert_eq!(led.matches(job).count(), 1, "{text}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn time_of_the_next_fire_is_told_and_not_when_its_job_is_looked_at() -> anyhow::Result<()> {
    play(async |stage| {
        let planner = stage.gridloom(&["planner", "--listen", "127.0.0.1:0"])?;
        stage.planners.push(planner.start().await?);
        stage.start_worker(4, &[]).await?;
        let address = served_at(&stage.planners[0]).await?;
        let start = UnixMs((UnixMs::now().0 / 1_000 + 4) * 1_000);
        let schedule = format!("every = \"1h\"\nstart = \"{}\"", start.rfc3339());
        let job = apply(stage, 5, &schedule).await?;
        decided(stage, &job, "opened", 1).await?;
        let next = (start + Duration::from_secs(3_600)).0 as f64 / 1_000.0;
        let told = eventually_some(SOON, "it is told when it fires", async || {
            let name = "gridloom_next_fire_timestamp_seconds{job=\"tick\"}";
            let told = metric(&address, name).await?;
            Ok(told.filter(|at| *at > start.0 as f64 / 1_000.0))
        })
        .await?;
        assert_eq!(told, next);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn fires_go_on_while_the_definition_of_another_job_cannot_be_read() -> anyhow::Result<()> {
    play(async |stage| {
        let proxy = Proxy::start(stage.server.port()).await?;
        stage.start_planner_behind(&proxy).await?;
        stage.start_worker(4, &[]).await?;
        let plain = stage.apply("name = \"plain\"\nhandler = \"noop\"").await?;
        let tick = apply(stage, 5, "every = \"1s\"\noverlap = \"allow\"").await?;
        decided(stage, &tick, "opened", 2).await?;
        proxy.set(Mode::Lose(DEFINITION_OF_PLAIN));
        let body = json!({ "id": "one", "overlap": "skip" }).to_string();
        let subject = stage.broker.subjects().submit_to(&plain);
        stage.broker.append(subject, body.into(), None).await?;
        proxy.lost(2, SOON).await?;
        proxy.set(Mode::Pass);
        let opened = Fires::read(&stage.broker, &tick).await?.count("opened");
        let fires = decided(stage, &tick, "opened", opened + 1).await?;
        for record in &fires.records {
            if let Decision::Opened { at, .. } = &record.decision {
                let late = Duration::from_millis(record.at.0.saturating_sub(at.0));
                assert!(late < LATE, "{late:?} late: {record:?}");
            }
        }
        stage
            .closed(&RunId::from_request(&plain, "one"), SOON)
            .await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn fire_whose_job_is_deleted_between_its_decision_and_its_opening_says_that_it_has_no_run()
-> anyhow::Result<()> {
    play(async |stage| {
        let proxy = Proxy::start(stage.server.port()).await?;
        stage.start_planner_behind(&proxy).await?;
        stage.start_worker(4, &[]).await?;
        let start = UnixMs((UnixMs::now().0 / 1_000 + 4) * 1_000);
        let job = apply(stage, 5, &format!("at = \"{}\"", start.rfc3339())).await?;
        decided(stage, &job, "adopted", 1).await?;
        proxy.set(Mode::StallAt(&[OPENING]));
        proxy.stalled(SOON).await?;
        let run = RunId::from_fire(&job, start);
        let fires = Fires::read(&stage.broker, &job).await?;
        assert_eq!(fires.opened().collect::<Vec<_>>(), [&run]);
        stage.broker.jobs().delete(job.as_str(), None).await?;
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        stage.start_planner().await?;
        let fires = decided(stage, &job, "ended", 1).await?;
        assert!(fires.runs.is_empty(), "{:?}", fires.runs);
        let why = ["job", "why", "tick", run.as_str()];
        let told = stage.cli(&why, SOON).await?.succeeded()?;
        assert!(told.stdout.contains("it has none"), "{told:?}");
        let json = [&why[..], &["--json"]].concat();
        let told = stage.cli(&json, SOON).await?.succeeded()?.json()?;
        let not_opened = told["decisions"][0]["not_opened"].as_str();
        assert!(
            not_opened.is_some_and(|why| why.contains("deleted")),
            "{told}"
        );
        let shown = stage.cli(&["show", run.as_str()], SOON).await?;
        let says = shown.stderr.contains("never opened: its job was deleted");
        assert!(shown.code == 2 && says, "{shown:?}");
        Ok(())
    })
    .await
}
