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
        assert!(shown.stderr.contains("overlap = queue_one"), "{shown:?}");
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
