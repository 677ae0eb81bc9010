//! Services that answer 202 and say later, at a planner's API, what came of a shard.

use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_shared::id::RunId;
use gridloom_tests::http::Reply;
use gridloom_tests::scenario::{Stage, play};
use gridloom_tests::wait::{eventually, eventually_some};
use gridloom_tests::web::{Answer, Asked, Web};
use serde_json::{Value, json};

use crate::api::{self, Api};

pub(super) const SOON: Duration = Duration::from_secs(40);
const SECRET: &str = "hunter2 of the workers, and of no others";
const HEADER: &str = "gridloom-callback";

/// A service that takes every shard on, and what is known of its callbacks.
pub(super) struct Service {
    pub(super) web: Web,
    api: Api,
}

impl Service {
    /// The service, and the API of a planner where it calls back.
    pub(super) async fn start(api: &Api) -> anyhow::Result<Service> {
        let web = Web::start(|_: &Asked| Answer::status(202)).await?;
        Ok(Service {
            web,
            api: api.clone(),
        })
    }

    /// A worker that may ask it.
    async fn worker(&self, stage: &mut Stage) -> anyhow::Result<()> {
        self.worker_with(stage, &[]).await.map(drop)
    }

    /// The same with arguments more; its place among the stage's.
    pub(super) async fn worker_with(
        &self,
        stage: &mut Stage,
        more: &[&str],
    ) -> anyhow::Result<usize> {
        let config = stage.dir().join("worker.toml");
        let text = format!(
            "[worker.http.shop]\norigin = \"{}\"\ncallback = \"{}\"\nsecrets = {{ callback = \"{SECRET}\" }}\n",
            self.web.origin(),
            self.api.url("/")
        );
        std::fs::write(&config, text)?;
        let config = config.display().to_string();
        let args = ["--config", &config, "--log", "trace"];
        let args = [&args[..], more].concat();
        stage.start_worker(4, &args).await
    }

    /// A run of so many slices, of a job of that name with these settings more.
    pub(super) async fn run(
        &self,
        stage: &mut Stage,
        (name, slices): (&str, u32),
        more: &str,
    ) -> anyhow::Result<RunId> {
        let origin = self.web.origin();
        let job = stage
            .apply(&format!(
                "name = \"{name}\"\nhandler = \"http\"\n[grid]\nslices = {slices}\ntile = 1\n[http]\nurl = \"{origin}/{{slice}}\"\n{more}"
            ))
            .await?;
        stage.submit(&job, &json!({})).await
    }

    /// Where the nth request for a slice says to call back, as a path.
    pub(super) async fn callback(&self, slice: u32, nth: usize) -> anyhow::Result<String> {
        let what = format!("slice {slice} is asked for, {nth}");
        let url = eventually_some(SOON, &what, async || {
            let asked = self.web.asked();
            let path = format!("/{slice}");
            let mut of = asked.iter().filter(|one| one.path == path);
            let found = of.nth(nth).and_then(|one| one.header(HEADER));
            Ok(found.map(str::to_owned))
        })
        .await?;
        let path = url.strip_prefix(&self.api.url("/api/v1"));
        path.map(str::to_owned).context(url.clone())
    }

    pub(super) async fn calls(&self, path: &str, said: Value) -> anyhow::Result<Reply> {
        self.api.ask(("POST", path), &[], Some(&said)).await
    }

    /// As a service that calls until it is heard.
    pub(super) async fn calls_until_heard(&self, path: &str, said: Value) -> anyhow::Result<Reply> {
        eventually_some(SOON, "somebody hears it", async || {
            let reply = self.calls(path, said.clone()).await?;
            Ok((reply.status != 503).then_some(reply))
        })
        .await
    }
}

pub(super) fn done() -> Value {
    json!({"outcome": "done"})
}

fn token(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or_default()
}

pub(super) async fn shown(stage: &Stage, run: &RunId) -> anyhow::Result<Value> {
    let shown = stage.cli(&["show", run.as_str(), "--json"], SOON).await?;
    Ok(serde_json::from_str(&shown.stdout)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn service_ends_each_shard_once_as_it_says_and_its_token_stands_nowhere() -> anyhow::Result<()>
{
    play(async |stage| {
        let api = api::start(stage, &["--log", "trace"]).await?;
        let service = Service::start(&api).await?;
        service.worker(stage).await?;
        let retry =
            "callback = \"1h\"\n[retry]\nmax_attempts = 2\nbackoff = { initial = \"0s\" }\n";
        let run = service.run(stage, ("charges", 4), retry).await?;
        let mut paths = Vec::new();
        for slice in 0..4 {
            paths.push(service.callback(slice, 0).await?);
        }
        done_and_said_again(&service, &paths[0], &run).await?;
        paths.push(failed_and_asked_again(&service, &paths[1]).await?);
        refused(&service, &paths).await?;
        // For good, and what is said of it later changes nothing.
        let never = json!({"outcome": "failed", "error": "no such card", "kind": "permanent"});
        ensure!(service.calls(&paths[2], never).await?.status == 200);
        is(&service.calls(&paths[2], done()).await?, 409, "conflict")?;
        ensure!(service.calls(&paths[3], done()).await?.status == 200);
        stage.closed(&run, SOON).await?;
        stage.judge_ledger(&run).await?;
        let shown = shown(stage, &run).await?;
        let shards = &shown["shards"];
        ensure!(
            (&shards["done"], &shards["dead"]) == (&3.into(), &1.into()),
            "{shown}"
        );
        ensure!(
            (&shown["rows"], &shown["counters"]["bytes"]) == (&7.into(), &3.into()),
            "{shown}"
        );
        ensure!(service.web.asked().len() == 5, "each attempt asks once");
        told_nowhere(stage, &run, &paths).await
    })
    .await
}

/// Done, and said again.
async fn done_and_said_again(service: &Service, path: &str, run: &RunId) -> anyhow::Result<()> {
    let said = json!({"outcome": "done", "rows": 7, "counters": {"bytes": 3}, "result": "receipt"});
    let taken = service.calls(path, said.clone()).await?;
    ensure!(taken.status == 200, "{}", taken.json());
    ensure!(taken.json()["slice"] == 0 && taken.json()["run"] == run.as_str());
    is(&service.calls(path, said).await?, 409, "conflict")
}

/// Failed, and asked for again: what is said of the first attempt is over, save that it has succeeded. Returns where the
/// second is called back.
async fn failed_and_asked_again(service: &Service, first: &str) -> anyhow::Result<String> {
    // Services repeat what they were sent.
    let failed = json!({"outcome": "failed", "error": format!("no: {first}")});
    ensure!(service.calls(first, failed.clone()).await?.status == 200);
    let second = service.callback(1, 1).await?;
    ensure!(token(&second) != token(first));
    is(&service.calls(first, failed).await?, 410, "gone")?;
    let taken = service.calls(first, done()).await?;
    ensure!(taken.status == 200, "{}", taken.json());
    Ok(second)
}

/// Nobody else ends a shard, and nothing else is an outcome.
async fn refused(service: &Service, paths: &[String]) -> anyhow::Result<()> {
    let own = &paths[3];
    let (head, tail) = own.split_at(own.len() - 1);
    let flipped = format!("{head}{}", if tail == "0" { "1" } else { "0" });
    let of_another = own.replace(token(own), token(&paths[2]));
    let nonce = own.split('.').nth(2).unwrap_or_default();
    let of_another_run = own.replace(nonce, "0000000000000001");
    for wrong in [
        flipped,
        of_another,
        of_another_run,
        "/callbacks/x".to_owned(),
    ] {
        is(&service.calls(&wrong, done()).await?, 404, "not-found").context(wrong)?;
    }
    for (status, kind, odd) in [
        (400, "invalid", json!({})),
        (400, "invalid", json!({"outcome": "fine"})),
        (413, "too-large", json!("x".repeat(20_000))),
    ] {
        is(&service.calls(own, odd).await?, status, kind)?;
    }
    Ok(())
}

/// No token and no secret stands in what is shown, kept or logged.
async fn told_nowhere(stage: &Stage, run: &RunId, paths: &[String]) -> anyhow::Result<()> {
    let mut texts = Vec::new();
    for what in [
        &["dead", "list", "--json"][..],
        &["show", run.as_str(), "--json"],
        &["show", run.as_str(), "--shard", "1/0", "--json"],
        &["show", run.as_str(), "--shard", "2/0", "--json"],
    ] {
        texts.push(stage.cli(what, SOON).await?.stdout);
    }
    let all = texts.concat();
    ensure!(
        all.contains("no such card") && all.contains("(secret callback)"),
        "{all}"
    );
    texts.extend(
        stage
            .workers
            .iter()
            .chain(&stage.planners)
            .map(|it| it.stderr()),
    );
    for text in &texts {
        let told = paths.iter().any(|path| text.contains(token(path)));
        ensure!(!told && !text.contains(SECRET), "a token is told: {text}");
    }
    Ok(())
}

fn kind(reply: &Reply) -> String {
    reply.json()["type"].as_str().unwrap_or_default().to_owned()
}

/// Whether a call was refused so.
pub(super) fn is(reply: &Reply, status: u16, word: &str) -> anyhow::Result<()> {
    let told = (reply.status, kind(reply));
    ensure!(
        told == (status, format!("urn:gridloom:{word}")),
        "{}: {}",
        reply.status,
        reply.json()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_dies_while_it_waits_leaves_a_shard_that_the_service_ends_once()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        eventually(
            SOON,
            "a planner leads",
            async || Ok(stage.term().await? > 0),
        )
        .await?;
        // It stands by.
        let api = api::start(stage, &[]).await?;
        let service = Service::start(&api).await?;
        service.worker(stage).await?;
        let run = service
            .run(stage, ("kept", 1), "callback = \"1h\"\n")
            .await?;
        let first = service.callback(0, 0).await?;
        stage.workers[0].kill().await?;
        let nobody = service.calls(&first, done()).await?;
        ensure!(
            (nobody.status, kind(&nobody)) == (503, "urn:gridloom:unavailable".into()),
            "{nobody:?}"
        );
        ensure!(nobody.header("retry-after").is_some());
        service.worker(stage).await?;
        service.callback(0, 1).await?;
        let asked = service.web.asked();
        let keys: Vec<_> = asked
            .iter()
            .map(|one| one.header("idempotency-key"))
            .collect();
        ensure!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
        // The service keeps the address of the request that it has taken on.
        let taken = service.calls_until_heard(&first, done()).await?;
        ensure!(taken.status == 200, "{}", taken.json());
        stage.closed(&run, SOON).await?;
        let verdict = stage.judge_ledger(&run).await;
        verdict.map(drop)?;
        ensure!(shown(stage, &run).await?["shards"]["done"] == 1);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn callback_after_its_time_or_after_the_end_of_its_run_is_refused() -> anyhow::Result<()> {
    play(async |stage| {
        let api = api::start(stage, &[]).await?;
        let service = Service::start(&api).await?;
        service.worker(stage).await?;
        let run = service.run(stage, ("late", 1), "callback = \"1s\"\n[retry]\nmax_attempts = 1\n").await?;
        let late = service.callback(0, 0).await?;
        stage.closed(&run, SOON).await?;
        let dead = stage.cli(&["dead", "list", "--json"], SOON).await?.succeeded()?;
        ensure!(dead.stdout.contains("did not call back within 1s"), "{dead:?}");
        let refused = service.calls(&late, done()).await?;
        ensure!(refused.status == 409, "{}", refused.json());
        // The time of the attempt goes before that of the callback, and the service may say later that it has succeeded.
        let limits = "callback = \"1h\"\n[limits]\ntimeout = \"1s\"\n[retry]\nmax_attempts = 50\nbackoff = { initial = \"0s\" }\n";
        let run = service.run(stage, ("later", 1), limits).await?;
        let early = service.callback(0, 1).await?;
        service.callback(0, 2).await?;
        ensure!(service.calls_until_heard(&early, done()).await?.status == 200);
        stage.closed(&run, SOON).await?;
        ensure!(shown(stage, &run).await?["shards"]["done"] == 1);
        let before = service.web.asked().len();
        let run = service.run(stage, ("ended", 1), "callback = \"1h\"\n").await?;
        let cancelled = service.callback(0, before).await?;
        stage.cli(&["cancel", run.as_str()], SOON).await?.succeeded()?;
        stage.closed(&run, SOON).await?;
        let refused = service.calls(&cancelled, done()).await?;
        ensure!(refused.status == 409, "{}", refused.json());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn callback_needs_no_token_of_the_api_and_none_is_heard_where_nothing_is_changed()
-> anyhow::Result<()> {
    play(async |stage| {
        let token = gridloom_planner::api::access::digest("glt_ada");
        let token = format!("--api-token=ada=admin:{token}");
        let api = api::start(stage, &[&token]).await?;
        let service = Service::start(&api).await?;
        service.worker(stage).await?;
        let run = service
            .run(stage, ("open", 1), "callback = \"1h\"\n")
            .await?;
        let path = service.callback(0, 0).await?;
        let only_tells = api::start(stage, &["--api-read-only"]).await?;
        let refused = only_tells.ask(("POST", &path), &[], Some(&done())).await?;
        ensure!(
            (refused.status, kind(&refused)) == (403, "urn:gridloom:read-only".into()),
            "{refused:?}"
        );
        ensure!(api.ask(("GET", "/runs"), &[], None).await?.status == 401);
        let taken = service.calls(&path, done()).await?;
        ensure!(taken.status == 200, "{}", taken.json());
        stage.closed(&run, SOON).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn job_that_awaits_callbacks_where_no_worker_says_where_they_go_is_told_when_it_is_applied()
-> anyhow::Result<()> {
    play(async |stage| {
        stage.start_planner().await?;
        let service = "shop=https://api.example";
        stage.start_worker(4, &["--http", service]).await?;
        let known = async || {
            let shown = stage.cli(&["workers", "--json"], SOON).await?;
            Ok(shown.stdout.contains("\"http\""))
        };
        eventually(SOON, "the worker is there", known).await?;
        let file = stage.dir().join("charges.toml");
        std::fs::write(
            &file,
            "name = \"charges\"\nhandler = \"http\"\n[grid]\nslices = 1\ntile = 1\n[http]\nurl = \"https://api.example/\"\ncallback = \"1h\"\n",
        )?;
        let file = file.display().to_string();
        let applied = stage.cli(&["job", "apply", &file], SOON).await?;
        ensure!(applied.stderr.contains("worker.http.NAME.callback"), "{applied:?}");
        Ok(())
    })
    .await
}
