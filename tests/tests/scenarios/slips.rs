//! What a newcomer slips on: names that nobody has, workers of one name, answers that come late, a run that does not move,
//! a job that is deleted under its run.

use std::time::Duration;

use futures_util::future::join_all;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::holdings::Packed;
use gridloom_shared::id::Session;
use gridloom_shared::presence::Presence;
use gridloom_shared::wire;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(40);

async fn json_of(stage: &Stage, args: &[&str]) -> anyhow::Result<Value> {
    let said = stage.cli(&[args, &["--json"]].concat(), SOON).await?;
    said.succeeded()?.json()
}

/// What is warned of when this job is applied.
async fn warnings(stage: &Stage, text: &str) -> anyhow::Result<Vec<String>> {
    let path = stage.dir().join("job.toml");
    std::fs::write(&path, text)?;
    let file = path.display().to_string();
    let applied = json_of(stage, &["job", "apply", &file]).await?;
    let all = applied[0]["warnings"].as_array().into_iter().flatten();
    Ok(all
        .filter_map(|one| Some(one.as_str()?.to_owned()))
        .collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn handler_and_queue_that_no_worker_has_are_warned_of_when_a_job_is_applied()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let sound = "name = \"sound\"\nhandler = \"noop\"";
        assert_eq!(warnings(stage, sound).await?, [] as [String; 0]);
        for (text, path, meant) in [
            (
                sound.replace("noop", "nooop"),
                "handler: ",
                "did you mean \"noop\"?",
            ),
            (
                format!("{sound}\nqueue = \"defualt\""),
                "queue: ",
                "did you mean \"default\"?",
            ),
        ] {
            let warned = warnings(stage, &text).await?;
            assert_eq!(warned.len(), 1, "{warned:?}");
            assert!(
                warned[0].starts_with(path) && warned[0].contains(meant),
                "{warned:?}"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn statement_that_does_more_than_its_page_is_refused_when_its_job_is_applied()
-> anyhow::Result<()> {
    play(async |stage| {
        let path = stage.dir().join("more.toml");
        let text = "name = \"more\"\nhandler = \"sql\"\n[grid]\nslices = 4\npages = { probe = true }\n[sql]\ndatabase = \"main\"\n\
                    probe = \"SELECT min(id), max(id) FROM t WHERE (:after IS NULL OR id > :after) AND id % :slices = :slice\"\n\
                    statement = \"UPDATE t SET n = n + 1 WHERE id >= :page_from AND id % :slices = :slice\"";
        std::fs::write(&path, text)?;
        let file = path.display().to_string();
        let said = stage.cli(&["job", "apply", &file], SOON).await?;
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.stderr.contains("BETWEEN :page_from AND :page_to"), "{said:?}");
        std::fs::write(&path, text.replace(">= :page_from", ">= :page_from AND id < :page_to"))?;
        let applied = json_of(stage, &["job", "apply", &file]).await?;
        let warned = applied[0]["warnings"].to_string();
        assert!(warned.contains("`<= :page_to`"), "{applied}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_is_waited_for_says_to_programs_why_nothing_moves() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        stage
            .apply("name = \"waits\"\nhandler = \"noop\"\nqueue = \"nobodys\"")
            .await?;
        let waiting = stage.gridloom(&["run", "waits", "--wait", "--json"])?;
        let waiting = waiting.start().await?;
        let told = eventually_some(SOON, "it says what it waits for", async || {
            let said = waiting.stdout();
            let documents = said
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut documents = documents.filter(|document| document["waits"][0].is_object());
            Ok(documents.next())
        })
        .await?;
        let run = told["run"].as_str().unwrap_or_default();
        let shown = json_of(stage, &["show", run]).await?;
        assert_eq!(told["waits"], shown["waits"], "{told}");
        let words = told["waiting"].as_str().unwrap_or_default();
        assert!(words.contains("gridloom worker --queue nobodys"), "{told}");
        Ok(())
    })
    .await
}

/// A worker that answers no more than the second call, and whoever asks it alone.
fn late(session: u64) -> anyhow::Result<Presence> {
    Ok(Presence {
        worker: format!("late-{session}").parse()?,
        session: Session(session),
        queues: vec!["default".parse()?],
        handlers: vec!["noop".parse()?],
        capacity: 4,
        in_flight: 0,
        version: "1".into(),
        wire: Default::default(),
        started_at: UnixMs::now(),
        at: UnixMs::now(),
        stopping: false,
        gone: false,
        named: Packed::default(),
        tolls: Vec::new(),
        ack_deadlines_ms: Vec::new(),
        knows: Vec::new(),
        trouble: String::new(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_answers_late_is_here_and_one_that_is_gone_is_not() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let broker = stage.broker.clone();
        let (slow, gone) = (late(71)?, late(72)?);
        for worker in [&slow, &gone] {
            let key = worker.session.to_string();
            broker.workers().put(&key, wire::encode(worker)).await?;
        }
        let mut calls = broker.subscribe(broker.subjects().roll_call()).await?;
        let mut probes = broker
            .subscribe(broker.subjects().probe(slow.session))
            .await?;
        broker.flush().await?;
        let pretender = tokio::spawn(async move {
            loop {
                let (asked, answer) = tokio::select! {
                    // One that is asked alone answers; a call is heard, and answered too late.
                    Some(probe) = probes.next() => (probe.reply, bytes::Bytes::new()),
                    Some(_) = calls.next() => continue,
                    else => return,
                };
                let replies = asked.into_iter();
                let said = replies.map(|reply| broker.publish(reply, answer.clone()));
                join_all(said).await;
            }
        });
        let listed = json_of(stage, &["workers"]).await?;
        pretender.abort();
        let answers = |worker: &Presence| {
            let name = worker.worker.as_str();
            let all = listed.as_array().into_iter().flatten();
            let mut its = all.filter(|one| one["worker"] == name);
            its.next().map(|one| one["answers"].clone())
        };
        assert_eq!(answers(&slow), Some(json!(true)), "{listed}");
        assert_eq!(answers(&gone), Some(json!(false)), "{listed}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_one_name_are_told_of() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        for _ in 0..2 {
            stage.start_worker(1, &["--name", "twin"]).await?;
        }
        stage.start_worker(1, &["--name", "single"]).await?;
        eventually(SOON, "all are listed", async || {
            let listed = json_of(stage, &["workers"]).await?;
            Ok(listed.as_array().map_or(0, Vec::len) == 3)
        })
        .await?;
        let said = stage.cli(&["workers"], SOON).await?.succeeded()?;
        let told = said.stdout.matches("another has its name").count();
        assert_eq!(told, 2, "{said:?}");
        let said = stage.cli(&["doctor"], SOON).await?;
        assert!(said.code == 1 && said.stdout.contains("twin"), "{said:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn job_that_is_deleted_or_paused_says_what_of_it_goes_on() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        stage
            .apply("name = \"open\"\nhandler = \"noop\"\nqueue = \"nightly\"")
            .await?;
        let said = stage
            .cli(&["job", "pause", "open", "--note", "x"], SOON)
            .await?;
        assert!(
            said.code == 2 && said.stderr.contains("no schedule"),
            "{said:?}"
        );
        let run = stage.submit(&"open".parse()?, &json!({})).await?;
        eventually(SOON, "it is open", async || {
            let listed = json_of(stage, &["runs", "--state", "running"]).await?;
            Ok(listed[0]["run"] == run.as_str())
        })
        .await?;
        assert_eq!(
            json_of(stage, &["runs", "--state", "succeeded"]).await?,
            json!([])
        );
        let deleted = stage
            .cli(&["job", "delete", "open"], SOON)
            .await?
            .succeeded()?;
        let words = [run.as_str(), "goes on", "--cancel"];
        assert!(
            words.iter().all(|word| deleted.stdout.contains(word)),
            "{deleted:?}"
        );
        let doctor = stage.cli(&["doctor"], SOON).await?;
        assert!(doctor.stdout.contains("nightly"), "{doctor:?}");
        stage
            .cli(&["cancel", run.as_str()], SOON)
            .await?
            .succeeded()?;
        eventually(SOON, "it is cancelled", async || {
            let listed = json_of(stage, &["runs", "--state", "cancelled"]).await?;
            Ok(listed[0]["run"] == run.as_str())
        })
        .await?;
        // Nothing but a run of the past names its queue.
        let doctor = stage.cli(&["doctor"], SOON).await?;
        assert!(!doctor.stdout.contains("nightly"), "{doctor:?}");
        Ok(())
    })
    .await
}
