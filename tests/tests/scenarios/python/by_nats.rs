//! Submissions of the client for Python through the broker, as a user who may submit and do nothing else: to a real planner, and
//! while there is none.

use std::process::Command;

use anyhow::{Context, ensure};
use gridloom_cli::embedded::Options;
use gridloom_shared::broker::topology::TopologyOptions;
use gridloom_shared::id::RunId;
use gridloom_tests::process::Gridloom;
use gridloom_tests::roles::accounts;
use gridloom_tests::scenario::{NAMESPACE, Stage, play_on};
use gridloom_tests::server::TestServer;
use serde_json::{Value, json};

use super::sdk;
use crate::api;
use crate::programs::SOON;

/// Where `nats-py` is, for a Python that does not have it: `.ci/run` says it.
const PACKAGES: &str = "GRIDLOOM_TEST_PYTHON";
const PROGRAM: &str = r#"
import json, sys
import gridloom
api, nats, job, seconds = sys.argv[1:]
client = gridloom.Client(api or None, nats=nats, namespace="test", answers="test.answer.submitter", timeout=float(seconds))
try:
    receipt = client.submit(job, id="monday", params={"sleep_ms": 1})
    state = client.wait(receipt, timeout=60).state if api else None
    print(json.dumps([receipt.run, receipt.answer, state]))
except gridloom.ApiError as error:
    print(json.dumps([error.type, error.detail]))
"#;

/// Where Python finds the library and `nats-py`; `None`: that is not here. In CI that is a failure.
fn packages() -> anyhow::Result<Option<String>> {
    let own = sdk()?.join("src").display().to_string();
    let more = std::env::var(PACKAGES).unwrap_or_default();
    let path = [own, more].join(":");
    let mut asked = Command::new("python3");
    let asked = asked.args(["-c", "import nats"]).env("PYTHONPATH", &path);
    if asked.output().is_ok_and(|said| said.status.success()) {
        return Ok(Some(path));
    }
    eprintln!(
        "\n*** NOT RUN: submissions through NATS: nats-py is not here ({PACKAGES} may say where) ***\n"
    );
    ensure!(std::env::var_os("CI").is_none(), "in CI: no nats-py");
    Ok(None)
}

/// What the program says that submits to `job`, and waits for the run where an API is named.
async fn submitted(
    stage: &Stage,
    packages: &str,
    (api, job, seconds): (&str, &str, &str),
) -> anyhow::Result<Value> {
    let program = stage.dir().join("submit.py");
    std::fs::write(&program, PROGRAM)?;
    let nats = stage.server.url();
    let nats = nats.replace("//", "//submitter:submitter@");
    let program = program.display().to_string();
    let args = [program.as_str(), api, &nats, job, seconds];
    let said = Gridloom::program("python3", args).env("PYTHONPATH", packages);
    let said = said.env("PYTHONDONTWRITEBYTECODE", "1").start().await?;
    said.finish(SOON).await?.succeeded()?.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn client_submits_through_nats_though_no_planner_is_there_and_is_told_by_the_one_that_comes()
-> anyhow::Result<()> {
    let Some(packages) = packages()? else {
        return Ok(());
    };
    let options = Options {
        server_config: accounts(NAMESPACE)?,
        ..Options::default()
    };
    let server = TestServer::start_with(options).await?;
    play_on(server, &TopologyOptions::default(), async |stage| {
        let job = "name = \"steady\"\nhandler = \"noop\"\n[grid]\nslices = 4";
        let job = stage.apply(job).await?;
        let run = RunId::from_request(&job, "monday");
        // Nobody answers, and the receipt says all the same which run it will be.
        let stored = submitted(stage, &packages, ("", "steady", "4")).await?;
        assert_eq!(stored, json!([run, null, null]));
        let planner = stage.server.url().replace("//", "//planner:planner@");
        let api = api::start(stage, &["--nats", &planner]).await?;
        stage.start_worker(4, &[]).await?;
        let api = api.url("");
        stage.closed(&run, SOON).await?;
        stage.judge(&run).await?.succeeded()?;
        // The same request again is the same run, and now somebody says so.
        let again = submitted(stage, &packages, (api.as_str(), "steady", "60")).await?;
        assert_eq!(again, json!([run, "exists", "succeeded"]));
        let refused = submitted(stage, &packages, (api.as_str(), "carrier-delays", "60")).await?;
        assert_eq!(refused[0], "refused", "{refused}");
        let runs = stage.cli(&["runs", "--json"], SOON).await?.succeeded()?;
        let runs = runs.json()?;
        let runs = runs.as_array().context("runs")?;
        assert_eq!(runs.len(), 1, "{runs:?}");
        Ok(())
    })
    .await
}
