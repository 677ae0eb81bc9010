//! What is left of runs that are over once they were kept long enough.

use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use gridloom_shared::broker::subjects::WATCHED_KEY;
use gridloom_shared::broker::{Broker, Options};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, QueueName, RunId};
use gridloom_shared::ledger::record::Author;
use gridloom_shared::reads::{RunError, runs};
use gridloom_tests::proxy::{Mode, Proxy};
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::{Value, json};

use crate::clock::{broker_clock, swept_until};

#[path = "retention/keeps_up.rs"]
mod keeps_up;

const SOON: Duration = Duration::from_secs(30);

/// Asks for a run under a request id of its own.
async fn ask(stage: &Stage, job: &JobName, id: &str) -> anyhow::Result<RunId> {
    ask_slow(stage, job, id, 0).await
}

/// As [`ask`], for shards that take so long.
async fn ask_slow(stage: &Stage, job: &JobName, id: &str, sleep_ms: u64) -> anyhow::Result<RunId> {
    let subject = stage.broker.subjects().submit_to(job);
    let body = json!({ "id": id, "params": { "sleep_ms": sleep_ms } });
    let body = body.to_string().into();
    stage.broker.append(subject, body, None).await?;
    Ok(RunId::from_request(job, id))
}

/// Records of each author of a run: plan, work, takeover.
async fn records(stage: &Stage, run: &RunId) -> anyhow::Result<[u64; 3]> {
    let subjects = stage.broker.subjects();
    let filter = subjects.ledger_of_run_anywhere(run);
    let found = stage
        .broker
        .subjects_of(&subjects.ledger(), &filter)
        .await?;
    let count = |author| {
        let of_author = found.iter().filter(|(subject, _)| {
            subjects
                .parse_ledger(subject)
                .is_some_and(|(.., by)| by == author)
        });
        of_author.map(|(_, records)| records).sum()
    };
    Ok([Author::Plan, Author::Work, Author::Takeover].map(count))
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_beyond_the_number_that_is_kept_are_purged_and_their_ids_are_remembered()
-> anyhow::Result<()> {
    play(async |stage| {
        let planner = stage.gridloom(&[
            "planner",
            "--retention-most",
            "1",
            "--retention-every",
            "200ms",
        ])?;
        let planner = planner.start().await?;
        stage.planners.push(planner);
        stage.start_worker(4, &[]).await?;
        let job = stage
            .apply(
                "name = \"short\"\nhandler = \"noop\"\n[grid]\nslices = 2\npages = { count = 5 }",
            )
            .await?;
        let mut runs = Vec::new();
        for id in ["one", "two", "three"] {
            let run = ask(stage, &job, id).await?;
            stage.closed(&run, SOON).await?;
            runs.push(run);
        }
        let [one, two, three] = &runs[..] else {
            unreachable!("three ids")
        };
        eventually(SOON, "the older two are purged", async || {
            Ok(records(stage, one).await? == [1, 0, 0] && records(stage, two).await? == [1, 0, 0])
        })
        .await?;
        stage.judge(three).await?.succeeded()?;
        eventually(SOON, "their summaries are gone", async || {
            Ok(stage.broker.runs().keys().await? == [three.as_str()])
        })
        .await?;
        let listed = stage
            .cli(&["runs", "--json"], SOON)
            .await?
            .succeeded()?
            .stdout;
        assert!(
            listed.contains(three.as_str()) && !listed.contains(one.as_str()),
            "{listed}"
        );
        for command in ["show", "audit"] {
            let said = stage.cli(&[command, one.as_str()], SOON).await?;
            assert_eq!(said.code, 2, "{said:?}");
            assert!(said.stderr.contains("was purged"), "{said:?}");
        }
        for order in [
            &["cancel", one.as_str()][..],
            &["retry", one.as_str()],
            &["dead", "retry", one.as_str()],
            &["dead", "drop", one.as_str()],
        ] {
            let said = stage.cli(order, SOON).await?;
            assert_eq!(said.code, 2, "{said:?}");
            assert!(said.stderr.contains("was purged"), "{said:?}");
        }
        assert_eq!(records(stage, one).await?, [1, 0, 0]);
        // The same request again is no second run.
        let again = ask(stage, &job, "one").await?;
        assert_eq!(again, *one);
        let four = ask(stage, &job, "four").await?;
        stage.closed(&four, SOON).await?;
        assert_eq!(records(stage, one).await?, [1, 0, 0]);
        let subjects = stage.broker.subjects();
        let registers = stage
            .broker
            .subjects_of(&subjects.shards(), &subjects.term())
            .await?;
        assert_eq!(registers.values().copied().collect::<Vec<u64>>(), [1]);
        Ok(())
    })
    .await
}

/// A run that was cancelled in its middle, so that a retry lets it go on.
async fn cancelled_run(stage: &mut Stage) -> anyhow::Result<RunId> {
    let job = stage
        .apply("name = \"halved\"\nhandler = \"noop\"\n[grid]\nslices = 8\npages = { count = 30 }\ntile = 1")
        .await?;
    let run = stage.submit(&job, &json!({ "sleep_ms": 5 })).await?;
    stage.done(&run, 10, SOON).await?;
    stage
        .cli(&["cancel", run.as_str()], SOON)
        .await?
        .succeeded()?;
    stage.closed(&run, SOON).await?;
    Ok(run)
}

async fn leads(stage: &Stage, term: u64) -> anyhow::Result<()> {
    eventually(SOON, "the next planner leads", async || {
        Ok(stage.term().await? >= term)
    })
    .await
}

/// A leader whose bytes are held back from where it says one of `words` on, until another leads and was
/// asked to go on with the run that it was about to purge. Returns whether that was confirmed.
async fn late_purge(stage: &mut Stage, words: &'static [&'static str]) -> anyhow::Result<bool> {
    let proxy = Proxy::start(stage.server.port()).await?;
    stage.start_all(1).await?;
    let run = cancelled_run(stage).await?;
    stage.planners[0].kill().await?;
    stage.free_leadership().await?;
    proxy.set(Mode::StallAt(words));
    let policy = [
        "planner",
        "--retention-most",
        "0",
        "--retention-every",
        "200ms",
    ];
    let purging = stage.gridloom(&policy)?.env("GRIDLOOM_NATS", proxy.url());
    stage.planners.push(purging.start().await?);
    proxy.stalled(SOON).await?;
    let term = stage.term().await?;
    stage.start_planner().await?;
    leads(stage, term + 1).await?;
    let retry = stage.cli(&["retry", run.as_str()], SOON).await?;
    proxy.set(Mode::Pass);
    if retry.code == 0 {
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?.succeeded()?;
        return Ok(true);
    }
    assert!(retry.stderr.contains("was purged"), "{retry:?}");
    eventually(SOON, "it is purged", async || {
        Ok(records(stage, &run).await? == [1, 0, 0])
    })
    .await?;
    Ok(false)
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_that_comes_before_the_decision_to_purge_wins_however_late_that_arrives()
-> anyhow::Result<()> {
    play(async |stage| {
        let words = &["retired", "STREAM.PURGE.test-ledger"];
        assert!(
            late_purge(stage, words).await?,
            "the retry was not confirmed"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_the_decision_to_purge_is_told_so_and_the_purge_goes_on() -> anyhow::Result<()>
{
    play(async |stage| {
        // Of its tiles: the register's predecessors are purged before.
        let words = &["{\"filter\":\"test.shard."];
        assert!(!late_purge(stage, words).await?, "the retry was confirmed");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn reader_that_a_purge_overtakes_says_that_the_run_was_purged() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let job = stage
            .apply(
                "name = \"short\"\nhandler = \"noop\"\n[grid]\nslices = 2\npages = { count = 5 }",
            )
            .await?;
        let run = ask(stage, &job, "one").await?;
        stage.closed(&run, SOON).await?;
        let proxy = Proxy::start(stage.server.port()).await?;
        let namespace = stage.broker.subjects().namespace().clone();
        let slow = Broker::connect(&Options::new(proxy.url(), namespace, "slow")).await?;
        // It has heard where the ledger ends and how many records there are, and reads none of them.
        proxy.set(Mode::StallAt(&["next_by_subj"]));
        let asked = run.clone();
        let reading = tokio::spawn(async move { runs::fold(&slow, &asked).await });
        proxy.stalled(SOON).await?;
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        let policy = ["planner", "--retention-most=0", "--retention-every=200ms"];
        stage.planners.push(stage.gridloom(&policy)?.start().await?);
        eventually(SOON, "it is purged", async || {
            Ok(records(stage, &run).await? == [1, 0, 0])
        })
        .await?;
        proxy.set(Mode::Pass);
        let told = reading.await?;
        assert!(matches!(told, Err(RunError::Purged { .. })), "{told:?}");
        Ok(())
    })
    .await
}

/// What workers wrote goes before what planners did: read in between, a run that had succeeded had lost its shards.
#[tokio::test(flavor = "multi_thread")]
async fn run_of_which_a_part_is_removed_is_told_of_as_purged() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(1).await?;
        let job = stage.apply("name = \"short\"\nhandler = \"noop\"").await?;
        let run = ask(stage, &job, "one").await?;
        stage.closed(&run, SOON).await?;
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        let proxy = Proxy::start(stage.server.port()).await?;
        // That its id is remembered comes behind one half, and before the other.
        proxy.set(Mode::StallAt(&["PUB test.ids."]));
        let policy = ["planner", "--retention-most=0", "--retention-every=200ms"];
        let purging = stage.gridloom(&policy)?.env("GRIDLOOM_NATS", proxy.url());
        stage.planners.push(purging.start().await?);
        proxy.stalled(SOON).await?;
        assert_eq!(records(stage, &run).await?, [3, 0, 0]);
        let told = runs::fold(&stage.broker, &run).await;
        assert!(matches!(told, Err(RunError::Purged { .. })), "{told:?}");
        let told = runs::audit(&stage.broker, &run).await;
        assert!(matches!(told, Err(RunError::Purged { .. })), "{told:?}");
        Ok(())
    })
    .await
}

/// Two days, in seconds: longer than any id has to be remembered that is remembered for a day.
const TWO_DAYS: u64 = 2 * 24 * 3_600;

/// Says in the name of planners that they have watched the broker's clock up to now, and that it went on as
/// it should: no test lasts for days.
async fn watched(stage: &Stage, now: UnixMs) -> anyhow::Result<()> {
    let state = stage.broker.state();
    let entry = state.get_of_leader(WATCHED_KEY).await?;
    let entry = entry.context("what planners saw of the clock")?;
    let mut watched: Value = serde_json::from_slice(&entry.value.unwrap_or_default())?;
    watched["until"] = json!(now);
    let watched = watched.to_string().into();
    state.update(WATCHED_KEY, watched, entry.revision).await?;
    Ok(())
}

/// Waits until a sweep that begins from now on has ended.
async fn swept(stage: &Stage) -> anyhow::Result<()> {
    let before = swept_until(stage).await?;
    eventually(SOON, "another sweep has ended", async || {
        Ok(swept_until(stage).await? > before + 1_000)
    })
    .await
}

/// Of two runs that are over, the first of which only the id is left.
async fn one_purged_of_two(stage: &Stage) -> anyhow::Result<(JobName, RunId, RunId)> {
    let job = stage
        .apply("name = \"short\"\nhandler = \"noop\"\n[grid]\nslices = 2\npages = { count = 5 }")
        .await?;
    let one = ask(stage, &job, "one").await?;
    stage.closed(&one, SOON).await?;
    let two = ask(stage, &job, "two").await?;
    stage.closed(&two, SOON).await?;
    eventually(SOON, "the older one is purged", async || {
        Ok(records(stage, &one).await? == [1, 0, 0])
    })
    .await?;
    Ok((job, one, two))
}

#[tokio::test(flavor = "multi_thread")]
async fn id_is_free_after_its_time_and_who_decides_that_too_late_takes_nothing_away()
-> anyhow::Result<()> {
    play(async |stage| {
        let Some(clock) = broker_clock(stage).await? else {
            return Ok(());
        };
        let policy = [
            "planner",
            "--retention-most=1",
            "--retention-ids=24h",
            "--retention-every=200ms",
        ];
        stage.planners.push(stage.gridloom(&policy)?.start().await?);
        stage.start_worker(4, &[]).await?;
        let (job, one, two) = one_purged_of_two(stage).await?;
        swept(stage).await?;
        assert_eq!(records(stage, &one).await?, [1, 0, 0]);
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        clock.shift(TWO_DAYS as i64)?;
        watched(stage, UnixMs::now() + Duration::from_secs(TWO_DAYS)).await?;

        let proxy = Proxy::start(stage.server.port()).await?;
        proxy.set(Mode::StallAt(&["forgotten"]));
        let late = stage.gridloom(&policy)?.env("GRIDLOOM_NATS", proxy.url());
        stage.planners.push(late.start().await?);
        proxy.stalled(SOON).await?;
        assert_eq!(records(stage, &one).await?, [1, 0, 0]);
        stage.planners.push(stage.gridloom(&policy)?.start().await?);
        eventually(SOON, "its id is forgotten", async || {
            Ok(records(stage, &one).await? == [0, 0, 0])
        })
        .await?;
        ask(stage, &job, "one").await?;
        stage.closed(&one, SOON).await?;
        proxy.set(Mode::Pass);
        eventually(SOON, "now the other one is the older", async || {
            Ok(records(stage, &two).await? == [1, 0, 0])
        })
        .await?;
        // Nobody remembers it for a day yet.
        swept(stage).await?;
        assert_eq!(records(stage, &two).await?, [1, 0, 0]);
        stage.judge_ledger(&one).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn purges_that_arrive_when_the_id_was_used_again_remove_nothing_of_the_new_run()
-> anyhow::Result<()> {
    play(async |stage| {
        let client = stage.server.client().await?;
        let mut said = client.subscribe("$JS.API.STREAM.PURGE.test-ledger").await?;
        client.flush().await?;
        let policy = ["planner", "--retention-most", "0", "--retention-every", "200ms"];
        stage.planners.push(stage.gridloom(&policy)?.start().await?);
        stage.start_worker(4, &[]).await?;
        let job = stage
            .apply("name = \"twice\"\nhandler = \"noop\"\n[grid]\nslices = 1\npages = { count = 12 }\ntile = 1")
            .await?;
        let run = ask(stage, &job, "one").await?;
        eventually(SOON, "it is purged", async || {
            Ok(records(stage, &run).await? == [1, 0, 0])
        })
        .await?;
        // Its plan goes last.
        let mut purges: Vec<bytes::Bytes> = Vec::new();
        while !purges.iter().any(|purge| is_of_plan(purge)) {
            let purge = tokio::time::timeout(SOON, said.next()).await?;
            purges.push(purge.context("no purge")?.payload);
        }
        stage.planners[0].kill().await?;
        stage.free_leadership().await?;
        // As if it had been remembered for long enough.
        let subjects = stage.broker.subjects();
        let id = subjects.id_of(&QueueName::new("default")?, &run);
        assert_eq!(stage.broker.purge(&subjects.ledger(), &id, 0).await?, 1);
        stage.start_planner().await?;
        ask_slow(stage, &job, "one", 600).await?;
        stage.done(&run, 1, SOON).await?;
        // What a deposed leader has said arrives whenever it likes.
        for purge in purges {
            let answer = client.request("$JS.API.STREAM.PURGE.test-ledger", purge).await?;
            let answer: serde_json::Value = serde_json::from_slice(&answer.payload)?;
            anyhow::ensure!(answer["error"].is_null(), "{answer}");
        }
        stage.closed(&run, SOON).await?;
        stage.judge_ledger(&run).await?.succeeded()?;
        Ok(())
    })
    .await
}

fn is_of_plan(purge: &[u8]) -> bool {
    purge.windows(5).any(|word| word == b".plan")
}

/// Rounds of the leader that is frozen while it sweeps, and runs of each.
const ROUNDS: usize = 3;
/// See [`ROUNDS`].
const RUNS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn leader_that_is_frozen_in_its_sweep_destroys_no_run_that_goes_on_meanwhile()
-> anyhow::Result<()> {
    play(async |stage| {
        eprintln!("seed {}", stage.seed.number());
        stage.start_all(1).await?;
        let job = stage
            .apply("name = \"many\"\nhandler = \"noop\"\n[grid]\nslices = 2\npages = { count = 4 }\n[retry]\nmax_attempts = 1")
            .await?;
        let (mut confirmed, mut purged) = (0, 0);
        for _ in 0..ROUNDS {
            let mut runs = Vec::new();
            for _ in 0..RUNS {
                runs.push(stage.submit(&job, &json!({ "fail_attempts": 1 })).await?);
            }
            for run in &runs {
                stage.closed(run, SOON).await?;
            }
            let leader = stage.planners.len() - 1;
            stage.planners[leader].kill().await?;
            stage.free_leadership().await?;
            let policy = ["planner", "--retention-most", "0", "--retention-most-dead", "0", "--retention-every", "1h"];
            let sweeping = stage.gridloom(&policy)?.start().await?;
            stage.planners.push(sweeping);
            eventually(SOON, "it sweeps", async || {
                Ok(records(stage, &runs[0]).await? == [1, 0, 0])
            })
            .await?;
            stage.planners[leader + 1].freeze()?;
            let term = stage.term().await?;
            stage.start_planner().await?;
            leads(stage, term + 1).await?;
            let mut go_on = Vec::new();
            for run in &runs {
                let retry = stage.cli(&["retry", run.as_str()], SOON).await?;
                if retry.code == 0 {
                    go_on.push(run);
                } else {
                    assert!(retry.stderr.contains("was purged"), "{retry:?}");
                    purged += 1;
                }
            }
            stage.planners[leader + 1].thaw()?;
            confirmed += go_on.len();
            for run in go_on {
                stage.closed(run, SOON).await?;
                stage.judge_ledger(run).await?.succeeded()?;
            }
            // Otherwise it might be this one that sweeps in the next round.
            stage.planners[leader + 1].kill().await?;
        }
        eprintln!("{confirmed} runs went on, {purged} were purged");
        assert!(confirmed > 0 && purged > 0, "{confirmed} and {purged}");
        Ok(())
    })
    .await
}
