//! Whatever a plain NATS client sends is answered for, and the planner lives on.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream;
use gridloom_shared::broker::log::Record;
use gridloom_shared::ledger::record::Author;
use gridloom_shared::submission::Unreadable;
use gridloom_tests::scenario::{NAMESPACE, Stage, play};
use gridloom_tests::wait::eventually_some;
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);
const JOB: &str = "name = \"plain\"\nhandler = \"noop\"\n[grid]\nslices = 2\npages = { count = 3 }";

/// Publishes as any client would, and returns the sequence of the receipt.
async fn send(stage: &Stage, subject: &str, body: impl Into<Vec<u8>>) -> anyhow::Result<u64> {
    let context = jetstream::new(stage.server.client().await?);
    let subject = format!("{NAMESPACE}.{subject}");
    let sent = context.publish(subject.clone(), body.into().into()).await?;
    let receipt = sent
        .await
        .with_context(|| format!("receipt from {subject}"));
    // Its client is needed until the receipt is there.
    drop(context);
    Ok(receipt?.sequence)
}

/// What was answered, by the sequence of the message.
async fn answers(stage: &Stage, count: usize) -> anyhow::Result<HashMap<u64, Unreadable>> {
    let subjects = stage.broker.subjects();
    eventually_some(
        SOON,
        &format!("{count} messages are answered for"),
        async || {
            let records = stage
                .broker
                .read(&subjects.history(), subjects.unreadable(), 1, None)
                .await?;
            let read = |record: &Record| serde_json::from_slice::<Unreadable>(&record.payload);
            let answers = records.iter().map(read).collect::<Result<Vec<_>, _>>()?;
            let answers: HashMap<u64, Unreadable> = answers
                .into_iter()
                .map(|answer| (answer.sequence, answer))
                .collect();
            Ok((answers.len() >= count).then_some(answers))
        },
    )
    .await
}

async fn runs(stage: &Stage) -> anyhow::Result<usize> {
    let subjects = stage.broker.subjects();
    let plans = subjects.ledgers_by(Author::Plan);
    Ok(stage
        .broker
        .subjects_of(&subjects.ledger(), &plans)
        .await?
        .len())
}

/// Waits until nothing that was sent lies unanswered.
async fn all_acknowledged(stage: &Stage) -> anyhow::Result<()> {
    eventually_some(SOON, "every message is acknowledged", async || {
        let left = stage
            .broker
            .info(&stage.broker.subjects().submit())
            .await?
            .messages;
        Ok((left == 0).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_answered_with_its_reason_and_a_good_message_after_it_is_run()
-> anyhow::Result<()> {
    play(async |stage| {
        let job = stage.apply(JOB).await?;
        stage.start_all(1).await?;
        let wrong: Vec<(&str, Vec<u8>, &str)> = vec![
            (
                "submit.plain",
                b"hello".to_vec(),
                "neither JSON nor MessagePack",
            ),
            (
                "submit.plain",
                vec![0xff, 0x00, 0xfe],
                "neither JSON nor MessagePack",
            ),
            (
                "submit.plain",
                vec![0xdf, 0xff, 0xff, 0xff, 0xff],
                "neither JSON nor MessagePack",
            ),
            (
                "submit.plain",
                vec![b'['; 100_000],
                "neither JSON nor MessagePack",
            ),
            ("submit.plain", vec![b'x'; 2 << 20], "over the limit"),
            (
                "submit.plain",
                br#"{"version": 7}"#.to_vec(),
                "version 7 is newer",
            ),
            ("submit.plain", br#"{"version": "1"}"#.to_vec(), "version"),
            ("submit.plain", b"[]".to_vec(), "object"),
            ("submit.plain", br#"{"id": 7}"#.to_vec(), "id"),
            ("submit.plain", br#"{"params": 7}"#.to_vec(), "params"),
            (
                "submit.plain",
                br#"{"grid": {"slices": -1}}"#.to_vec(),
                "slices",
            ),
            ("submit.plain", br#"{"parms": {}}"#.to_vec(), "parms"),
            ("submit.nobody", b"{}".to_vec(), "job nobody is unknown"),
            ("submit.*", b"{}".to_vec(), "job \"*\""),
            ("submit.>", b"{}".to_vec(), "job \">\""),
            ("submit.a.b", b"{}".to_vec(), "job \"a.b\""),
            ("submit.Plain", b"{}".to_vec(), "job \"Plain\""),
            ("submit.", b"{}".to_vec(), "job"),
        ];
        let mut sent = Vec::new();
        for (subject, body, reason) in wrong {
            match send(stage, subject, body).await {
                Ok(sequence) => sent.push((sequence, subject, reason)),
                // The broker itself stores nothing on a subject with an empty token.
                Err(error) => assert_eq!(subject, "submit.", "{error:#}"),
            }
        }
        let answers = answers(stage, sent.len()).await?;
        for (sequence, subject, reason) in &sent {
            let answer = answers
                .get(sequence)
                .with_context(|| format!("answer to {subject}"))?;
            assert!(
                answer.reason.contains(reason),
                "{subject}: {reason:?} not in {:?}",
                answer.reason
            );
            assert_eq!(answer.subject, format!("{NAMESPACE}.{subject}"));
        }
        assert_eq!(runs(stage).await?, 0);
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?.succeeded()?;
        all_acknowledged(stage).await?;
        assert!(stage.planners[0].is_running()?);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_request_makes_no_second_run_and_a_changed_one_is_a_conflict() -> anyhow::Result<()>
{
    play(async |stage| {
        stage.apply(JOB).await?;
        let first = json!({"id": "a", "params": {"sleep_ms": 1}}).to_string();
        // Before there is a planner, so that several lie there at once.
        for _ in 0..5 {
            send(stage, "submit.plain", first.clone()).await?;
        }
        stage.start_all(1).await?;
        all_acknowledged(stage).await?;
        assert_eq!(runs(stage).await?, 1);
        send(stage, "submit.plain", first).await?;
        let other = send(stage, "submit.plain", json!({"id": "a", "params": {"sleep_ms": 2}}).to_string()).await?;
        let grid = json!({"id": "a", "params": {"sleep_ms": 1}, "grid": {"slices": 1, "pages": {"count": 1}}});
        let grid = send(stage, "submit.plain", grid.to_string()).await?;
        let answers = answers(stage, 2).await?;
        for sequence in [other, grid] {
            assert!(answers[&sequence].reason.starts_with("conflict"), "{:?}", answers[&sequence]);
        }
        all_acknowledged(stage).await?;
        assert_eq!(runs(stage).await?, 1);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_and_packed_messages_each_make_a_run() -> anyhow::Result<()> {
    play(async |stage| {
        stage.apply(JOB).await?;
        stage.start_all(1).await?;
        send(stage, "submit.plain", "").await?;
        send(stage, "submit.plain", "").await?;
        send(stage, "submit.plain", b"\x81\xa2id\xa1b".to_vec()).await?;
        all_acknowledged(stage).await?;
        assert_eq!(runs(stage).await?, 3);
        Ok(())
    })
    .await
}
