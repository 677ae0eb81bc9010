//! What each role must not do is refused by the broker, tried with a plain client.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::HeaderMap;
use gridloom_cli::embedded::Options as ServerOptions;
use gridloom_shared::broker::topology::consumers::ensure_lane;
use gridloom_shared::broker::topology::{self, AckDeadline, TopologyOptions};
use gridloom_shared::broker::{Broker, Options};
use gridloom_shared::id::{HandlerName, Namespace, QueueName};
use gridloom_shared::lane::Lane;
use gridloom_tests::roles::{Raw, accounts};
use gridloom_tests::scenario::NAMESPACE;
use gridloom_tests::server::TestServer;
use gridloom_tests::wait::eventually;

const SOON: Duration = Duration::from_secs(20);

/// What a role is refused to publish: subjects of the namespace `test`, and calls of JetStream.
const REFUSED: &[(&str, &[&str])] = &[
    (
        "planner",
        &[
            // What came out is for workers to say.
            "test.ledger.default.steady_r_1.work",
            "test.ledger.default.steady_r_1.takeover",
            "test.presence.0000000000000001",
            "$KV.other-state.leader",
            "other.shard.default.noop.a",
        ],
    ),
    (
        "operator",
        &[
            "test.shard.default.noop.steady_r_1",
            "test.term",
            "test.ledger.default.steady_r_1.plan",
            "test.ledger.default.steady_r_1.work",
            "test.ledger.default.steady_r_1.takeover",
            "test.ids.default.steady_r_1.id",
            "test.fires.steady",
            "test.alarm.fire.steady",
            "test.broadcast",
            "test.presence.0000000000000001",
            "$KV.test-state.leader",
            "$KV.test-state.consumer.default.noop",
            "$KV.test-state.floor.default_noop-1.X",
            "$KV.test-runs.steady_r_1",
            "$KV.test-workers.0000000000000001",
            "$JS.API.STREAM.CREATE.test-more",
            "$JS.API.STREAM.UPDATE.test-ledger",
            "$JS.API.STREAM.DELETE.test-ledger",
            "$JS.API.STREAM.PURGE.test-ledger",
            "$JS.API.STREAM.MSG.DELETE.test-ledger",
            "$JS.API.CONSUMER.CREATE.test-shards.mine.test.shard.default.noop.*",
            "$JS.API.CONSUMER.DELETE.test-shards.default_noop-1",
            "$JS.API.CONSUMER.MSG.NEXT.test-shards.default_noop-1",
            "$JS.ACK.test-shards.default_noop-1.1.1.1.1.1",
        ],
    ),
    (
        "worker",
        &[
            "test.shard.default.noop.steady_r_1",
            "test.term",
            "test.ledger.default.steady_r_1.plan",
            "test.ledger.other.steady_r_1.work",
            "test.ledger.other.steady_r_1.takeover",
            "test.ids.default.steady_r_1.id",
            "test.submit.steady",
            "test.command.cancel",
            "test.fires.steady",
            "test.unreadable",
            "test.alarm.fire.steady",
            "test.late.fire.steady",
            "test.broadcast",
            "test.answer.submitter.1",
            "test.bell.other.noop",
            "$KV.test-jobs.steady",
            "$KV.test-runs.steady_r_1",
            "$KV.test-state.leader",
            "$KV.test-state.pause.all",
            "$KV.test-state.calendar.holidays",
            "$KV.test-state.consumer.other.noop",
            "$KV.test-state.floor.other_noop-1.X",
            "$JS.API.STREAM.INFO.test-submit",
            "$JS.API.STREAM.DELETE.test-shards",
            "$JS.API.STREAM.PURGE.test-shards",
            "$JS.API.STREAM.MSG.GET.test-shards",
            "$JS.API.STREAM.MSG.GET.KV_test-jobs",
            "$JS.API.STREAM.MSG.DELETE.test-ledger",
            "$JS.API.DIRECT.GET.test-shards",
            "$JS.API.DIRECT.GET.test-ledger.test.ledger.other.steady_r_1.plan",
            "$JS.API.CONSUMER.LIST.test-shards",
            "$JS.API.CONSUMER.DELETE.test-shards.default_noop-1",
            "$JS.API.CONSUMER.CREATE.test-shards.mine.test.shard.default.noop.*",
            "$JS.API.CONSUMER.CREATE.test-shards.default_noop-2.test.shard.other.noop.*",
            "$JS.API.CONSUMER.CREATE.test-shards.other_noop-1.test.shard.default.noop.*",
            "$JS.API.CONSUMER.CREATE.test-shards.default_noop-2",
            "$JS.API.CONSUMER.CREATE.test-ledger.mine.test.ledger.default.*.*",
            "$JS.API.CONSUMER.MSG.NEXT.test-shards.other_noop-1",
            "$JS.API.CONSUMER.MSG.NEXT.test-submit.planner",
            "$JS.ACK.test-shards.other_noop-1.1.1.1.1.1",
            "$JS.ACK.test-submit.planner.1.1.1.1.1",
            // Another installation.
            "$JS.API.CONSUMER.MSG.NEXT.other-shards.default_noop-1",
            "$JS.API.DIRECT.GET.other-ledger",
            "other.ledger.default.steady_r_1.work",
        ],
    ),
    (
        "submitter",
        &[
            "test.submit.nightly",
            "test.shard.default.noop.steady_r_1",
            "test.ledger.default.steady_r_1.plan",
            "test.ledger.default.steady_r_1.work",
            "test.command.cancel",
            "test.command.explain",
            "test.answer.submitter.1",
            "test.roll-call",
            "test.unreadable",
            "$KV.test-jobs.steady",
            "$KV.test-state.pause.all",
            "$JS.API.INFO",
            "$JS.API.STREAM.NAMES",
            "$JS.API.STREAM.INFO.test-submit",
            "$JS.API.STREAM.MSG.GET.test-submit",
            "$JS.API.DIRECT.GET.test-submit",
            "$JS.API.CONSUMER.CREATE.test-submit.mine.test.submit.steady",
            "$JS.API.CONSUMER.MSG.NEXT.test-submit.planner",
            "$JS.ACK.test-submit.planner.1.1.1.1.1",
            "other.submit.steady",
        ],
    ),
    (
        "monitor",
        &[
            "test.submit.steady",
            "test.shard.default.noop.steady_r_1",
            "test.term",
            "test.ledger.default.steady_r_1.plan",
            "test.ledger.default.steady_r_1.work",
            "test.ledger.default.steady_r_1.takeover",
            "test.fires.steady",
            "test.unreadable",
            "test.command.cancel",
            "test.command.retry",
            "test.command.drop",
            "test.broadcast",
            "test.presence.0000000000000001",
            "$KV.test-jobs.steady",
            "$KV.test-state.pause.all",
            "$KV.test-state.calendar.holidays",
            "$KV.test-state.doctor",
            "$KV.test-workers.0000000000000001",
            "$JS.API.STREAM.CREATE.test-more",
            "$JS.API.STREAM.UPDATE.test-ledger",
            "$JS.API.STREAM.DELETE.test-ledger",
            "$JS.API.STREAM.PURGE.test-ledger",
            "$JS.API.STREAM.MSG.DELETE.test-ledger",
            "$JS.API.CONSUMER.CREATE.test-ledger.mine.test.ledger.default.*.*",
            "$JS.API.CONSUMER.DELETE.test-shards.default_noop-1",
            "$JS.API.CONSUMER.MSG.NEXT.test-shards.default_noop-1",
            "$JS.ACK.test-shards.default_noop-1.1.1.1.1.1",
        ],
    ),
];

/// What a role is refused to listen to.
const UNHEARD: &[(&str, &[&str])] = &[
    (
        "planner",
        &[">", "test.submit.*", "test.ledger.*.*.work", "$KV.>"],
    ),
    (
        "operator",
        &[">", "test.ledger.*.*.work", "test.command.*", "$KV.>"],
    ),
    (
        "worker",
        &[
            ">",
            "test.shard.>",
            "test.ledger.*.*.work",
            "test.submit.*",
            "test.presence.*",
        ],
    ),
    (
        "submitter",
        &[
            ">",
            "test.submit.*",
            "test.answer.>",
            "test.answer.another.>",
            "test.broadcast",
        ],
    ),
    (
        "monitor",
        &[
            ">",
            "test.ledger.>",
            "test.presence.*",
            "test.command.*",
            "$KV.>",
        ],
    ),
];

/// A broker with the roles, the streams of the namespace and a consumer of two queues.
async fn installation() -> anyhow::Result<(TestServer, Broker)> {
    let server = TestServer::start_with(ServerOptions {
        server_config: accounts(NAMESPACE)?,
        ..ServerOptions::default()
    })
    .await?;
    let mut options = Options::new(server.url(), Namespace::new(NAMESPACE)?, "anybody");
    options.wait = SOON;
    let broker = Broker::connect(&options).await?;
    topology::ensure(&broker, &TopologyOptions::default()).await?;
    for queue in ["default", "other"] {
        let lane = Lane::new(QueueName::new(queue)?, HandlerName::new("noop")?);
        ensure_lane(&broker, &lane, AckDeadline::AsIs).await?;
    }
    Ok((server, broker))
}

/// The last sequence of each stream and bucket.
async fn ends(broker: &Broker) -> anyhow::Result<BTreeMap<String, u64>> {
    let subjects = broker.subjects();
    let streams = [
        subjects.shards(),
        subjects.ledger(),
        subjects.submit(),
        subjects.history(),
        subjects.alarm(),
        subjects.jobs().stream(),
        subjects.runs().stream(),
        subjects.state().stream(),
        subjects.workers().stream(),
    ];
    let mut ends = BTreeMap::new();
    for stream in streams {
        let last = broker.info(&stream).await?.last_seq;
        ends.insert(stream.to_string(), last);
    }
    Ok(ends)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_is_refused_what_is_not_its_own() -> anyhow::Result<()> {
    let (server, broker) = installation().await?;
    let before = ends(&broker).await?;
    for (role, subjects) in REFUSED {
        let raw = Raw::connect(&server.url(), role).await?;
        for subject in *subjects {
            raw.may_not_publish(subject).await?;
        }
    }
    for (role, subjects) in UNHEARD {
        let raw = Raw::connect(&server.url(), role).await?;
        for subject in *subjects {
            raw.may_not_hear(subject).await?;
        }
    }
    assert_eq!(ends(&broker).await?, before);
    Ok(())
}

/// Waits until all that `raw` has sent was taken in: an answer to what it asked last.
async fn is_over(raw: &Raw, subject: &str) -> anyhow::Result<()> {
    eventually(SOON, "the broker has read on", async || {
        let answer = raw.client.request(subject.to_owned(), "".into()).await;
        Ok(answer.is_ok())
    })
    .await
}

/// The broker does not look at where a client wants its answer: the account does.
#[tokio::test(flavor = "multi_thread")]
async fn answers_go_nowhere_where_a_role_may_not_write_itself() -> anyhow::Result<()> {
    let (server, broker) = installation().await?;
    let worker = Raw::connect(&server.url(), "worker").await?;
    let record = "test.ledger.default.steady_r_1.work";
    let kept = worker.client.request(record, "forged".into()).await?;
    let kept: serde_json::Value = serde_json::from_slice(&kept.payload)?;
    let stored = serde_json::json!({ "seq": kept["seq"] }).to_string();
    let before = ends(&broker).await?;
    let forged = [
        "test.ledger.default.steady_r_1.plan",
        "test.ledger.other.steady_r_1.work",
        "test.shard.default.noop.steady_r_1",
        "test.term",
        "test.submit.steady",
        "test.fires.steady",
        "test.unreadable",
        "$KV.test-jobs.steady",
        "$KV.test-state.pause.all",
        "$KV.test-state.floor.other_noop-1.X",
    ];
    let submitter = Raw::connect(&server.url(), "submitter").await?;
    let monitor = Raw::connect(&server.url(), "monitor").await?;
    for target in forged {
        for (asked, body) in [
            ("$JS.API.DIRECT.GET.test-ledger", stored.as_str()),
            ("$JS.API.STREAM.MSG.GET.test-ledger", stored.as_str()),
            ("$JS.API.STREAM.INFO.test-ledger", ""),
        ] {
            for raw in [&worker, &monitor] {
                let body = body.to_owned().into();
                raw.client.publish_with_reply(asked, target, body).await?;
            }
        }
        let receipt = submitter
            .client
            .publish_with_reply("test.submit.steady", target, "".into());
        receipt.await?;
    }
    is_over(&worker, "$JS.API.INFO").await?;
    is_over(&monitor, "$JS.API.INFO").await?;
    is_over(&submitter, "test.submit.steady").await?;
    let mut after = ends(&broker).await?;
    let asked = forged.len() as u64 + 1;
    *after.entry("test-submit".into()).or_default() -= asked;
    assert_eq!(after, before);
    Ok(())
}

/// A header of one message would empty a bucket that takes roll-ups.
#[tokio::test(flavor = "multi_thread")]
async fn key_that_a_worker_may_write_removes_no_other() -> anyhow::Result<()> {
    let (server, broker) = installation().await?;
    broker.state().put("pause.all", "{}".into()).await?;
    let worker = Raw::connect(&server.url(), "worker").await?;
    for rollup in ["all", "sub"] {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Rollup", rollup);
        let key = "$KV.test-state.floor.default_noop-1.X";
        let asked = worker.client.request_with_headers(key, headers, "7".into());
        let answer = String::from_utf8(asked.await?.payload.to_vec())?;
        assert!(answer.contains("rollup not permitted"), "{answer}");
    }
    assert!(broker.state().get_of_leader("pause.all").await?.is_some());
    Ok(())
}

/// A bucket that an earlier build made took them.
#[tokio::test(flavor = "multi_thread")]
async fn bucket_of_an_earlier_build_takes_no_rollups_once_a_planner_started() -> anyhow::Result<()>
{
    let (server, broker) = installation().await?;
    let stream = broker.subjects().state().stream();
    let client = server.client().await?;
    let info = |answer: async_nats::Message| -> anyhow::Result<serde_json::Value> {
        let answer: serde_json::Value = serde_json::from_slice(&answer.payload)?;
        anyhow::ensure!(answer["error"].is_null(), "{answer}");
        Ok(answer["config"].clone())
    };
    let asked = client.request(format!("$JS.API.STREAM.INFO.{stream}"), "".into());
    let mut config = info(asked.await?)?;
    config["allow_rollup_hdrs"] = true.into();
    let update = format!("$JS.API.STREAM.UPDATE.{stream}");
    info(client.request(update, config.to_string().into()).await?)?;
    topology::ensure(&broker, &TopologyOptions::default()).await?;
    let asked = client.request(format!("$JS.API.STREAM.INFO.{stream}"), "".into());
    assert_ne!(info(asked.await?)?["allow_rollup_hdrs"], true);
    Ok(())
}
