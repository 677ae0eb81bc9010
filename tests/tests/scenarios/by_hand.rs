//! Runs that people ask for while others of their job are open, with real processes: refused, or kept whoever leads.

use std::time::Duration;

use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::reads::fires;
use gridloom_shared::wire;
use gridloom_tests::oracle::fires::Fires;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;

const SOON: Duration = Duration::from_secs(60);

async fn ask(stage: &Stage, more: &[&str]) -> anyhow::Result<serde_json::Value> {
    let line = [&["run", "tick", "--json", "--overlap"][..], more].concat();
    stage.cli(&line, SOON).await?.succeeded()?.json()
}

fn run_of(answer: &serde_json::Value) -> anyhow::Result<RunId> {
    Ok(RunId::new(answer["run"].as_str().unwrap_or_default())?)
}

/// What opened and what ended, in the order of the ledger.
async fn story(stage: &Stage) -> anyhow::Result<Vec<(RunId, bool)>> {
    let subjects = stage.broker.subjects();
    let plans = subjects.ledgers_by(Author::Plan);
    let mut story = Vec::new();
    for raw in stage
        .broker
        .read(&subjects.ledger(), plans, 1, None)
        .await?
    {
        let Some((_, run, _)) = subjects.parse_ledger(&raw.subject) else {
            continue;
        };
        match wire::decode::<PlanRecord>(&raw.payload)? {
            PlanRecord::Opened(_) => story.push((run, true)),
            record if record.is_end() => story.push((run, false)),
            _ => {}
        }
    }
    Ok(story)
}

async fn wants_nothing(stage: &Stage) -> anyhow::Result<()> {
    eventually(SOON, "nothing stands there any more", async || {
        let all = stage.broker.subjects().all_asked();
        Ok(stage.broker.state().entries(all).await?.is_empty())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_waits_by_hand_survives_the_leader_and_opens_in_its_turn() -> anyhow::Result<()> {
    play(async |stage| {
        let job = stage.apply("name = \"tick\"\nhandler = \"noop\"\n[params]\nsleep_ms = 3_000").await?;
        stage.start_all(1).await?;
        let opened = ask(stage, &["skip", "--id", "first"]).await?;
        assert_eq!(opened["answer"], "opened");
        let first = run_of(&opened)?;
        let refused = stage.cli(&["run", "tick", "--overlap", "skip"], SOON).await?;
        assert!(refused.code == 2 && refused.stderr.contains(first.as_str()), "{refused:?}");
        // The same as before is no other run, whatever is open.
        assert_eq!(ask(stage, &["skip", "--id", "first"]).await?["answer"], "exists");
        let second = ask(stage, &["queue_all", "--id", "second"]).await?;
        assert_eq!((&second["answer"], &second["behind"]), (&"queued".into(), &first.as_str().into()));
        assert_eq!(ask(stage, &["queue_all", "--id", "second"]).await?["answer"], "queued");
        // Whatever client.
        let body = serde_json::json!({ "id": "third", "overlap": "queue_one", "params": { "sleep_ms": 50 } });
        let subject = stage.broker.subjects().submit_to(&job);
        stage.broker.append(subject, body.to_string().into(), None).await?;
        let third = RunId::from_request(&job, "third");
        eventually(SOON, "both wait", async || {
            let state = fires::state(&stage.broker, &job).await?;
            Ok(state.is_some_and(|state| state.asked.len() == 2))
        })
        .await?;
        let shown = stage.cli(&["job", "show", "tick"], SOON).await?.succeeded()?;
        assert!(shown.stderr.contains(third.as_str()), "{shown:?}");
        let shown = stage.cli(&["show", third.as_str()], SOON).await?;
        assert!(shown.stdout.contains("queue_one") && shown.code == 0, "{shown:?}");
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        stage.start_planner().await?;
        let second = run_of(&second)?;
        stage.closed(&third, SOON).await?;
        let order = [&first, &second, &third];
        let wanted: Vec<(RunId, bool)> = order
            .iter()
            .flat_map(|run| [((*run).clone(), true), ((*run).clone(), false)])
            .collect();
        assert_eq!(story(stage).await?, wanted);
        wants_nothing(stage).await?;
        let fires = stage.cli(&["job", "fires", "tick"], SOON).await?.succeeded()?;
        for word in ["skipped", "queued", "opened"] {
            assert!(fires.stdout.contains(word), "{}", fires.stdout);
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_by_hand_cancels_what_is_open_or_takes_the_place_of_one_that_waits()
-> anyhow::Result<()> {
    play(async |stage| {
        let job: JobName = stage
            .apply("name = \"tick\"\nhandler = \"noop\"\n[params]\nsleep_ms = 60_000")
            .await?;
        stage.start_all(1).await?;
        let first = run_of(&ask(stage, &["queue_one"]).await?)?;
        let waits = ask(stage, &["queue_one", "--id", "waits"]).await?;
        assert_eq!(waits["answer"], "queued");
        let last = "run tick --overlap cancel_running --param sleep_ms=20 --wait";
        let last: Vec<&str> = last.split(' ').collect();
        stage.cli(&last, SOON).await?.succeeded()?;
        let runs = Fires::read(&stage.broker, &job).await?.runs;
        assert!(runs[&first].is_over(), "it goes on");
        assert!(
            !runs.contains_key(&run_of(&waits)?),
            "a newer one took its place"
        );
        let unreadable = stage
            .cli(&["unreadable", "list"], SOON)
            .await?
            .succeeded()?;
        assert!(
            unreadable.stdout.contains("took its place"),
            "{unreadable:?}"
        );
        wants_nothing(stage).await
    })
    .await
}

/// What a command prints for programs.
async fn told(stage: &Stage, line: &str) -> anyhow::Result<serde_json::Value> {
    let line: Vec<&str> = line.split(' ').chain(["--json"]).collect();
    stage.cli(&line, SOON).await?.succeeded()?.json()
}

/// What is on record of a run by hand: its decisions, and why the last one was made.
async fn decided(stage: &Stage, run: &RunId) -> anyhow::Result<(Vec<String>, String)> {
    let why = told(stage, &format!("job why tick {run}")).await?;
    let decisions = why["decisions"].as_array().cloned().unwrap_or_default();
    let words = decisions
        .iter()
        .map(|decided| decided["decision"].to_string());
    let kind = decisions
        .last()
        .map(|last| last["reason"]["kind"].to_string());
    Ok((words.collect(), kind.unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread")]
async fn run_by_hand_that_waits_is_listed_and_can_be_cancelled() -> anyhow::Result<()> {
    play(async |stage| {
        let job = stage
            .apply("name = \"tick\"\nhandler = \"noop\"\n[params]\nsleep_ms = 60_000")
            .await?;
        stage.start_all(1).await?;
        let first = run_of(&ask(stage, &["skip"]).await?)?;
        let mut waiting = Vec::new();
        for id in ["second", "third"] {
            let asked = ask(stage, &["queue_all", "--id", id]).await?;
            assert_eq!(asked["answer"], "queued");
            waiting.push(run_of(&asked)?);
        }
        let listed = told(stage, "runs tick").await?;
        let states: Vec<&str> = listed
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|run| run["state"].as_str())
            .collect();
        assert_eq!(states, ["waiting", "waiting", "running"], "{listed}");
        assert_eq!(listed[0]["run"], waiting[1].as_str());
        assert_eq!(listed[0]["waits_for"], first.as_str());
        let one = told(stage, "runs tick --limit 1").await?;
        assert_eq!(one.as_array().map(Vec::len), Some(1), "{one}");
        let shown = told(stage, &format!("show {}", waiting[0])).await?;
        assert_eq!(
            (&shown["state"], &shown["overlap"]),
            (&"waiting".into(), &"queue_all".into())
        );

        let cancelled = told(stage, &format!("cancel {}", waiting[0])).await?;
        assert_eq!(cancelled["outcome"], "dropped", "{cancelled}");
        let (decisions, kind) = decided(stage, &waiting[0]).await?;
        assert_eq!(
            (decisions.join(" "), kind.as_str()),
            ("\"queued\" \"dropped\"".to_owned(), "\"withdrawn\"")
        );
        let fires = told(stage, "job fires tick --decision dropped").await?;
        assert_eq!(fires[0]["run"], waiting[0].as_str());
        let gone = stage.cli(&["show", waiting[0].as_str()], SOON).await?;
        assert!(
            gone.code == 2 && gone.stderr.contains("never opened"),
            "{gone:?}"
        );
        let listed = told(stage, "runs tick").await?;
        assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");

        // One that is open is cancelled as ever, and the next that waits has its turn.
        let cancelled = told(stage, &format!("cancel {first}")).await?;
        assert_eq!(cancelled["state"], "cancelled");
        eventually(SOON, "the other one is open", async || {
            let runs = Fires::read(&stage.broker, &job).await?.runs;
            Ok(runs.contains_key(&waiting[1]))
        })
        .await?;
        assert!(
            !Fires::read(&stage.broker, &job)
                .await?
                .runs
                .contains_key(&waiting[0])
        );
        wants_nothing(stage).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_by_hand_whose_job_is_deleted_while_it_waits_is_on_record_as_dropped()
-> anyhow::Result<()> {
    play(async |stage| {
        let job = stage
            .apply("name = \"tick\"\nhandler = \"noop\"\n[params]\nsleep_ms = 60_000")
            .await?;
        stage.start_all(1).await?;
        ask(stage, &["skip"]).await?;
        let waits = run_of(&ask(stage, &["queue_all", "--id", "waits"]).await?)?;
        let deleted = told(stage, "job delete tick --cancel").await?;
        assert_eq!(deleted["dropped"], serde_json::json!([waits]), "{deleted}");
        wants_nothing(stage).await?;
        let (decisions, kind) = decided(stage, &waits).await?;
        assert_eq!(
            (decisions.join(" "), kind.as_str()),
            ("\"queued\" \"dropped\"".to_owned(), "\"deleted\"")
        );
        let unreadable = stage
            .cli(&["unreadable", "list"], SOON)
            .await?
            .succeeded()?;
        assert!(
            unreadable.stdout.contains("the job was deleted"),
            "{unreadable:?}"
        );
        let gone = stage.cli(&["show", waits.as_str()], SOON).await?;
        assert!(
            gone.code == 2 && gone.stderr.contains("the job was deleted"),
            "{gone:?}"
        );
        assert!(
            !Fires::read(&stage.broker, &job)
                .await?
                .runs
                .contains_key(&waits)
        );
        Ok(())
    })
    .await
}
