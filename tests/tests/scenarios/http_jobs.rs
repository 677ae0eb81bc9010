//! Jobs of the `http` handler on a real worker: what becomes of their shards, and of the secrets that they send.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use gridloom_tests::scenario::{ACK_DEADLINE, play};
use gridloom_tests::web::{Answer, Asked, Web};

#[path = "http_jobs/awaited.rs"]
mod awaited;
#[path = "http_jobs/called_back.rs"]
mod called_back;

const SOON: Duration = Duration::from_secs(40);
const SECRET: &str = "hunter2-of-the-shop";

/// A job of four shards, of each of which one attempt may fail.
fn job(origin: &str) -> String {
    format!(
        "name = \"charges\"\nhandler = \"http\"\n[grid]\nslices = 4\n[retry]\nmax_attempts = 2\nbackoff = {{ initial = \"0s\" }}\n\
         [http]\nurl = \"{origin}/charges/{{slice}}?day={{day}}\"\nheaders = {{ authorization = \"Bearer {{secret.token}}\" }}\n\
         [params]\nday = \"a b\"\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_asked_for_under_one_key_each_until_the_service_has_done_them()
-> anyhow::Result<()> {
    let seen: Mutex<BTreeMap<String, Vec<Instant>>> = Mutex::default();
    let server = Web::start(move |asked: &Asked| {
        let mut seen = seen.lock().unwrap();
        let times = seen.entry(asked.path.clone()).or_default();
        times.push(Instant::now());
        match (asked.path.as_str(), times.len()) {
            // More often than an attempt may fail: none is used up.
            ("/charges/1?day=a%20b", 1..=3) => {
                Answer::Says(429, vec![("retry-after", "1".to_owned())], String::new())
            }
            ("/charges/2?day=a%20b", 1) => Answer::status(500),
            _ => Answer::Says(200, Vec::new(), "{\"rows\": 5}".to_owned()),
        }
    })
    .await?;
    play(async |stage| {
        stage.start_planner().await?;
        let secrets = stage.dir().join("secrets");
        std::fs::write(&secrets, format!("shop.token={SECRET}\n"))?;
        let file = stage.dir().join("charges.toml");
        std::fs::write(&file, job(&server.origin()))?;
        let file = file.display().to_string();
        stage
            .cli(&["job", "apply", &file], SOON)
            .await?
            .succeeded()?;
        let service = format!("shop={}", server.origin());
        let worker = stage.gridloom(&["worker", "--http", &service, "--log", "trace"])?;
        let worker = worker.env("GRIDLOOM_WORKER_HTTP_SECRETS_FILE", &secrets);
        let worker = worker.env("GRIDLOOM_QUEUE_ACK_DEADLINE", ACK_DEADLINE);
        stage.workers.push(worker.start().await?);
        let ran = ["run", "charges", "--wait", "--json"];
        let ran = stage.cli(&ran, SOON).await?.succeeded()?;
        let last = ran.stdout.lines().last().unwrap_or_default();
        let ran: serde_json::Value = serde_json::from_str(last)?;
        assert_eq!(
            (&ran["rows"], &ran["shards"]["done"]),
            (&20.into(), &4.into()),
            "{ran}"
        );
        let asked = server.asked();
        let mut keys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for one in &asked {
            let key = one.header("idempotency-key").unwrap_or_default();
            keys.entry(one.path.as_str()).or_default().push(key);
            let sent = format!("Bearer {SECRET}");
            assert_eq!(one.header("authorization"), Some(sent.as_str()));
        }
        let counts: Vec<usize> = keys.values().map(Vec::len).collect();
        assert_eq!(counts, [1, 4, 2, 1], "{keys:?}");
        let all: BTreeSet<&str> = keys.values().flatten().copied().collect();
        assert_eq!(all.len(), 4, "one key a shard: {keys:?}");
        let said = stage.workers[0].stderr();
        assert!(said.contains("worker starts") && !said.contains(SECRET));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_that_is_final_kills_its_shard_and_the_secret_stands_nowhere() -> anyhow::Result<()>
{
    let server = Web::start(|asked: &Asked| {
        let said = format!("{:?} may not", asked.header("authorization"));
        Answer::Says(403, Vec::new(), said)
    })
    .await?;
    play(async |stage| {
        stage.start_planner().await?;
        let file = stage.dir().join("charges.toml");
        std::fs::write(&file, job(&server.origin()))?;
        let file = file.display().to_string();
        stage
            .cli(&["job", "apply", &file], SOON)
            .await?
            .succeeded()?;
        let config = stage.dir().join("worker.toml");
        let origin = server.origin();
        std::fs::write(
            &config,
            format!(
                "[worker.http.shop]\norigin = \"{origin}\"\nsecrets = {{ token = \"{SECRET}\" }}\n"
            ),
        )?;
        let config = config.display().to_string();
        stage.start_worker(4, &["--config", &config]).await?;
        let ran = stage.cli(&["run", "charges", "--wait"], SOON).await?;
        assert_eq!(ran.code, 1, "{ran:?}");
        assert_eq!(server.asked().len(), 4, "none is tried again");
        let dead = stage
            .cli(&["dead", "list", "--json"], SOON)
            .await?
            .succeeded()?;
        assert!(dead.stdout.contains("403 Forbidden"), "{dead:?}");
        assert!(dead.stdout.contains("(secret token)"), "{dead:?}");
        for said in [
            &dead.stdout,
            &ran.stdout,
            &ran.stderr,
            &stage.workers[0].stderr(),
        ] {
            assert!(!said.contains(SECRET), "{said}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn service_that_no_worker_knows_is_told_when_the_job_is_applied() -> anyhow::Result<()> {
    play(async |stage| {
        stage.start_all(0).await?;
        let service = "shop=https://api.example";
        stage.start_worker(4, &["--http", service]).await?;
        let file = stage.dir().join("charges.toml");
        std::fs::write(&file, job("https://other.example"))?;
        let file = file.display().to_string();
        let known = async || {
            let shown = stage.cli(&["workers", "--json"], SOON).await?;
            Ok(shown.stdout.contains("\"http\""))
        };
        gridloom_tests::wait::eventually(SOON, "the worker is there", known).await?;
        let applied = stage.cli(&["job", "apply", &file], SOON).await?;
        assert!(
            applied.stderr.contains("--http NAME=https://other.example"),
            "{applied:?}"
        );
        assert!(
            applied.stderr.contains("https://api.example"),
            "{applied:?}"
        );
        Ok(())
    })
    .await
}
