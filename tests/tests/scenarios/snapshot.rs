//! Snapshots: all that a bug report needs and no secret, also when half of it cannot be read.

use std::time::Duration;

use gridloom_shared::id::RunId;
use gridloom_tests::process::Output;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::eventually;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(40);
const JOB: &str =
    "name = \"kept\"\nhandler = \"noop\"\n[grid]\nslices = 4\n[schedule]\nevery = \"1h\"";
/// The same, and nobody pauses it.
const OTHER: &str = "name = \"other\"\nhandler = \"noop\"\n[schedule]\nevery = \"1h\"";
/// Of a handler that nobody has.
const SECRET: &str = "name = \"secret\"\nhandler = \"own\"\n[params]\ndb_password = \"hunter2\"";

/// A snapshot by somebody who gives a password.
async fn take(stage: &Stage, file: &str, args: &[&str]) -> anyhow::Result<Output> {
    let file = stage.dir().join(file).display().to_string();
    let url = stage.server.url().replace("://", "://somebody:hunter3@");
    let command = stage.gridloom(&[&["snapshot", &file, "--json"], args].concat())?;
    command
        .env("GRIDLOOM_NATS", url)
        .start()
        .await?
        .finish(SOON)
        .await
}

async fn shown(stage: &Stage, file: &str) -> anyhow::Result<(Value, String)> {
    let path = stage.dir().join(file).display().to_string();
    let all = stage
        .cli(&["snapshot", "show", &path, "--json"], SOON)
        .await?;
    let all = all.succeeded()?;
    let people = stage.cli(&["snapshot", "show", &path], SOON).await?;
    people.succeeded()?;
    Ok((all.json()?, all.stdout))
}

fn names(document: &Value, place: &str, key: &str) -> Vec<String> {
    let all = document
        .pointer(place)
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    all.filter_map(|one| one[key].as_str().map(str::to_owned))
        .collect()
}

/// What processes are called by default begins so.
fn host() -> anyhow::Result<String> {
    let name = gridloom_shared::process::name();
    let host = name.rsplitn(3, '-').nth(2).unwrap_or_default();
    Ok(host.to_owned())
}

async fn begun(stage: &mut Stage) -> anyhow::Result<RunId> {
    stage.start_all(1).await?;
    stage.apply(SECRET).await?;
    stage.apply(OTHER).await?;
    let job = stage.apply(JOB).await?;
    let run = stage.submit(&job, &json!({})).await?;
    stage.closed(&run, SOON).await?;
    let pause = ["job", "pause", "kept", "--note", "for a while"];
    stage.cli(&pause, SOON).await?.succeeded()?;
    eventually(SOON, "the schedule is on record", async || {
        let history = stage.broker.subjects().history();
        Ok(stage.broker.info(&history).await?.messages > 0)
    })
    .await?;
    Ok(run)
}

/// Queues, pauses, what was decided last of a schedule, and what the command was told.
fn told_beside(document: &Value) {
    let has = |place: &str, text: &str| {
        let all = document.pointer(place).map(Value::to_string);
        assert!(
            all.as_ref().is_some_and(|all| all.contains(text)),
            "{place} has no {text}: {all:?}"
        );
    };
    has("/queues/0/queue", "default");
    has("/queues/0/handlers/0/handler", "noop");
    assert_eq!(document["queues"][0]["workers"], 1);
    has("/pauses/0", "for a while");
    has("/jobs/0/fires/0/decision", "adopted");
    has("/configuration/nats", "127.0.0.1");
    has("/configuration/variables", "GRIDLOOM_NATS");
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_has_all_of_an_installation_but_secrets_and_names_of_hosts() -> anyhow::Result<()>
{
    play(async |stage| {
        let run = begun(stage).await?;
        let told = take(stage, "masked", &["--run", run.as_str()])
            .await?
            .succeeded()?
            .json()?;
        assert_eq!(told["unread"], json!([]));
        let (document, text) = shown(stage, "masked").await?;
        for secret in ["hunter2", "hunter3"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(document["streams"]["ledger"]["state"]["messages"].as_u64() > Some(0));
        assert!(
            document["leader"]["lease"]["term"] == 1,
            "{}",
            document["leader"]
        );
        let next = |at: usize| &document["jobs"][at]["next"];
        assert!(next(1)["at"].is_string(), "{}", document["jobs"]);
        // One that is paused has none.
        assert_eq!(next(0)["at"], Value::Null, "{}", document["jobs"]);
        let words = next(0)["in_words"].as_str().unwrap_or_default();
        assert!(words.contains("has paused it"), "{words}");
        assert_eq!(names(&document, "/runs/newest", "run"), [run.as_str()]);
        told_beside(&document);
        let ledger = &document["ledgers"][run.as_str()];
        assert_eq!(ledger["audit"]["ok"], true, "{ledger}");
        assert!(
            ledger["records"]
                .as_array()
                .is_some_and(|all| all.len() >= 3),
            "{ledger}"
        );
        let (workers, planners) = (
            names(&document, "/workers", "worker"),
            names(&document, "/planners", "name"),
        );
        assert_eq!((workers.len(), planners.len()), (1, 1));
        // One host is one host.
        let masked = |name: &str| name.split('-').take(2).collect::<Vec<_>>().join("-");
        assert_eq!(masked(&workers[0]), masked(&planners[0]));
        assert!(workers[0].starts_with("masked-"), "{workers:?}");
        assert!(!text.contains(&format!("{}-", host()?)), "{text}");
        take(stage, "plain", &["--no-mask"]).await?.succeeded()?;
        let (_, text) = shown(stage, "plain").await?;
        assert!(text.contains(&format!("{}-", host()?)), "{text}");
        assert!(!text.contains("hunter"), "{text}");
        assert_eq!(take(stage, "plain", &[]).await?.code, 2, "it is there");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_says_what_could_not_be_read_and_has_the_rest() -> anyhow::Result<()> {
    play(async |stage| {
        begun(stage).await?;
        stage.planners[0].kill().await?;
        let history = stage.broker.subjects().history();
        stage.broker.remove_stream(&history).await?;
        let unknown = "kept_r_0000000000000000";
        take(stage, "part", &["--run", unknown])
            .await?
            .succeeded()?;
        let (document, _) = shown(stage, "part").await?;
        let unread = names(&document, "/unread", "part");
        for part in [
            "stream history",
            "jobs",
            "unreadable",
            &format!("ledger {unknown}"),
        ] {
            assert!(
                unread.iter().any(|unread| unread == part),
                "{part} in {unread:?}"
            );
        }
        assert!(document["streams"]["ledger"]["state"]["messages"].as_u64() > Some(0));
        assert_eq!(names(&document, "/workers", "worker").len(), 1);
        stage.server.kill().await?;
        let told = take(stage, "away", &[]).await?;
        assert_eq!(told.code, 3, "{told:?}");
        let (document, text) = shown(stage, "away").await?;
        assert_eq!(names(&document, "/unread", "part"), ["broker"]);
        assert!(!text.contains("hunter"), "{text}");
        Ok(())
    })
    .await
}
