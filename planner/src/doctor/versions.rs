//! Which builds take part, and whether each reads what planners write (docs/UPGRADING.md). What workers report is read by
//! whoever reads what planners write.

use std::collections::BTreeMap;

use gridloom_shared::broker::Broker;
use gridloom_shared::count::counted;
use gridloom_shared::wire::Versions;

use super::Asker;
use super::chart::Chart;
use super::lines;
use super::staff::{Staff, named};

/// More builds are counted: whoever has a worker's password may announce as many as there are.
const BUILDS: usize = 8;

/// One planner or worker.
struct One<'s> {
    name: &'s str,
    is_planner: bool,
    build: &'s str,
    wire: Versions,
}

pub(super) fn look(broker: &Broker, asker: Asker<'_>, staff: &Staff, chart: &mut Chart) {
    let all = everybody(staff);
    if !all.is_empty() {
        tell_builds(&all, chart);
        tell_too_old(&all, chart);
    }
    // What whoever asks could not read themselves.
    if let Some(newer) = broker.newer() {
        let own = Versions::own().reads;
        let who = asker.name();
        let instead = match asker {
            Asker::Command => "use the gridloom of the newest build that takes part",
            Asker::Planner { .. } => {
                "ask a planner of the newest build that takes part, and upgrade this one (docs/UPGRADING.md)"
            }
        };
        chart.note(
            lines::COMMAND_TOO_OLD,
            format!("what {who} says is not whole: {}", newer.told()),
            format!("it reads records of version {own} at most: {instead}"),
        );
    }
}

fn everybody(staff: &Staff) -> Vec<One<'_>> {
    let planners = staff.planners.iter().map(|planner| One {
        name: &planner.name,
        is_planner: true,
        build: &planner.version,
        wire: planner.wire,
    });
    let workers = staff.workers.iter().map(|worker| One {
        name: worker.worker.as_str(),
        is_planner: false,
        build: &worker.version,
        wire: worker.wire,
    });
    planners.chain(workers).collect()
}

/// One line for each build; of several, that an upgrade is under way.
fn tell_builds(all: &[One<'_>], chart: &mut Chart) {
    let mut builds: BTreeMap<(&str, Versions), Vec<&One<'_>>> = BTreeMap::new();
    for one in all {
        builds.entry((one.build, one.wire)).or_default().push(one);
    }
    let is_mixed = builds.len() > 1;
    let more = builds.len().saturating_sub(BUILDS);
    for ((build, wire), of) in builds.iter().take(BUILDS) {
        let (planners, workers): (Vec<&One<'_>>, Vec<&One<'_>>) =
            of.iter().copied().partition(|one| one.is_planner);
        let parts = [("planner", planners), ("worker", workers)].into_iter();
        let parts = parts.filter(|(_, of)| !of.is_empty()).map(|(what, of)| {
            let names = named(of.iter().map(|one| one.name));
            format!("{} ({names})", counted(of.len() as u64, what))
        });
        let parts: Vec<String> = parts.collect();
        let found = format!(
            "{build}, which reads records up to version {} and writes version {}: {}",
            wire.reads,
            wire.writes,
            parts.join(", ")
        );
        if is_mixed {
            chart.note(lines::BUILDS_DIFFER, found, SEVERAL);
        } else {
            chart.ok("versions", found);
        }
    }
    if more > 0 {
        let found = format!("{more} more builds take part");
        chart.note(lines::BUILDS_DIFFER, found, SEVERAL);
    }
}

const SEVERAL: &str = "several builds take part: that is right while an upgrade is under way; finish it, or go back (docs/UPGRADING.md)";

/// Who cannot read what a planner writes waits.
fn tell_too_old(all: &[One<'_>], chart: &mut Chart) {
    let planners = all.iter().filter(|one| one.is_planner);
    let Some(newest) = planners.max_by_key(|one| one.wire.writes) else {
        return;
    };
    let too_old = all.iter().filter(|one| one.wire.reads < newest.wire.writes);
    let too_old: Vec<&str> = too_old.map(|one| one.name).collect();
    if too_old.is_empty() {
        return;
    }
    let names = named(too_old.iter().copied());
    let found = format!(
        "{names} cannot read version {}, which planner {} writes: what that writes waits there",
        newest.wire.writes, newest.name
    );
    let advice = format!(
        "nothing is lost: upgrade {names}, more than one release behind (docs/UPGRADING.md)"
    );
    chart.bad(lines::BUILD_TOO_OLD, found, advice);
}
