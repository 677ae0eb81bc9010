//! Jobs that name a database or a command which workers of their queue do not know: their shards wait there, and their
//! runs for want of it, which is better told before there is one.

use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::reads::{jobs, unknown};

use super::LOOK_AT_BROKER;
use super::chart::Chart;
use super::lines::{self, Line};
use super::staff::Staff;

/// Jobs that are named.
const NAMED: usize = 8;

pub(super) async fn look(broker: &Broker, staff: &Staff, chart: &mut Chart) {
    let stored = match jobs::list(broker).await {
        Ok(stored) => stored,
        Err(error) => {
            return chart.bad(
                Line::unread("jobs"),
                chain(&error).to_string(),
                LOOK_AT_BROKER,
            );
        }
    };
    let at_work = staff.at_work();
    let specs = stored.iter().filter_map(|job| job.spec.as_ref().ok());
    let found: Vec<_> = specs
        .filter_map(|spec| Some((&spec.name, unknown::of(spec, &at_work)?)))
        .collect();
    for (job, unknown) in found.iter().take(NAMED) {
        let found = match unknown.by_all() {
            true => format!("nothing of job {job} can be done: its {unknown}"),
            false => format!(
                "shards of job {job} may come to a worker that puts them off: its {unknown}"
            ),
        };
        chart.bad(lines::NAMES_UNKNOWN, found, unknown.advice());
    }
    let more = found.len().saturating_sub(NAMED);
    if more > 0 {
        let advice = "gridloom job show JOB names what each wants";
        chart.bad(
            lines::NAMES_UNKNOWN,
            format!("and {more} more like that"),
            advice,
        );
    }
}
