//! What is warned of in a job that is applied all the same: what its definition alone shows, and what it names that
//! the workers which are there do not know.

use std::collections::BTreeMap;

use gridloom_shared::broker::Broker;
use gridloom_shared::id::JobName;
use gridloom_shared::job::JobSpec;
use gridloom_shared::job::handlers::{self, Said};
use gridloom_shared::presence::Presence;
use gridloom_shared::reads::{unknown, workers};

/// What is to be told of each job, as `KEY: WORDS`. Where no worker can be asked, none is missed.
pub(super) async fn of(
    broker: &Broker,
    specs: &BTreeMap<JobName, JobSpec>,
) -> BTreeMap<JobName, Vec<String>> {
    let asks = specs
        .values()
        .any(|spec| matches!(spec.handler.as_str(), "sql" | "exec"));
    let here = match asks {
        true => workers::roll_call(broker).await.unwrap_or_default(),
        false => Vec::new(),
    };
    let told = specs
        .iter()
        .map(|(name, spec)| (name.clone(), of_one(spec, &here)));
    told.collect()
}

fn of_one(spec: &JobSpec, here: &[Presence]) -> Vec<String> {
    let shown = handlers::check(Said::by_job(spec)).warnings;
    let mut all: Vec<String> = shown.iter().map(ToString::to_string).collect();
    if let Some(unknown) = unknown::of(spec, here) {
        all.push(format!("{}: {unknown}: {}", unknown.path, unknown.advice()));
    }
    all
}
