//! Who is there: workers that answer, those that are registered and do not, and what the ledger holds.

use gridloom_shared::broker::Broker;
use gridloom_shared::presence::Presence;
use gridloom_shared::reads;

use super::chart::Chart;
use crate::output::counted;

/// Silent workers that are named.
const NAMED: usize = 5;

pub(super) async fn look(broker: &Broker, workers: &[Presence], chart: &mut Chart) {
    if workers.is_empty() {
        chart.note("workers", "none answers", "start one: gridloom worker");
    } else {
        let tiles = workers
            .iter()
            .map(|worker| u64::from(worker.capacity))
            .sum();
        let all = counted(workers.len() as u64, "worker");
        chart.ok(
            "workers",
            format!("{all}, {} at once", counted(tiles, "tile")),
        );
    }
    for worker in workers.iter().filter(|worker| !worker.trouble.is_empty()) {
        chart.bad(
            "workers",
            format!("{} cannot do all of its work: {}", worker.worker, worker.trouble),
            "the shards are held meanwhile, none is lost: see that what it names can be reached from there",
        );
    }
    look_at_registrations(broker, chart).await;
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

async fn look_at_registrations(broker: &Broker, chart: &mut Chart) {
    let Ok(listed) = reads::workers::list(broker).await else {
        return;
    };
    let silent = listed.workers.iter().filter(|worker| !worker.answers);
    let silent: Vec<_> = silent
        .map(|worker| format!("{} (last heard {})", worker.worker, worker.last_seen))
        .collect();
    if !silent.is_empty() {
        let all = counted(silent.len() as u64, "worker");
        let named = silent[..silent.len().min(NAMED)].join(", ");
        chart.note(
            "workers",
            format!("{all} registered and silent: {named}"),
            "what a dead one held starts elsewhere within seconds while a planner leads; else look at its machine",
        );
    }
    for left_out in &listed.left_out {
        chart.note(
            "workers",
            format!("registration {left_out}"),
            "it is of no use to anybody; its worker writes it anew within seconds",
        );
    }
}
