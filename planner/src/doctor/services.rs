//! Workers that answer, those that are registered and do not, and what the ledger holds.

use gridloom_shared::broker::Broker;
use gridloom_shared::count::counted;

use super::chart::Chart;
use super::lines;
use super::staff::{Staff, named};

/// Workers, and registrations, that are told of one by one: whoever has the credential of a worker makes as many as they
/// like, and what else is wrong is not to be buried under them.
const SHOWN: usize = 5;

pub(super) async fn look(broker: &Broker, staff: &Staff, chart: &mut Chart) {
    let workers = &staff.workers;
    if !workers.is_empty() {
        let tiles = workers
            .iter()
            .map(|worker| u64::from(worker.capacity))
            .sum();
        let all = counted(workers.len() as u64, "worker");
        chart.ok(
            "workers",
            format!("{all}, {} at once", counted(tiles, "tile")),
        );
    } else if staff.silent.is_empty() {
        chart.note(
            lines::NO_WORKERS,
            "none answers",
            "start one: gridloom worker --queue QUEUE",
        );
    } else {
        let advice = "see whether those still run that are registered: where none does, start gridloom worker";
        chart.note(lines::NO_WORKERS, "none answers", advice);
    }
    look_at_trouble(staff, chart);
    look_at_registrations(staff, chart);
    if let Ok(state) = broker.info(&broker.subjects().ledger()).await {
        chart.ok(
            "ledger",
            format!(
                "{}, {} MiB",
                counted(state.messages, "record"),
                state.bytes >> 20
            ),
        );
    }
}

fn look_at_trouble(staff: &Staff, chart: &mut Chart) {
    let workers = staff.workers.iter();
    let troubled: Vec<_> = workers
        .filter(|worker| !worker.trouble.is_empty())
        .collect();
    for worker in troubled.iter().take(SHOWN) {
        chart.bad(
            lines::WORKER_TROUBLED,
            format!("{} cannot do all of its work: {}", worker.worker, worker.trouble),
            "no shard is lost: see that what it names can be reached from there, and that the worker may do it (docs/PERMISSIONS.md)",
        );
    }
    if troubled.len() > SHOWN {
        let more = counted((troubled.len() - SHOWN) as u64, "more worker");
        let found = format!("{more} cannot do all of their work");
        chart.bad(
            lines::WORKER_TROUBLED,
            found,
            "gridloom workers has them all",
        );
    }
}

fn look_at_registrations(staff: &Staff, chart: &mut Chart) {
    let silent: Vec<String> = staff
        .silent
        .iter()
        .map(|worker| format!("{} (last heard {})", worker.worker, worker.last_seen))
        .collect();
    if !silent.is_empty() {
        let all = counted(silent.len() as u64, "worker");
        let names = named(silent.iter().map(String::as_str));
        chart.note(
            lines::WORKERS_SILENT,
            format!("{all} registered and silent: {names}"),
            "what a dead one held starts elsewhere within seconds while a planner leads; else look at its machine",
        );
    }
    for left_out in staff.left_out.iter().take(SHOWN) {
        chart.note(
            lines::REGISTRATION_ODD,
            format!("registration {left_out}"),
            "it is of no use to anybody; its worker writes it anew within seconds",
        );
    }
    if staff.left_out.len() > SHOWN {
        let more = counted((staff.left_out.len() - SHOWN) as u64, "more registration");
        let advice =
            "no worker writes such: somebody else has a worker's credential (docs/GUARANTEES.md)";
        chart.note(lines::REGISTRATION_ODD, format!("{more} left out"), advice);
    }
}
