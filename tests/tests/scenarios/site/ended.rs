//! What is ended at the first site by being removed there, which a mirror does not see: at the second it had better not
//! live again. And what was not decided at the first is decided at the second.

use std::collections::BTreeSet;

use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, QueueName, RunId};
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::reads;
use gridloom_shared::schedule::record::{Decision, Record, Verdict};
use gridloom_shared::submission::{ByHand, Kept, Submission};
use gridloom_shared::wire;
use gridloom_tests::scenario::{Stage, play_on};
use gridloom_tests::wait::eventually;
use serde_json::json;

use super::*;

/// More than the record of a job's fires names by their places in the submit stream.
const REFUSED: u64 = 40;

/// Writes the key of a run by hand, as a leader does that dies before anything is decided.
async fn keep(
    broker: &Broker,
    (job, id): (&JobName, &str),
    (sequence, overlap): (u64, ByHand),
) -> anyhow::Result<RunId> {
    let subject = broker.subjects().submit_to(job);
    let body = json!({ "id": id, "overlap": overlap.as_str() }).to_string();
    let kept = Kept {
        run: RunId::from_request(job, id),
        overlap,
        content: Submission::parse(body.as_bytes(), None)?.content(),
        subject,
        sequence,
        at: UnixMs::now(),
        content_type: None,
        body: body.into(),
        reply: None,
        withdrawn: None,
        traceparent: None,
    };
    let key = broker.subjects().asked_key(&kept.run);
    broker.state().create(&key, wire::encode(&kept)).await?;
    Ok(kept.run)
}

/// Keys of runs by hand.
async fn kept(broker: &Broker) -> anyhow::Result<BTreeSet<String>> {
    let all = broker.subjects().all_asked_runs();
    let entries = broker.state().entries(all).await?;
    Ok(entries.into_iter().map(|entry| entry.key).collect())
}

/// Keys of definitions and of the bucket `state`.
async fn keys(broker: &Broker) -> anyhow::Result<BTreeSet<String>> {
    let (jobs, state) = (broker.jobs().keys().await?, broker.state().keys().await?);
    Ok(jobs.into_iter().chain(state).collect())
}

/// What a planner wrote of a run, in order.
async fn plan(broker: &Broker, run: &RunId) -> anyhow::Result<Vec<PlanRecord>> {
    let subjects = broker.subjects();
    let plan = subjects.ledger_of(&QueueName::new("default")?, run, Author::Plan);
    let records = broker.read(&subjects.ledger(), plan, 1, None).await?;
    let records = records.iter().map(|raw| wire::decode(&raw.payload));
    Ok(records.collect::<Result<_, _>>()?)
}

fn openings(plan: &[PlanRecord]) -> usize {
    let opened = |record: &&PlanRecord| matches!(record, PlanRecord::Opened(_));
    plan.iter().filter(opened).count()
}

impl First {
    /// Another planner leads from here on.
    async fn replace_planner(&mut self) -> anyhow::Result<()> {
        self.processes[0].kill().await?;
        self.processes[0] = service(&self.server, &["planner"]).await?;
        Ok(())
    }

    async fn apply(&self, stage: &Stage, definition: &str) -> anyhow::Result<()> {
        let file = stage.dir().join("job.toml");
        std::fs::write(&file, definition)?;
        let apply = ["job", "apply", &file.display().to_string()];
        at_first(stage, self, &apply).await?.succeeded()?;
        Ok(())
    }

    async fn ends(&self, run: &RunId) -> anyhow::Result<()> {
        eventually(SOON, "it is over at the first site", async || {
            let plan = plan(&self.broker, run).await?;
            Ok(plan.last().is_some_and(PlanRecord::is_end))
        })
        .await
    }

    /// Runs of `calm` that are refused after their keys have come over; nothing of it is open then.
    async fn refuses(&mut self, stage: &Stage, calm: &JobName) -> anyhow::Result<Vec<RunId>> {
        let open = self.ask(calm, "open", 60_000).await?;
        self.done(&open, 0).await?;
        self.processes[0].kill().await?;
        let mut refused = Vec::new();
        for n in 1..=REFUSED {
            let id = format!("refused-{n}");
            refused.push(keep(&self.broker, (calm, &id), (n, ByHand::Skip)).await?);
        }
        all_has_come_over(stage).await?;
        self.replace_planner().await?;
        eventually(LONG, "all are refused at the first site", async || {
            Ok(kept(&self.broker).await?.is_empty())
        })
        .await?;
        let cancel = ["cancel", open.as_str()];
        at_first(stage, self, &cancel).await?.succeeded()?;
        self.ends(&open).await?;
        Ok(refused)
    }

    /// A run of `busy` that is open, one that waits for it, and one of which nothing is decided; nobody leads any more.
    async fn leaves(&mut self, busy: &JobName) -> anyhow::Result<[RunId; 3]> {
        let before = self.ask(busy, "before", 60_000).await?;
        self.done(&before, 0).await?;
        let place = |n| (REFUSED + n, ByHand::QueueAll);
        let waits = keep(&self.broker, (busy, "waits"), place(1)).await?;
        eventually(SOON, "it waits at the first site", async || {
            let waiting = reads::by_hand::of(&self.broker, &waits).await?;
            Ok(waiting.is_some_and(|run| run.waits_for.is_some()))
        })
        .await?;
        self.processes[0].kill().await?;
        let undecided = keep(&self.broker, (busy, "undecided"), place(2)).await?;
        Ok([before, waits, undecided])
    }

    /// An id that was forgotten and is used again, a run that is lost, and keys that are gone.
    async fn removes(&mut self, stage: &Stage) -> anyhow::Result<[RunId; 2]> {
        for name in ["again", "slow", "dropped"] {
            self.apply(stage, &job(name, 0)).await?;
        }
        follow(stage).await?;
        let (again, slow) = (JobName::new("again")?, JobName::new("slow")?);
        let twice = self.ask(&again, "monthly", 0).await?;
        self.ends(&twice).await?;
        let lost = self.ask(&slow, "removed", 60_000).await?;
        self.done(&lost, 0).await?;
        all_has_come_over(stage).await?;
        let subjects = self.broker.subjects();
        for run in [&twice, &lost] {
            let all = subjects.ledger_of_run_anywhere(run);
            self.broker.purge(&subjects.ledger(), &all, 0).await?;
        }
        eventually(SOON, "it is told as lost", async || {
            Ok(reads::lost::of(&self.broker, &lost).await?.is_some())
        })
        .await?;
        self.ask(&again, "monthly", 1).await?;
        self.ends(&twice).await?;
        for order in [
            &["job", "delete", "dropped"][..],
            &["job", "pause", "--all", "--note", "a while"],
            &["job", "resume", "--all"],
        ] {
            at_first(stage, self, order).await?.succeeded()?;
        }
        Ok([twice, lost])
    }
}

fn job(name: &str, sleep_ms: u64) -> String {
    format!("name = \"{name}\"\nhandler = \"noop\"\n[params]\nsleep_ms = {sleep_ms}")
}

#[tokio::test(flavor = "multi_thread")]
async fn run_by_hand_that_the_first_site_refused_is_not_opened_at_the_second_and_an_undecided_one_is()
-> anyhow::Result<()> {
    let (server, port) = first_site().await?;
    let mut first = Box::pin(First::start(server)).await?;
    let second = second_site(&format!("nats://127.0.0.1:{port}")).await?;
    play_on(second, &TopologyOptions::default(), async |stage| {
        first.apply(stage, &job("calm", 60_000)).await?;
        first.apply(stage, &job("busy", 60_000)).await?;
        let (calm, busy) = (JobName::new("calm")?, JobName::new("busy")?);
        follow(stage).await?;
        let refused = first.refuses(stage, &calm).await?;
        let [before, waits, undecided] = first.leaves(&busy).await?;
        all_has_come_over(stage).await?;
        let stands = kept(&first.broker).await?;
        assert_eq!(stands.len(), 2, "{stands:?}");
        let stale = kept(&stage.broker).await?;
        assert_eq!(stale.len() as u64, REFUSED + 2, "no purge comes over");
        first.kill().await?;
        let at = stage.dir().join("promoted").display().to_string();
        stage
            .cli(&["site", "promote", &at], LONG)
            .await?
            .succeeded()?;
        assert_eq!(kept(&stage.broker).await?, stands);
        stage.start_all(1).await?;
        eventually(SOON, "it was decided", async || {
            let waiting = reads::by_hand::of(&stage.broker, &undecided).await?;
            Ok(waiting.is_some_and(|run| run.waits_for.is_some()))
        })
        .await?;
        for run in [&before, &waits, &undecided] {
            eventually(SOON, "it is its turn", async || {
                Ok(openings(&plan(&stage.broker, run).await?) == 1)
            })
            .await?;
            stage
                .cli(&["cancel", run.as_str()], SOON)
                .await?
                .succeeded()?;
        }
        for run in &refused {
            assert_eq!(openings(&plan(&stage.broker, run).await?), 0, "{run}");
        }
        eventually(SOON, "nothing is asked for any more", async || {
            Ok(kept(&stage.broker).await?.is_empty())
        })
        .await
    })
    .await
}

/// When a run by hand of `job` was refused, as far as that came over.
async fn refused_at(broker: &Broker, job: &JobName) -> anyhow::Result<Option<UnixMs>> {
    let subjects = broker.subjects();
    let history = subjects.history();
    let all = broker.read(&history, subjects.fires(job), 1, None).await?;
    let is_refusal = |record: Record| {
        let Decision::Asked { answer, .. } = record.decision else {
            return false;
        };
        matches!(answer, Verdict::Refused { .. })
    };
    let mut refusals = all
        .iter()
        .filter(|raw| wire::decode(&raw.payload).is_ok_and(is_refusal));
    Ok(refusals.next().map(|raw| raw.at))
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_stands_at_the_second_site_though_the_ledger_ends_before_it_and_its_broker_forgot_when_it_heard_last()
-> anyhow::Result<()> {
    let (server, port) = first_site().await?;
    let mut first = Box::pin(First::start(server)).await?;
    let second = second_site(&format!("nats://127.0.0.1:{port}")).await?;
    play_on(second, &TopologyOptions::default(), async |stage| {
        first.apply(stage, &job("calm", 60_000)).await?;
        let calm = JobName::new("calm")?;
        follow(stage).await?;
        let open = first.ask(&calm, "open", 60_000).await?;
        first.done(&open, 0).await?;
        first.processes[0].kill().await?;
        let place = (1, ByHand::Skip);
        let refused = keep(&first.broker, (&calm, "refused"), place).await?;
        all_has_come_over(stage).await?;
        first.replace_planner().await?;
        eventually(LONG, "it is refused at the first site", async || {
            Ok(kept(&first.broker).await?.is_empty())
        })
        .await?;
        all_has_come_over(stage).await?;
        let ledger = stage.broker.subjects().ledger();
        let last = stage.broker.read(&ledger, ">", 1, None).await?;
        let last = last.last().map(|raw| raw.at);
        let at = refused_at(&stage.broker, &calm).await?;
        assert!(last <= at, "the ledger was quiet: {last:?}, {at:?}");
        assert_eq!(kept(&stage.broker).await?.len(), 1, "no purge comes over");
        first.kill().await?;
        stage.server.restart().await?;
        let at = stage.dir().join("promoted").display().to_string();
        stage
            .cli(&["site", "promote", &at], LONG)
            .await?
            .succeeded()?;
        let left = kept(&stage.broker).await?;
        assert!(left.is_empty(), "it is not asked for again: {left:?}");
        stage.start_all(1).await?;
        stage
            .cli(&["cancel", open.as_str()], SOON)
            .await?
            .succeeded()?;
        eventually(SOON, "nothing is in its way", async || {
            let plan = plan(&stage.broker, &open).await?;
            Ok(plan.last().is_some_and(PlanRecord::is_end))
        })
        .await?;
        assert_eq!(openings(&plan(&stage.broker, &refused).await?), 0);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_at_the_first_site_does_not_live_again_at_the_second() -> anyhow::Result<()>
{
    let (server, port) = first_site().await?;
    let mut first = Box::pin(First::start(server)).await?;
    let second = second_site(&format!("nats://127.0.0.1:{port}")).await?;
    play_on(second, &TopologyOptions::default(), async |stage| {
        let [twice, lost] = first.removes(stage).await?;
        first.processes[0].kill().await?;
        all_has_come_over(stage).await?;
        assert_eq!(
            openings(&plan(&stage.broker, &twice).await?),
            2,
            "no purge comes over"
        );
        let stood = keys(&first.broker).await?;
        first.kill().await?;
        let at = stage.dir().join("promoted").display().to_string();
        stage
            .cli(&["site", "promote", &at], LONG)
            .await?
            .succeeded()?;
        let stands = keys(&stage.broker).await?;
        let more: Vec<_> = stands.difference(&stood).collect();
        assert!(more.is_empty(), "{more:?}");
        assert_eq!(openings(&plan(&stage.broker, &twice).await?), 1);
        stage.start_all(1).await?;
        stage
            .cli(&["audit", twice.as_str()], SOON)
            .await?
            .succeeded()?;
        // Who asks for the same gets the same, and for something else a conflict: by what was asked for last.
        let same = [
            "run",
            "again",
            "--id",
            "monthly",
            "--param",
            "sleep_ms=1",
            "--json",
        ];
        let same = stage.cli(&same, SOON).await?.succeeded()?.json()?;
        assert_eq!(same["answer"], "exists", "{same}");
        // What was told as lost stays so, and its id is free.
        assert!(plan(&stage.broker, &lost).await?.is_empty());
        let shown = stage.cli(&["show", lost.as_str()], SOON).await?;
        assert!(
            shown.code == 1 && shown.stderr.contains("lost"),
            "{shown:?}"
        );
        let again = ["run", "slow", "--id", "removed", "--wait"];
        stage.cli(&again, SOON).await?.succeeded()?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_that_was_made_anew_at_the_first_site_is_told_and_followed_from_its_beginning()
-> anyhow::Result<()> {
    let (server, port) = first_site().await?;
    let mut first = Box::pin(First::start(server)).await?;
    let second = second_site(&format!("nats://127.0.0.1:{port}")).await?;
    play_on(second, &TopologyOptions::default(), async |stage| {
        first.apply(stage, &job("calm", 0)).await?;
        follow(stage).await?;
        let none_came = status(stage).await?;
        let told = missing(&none_came).unwrap_or_default();
        assert!(told < 1_000, "no count of sequences: {none_came}");
        all_has_come_over(stage).await?;
        // As what it is, and not as an installation that lacks all.
        let doctor = stage.cli(&["doctor"], SOON).await?.succeeded()?;
        assert!(doctor.stdout.contains("follows domain first"), "{doctor:?}");
        first.processes[0].kill().await?;
        let jobs = first.broker.subjects().jobs().stream();
        first.broker.remove_stream(&jobs).await?;
        first.replace_planner().await?;
        eventually(SOON, "it is made anew", async || {
            Ok(first.broker.info(&jobs).await.is_ok())
        })
        .await?;
        let told = stage.cli(&["site", "status"], SOON).await?;
        assert_eq!(told.code, 1, "{told:?}");
        assert!(told.stdout.contains("another stream"), "{told:?}");
        let again = ["site", "mirror", "--domain", "first"];
        let refused = stage.cli(&again, SOON).await?;
        assert!(
            refused.code == 2 && refused.stderr.contains("--replace"),
            "{refused:?}"
        );
        stage
            .cli(&[&again[..], &["--replace"]].concat(), SOON)
            .await?
            .succeeded()?;
        all_has_come_over(stage).await?;
        eventually(SOON, "all of it is heard", async || {
            Ok(stage.cli(&["site", "status"], SOON).await?.code == 0)
        })
        .await?;
        follows_in_place_of_half_a_backup(stage, &again).await
    })
    .await
}

/// A promotion that broke off, where the first site is to be followed again.
async fn follows_in_place_of_half_a_backup(stage: &Stage, mirror: &[&str]) -> anyhow::Result<()> {
    stage.broker.begin_restoring(1).await?;
    let refused = stage.cli(mirror, SOON).await?;
    let told = refused.stderr.contains("is not finished") && refused.stderr.contains("--replace");
    assert!(refused.code == 2 && told, "{refused:?}");
    let replace = [mirror, &["--replace"]].concat();
    stage.cli(&replace, SOON).await?.succeeded()?;
    eventually(SOON, "it follows", async || {
        Ok(stage.cli(&["site", "status"], SOON).await?.code == 0)
    })
    .await
}

/// As the user whose name it has, who is let in by that alone.
async fn as_user(stage: &Stage, user: &str, args: &[&str]) -> anyhow::Result<Output> {
    let url = stage
        .server
        .url()
        .replace("//", &format!("//{user}:{user}@"));
    stage.cli(&[args, &["--nats", &url]].concat(), SOON).await
}

#[tokio::test(flavor = "multi_thread")]
async fn user_that_may_not_ask_the_first_site_is_told_so_and_takes_it_for_no_silence()
-> anyhow::Result<()> {
    let (server, port) = first_site().await?;
    let first = Box::pin(First::start(server)).await?;
    let denied = "permissions: { publish: { deny: [\"$JS.first.API.>\"] } }";
    let own = format!("[\"{NAMESPACE}.>\", \"$KV.>\"]");
    let remote =
        format!("{{ url: \"nats://127.0.0.1:{port}\", deny_imports: {own}, deny_exports: {own} }}");
    let second = TestServer::start_with(ServerOptions {
        jetstream_config: "domain: \"second\"".into(),
        server_config: format!(
            "leafnodes {{ remotes: [ {remote} ] }}\nno_auth_user: planner\nauthorization {{ users: [\n\
             {{ user: planner, password: planner }}\n{{ user: operator, password: operator, {denied} }}\n\
             {{ user: nobody, password: nobody, permissions: {{ publish: {{ allow: [\"x\"] }} }} }} ] }}\n"
        ),
        ..ServerOptions::default()
    })
    .await?;
    play_on(second, &TopologyOptions::default(), async |stage| {
        follow(stage).await?;
        all_has_come_over(stage).await?;
        for args in [&["site", "status"][..], &["site", "promote", "promoted"]] {
            let said = as_user(stage, "operator", args).await?;
            assert_eq!(said.code, 2, "{said:?}");
            assert!(said.stderr.contains("may not ask"), "{said:?}");
        }
        // It need not ask the first site to know how far this one is.
        let doctor = as_user(stage, "operator", &["doctor"]).await?.succeeded()?;
        assert!(doctor.stdout.contains("follows domain first"), "{doctor:?}");
        let begun = std::time::Instant::now();
        let said = as_user(stage, "nobody", &["doctor"]).await?;
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.stdout.contains("user nobody may not ask"), "{said:?}");
        assert!(!said.stdout.contains("nobody leads"), "{said:?}");
        assert!(
            !said.stderr.contains("Violation"),
            "it is told once: {said:?}"
        );
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "nothing is waited for"
        );
        let said = as_user(stage, "nobody", &["runs"]).await?;
        assert!(
            said.code == 2 && said.stderr.contains("user nobody may not ask"),
            "{said:?}"
        );
        drop(first);
        Ok(())
    })
    .await
}
