//! Whatever its description allows, and what it does not: schemathesis makes requests up, and looks whether the answers
//! are as described and none is a fault of ours. It comes from PyPI, and `.ci/run` fetches it; where it is not on `PATH` (as
//! `schemathesis` or `st`) the short test says that it is not run. The long one: `cargo test -p gridloom-tests --test scenarios -- --ignored api::schema`.

use gridloom_tests::process::Gridloom;

use super::*;

/// What requests find that are made up of what others answered.
const JOB: &str = "name = \"a\"\nhandler = \"noop\"\n[grid]\nslices = 2";
const LONG: Duration = Duration::from_secs(3_600);

fn tool() -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<_> = std::env::split_paths(&path).collect();
    let named = |name: &str| {
        dirs.iter()
            .map(|dir| dir.join(name))
            .find(|path| path.is_file())
    };
    named("schemathesis").or_else(|| named("st"))
}

/// Makes up so many requests of each operation.
async fn made_up(stage: &mut Stage, each: u32) -> anyhow::Result<()> {
    let tool = tool().context("schemathesis is not on PATH: pip install schemathesis")?;
    let api = start(stage, &[]).await?;
    stage.start_worker(2, &[]).await?;
    eventually(
        SOON,
        "a planner leads",
        async || Ok(stage.term().await? > 0),
    )
    .await?;
    let job = stage.apply(JOB).await?;
    let run = stage.submit(&job, &json!({})).await?;
    stage.closed(&run, SOON).await?;
    let root = format!("http://{}/api/v1", api.address);
    let seed = stage.seed.number().to_string();
    let (each, described) = (each.to_string(), format!("{root}/openapi.json"));
    let args = [
        "run",
        &described,
        "--url",
        &root,
        "--max-examples",
        &each,
        "--seed",
        &seed,
        "--mode",
        "all",
        "--suppress-health-check",
        "all",
        // A job file says more than a schema can: what fits the schema may be refused.
        "--exclude-checks",
        "positive_data_acceptance",
        // A stream that does not end.
        "--exclude-path",
        "/events",
        "--no-color",
    ];
    let tried = Gridloom::program(tool, args).start().await?;
    let tried = tried.finish(LONG).await?;
    eprintln!("{}", tried.stdout);
    ensure!(tried.code == 0, "{}\n{}", tried.stdout, tried.stderr);
    // It is there still, and does its work. A made-up request may have deleted the job.
    let job = stage.apply(JOB).await?;
    let run = stage.submit(&job, &json!({})).await?;
    stage.closed(&run, SOON).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_requests_are_answered_as_described() -> anyhow::Result<()> {
    if tool().is_none() {
        eprintln!(
            "\n*** NOT RUN: requests to the API are not made up: schemathesis is not on PATH ***\n"
        );
        return Ok(());
    }
    play(async |stage| made_up(stage, 2).await).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: some 5,000 requests"]
async fn thousands_of_made_up_requests_find_no_failure() -> anyhow::Result<()> {
    play(async |stage| made_up(stage, 90).await).await
}
