//! What the libraries of all languages are held to, whoever wrote the program: what it does of which shard, when it or its
//! worker is killed, and what the kit of the child protocol says of the library.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use gridloom_shared::id::RunId;
use gridloom_tests::process::{Gridloom, Output};
use gridloom_tests::scenario::{NAMESPACE, Stage};
use gridloom_tests::wait::{eventually, eventually_some};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

pub(crate) const SOON: Duration = Duration::from_secs(120);
/// Longer than elsewhere: a program takes its time to start where others are busy, and nothing here waits for it to end.
pub(crate) const ACK_DEADLINE: &str = "5s";

/// Whose handler writes what it does of which shard, and when, into a file that all processes of the test share.
pub(crate) const JOB: &str = "name = \"steady\"\nhandler = \"steady\"\n[grid]\nslices = 8\npages = { count = 5 }\n[retry]\nmax_attempts = 20\n\
                              backoff = { initial = \"100ms\", factor = 1.0, max = \"100ms\" }";
const SHARDS: usize = 40;

/// Whose handler succeeds, wants to be asked again, is held, or fails for good, by its page.
pub(crate) const MOODY: &str = "name = \"moody\"\nhandler = \"moody\"\n[grid]\npages = { count = 4 }\n[retry]\nmax_attempts = 3\n\
                                backoff = { initial = \"100ms\", factor = 1.0, max = \"100ms\" }";

/// What the processes wrote: each execution of a shard, by shard and process.
#[derive(Debug, Default)]
pub(crate) struct Executions {
    /// First and last word of each, in nanoseconds of one clock, and whether it ended.
    pub(crate) spans: BTreeMap<String, Vec<(i32, u64, u64, bool)>>,
}

impl Executions {
    pub(crate) fn read(file: &Path) -> anyhow::Result<Executions> {
        let mut read = Executions::default();
        for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
            let [what, key, pid, at] = line.split(' ').collect::<Vec<_>>()[..] else {
                anyhow::bail!("a line that is none: {line:?}");
            };
            let (pid, at): (i32, u64) = (pid.parse()?, at.parse()?);
            let spans = read.spans.entry(key.to_owned()).or_default();
            match spans.iter_mut().rfind(|span| span.0 == pid && !span.3) {
                Some(span) if what != "begin" => (span.2, span.3) = (at, what == "end"),
                _ => spans.push((pid, at, at, false)),
            }
        }
        Ok(read)
    }

    pub(crate) fn pids(&self) -> Vec<i32> {
        let mut pids: Vec<i32> = self.spans.values().flatten().map(|span| span.0).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// No shard is executed by two at once: a later one begins when the earlier one has said its last word.
    pub(crate) fn never_overlap(&self) -> anyhow::Result<()> {
        for (key, spans) in &self.spans {
            let mut spans = spans.clone();
            spans.sort_by_key(|span| span.1);
            let apart = spans.windows(2).all(|pair| pair[0].2 <= pair[1].1);
            ensure!(apart, "shard {key} ran twice at once: {spans:?}");
        }
        Ok(())
    }
}

pub(crate) async fn shown(stage: &Stage, run: &str) -> anyhow::Result<Value> {
    let shown = stage.cli(&["show", run, "--json"], SOON).await?;
    shown.succeeded()?.json()
}

/// Runs a job that is applied to its end, and judges it.
pub(crate) async fn ended(stage: &Stage, job: &str) -> anyhow::Result<RunId> {
    let run = ["run", job, "--id", "one", "--wait"];
    stage.cli(&run, SOON).await?.succeeded()?;
    let run = RunId::from_request(&job.parse()?, "one");
    stage.judge(&run).await?;
    Ok(run)
}

/// Runs the job of a file, which has the job's name, to its end.
pub(crate) async fn played(stage: &Stage, file: &Path) -> anyhow::Result<Value> {
    let job = file.file_stem().and_then(|name| name.to_str());
    let apply = ["job", "apply", &file.to_string_lossy()];
    stage.cli(&apply, SOON).await?.succeeded()?;
    let run = ended(stage, job.context("a name")?).await?;
    shown(stage, run.as_str()).await
}

/// A run of [`JOB`] that so many processes have begun with.
pub(crate) async fn begun(
    stage: &mut Stage,
    log: &Path,
    processes: usize,
) -> anyhow::Result<RunId> {
    let job = stage.apply(JOB).await?;
    let run = stage.submit(&job, &json!({})).await?;
    eventually(SOON, "all processes are at it", async || {
        Ok(Executions::read(log)?.pids().len() >= processes)
    })
    .await?;
    Ok(run)
}

/// A run that is over: each shard once, ten rows each, and never two of one at once.
pub(crate) async fn judged(stage: &Stage, run: &RunId, log: &Path) -> anyhow::Result<()> {
    stage.closed(run, SOON).await?;
    stage.judge(run).await?;
    let shown = shown(stage, run.as_str()).await?;
    assert_eq!(shown["state"], "succeeded", "{shown}");
    assert_eq!(shown["rows"], json!(10 * SHARDS), "{shown}");
    let executions = Executions::read(log)?;
    assert_eq!(executions.spans.len(), SHARDS);
    executions.never_overlap()
}

/// Of two processes that are at a run one is killed: that costs an attempt, and no shard.
pub(crate) async fn one_is_killed(stage: &Stage, run: &RunId, log: &Path) -> anyhow::Result<()> {
    let pids = Executions::read(log)?.pids();
    kill_process(Pid::from_raw(pids[0]).context("a pid")?, Signal::KILL)?;
    eventually(SOON, "another is started for it", async || {
        Ok(Executions::read(log)?.pids().len() > 2)
    })
    .await?;
    judged(stage, run, log).await
}

/// A program that starts its worker itself, for the broker of the stage.
pub(crate) fn with_own_worker(stage: &Stage, program: Gridloom) -> anyhow::Result<Gridloom> {
    let program = program.env("COMMAND", gridloom_tests::gridloom()?);
    let program = program.env("GRIDLOOM_NATS", stage.server.url());
    let program = program.env("GRIDLOOM_QUEUE_ACK_DEADLINE", ACK_DEADLINE);
    Ok(program.env("GRIDLOOM_NAMESPACE", NAMESPACE))
}

/// The worker of a program is killed. That says `why` it ends, and another one finishes what it had begun, and ends in peace.
pub(crate) async fn its_worker_is_killed(
    stage: &mut Stage,
    program: impl AsyncFn(&Stage, &Path) -> anyhow::Result<Gridloom>,
    why: &str,
) -> anyhow::Result<()> {
    let log = stage.dir().join("log");
    stage.start_planner().await?;
    let mut one = program(stage, &log).await?.start().await?;
    let job = stage.apply(JOB).await?;
    let run = stage.submit(&job, &json!({})).await?;
    stage.done(&run, 1, SOON).await?;
    let attached = async || child_of(one.pid());
    let attached = eventually_some(SOON, "its worker is found", attached).await?;
    kill_process(attached, Signal::KILL)?;
    let code = one.wait(SOON).await?;
    let said = one.stderr();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(why), "{said}");
    let mut another = program(stage, &log).await?.start().await?;
    judged(stage, &run, &log).await?;
    another.terminate()?;
    let code = another.wait(SOON).await?;
    assert_eq!(code, 0, "{}", another.stderr());
    Ok(())
}

/// The first process that `parent` has started, whichever of its threads did.
fn child_of(parent: Pid) -> anyhow::Result<Option<Pid>> {
    let threads = std::fs::read_dir(format!("/proc/{parent}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let texts = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")));
    let texts: Vec<String> = texts.map(Result::unwrap_or_default).collect();
    let mut children = texts.iter().flat_map(|text| text.split_whitespace());
    let first = children.next().map(str::parse).transpose()?;
    Ok(first.and_then(Pid::from_raw))
}

/// What `gridloom sdk-test --json` says: `least` situations at least, and all is well. A machine may have no IPv6.
pub(crate) fn conforms(report: &Output, least: usize) -> anyhow::Result<Value> {
    let said = report.json().with_context(|| report.stderr.clone())?;
    let all = said["situations"].as_array().context("situations")?;
    let others = all
        .iter()
        .filter(|told| told["outcome"] != "ok" && told["name"] != "tcp-ipv6");
    let others: Vec<&Value> = others.collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!((report.code, &said["failed"]), (0, &json!(0)));
    let well = said["ok"]
        .as_u64()
        .and_then(|well| usize::try_from(well).ok());
    assert!(well >= Some(least), "{said}");
    Ok(said)
}

/// What a program is not asked that starts its worker itself: it is about children of a worker.
const OF_CHILDREN: [&str; 8] = [
    "slots-left-out",
    "tcp",
    "tcp-ipv6",
    "closed-before-welcome",
    "gone-idle",
    "gone-running",
    "gone-deaf",
    "gone-in-a-frame",
];

/// A program that starts its worker itself does as it should, in all that it is asked.
pub(crate) fn conforms_attached(report: &Output) -> anyhow::Result<()> {
    let said = report.json().with_context(|| report.stderr.clone())?;
    let all = said["situations"].as_array().context("situations")?;
    let of = |outcome: &str| -> Vec<&Value> {
        let of = all.iter().filter(|told| told["outcome"] == *outcome);
        of.collect()
    };
    assert!(of("failed").is_empty(), "{:#?}", of("failed"));
    let skipped: Vec<&str> = of("skipped")
        .iter()
        .filter_map(|told| told["name"].as_str())
        .collect();
    assert_eq!(skipped, OF_CHILDREN);
    assert!(of("ok").len() >= 40 && report.code == 0, "{said}");
    Ok(())
}
