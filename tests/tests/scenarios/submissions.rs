//! Whatever a plain NATS client sends is answered for, and the planner lives on.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream;
use gridloom_shared::broker::log::Record;
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::ledger::record::Author;
use gridloom_shared::submission::Unreadable;
use gridloom_tests::scenario::{NAMESPACE, Stage, play};
use gridloom_tests::server::copy;
use gridloom_tests::wait::eventually_some;
use serde_json::{Value, json};

#[path = "submissions/places.rs"]
mod places;

const SOON: Duration = Duration::from_secs(20);
/// A tile comes again after its ack deadline.
const LONG: Duration = Duration::from_secs(60);
const JOB: &str = "name = \"plain\"\nhandler = \"noop\"\n[grid]\nslices = 2\npages = { count = 3 }\n[submit]\nallow = [\"params\", \"grid\"]";

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
            ("submit.plain", b"hello".to_vec(), "the body cannot be read"),
            (
                "submit.plain",
                vec![0xff, 0x00, 0xfe],
                "the body cannot be read",
            ),
            (
                "submit.plain",
                vec![0xdf, 0xff, 0xff, 0xff, 0xff],
                "the body cannot be read",
            ),
            (
                "submit.plain",
                vec![b'['; 100_000],
                "the body cannot be read",
            ),
            ("submit.plain", vec![b'x'; 200_000], "over the limit"),
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

/// What a submission may not say to the jobs `open` and `narrow`, and how the answer begins.
fn hostile() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("open", json!({"exec": {"command": "evil"}}), "exec: "),
        (
            "open",
            json!({"sql": {"statement": "DROP TABLE users"}}),
            "sql: ",
        ),
        (
            "open",
            json!({"settings": {"command": "evil"}}),
            "settings: ",
        ),
        ("open", json!({"handler": "noop"}), "handler: "),
        ("open", json!({"queue": "other"}), "queue: "),
        ("open", json!({"name": "narrow"}), "name: "),
        ("open", json!({"submit": {"allow": ["grid"]}}), "submit: "),
        ("open", json!({"limits": {"priority": 0}}), "limits: "),
        ("open", json!({"whatever": 1}), "whatever: "),
        (
            "open",
            json!({"grid": {"slices": 2}}),
            "grid: job open does not let",
        ),
        (
            "narrow",
            json!({"params": {"night": 1}}),
            "params.night: job narrow",
        ),
        (
            "narrow",
            json!({"params": {"day": 1, "command": "evil"}}),
            "params.command: job narrow",
        ),
    ]
}

/// Whoever may publish to one subject runs no statement, no command and no handler of their own.
#[tokio::test(flavor = "multi_thread")]
async fn submission_reaches_nothing_but_the_params_that_its_job_allows() -> anyhow::Result<()> {
    play(async |stage| {
        let script =
            |name: &str| format!("{name}=/usr/bin/touch {}", stage.dir().join(name).display());
        let (good, evil) = (script("good"), script("evil"));
        stage.start_planner().await?;
        stage
            .start_worker(2, &["--exec", &good, "--exec", &evil])
            .await?;
        let head = "handler = \"exec\"\n[exec]\ncommand = \"good\"\n";
        let job = stage.apply(&format!("name = \"open\"\n{head}")).await?;
        stage
            .apply(&format!(
                "name = \"narrow\"\n{head}[submit]\nallow = [\"params.day\"]"
            ))
            .await?;
        let mut refused = Vec::new();
        for (name, body, reason) in hostile() {
            let sequence = send(stage, &format!("submit.{name}"), body.to_string()).await?;
            refused.push((sequence, body, reason));
        }
        let answers = answers(stage, refused.len()).await?;
        for (sequence, body, reason) in &refused {
            let said = &answers[sequence].reason;
            assert!(said.starts_with(reason), "{body}: {said}");
        }
        assert_eq!(runs(stage).await?, 0);
        // Called like a setting it is a value, and the command is the job's.
        let run = stage
            .submit(
                &job,
                &json!({"command": "evil", "exec": {"command": "evil"}}),
            )
            .await?;
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?.succeeded()?;
        assert!(stage.dir().join("good").exists() && !stage.dir().join("evil").exists());
        Ok(())
    })
    .await
}

/// The bytes of `record` as a build wrote them whose jobs had no settings.
fn of_former_form(record: &[u8], job: &str) -> anyhow::Result<Vec<u8>> {
    let mut value: Value = rmp_serde::from_slice(record)?;
    let spec = value.pointer_mut(job).and_then(Value::as_object_mut);
    let spec = spec.context("a job")?;
    spec.remove("settings").context("settings")?;
    spec.remove("submit")
        .context("what a submission may change")?;
    Ok(rmp_serde::to_vec_named(&value)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn definition_and_run_of_the_former_form_stop_nobody_and_say_what_to_do() -> anyhow::Result<()>
{
    play(async |stage| {
        let job = stage.apply(JOB).await?;
        stage.start_all(1).await?;
        let done = stage.submit(&job, &json!({})).await?;
        stage.closed(&done, SOON).await?;

        let bucket = stage.broker.jobs();
        let entry = bucket
            .get_of_leader(job.as_str())
            .await?
            .and_then(|entry| entry.value);
        let former = of_former_form(&entry.context("a definition")?, "/body")?;
        bucket.put("former", former.into()).await?;
        let subjects = stage.broker.subjects();
        let queue = QueueName::new("default")?;
        let plan = subjects.ledger_of(&queue, &done, Author::Plan);
        let first = stage
            .broker
            .first_of_leader(&subjects.ledger(), &plan, 1)
            .await?;
        let opened = of_former_form(
            &first.context("a first record")?.payload,
            "/body/opened/job",
        )?;
        let old = RunId::from_request(&job, "old");
        let plan = subjects.ledger_of(&queue, &old, Author::Plan);
        stage.broker.append(plan, opened.into(), None).await?;

        let sequence = send(stage, "submit.former", "{}").await?;
        let reason = &answers(stage, 1).await?[&sequence].reason;
        assert!(
            reason.contains("earlier form") && reason.contains("apply it again"),
            "{reason}"
        );
        for args in [
            &["run", "former"][..],
            &["job", "show", "former"],
            &["job", "list"],
            &["doctor"],
        ] {
            let said = stage.cli(args, SOON).await?;
            let text = format!("{}{}", said.stdout, said.stderr);
            assert!(text.contains("earlier form"), "{args:?}: {text}");
        }
        // A new leader reads all of it.
        stage.planners[0].kill().await?;
        stage.start_planner().await?;
        let run = stage.submit(&job, &json!({})).await?;
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?.succeeded()?;
        assert!(stage.planners[1].is_running()?);
        Ok(())
    })
    .await
}
