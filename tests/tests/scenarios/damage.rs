//! Operators' hands: every key and every stream deleted, purged, or with nonsense in it, under running
//! planners and workers. The installation mends itself, or says what is to be done; it never stays silent.

use std::time::Duration;

use anyhow::Context;
use gridloom_shared::broker::kv::Bucket;
use gridloom_shared::broker::subjects::{ConsumerName, LEADER_KEY, StreamName, WATCHED_KEY};
use gridloom_shared::id::{HandlerName, JobName, QueueName, RunId};
use gridloom_shared::lane::Lane;
use gridloom_shared::submission::Unreadable;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

/// What is done to something that is needed.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// Deleted as people do: with a mark where it is a key.
    Deleted,
    /// Removed without a trace.
    Purged,
    /// Something else stands there.
    Is(&'static str),
}

use Damage::{Deleted, Is, Purged};

/// Larger than any number that is counted.
const FUTURE: &str = "18446744073709551615";

/// A planner, and one worker that is replaced wherever a new one must find its way.
struct Hands<'a> {
    stage: &'a mut Stage,
    job: JobName,
}

async fn hands(stage: &mut Stage) -> anyhow::Result<Hands<'_>> {
    stage.start_planner().await?;
    stage.start_planner().await?;
    stage.start_worker(4, &[]).await?;
    let job = stage.apply(JOB).await?;
    let mut hands = Hands { stage, job };
    hands.succeeds("before").await?;
    Ok(hands)
}

const JOB: &str =
    "name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 2\npages = { count = 40 }\ntile = 2";

impl Hands<'_> {
    /// Asks for a run, again while nothing takes it.
    async fn submit(&mut self) -> anyhow::Result<RunId> {
        let end = std::time::Instant::now() + SOON;
        loop {
            match self.stage.submit(&self.job, &json!({"sleep_ms": 5})).await {
                Ok(run) => return Ok(run),
                Err(error) if std::time::Instant::now() > end => return Err(error),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    /// A run that is asked for now succeeds.
    async fn succeeds(&mut self, what: &str) -> anyhow::Result<()> {
        let run = self.submit().await?;
        self.ends(&run, what).await
    }

    async fn ends(&self, run: &RunId, what: &str) -> anyhow::Result<()> {
        let begun = std::time::Instant::now();
        let closed = self.stage.closed(run, SOON).await;
        closed.with_context(|| format!("after the damage: {what}"))?;
        let verdict = self.stage.judge_ledger(run).await?.succeeded()?;
        anyhow::ensure!(verdict.audit.ok, "{what}: {:?}", verdict.audit);
        eprintln!("{what}: {:?}", begun.elapsed());
        Ok(())
    }

    /// A run that is under way.
    async fn begun(&mut self) -> anyhow::Result<RunId> {
        let run = self.submit().await?;
        self.stage.done(&run, 4, SOON).await?;
        Ok(run)
    }

    async fn damage(&self, bucket: &Bucket, key: &str, damage: Damage) -> anyhow::Result<()> {
        match damage {
            Deleted => bucket.delete(key, None).await?,
            Purged => bucket.forget(key).await?,
            Is(text) => {
                bucket.put(key, text.as_bytes().to_vec().into()).await?;
            }
        }
        Ok(())
    }

    /// The worker dies, and another comes.
    async fn other_worker(&mut self) -> anyhow::Result<()> {
        let last = self.stage.workers.len() - 1;
        self.stage.workers[last].kill().await?;
        self.stage.start_worker(4, &[]).await?;
        Ok(())
    }

    /// What is on record as set aside or lost.
    async fn on_record(&self) -> anyhow::Result<Vec<Unreadable>> {
        let subjects = self.stage.broker.subjects();
        let (history, unreadable) = (subjects.history(), subjects.unreadable());
        let records = self
            .stage
            .broker
            .read(&history, unreadable, 1, None)
            .await?;
        records
            .iter()
            .map(|record| Ok(serde_json::from_slice(&record.payload)?))
            .collect()
    }

    async fn is_on_record(&self, subject: &str, before: usize) -> anyhow::Result<()> {
        let what = format!("{subject} is on record");
        eventually(SOON, &what, async || {
            let all = self.on_record().await?;
            Ok(all
                .iter()
                .skip(before)
                .any(|record| record.subject == subject))
        })
        .await
    }

    async fn all_live(&mut self) -> anyhow::Result<()> {
        for planner in &mut self.stage.planners {
            anyhow::ensure!(planner.is_running()?, "a planner ended");
        }
        let worker = self.stage.workers.last_mut().context("a worker")?;
        anyhow::ensure!(worker.is_running()?, "the worker ended");
        Ok(())
    }
}

async fn api(stage: &Stage, call: &str) -> anyhow::Result<Value> {
    let client = stage.server.client().await?;
    let answer = client.request(format!("$JS.API.{call}"), "".into()).await?;
    Ok(serde_json::from_slice(&answer.payload)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_of_the_leadership_that_is_gone_or_nonsense_is_written_anew() -> anyhow::Result<()> {
    let possible = r#"{"holder":7,"name":"other","term":3,"free":false,"later":[1]}"#;
    let future = r#"{"holder":7,"name":"other","term":18446744073709551615,"free":false}"#;
    play(async |stage| {
        let mut hands = hands(stage).await?;
        let bucket = hands.stage.broker.state();
        for damage in [
            Deleted,
            Purged,
            Is(""),
            Is("{"),
            Is(FUTURE),
            Is(future),
            Is(possible),
        ] {
            let what = format!("lease {damage:?}");
            let running = hands.begun().await?;
            let before = hands.on_record().await?.len();
            hands.damage(&bucket, LEADER_KEY, damage).await?;
            let damaged = bucket.place_of(LEADER_KEY).await?.revision();
            eventually(SOON, &format!("somebody leads: {what}"), async || {
                let place = bucket.place_of(LEADER_KEY).await?;
                let value = place
                    .value()
                    .map(|value| serde_json::from_slice::<Value>(value));
                let led = matches!(value, Some(Ok(value)) if value["free"] == json!(false));
                Ok(led && place.revision() > damaged)
            })
            .await?;
            hands.ends(&running, &what).await?;
            hands.succeeds(&what).await?;
            if let Is(text) = damage
                && text != possible
            {
                let key = format!("$KV.{}.{LEADER_KEY}", bucket.name());
                hands.is_on_record(&key, before).await?;
            }
        }
        hands.all_live().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn term_register_that_is_gone_or_nonsense_is_written_anew() -> anyhow::Result<()> {
    play(async |stage| {
        let mut hands = hands(stage).await?;
        let term = hands.stage.broker.subjects().term();
        let shards = hands.stage.broker.subjects().shards();
        for damage in [
            Purged,
            Is(""),
            Is("nonsense"),
            Is("18446744073709551615 7"),
            Is(FUTURE),
        ] {
            let what = format!("register {damage:?}");
            let running = hands.begun().await?;
            let before = hands.on_record().await?.len();
            let broker = &hands.stage.broker;
            match damage {
                Deleted | Purged => {
                    broker.purge(&shards, &term, 0).await?;
                }
                Is(text) => {
                    broker.append(term.clone(), text.into(), None).await?;
                }
            }
            hands.ends(&running, &what).await?;
            hands.succeeds(&what).await?;
            if let Is(_) = damage {
                hands.is_on_record(&term, before).await?;
            }
            let holder = hands.stage.broker.term_holder().await?;
            anyhow::ensure!(holder.is_some(), "nobody holds the register: {what}");
        }
        hands.all_live().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn number_of_a_consumer_and_floor_that_are_gone_or_nonsense_are_written_anew()
-> anyhow::Result<()> {
    play(async |stage| {
        let mut hands = hands(stage).await?;
        let subjects = hands.stage.broker.subjects().clone();
        let bucket = hands.stage.broker.state();
        let lane = Lane::new(QueueName::new("default")?, HandlerName::new("noop")?);
        let number = subjects.consumer_key(&lane);
        let mut names = Vec::new();
        for damage in [
            Deleted,
            Purged,
            Is(""),
            Is("x"),
            Is(FUTURE),
            Is("0"),
            Is("7"),
        ] {
            for floor in [false, true] {
                let current = current(hands.stage, &lane).await?;
                let server = hands.stage.broker.server_id();
                let key = match floor {
                    true => subjects.floor_key(&current, &server),
                    false => number.clone(),
                };
                let what = format!("{key} {damage:?}");
                let running = hands.begun().await?;
                let before = hands.on_record().await?.len();
                hands.damage(&bucket, &key, damage).await?;
                hands.other_worker().await?;
                hands.ends(&running, &what).await?;
                hands.succeeds(&what).await?;
                if let Is("" | "x" | FUTURE) = damage {
                    let key = format!("$KV.{}.{key}", bucket.name());
                    hands.is_on_record(&key, before).await?;
                }
            }
            names.push(current(hands.stage, &lane).await?);
        }
        eprintln!("{names:?}");
        hands.all_live().await
    })
    .await
}

/// The consumer that is there.
async fn current(stage: &Stage, lane: &Lane) -> anyhow::Result<ConsumerName> {
    let lanes = stage.broker.lanes().await?;
    Ok(lanes.get(lane).context("a consumer")?.consumer.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_the_clock_and_of_lost_runs_mends_itself_or_is_told() -> anyhow::Result<()>
{
    let since = r#"{"since":18446744073709551615,"until":5}"#;
    let leap = r#"{"since":5,"until":5,"leaps":[{"at":18446744073709551615,"ms":1}]}"#;
    play(async |stage| {
        let often = ["planner", "--retention-every", "1s"];
        let planner = stage.gridloom(&often)?.start().await?;
        stage.planners.push(planner);
        stage.start_worker(4, &[]).await?;
        let job = stage.apply(JOB).await?;
        let mut hands = Hands { stage, job };
        let bucket = hands.stage.broker.state();
        for damage in [Deleted, Purged, Is(""), Is("{"), Is(since), Is(leap)] {
            let what = format!("clock {damage:?}");
            let before = hands.on_record().await?.len();
            hands.damage(&bucket, WATCHED_KEY, damage).await?;
            let damaged = bucket.place_of(WATCHED_KEY).await?.revision();
            eventually(SOON, &format!("it is written anew: {what}"), async || {
                let place = bucket.place_of(WATCHED_KEY).await?;
                Ok(place.revision() > damaged)
            })
            .await?;
            if let Is(_) = damage {
                let key = format!("$KV.{}.{WATCHED_KEY}", bucket.name());
                hands.is_on_record(&key, before).await?;
            }
            hands.succeeds(&what).await?;
        }
        let run = RunId::new("steady_s_7")?;
        let lost = hands.stage.broker.subjects().lost_key(&run);
        hands.damage(&bucket, &lost, Is("{")).await?;
        let doctor = hands.stage.cli(&["doctor"], SOON).await?;
        let told = format!("run {run} at a time that is not known");
        assert!(doctor.stdout.contains(&told), "{}", doctor.stdout);
        hands.all_live().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn job_summary_and_registration_that_are_gone_or_nonsense_stop_nobody() -> anyhow::Result<()>
{
    const NEWER: &str = "\u{82}";
    play(async |stage| {
        let mut hands = hands(stage).await?;
        let broker = hands.stage.broker.clone();
        for damage in [Deleted, Purged, Is(""), Is("x"), Is(NEWER)] {
            let what = format!("registration {damage:?}");
            for key in broker.workers().keys().await? {
                hands.damage(&broker.workers(), &key, damage).await?;
            }
            hands.succeeds(&what).await?;
            let what = format!("summary {damage:?}");
            let running = hands.begun().await?;
            hands
                .damage(&broker.runs(), running.as_str(), damage)
                .await?;
            hands.ends(&running, &what).await?;
            let runs = hands.stage.cli(&["runs", "--json"], SOON).await?;
            let runs = runs.succeeded()?.json()?;
            let listed = runs.as_array().context("a list")?;
            assert!(
                listed.iter().any(|run| run["run"] == running.as_str()),
                "{what}"
            );
            let what = format!("job {damage:?}");
            let running = hands.begun().await?;
            hands
                .damage(&broker.jobs(), hands.job.as_str(), damage)
                .await?;
            let before = hands.on_record().await?.len();
            let refused = hands.submit().await?;
            hands
                .is_on_record(&broker.subjects().submit_to(&hands.job), before)
                .await?;
            hands.ends(&running, &what).await?;
            assert!(!hands.stage.is_closed(&refused).await?);
            hands.stage.apply(JOB).await?;
            hands.succeeds(&what).await?;
        }
        hands.all_live().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_that_is_deleted_under_a_running_planner_is_made_again() -> anyhow::Result<()> {
    play(async |stage| {
        let mut hands = hands(stage).await?;
        for stream in streams(hands.stage) {
            let what = format!("{stream} deleted");
            let running = hands.begun().await?;
            let answer = api(hands.stage, &format!("STREAM.DELETE.{stream}")).await?;
            anyhow::ensure!(answer["error"].is_null(), "{what}: {answer}");
            let again = format!("it is made again: {what}");
            eventually(SOON, &again, async || {
                Ok(hands.stage.broker.info(&stream).await.is_ok())
            })
            .await?;
            let is = |other: &StreamName| stream == *other;
            let subjects = hands.stage.broker.subjects().clone();
            if is(&subjects.jobs().stream()) {
                hands.stage.apply(JOB).await?;
            }
            if !is(&subjects.ledger()) {
                hands.ends(&running, &what).await?;
            }
            hands.succeeds(&what).await?;
            if !is(&subjects.shards()) {
                hands.is_on_record(stream.as_str(), 0).await?;
            }
        }
        hands.all_live().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_that_is_purged_under_a_running_planner_hinders_nobody() -> anyhow::Result<()> {
    play(async |stage| {
        let mut hands = hands(stage).await?;
        let subjects = hands.stage.broker.subjects().clone();
        for stream in streams(hands.stage) {
            if stream == subjects.ledger() {
                continue; // what is in it is lost, as where it is deleted
            }
            let what = format!("{stream} purged");
            let running = hands.begun().await?;
            let answer = api(hands.stage, &format!("STREAM.PURGE.{stream}")).await?;
            anyhow::ensure!(answer["error"].is_null(), "{what}: {answer}");
            if stream == subjects.jobs().stream() {
                hands.stage.apply(JOB).await?;
            }
            hands.ends(&running, &what).await?;
            hands.succeeds(&what).await?;
            hands.other_worker().await?;
            hands.succeeds(&what).await?;
        }
        hands.all_live().await
    })
    .await
}

/// What `doctor` says of one check: results, each with what was found.
async fn checks(stage: &Stage, check: &str) -> anyhow::Result<Vec<(String, String)>> {
    let said = stage.cli(&["doctor", "--json"], SOON).await?.json()?;
    let all = said.as_array().context("a list of checks")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(all
        .iter()
        .filter(|one| one["check"] == check)
        .map(|one| (text(&one["result"]), text(&one["found"])))
        .collect())
}

async fn says(stage: &Stage, check: &str, result: &str, part: &str) -> anyhow::Result<()> {
    let checks = checks(stage, check).await?;
    let named = checks
        .iter()
        .any(|(as_what, found)| as_what == result && found.contains(part));
    anyhow::ensure!(named, "{check}, {result}, {part}: {checks:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_what_is_gone_nonsense_or_silent() -> anyhow::Result<()> {
    play(async |stage| {
        says(stage, "leadership", "bad", "never written").await?;
        let mut hands = hands(stage).await?;
        let broker = hands.stage.broker.clone();
        says(hands.stage, "leadership", "ok", "leads, term").await?;
        says(hands.stage, "set aside", "ok", "").await?;
        let term = broker.subjects().term();
        broker.append(term.clone(), "nonsense".into(), None).await?;
        hands.succeeds("nonsense in the register").await?;
        hands.is_on_record(&term, 0).await?;
        says(hands.stage, "set aside", "note", &term).await?;
        let (state, jobs) = (broker.state(), broker.jobs());
        hands.damage(&jobs, "steady", Is("x")).await?;
        says(hands.stage, "jobs", "bad", "steady").await?;
        hands
            .damage(&state, "consumer.default.noop", Is("x"))
            .await?;
        says(hands.stage, "numbers", "note", "consumer.default.noop").await?;
        // What a planner would clear away stays from here on.
        for planner in &mut hands.stage.planners {
            planner.kill().await?;
        }
        let last = hands.stage.workers.len() - 1;
        hands.stage.workers[last].kill().await?;
        hands.damage(&broker.workers(), "odd", Is("x")).await?;
        says(hands.stage, "workers", "note", "silent").await?;
        says(hands.stage, "workers", "note", "odd").await?;
        says(hands.stage, "leadership", "bad", "is silent").await?;
        hands.damage(&state, LEADER_KEY, Is("{")).await?;
        says(hands.stage, "leadership", "bad", "no lease").await?;
        hands.damage(&state, LEADER_KEY, Deleted).await?;
        says(hands.stage, "leadership", "bad", "deleted").await
    })
    .await
}

fn streams(stage: &Stage) -> Vec<StreamName> {
    let subjects = stage.broker.subjects();
    vec![
        subjects.state().stream(),
        subjects.submit(),
        subjects.jobs().stream(),
        subjects.runs().stream(),
        subjects.workers().stream(),
        subjects.history(),
        subjects.shards(),
        subjects.ledger(),
    ]
}
