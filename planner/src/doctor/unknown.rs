//! Jobs that name a database or a command which workers of their queue do not know: their shards wait there, and their
//! runs for want of it, which is better told before there is one.

use gridloom_shared::reads::jobs::StoredJob;
use gridloom_shared::reads::unknown;
use gridloom_shared::turns::Turns;

use super::chart::Chart;
use super::lines;
use super::staff::Staff;

/// Jobs that are named.
const NAMED: usize = 8;

pub(super) async fn look(jobs: &[StoredJob], staff: &Staff, chart: &mut Chart) {
    let at_work = staff.at_work();
    let (mut found, mut turns) = (Vec::new(), Turns::begin());
    for spec in jobs.iter().filter_map(|job| job.spec.as_ref().ok()) {
        found.extend(unknown::of(spec, &at_work).map(|unknown| (&spec.name, unknown)));
        turns.pass().await;
    }
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
