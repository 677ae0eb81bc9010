//! What a restore makes of decisions that stand in the copy: as a planner leaves them that died in the middle.

use bytes::Bytes;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{Nonce, Term};
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::ledger::record::Opened;
use gridloom_shared::schedule::record::{Decision, Record, State, Unopened};
use gridloom_shared::submission::{ByHand, Kept, Submission, Unreadable};

use super::*;

/// Writes the record of a decision about the fires of a job. Where it stands.
async fn decide(
    stage: &Stage,
    job: &JobName,
    decision: Decision,
    unopened: &[&RunId],
) -> anyhow::Result<u64> {
    let mut state = State::new(None, UnixMs(1), UnixMs(1));
    let unopened = unopened.iter().map(|run| Unopened {
        at: UnixMs(1),
        run: (*run).clone(),
    });
    state.unopened = unopened.collect();
    let record = Record {
        at: UnixMs::now(),
        term: Term(1),
        decision,
        state,
    };
    let fires = stage.broker.subjects().fires(job);
    Ok(stage
        .broker
        .append(fires, wire::encode(&record), None)
        .await?)
}

/// Writes the key of a run by hand. Its run.
async fn keep(stage: &Stage, job: &JobName, id: &str, sequence: u64) -> anyhow::Result<RunId> {
    let body = json!({ "id": id, "overlap": "skip" }).to_string();
    let kept = Kept {
        run: RunId::from_request(job, id),
        overlap: ByHand::Skip,
        content: Submission::parse(body.as_bytes(), None)?.content(),
        subject: stage.broker.subjects().submit_to(job),
        sequence,
        at: UnixMs::now(),
        content_type: None,
        body: body.into(),
        reply: None,
        withdrawn: None,
        traceparent: None,
    };
    let key = stage.broker.subjects().asked_key(&kept.run);
    let state = stage.broker.state();
    state.create(&key, wire::encode(&kept)).await?;
    Ok(kept.run)
}

#[tokio::test(flavor = "multi_thread")]
async fn run_by_hand_of_which_it_is_told_that_it_cannot_be_opened_is_not_asked_for_again()
-> anyhow::Result<()> {
    play(async |stage| {
        let job = JobName::new("calm")?;
        let given_up = keep(stage, &job, "given-up", 1).await?;
        let coming = keep(stage, &job, "coming", 2).await?;
        decide(stage, &job, Decision::Confirmed, &[&given_up, &coming]).await?;
        let (subjects, why) = (
            stage.broker.subjects().clone(),
            Unreadable::why_not_opened(&given_up, "its job has other parameters now"),
        );
        let told = Unreadable::new(&subjects.submit_to(&job), 1, why, b"{}");
        let unreadable = subjects.unreadable();
        stage.broker.append(unreadable, told.encode(), None).await?;
        backup(stage, "taken").await?;
        lose_everything(stage).await?;
        restore(stage, "taken").await?.succeeded()?;
        let state = stage.broker.state();
        let left = state.entries(subjects.all_asked_runs()).await?;
        let left: Vec<String> = left.into_iter().map(|entry| entry.key).collect();
        assert_eq!(left, [subjects.asked_key(&coming)]);
        Ok(())
    })
    .await
}

/// The first record of a run.
fn opened() -> anyhow::Result<Bytes> {
    let job = parse::parse("name = \"calm\"\nhandler = \"noop\"", Format::Toml);
    let job = job.map_err(|faults| anyhow::anyhow!("{faults}"))?;
    Ok(wire::encode(&PlanRecord::Opened(Box::new(Opened {
        nonce: Nonce(7),
        job,
        scheduled_at: UnixMs(1),
        content: 0,
        term: Term(1),
        first: Vec::new(),
        traceparent: None,
        reports: 1,
    }))))
}

/// As if the ledger had been copied long before the history: nothing of that is sure by its time.
fn without_cut(stage: &Stage, name: &str) -> anyhow::Result<()> {
    let path = Path::new(&path_of(stage, name)).join("manifest.json");
    let mut manifest: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
    for field in ["cut", "history_up_to"] {
        assert!(manifest[field].is_u64(), "{manifest}");
        manifest[field] = json!(0);
    }
    Ok(std::fs::write(path, manifest.to_string())?)
}

#[tokio::test(flavor = "multi_thread")]
async fn decision_whose_run_is_in_the_ledger_stays_with_all_before_it_and_what_comes_behind_is_made_again()
-> anyhow::Result<()> {
    play(async |stage| {
        let job = JobName::new("calm")?;
        let subjects = stage.broker.subjects().clone();
        let known = RunId::from_fire(&job, UnixMs(60_000));
        let lost = RunId::from_fire(&job, UnixMs(120_000));
        let plan = subjects.ledger_of(&QueueName::new("default")?, &known, Author::Plan);
        stage.broker.append(plan, opened()?, Some(0)).await?;
        let opens = |at, run: &RunId| Decision::Opened {
            at: UnixMs(at),
            run: run.clone(),
            moved_from: None,
            after: None,
            held: None,
        };
        let before = decide(stage, &job, Decision::Adopted, &[]).await?;
        let stays = decide(stage, &job, opens(60_000, &known), &[&known]).await?;
        decide(stage, &job, opens(120_000, &lost), &[&lost]).await?;
        decide(stage, &job, Decision::Confirmed, &[]).await?;
        backup(stage, "taken").await?;
        without_cut(stage, "taken")?;
        lose_everything(stage).await?;
        restore(stage, "taken").await?.succeeded()?;
        let history = subjects.history();
        let left = stage.broker.read(&history, subjects.fires(&job), 1, None);
        let left: Vec<u64> = left.await?.iter().map(|record| record.seq).collect();
        assert_eq!(left, [before, stays]);
        Ok(())
    })
    .await
}
