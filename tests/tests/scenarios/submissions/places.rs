//! A power failure under an interval of flushes: each stream is flushed by itself, so that one may lack its last messages
//! while the others have what came of them. Their places come again.

use std::path::PathBuf;

use gridloom_tests::server::Earlier;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn submission_in_a_place_that_another_had_before_is_a_run_of_its_own() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let job = stage.apply(JOB).await?;
        let submit = stage.broker.subjects().submit();
        let earlier = Earlier::of(&stage.server, &submit, stage.dir())?;
        let first = send(stage, "submit.plain", "").await?;
        stage
            .closed(&RunId::from_submission(&job, first), SOON)
            .await?;
        all_acknowledged(stage).await?;
        earlier.bring_back(&mut stage.server).await?;
        let second = send(stage, "submit.plain", "").await?;
        assert_eq!(second, first, "the place is the same");
        all_acknowledged(stage).await?;
        assert_eq!(runs(stage).await?, 2);
        Ok(())
    })
    .await
}

/// What a schedule knows to have its answer is known by its place.
#[tokio::test(flavor = "multi_thread")]
async fn request_that_waits_in_the_place_of_one_that_was_refused_is_opened() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let job = stage
            .apply("name = \"plain\"\nhandler = \"noop\"\n[params]\nsleep_ms = 8_000")
            .await?;
        let open = stage.submit(&job, &json!({})).await?;
        let submit = stage.broker.subjects().submit();
        let earlier = Earlier::of(&stage.server, &submit, stage.dir())?;
        let first = send(stage, "submit.plain", r#"{"overlap": "skip"}"#).await?;
        let refused = eventually_some(SOON, "it is refused", async || {
            Ok(answers(stage, 1).await?.remove(&first))
        })
        .await?;
        assert!(refused.reason.contains(open.as_str()), "{refused:?}");
        all_acknowledged(stage).await?;
        earlier.bring_back(&mut stage.server).await?;
        let second = send(stage, "submit.plain", r#"{"overlap": "queue_all"}"#).await?;
        assert_eq!(second, first, "the place is the same");
        stage.closed(&open, SOON).await?;
        stage
            .closed(&RunId::from_submission(&job, second), SOON)
            .await?;
        assert_eq!(runs(stage).await?, 2);
        Ok(())
    })
    .await
}

/// What was refused stays on record, by its place.
#[tokio::test(flavor = "multi_thread")]
async fn run_that_is_waited_for_in_the_place_of_one_that_was_refused_is_waited_for()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        stage.apply(JOB).await?;
        let submit = stage.broker.subjects().submit();
        let earlier = Earlier::of(&stage.server, &submit, stage.dir())?;
        let first = send(stage, "submit.plain", "nonsense").await?;
        answers(stage, 1).await?.remove(&first).context("refused")?;
        all_acknowledged(stage).await?;
        earlier.bring_back(&mut stage.server).await?;
        let ran = stage.cli(&["run", "plain", "--wait"], SOON).await?;
        ran.succeeded()?;
        let end = stage.broker.info(&submit).await?.last_seq;
        assert_eq!(end, first, "the place is the same");
        Ok(())
    })
    .await
}

/// Where a run's first record stands.
async fn opened(stage: &Stage, run: &RunId) -> anyhow::Result<u64> {
    let subjects = stage.broker.subjects();
    let plan = subjects.plan_of_run_anywhere(run);
    let ledger = subjects.ledger();
    let first = stage.broker.first_of_leader(&ledger, &plan, 1).await?;
    Ok(first.context("a first record")?.seq)
}

/// A worker that was there before knows whose first record stood there.
#[tokio::test(flavor = "multi_thread")]
async fn run_in_a_place_of_the_ledger_that_another_had_before_is_run() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        // So large that tiles do not bring it along: the worker has read it.
        let rows = vec![9_999_999; 300];
        let grid = format!("slices = 300\npages = {{ rows = {rows:?}, page_size = 5_000_000 }}");
        let job = format!("name = \"plain\"\nhandler = \"noop\"\n[grid]\n{grid}");
        let job = stage.apply(&job).await?;
        let ledger = stage.broker.subjects().ledger();
        let earlier = Earlier::of(&stage.server, &ledger, stage.dir())?;
        let first = stage.submit(&job, &json!({})).await?;
        stage.closed(&first, SOON).await?;
        let place = opened(stage, &first).await?;
        earlier.bring_back(&mut stage.server).await?;
        let second = stage.submit(&job, &json!({})).await?;
        stage.closed(&second, LONG).await?;
        assert_eq!(
            opened(stage, &second).await?,
            place,
            "the place is the same"
        );
        stage.judge(&second).await?.succeeded()?;
        let told = answers(stage, 1).await?;
        let refused = told.values().find(|told| told.subject.contains("shard."));
        assert!(refused.is_none(), "{told:?}");
        Ok(())
    })
    .await
}

/// What a store of the broker has of the messages of these streams, and not of their consumers.
fn messages(stage: &Stage) -> [PathBuf; 2] {
    let streams = stage.server.store().join("jetstream/$G/streams");
    let subjects = stage.broker.subjects();
    [subjects.submit(), subjects.ledger()].map(|name| streams.join(name.as_str()).join("msgs"))
}

/// A power failure under an interval of flushes can leave a stream that is older than its consumer: what the consumer counts
/// as acknowledged is there again, and it never hands it out.
#[tokio::test(flavor = "multi_thread")]
async fn submission_that_comes_back_below_what_was_acknowledged_is_answered_again()
-> anyhow::Result<()> {
    play(async |stage| {
        let job = stage.apply(JOB).await?;
        stage.start_all(1).await?;
        let known = stage.submit(&job, &json!({})).await?;
        stage.closed(&known, SOON).await?;
        stage.planners[0].kill().await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.server.kill().await?;
        let older = stage.dir().join("older");
        for (number, place) in messages(stage).iter().enumerate() {
            copy(place, &older.join(number.to_string()))?;
        }
        stage.server.restart().await?;
        stage.start_planner().await?;
        stage.closed(&run, SOON).await?;
        all_acknowledged(stage).await?;
        // In order first: so the consumer's state is written.
        stage.server.restart().await?;
        stage.server.kill().await?;
        for (number, place) in messages(stage).iter().enumerate() {
            std::fs::remove_dir_all(place)?;
            copy(&older.join(number.to_string()), place)?;
        }
        stage.server.restart().await?;
        assert!(!stage.is_closed(&run).await?, "the ledger lost it");
        all_acknowledged(stage).await?;
        stage.closed(&run, SOON).await?;
        stage.judge_ledger(&run).await?.succeeded()?;
        assert_eq!(runs(stage).await?, 2);
        Ok(())
    })
    .await
}

/// Workers remember which runs were cancelled.
#[tokio::test(flavor = "multi_thread")]
async fn run_whose_cancellation_was_lost_goes_on_where_it_was_stopped() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let slow = "name = \"plain\"\nhandler = \"noop\"\n[grid]\nslices = 4\npages = { count = 15 }\n\
            [params]\nsleep_ms = 500";
        let job = stage.apply(slow).await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.done(&run, 4, SOON).await?;
        let ledger = stage.broker.subjects().ledger();
        let earlier = Earlier::of(&stage.server, &ledger, stage.dir())?;
        let cancelled = stage
            .cli(&["cancel", run.as_str()], SOON)
            .await?;
        cancelled.succeeded()?;
        stage.closed(&run, SOON).await?;
        earlier.bring_back(&mut stage.server).await?;
        eventually_some(LONG, "all of it is done after all", async || {
            let shown = stage.cli(&["show", run.as_str(), "--json"], SOON).await?;
            let state = shown.json().ok().map(|shown| shown["state"].clone());
            Ok(state.filter(|state| state == "succeeded"))
        })
        .await?;
        Ok(())
    })
    .await
}
