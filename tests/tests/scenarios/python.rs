//! The client of sdk/python, with real processes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use gridloom_shared::id::RunId;
use gridloom_tests::process::Gridloom;
use gridloom_tests::scenario::play;
use serde_json::json;

use crate::api;

const SOON: Duration = Duration::from_secs(60);

fn sdk() -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/python");
    folder.canonicalize().context("the SDK for Python is there")
}

fn with_python(process: Gridloom) -> anyhow::Result<Gridloom> {
    let process = process.env("PYTHONPATH", sdk()?.join("src"));
    Ok(process.env("PYTHONDONTWRITEBYTECODE", "1"))
}

const CLIENT: &str = r#"
import json, sys
import gridloom
client = gridloom.Client(sys.argv[1])
receipts = [client.submit("plain", id="monday", params={"sleep_ms": 1}) for _ in range(2)]
run = client.wait(receipts[0], timeout=60)
assert client.show(receipts[1].run).succeeded
failed = client.submit("plain", params={"fail_percent": 100.0, "permanent": True})
try:
    client.wait(failed, timeout=60)
except gridloom.RunFailed as error:
    state = error.run.state
refused = []
for job, params in (("nobody", {}), ("plain", {"sleep_ms": "long"})):
    try:
        client.submit(job, params=params)
    except gridloom.ApiError as error:
        refused.append(error.type)
print(json.dumps([[receipt.answer for receipt in receipts], run.id, run.state, run.shards["done"], state, refused]))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn client_starts_a_run_once_waits_for_it_and_tells_what_was_refused() -> anyhow::Result<()> {
    play(async |stage| {
        let planner = api::start(stage, &[]).await?;
        stage.start_worker(4, &[]).await?;
        stage
            .apply("name = \"plain\"\nhandler = \"noop\"\n[grid]\nslices = 4")
            .await?;
        let program = stage.dir().join("client.py");
        std::fs::write(&program, CLIENT)?;
        let args = [program.to_string_lossy().into_owned(), planner.url("")];
        let process = with_python(Gridloom::program("python3", args))?;
        let said = process
            .start()
            .await?
            .finish(SOON)
            .await?
            .succeeded()?
            .json()?;
        let run = RunId::from_request(&"plain".parse()?, "monday");
        assert_eq!(said[0], json!(["opened", "exists"]), "{said}");
        assert_eq!(
            (&said[1], &said[2], &said[3]),
            (&json!(run), &json!("succeeded"), &json!(4))
        );
        assert_eq!(said[4], "failed");
        assert_eq!(said[5], json!(["not-found", "refused"]));
        Ok(())
    })
    .await
}
