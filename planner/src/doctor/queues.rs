//! What of the queues waits for somebody who is not there: the consumers of their lanes, tiles and runs without a
//! worker that takes them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::topology::LaneStanding;
use gridloom_shared::chain;
use gridloom_shared::count::counted;
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::job::parse::write_duration;
use gridloom_shared::lane::Lane;
use gridloom_shared::reads;
use gridloom_shared::reads::ListError;
use gridloom_shared::reads::jobs::StoredJob;
use gridloom_shared::reads::queues::QueueStanding;

use super::LOOK_AT_BROKER;
use super::chart::Chart;
use super::lines::{self, Line};
use super::staff::{Staff, advice_for_none, named};

/// Handlers, and lanes without a worker, that are named.
const NAMED: usize = 8;
/// Open runs whose lanes are looked at.
const RUNS: usize = 1_000;

/// What waits on one lane.
#[derive(Default)]
struct Waits {
    tiles: u64,
    runs: Vec<RunId>,
}

pub(super) async fn look(broker: &Broker, jobs: &[StoredJob], staff: &Staff, chart: &mut Chart) {
    let at_work = staff.at_work();
    let looked = async {
        let names = reads::queues::names_beside(broker, jobs).await?;
        let queues = reads::queues::list_named(broker, &at_work, &names).await?;
        let lanes = broker.lanes().await?;
        let runs = reads::runs::open_by_lane(broker, RUNS).await?;
        Ok::<_, ListError>((queues, lanes, runs))
    };
    let (mut queues, lanes, runs) = match looked.await {
        Ok(looked) => looked,
        Err(error) => {
            return chart.bad(
                Line::unread("queues"),
                chain(&error).to_string(),
                LOOK_AT_BROKER,
            );
        }
    };
    look_at_room(broker, chart).await;
    // Of a queue that nothing but runs of the past names nobody waits for anything.
    let jobs = jobs
        .iter()
        .filter_map(|job| Some(&job.spec.as_ref().ok()?.queue));
    let named: BTreeSet<&QueueName> = jobs.chain(runs.keys().map(|lane| &lane.queue)).collect();
    queues.retain(|queue| queue.workers > 0 || queue.pending > 0 || named.contains(&queue.queue));
    look_at_consumers(&queues, &lanes, staff, chart);
    let mut unserved: BTreeMap<Lane, Waits> = BTreeMap::new();
    for queue in &queues {
        for handler in queue.handlers.iter().filter(|one| one.workers == 0) {
            let lane = Lane::new(queue.queue.clone(), handler.handler.clone());
            // A worker that stops ends what it holds.
            let held = if staff.is_being_finished(&lane) {
                0
            } else {
                handler.in_flight
            };
            let tiles = handler.pending + held;
            if tiles > 0 {
                unserved.entry(lane).or_default().tiles = tiles;
            }
        }
    }
    for (lane, runs) in runs {
        if reads::queues::serving(&lane, &at_work) == 0 {
            unserved.entry(lane).or_default().runs = runs;
        }
    }
    let more = unserved.len().saturating_sub(NAMED);
    for (lane, waits) in unserved.into_iter().take(NAMED) {
        tell(&lane, &waits, staff, chart);
    }
    if more > 0 {
        let text = format!("{} more without a worker", counted(more as u64, "handler"));
        chart.bad(lines::HANDLER_MISSING, text, "gridloom queues shows them");
    }
}

/// Whether tiles still fit into the stream of the queues.
async fn look_at_room(broker: &Broker, chart: &mut Chart) {
    let shards = broker.subjects().shards();
    let state = match broker.info(&shards).await {
        Ok(state) => state,
        Err(error) => {
            return chart.bad(
                Line::unread("queues"),
                chain(&error).to_string(),
                LOOK_AT_BROKER,
            );
        }
    };
    let (holds, most) = (state.bytes, state.max_bytes);
    if most.is_some_and(|most| holds >= most / 10 * 9) {
        let most = most.unwrap_or_default();
        chart.bad(
            lines::QUEUE_FULL,
            format!("{shards} holds {holds} of the {most} bytes that it may: the planner waits for room"),
            "nothing is lost, and tiles follow as others are done: more workers, smaller tiles or params, or more room (streams.max_bytes of the planner, shards=...)",
        );
    }
}

/// Which consumers there are, and which queues have none.
fn look_at_consumers(
    queues: &[QueueStanding],
    lanes: &BTreeMap<Lane, LaneStanding>,
    staff: &Staff,
    chart: &mut Chart,
) {
    let mut fine = Vec::new();
    for QueueStanding { queue, .. } in queues {
        if let Some(described) = described(queue, lanes) {
            fine.push(described);
            continue;
        }
        let workers = staff.of_queue(queue);
        let advice = if workers.is_empty() {
            advice_for_none(staff, queue)
        } else {
            let names = named(workers.iter().map(|worker| worker.worker.as_str()));
            format!("its workers make it when they may: the log of {names} says what keeps them")
        };
        let text = format!("queue {queue} has no consumer yet");
        chart.note(lines::NO_CONSUMER, text, advice);
    }
    if !fine.is_empty() {
        chart.ok("queues", format!("consumers {}", fine.join("; ")));
    }
}

/// `<queue> (<handlers>; ack deadline <time>)`; `None` where it has no consumer.
fn described(queue: &QueueName, lanes: &BTreeMap<Lane, LaneStanding>) -> Option<String> {
    let its: Vec<_> = lanes
        .iter()
        .filter(|(lane, _)| lane.queue == *queue)
        .collect();
    if its.is_empty() {
        return None;
    }
    let first = its.iter().take(NAMED);
    let mut names: Vec<String> = first.map(|(_, found)| found.consumer.to_string()).collect();
    if its.len() > NAMED {
        names.push(format!("{} more", its.len() - NAMED));
    }
    let deadlines: BTreeSet<Duration> = its.iter().map(|(_, found)| found.ack_deadline).collect();
    let deadlines = deadlines
        .iter()
        .map(|time| write_duration(time.as_millis() as u64));
    let deadlines = deadlines.collect::<Vec<_>>().join(", ");
    Some(format!("{} (ack deadline {deadlines})", names.join(", ")))
}

/// Nobody takes what waits on `lane`.
fn tell(lane: &Lane, waits: &Waits, staff: &Staff, chart: &mut Chart) {
    let Lane { queue, handler } = lane;
    let what = what_waits(waits);
    let workers = staff.of_queue(queue);
    if workers.is_empty() {
        return chart.bad(
            lines::QUEUE_WITHOUT_WORKERS,
            format!("no worker of queue {queue} answers: {what} for its handler {handler}"),
            advice_for_none(staff, queue),
        );
    }
    let names = named(workers.iter().map(|worker| worker.worker.as_str()));
    chart.bad(
        lines::HANDLER_MISSING,
        format!("no worker of queue {queue} has handler {handler}: {what} for it ({names} pull from the queue)"),
        advice_for_handler(lane, staff),
    );
}

fn what_waits(waits: &Waits) -> String {
    let (first, others) = match waits.runs.split_first() {
        Some((first, others)) => (Some(first), others.len()),
        None => (None, 0),
    };
    let mut all = Vec::new();
    all.extend((waits.tiles > 0).then(|| counted(waits.tiles, "tile")));
    all.extend(first.map(|run| format!("run {run}")));
    all.extend((others > 0).then(|| counted(others as u64, "more run")));
    let verb = if waits.tiles + waits.runs.len() as u64 == 1 {
        "waits"
    } else {
        "wait"
    };
    format!("{} {verb}", all.join(", "))
}

/// How a worker comes by the handler.
fn advice_for_handler(lane: &Lane, staff: &Staff) -> String {
    let Lane { queue, handler } = lane;
    let elsewhere = staff.workers.iter().filter(|worker| {
        !worker.stopping && worker.handlers.contains(handler) && !worker.queues.contains(queue)
    });
    let elsewhere: Vec<&str> = elsewhere.map(|worker| worker.worker.as_str()).collect();
    if !elsewhere.is_empty() {
        return format!(
            "{} has it and pulls from other queues: let it pull from {queue} too (worker.queues, --queue), or name its queue in the job",
            named(elsewhere)
        );
    }
    match handler.as_str() {
        "sql" => format!(
            "gridloom worker has it once it knows a database: give those of queue {queue} one (worker.databases, --database NAME=URL)"
        ),
        "exec" => format!(
            "gridloom worker has it once it knows a command: give those of queue {queue} one (worker.exec, --exec NAME=COMMAND)"
        ),
        "http" => format!(
            "gridloom worker has it once it knows a service: give those of queue {queue} one (worker.http, --http NAME=ORIGIN)"
        ),
        _ => format!(
            "start a worker of queue {queue} that has handler {handler} (.handler(\"{handler}\", ...)), or name another handler in the job and apply it; a run that is not wanted any more: gridloom cancel RUN"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_told_by_its_number() {
        let run = |n: u64| RunId::new(format!("a_s_{n}")).unwrap();
        let told = |tiles, runs: &[u64]| {
            let runs = runs.iter().map(|n| run(*n)).collect();
            what_waits(&Waits { tiles, runs })
        };
        assert_eq!(told(1, &[]), "1 tile waits");
        assert_eq!(told(0, &[7]), "run a_s_7 waits");
        assert_eq!(told(3, &[7]), "3 tiles, run a_s_7 wait");
        assert_eq!(told(0, &[7, 8, 9]), "run a_s_7, 2 more runs wait");
    }
}
