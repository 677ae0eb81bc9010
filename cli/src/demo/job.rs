//! What the demo's job is, and how a run of it is asked for: as anybody would, through the `jobs`
//! bucket and the `submit` stream.

use anyhow::Context as _;
use gridloom_shared::broker::Broker;
use gridloom_shared::id::RunId;
use gridloom_shared::job::JobSpec;
use gridloom_shared::job::parse::{self, Format};

use crate::commands::job;

/// The job's file, to be read by people as well.
pub(super) const FILE: &str = include_str!("carrier-delays.toml");

/// The job.
pub(super) fn spec() -> anyhow::Result<JobSpec> {
    parse::parse(FILE, Format::Toml).context("read the demo's job")
}

/// Defines the job. Doing it again changes nothing.
pub(super) async fn define(broker: &Broker, spec: &JobSpec) -> anyhow::Result<()> {
    job::put(broker, spec).await?;
    Ok(())
}

/// Asks for a run. The same `id` never makes a second one, so this may be repeated.
pub(super) async fn submit(broker: &Broker, spec: &JobSpec, id: &str) -> anyhow::Result<RunId> {
    let body = serde_json::to_vec(&serde_json::json!({ "id": id }))?;
    broker
        .append(broker.subjects().submit_to(&spec.name), body.into(), None)
        .await?;
    Ok(RunId::from_request(&spec.name, id))
}

#[cfg(test)]
mod tests {
    #[test]
    fn job_of_the_demo_has_no_fault() {
        let spec = super::spec().unwrap();
        assert_eq!(spec.name.as_str(), "carrier-delays");
        assert_eq!(spec.grid.slices, 16);
    }
}
