//! Jobs that name a database or a command which no worker of their queue knows: each shard of them would be dead at
//! once, and no run waits by which it could be seen before.

use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::reads::{jobs, unknown};

use super::LOOK_AT_BROKER;
use super::chart::Chart;
use super::staff::Staff;

/// Jobs that are named.
const NAMED: usize = 8;

pub(super) async fn look(broker: &Broker, staff: &Staff, chart: &mut Chart) {
    let stored = match jobs::list(broker).await {
        Ok(stored) => stored,
        Err(error) => return chart.bad("jobs", chain(&error).to_string(), LOOK_AT_BROKER),
    };
    let at_work = staff.at_work();
    let specs = stored.iter().filter_map(|job| job.spec.as_ref().ok());
    let found: Vec<_> = specs
        .filter_map(|spec| Some((&spec.name, unknown::of(spec, &at_work)?)))
        .collect();
    for (job, unknown) in found.iter().take(NAMED) {
        chart.bad(
            "jobs",
            format!("each shard of job {job} will be dead: its {unknown}"),
            unknown.advice(),
        );
    }
    let more = found.len().saturating_sub(NAMED);
    if more > 0 {
        let advice = "gridloom job show JOB names what each wants";
        chart.bad("jobs", format!("and {more} more like that"), advice);
    }
}
