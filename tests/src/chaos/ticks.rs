//! Jobs that fire by the clock while everything goes wrong, one for each overlap policy.

use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::id::JobName;
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::wire;

use crate::oracle::fires::Fires;
use crate::wait::eventually;

/// How long all of their runs may take to be over, once the jobs are gone.
const OVER: Duration = Duration::from_secs(60);
/// The policies, and what is made up for.
const POLICIES: [(&str, &str); 5] = [
    ("skip", "run_once"),
    ("queue_one", "run_all"),
    ("queue_all", "run_all"),
    ("cancel_running", "skip"),
    ("allow", "run_all"),
];

/// Defines the jobs, if they are wanted: from then on they fire.
///
/// # Errors
/// When that cannot be done.
pub async fn start(broker: &Broker, wanted: bool) -> anyhow::Result<Vec<JobName>> {
    let mut jobs = Vec::new();
    for (overlap, misfire) in POLICIES.into_iter().filter(|_| wanted) {
        let name = overlap.replace('_', "-");
        let text = format!(
            "name = \"tick-{name}\"\nhandler = \"noop\"\n[params]\nsleep_ms = 900\n\
             [retry]\nmax_attempts = 100\nbackoff = {{ initial = \"50ms\", max = \"200ms\" }}\n\
             [schedule]\nevery = \"2s\"\noverlap = \"{overlap}\"\nmisfire = {{ policy = \"{misfire}\" }}"
        );
        let spec = parse::parse(&text, Format::Toml);
        let spec = spec.map_err(|faults| anyhow::anyhow!("{faults}"))?;
        let key = spec.name.as_str();
        broker.jobs().put(key, wire::encode(&spec)).await?;
        jobs.push(spec.name);
    }
    Ok(jobs)
}

/// Deletes the jobs, waits until all of their runs are over, and judges their fires. Returns the rules that were
/// broken, and tells `say` how many fires got a run.
///
/// # Errors
/// When the broker does not answer, or their runs do not end.
pub async fn judge(
    broker: &Broker,
    jobs: &[JobName],
    say: &(dyn Fn(String) + Sync),
) -> anyhow::Result<Vec<String>> {
    for job in jobs {
        broker.jobs().delete(job.as_str(), None).await?;
    }
    let (mut opened, mut breaches) = (0, Vec::new());
    for job in jobs {
        let what = format!("all runs of {job} are over");
        eventually(OVER, &what, async || {
            Ok(Fires::read(broker, job).await?.are_over())
        })
        .await?;
        let fires = Fires::read(broker, job).await?;
        opened += fires.opened().count();
        if let Err(breach) = fires.judge() {
            breaches.push(format!("fires of {job}: {breach:#}"));
        }
    }
    if !jobs.is_empty() {
        say(format!("{opened} fires got a run"));
    }
    Ok(breaches)
}
