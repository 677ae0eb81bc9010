//! A run is a part of its submitter's trace, from the message to the handler.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::HeaderMap;
use async_nats::jetstream;
use gridloom_shared::id::{JobName, RunId};
use gridloom_tests::scenario::{NAMESPACE, Stage, play};

const SOON: Duration = Duration::from_secs(30);
const JOB: &str = "name = \"told\"\nhandler = \"exec\"\n[exec]\ncommand = \"show\"";

/// Places in traces, each of another one.
pub(crate) fn place(n: u32) -> String {
    format!("00-{n:032x}-{n:016x}-01")
}

/// Submits with these headers, as any client would.
pub(crate) async fn send(
    stage: &Stage,
    job: &JobName,
    headers: &[(&str, &str)],
) -> anyhow::Result<RunId> {
    let context = jetstream::new(stage.server.client().await?);
    let mut all = HeaderMap::new();
    headers
        .iter()
        .for_each(|(name, value)| all.append(*name, *value));
    let subject = format!("{NAMESPACE}.submit.{job}");
    let sent = context.publish_with_headers(subject, all, "{}".into());
    let receipt = sent.await?.await?;
    Ok(RunId::from_submission(job, receipt.sequence))
}

/// `gridloom run`, with this variable of its environment.
async fn run(stage: &Stage, variable: &str, args: &[&str]) -> anyhow::Result<RunId> {
    let command = stage
        .gridloom(&["run", "told", "--json"])?
        .args(args.iter().copied());
    let ran = command.env("TRACEPARENT", variable).start().await?;
    let told = ran.finish(SOON).await?.succeeded()?.json()?;
    Ok(RunId::new(told["run"].as_str().context("a run")?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn place_in_a_trace_goes_from_the_submitter_to_the_handler_and_nonsense_goes_nowhere()
-> anyhow::Result<()> {
    play(async |stage| {
        let job = stage.apply(JOB).await?;
        stage.start_planner().await?;
        let seen = stage.dir().join("seen");
        let shown = format!(
            "show=sh -c 'echo \"$GRIDLOOM_RUN $TRACEPARENT\" >> \"{}\"'",
            seen.display()
        );
        // What the worker was started with is of no run.
        let worker = stage.gridloom(&["worker", "--exec", &shown])?;
        let worker = worker.env("TRACEPARENT", place(99)).start().await?;
        stage.workers.push(worker);
        let mut wanted: BTreeMap<RunId, String> = BTreeMap::new();
        let (one, two) = (place(1), place(2));
        wanted.insert(send(stage, &job, &[("traceparent", &one)]).await?, one);
        wanted.insert(send(stage, &job, &[("Traceparent", &two)]).await?, two);
        for nonsense in ["00-1-2-01", "", "\u{fffd}", &"0".repeat(10_000), &place(0)] {
            let headers = [("traceparent", nonsense)];
            wanted.insert(send(stage, &job, &headers).await?, String::new());
        }
        wanted.insert(send(stage, &job, &[]).await?, String::new());
        let (three, four, five) = (place(3), place(4), place(5));
        let flags = ["--traceparent", three.as_str()];
        wanted.insert(run(stage, &place(98), &flags).await?, three.clone());
        wanted.insert(run(stage, &four, &[]).await?, four.clone());
        wanted.insert(run(stage, "nonsense", &[]).await?, String::new());
        // This one is kept until it is known what becomes of it beside the others.
        let waits = ["--overlap", "queue_all", "--traceparent", &five];
        wanted.insert(run(stage, "", &waits).await?, five.clone());
        for run in wanted.keys() {
            stage.closed(run, SOON).await?;
        }
        let text = std::fs::read_to_string(&seen)?;
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let lines = lines.map(|(run, place)| Ok((RunId::new(run)?, place.to_owned())));
        let found: BTreeMap<RunId, String> = lines.collect::<anyhow::Result<_>>()?;
        ensure!(found == wanted, "{found:#?} instead of {wanted:#?}");
        let wrong = stage
            .cli(&["run", "told", "--traceparent", "00-1-2-01"], SOON)
            .await?;
        ensure!(
            wrong.code == 2 && wrong.stderr.contains("00-4bf9"),
            "{wrong:?}"
        );
        Ok(())
    })
    .await
}
