//! What of the queues waits for somebody who is not there: the consumers of their lanes, tiles and runs without a
//! worker that has their handler.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::topology::LaneStanding;
use gridloom_shared::chain;
use gridloom_shared::id::QueueName;
use gridloom_shared::job::parse::write_duration;
use gridloom_shared::lane::Lane;
use gridloom_shared::ledger::summary::RunState;
use gridloom_shared::presence::Presence;
use gridloom_shared::reads;
use gridloom_shared::waiting::Waiting;

use super::chart::Chart;
use crate::output::counted;

/// Handlers, and lanes without a worker, that are named.
const NAMED: usize = 8;
/// Runs of which is asked what they wait for.
const RUNS: usize = 20;

pub(super) async fn look(broker: &Broker, workers: &[Presence], chart: &mut Chart) {
    let looked = async {
        let queues = reads::queues::list(broker, workers).await?;
        anyhow::Ok((queues, broker.lanes().await?))
    };
    let (queues, lanes) = match looked.await {
        Ok(looked) => looked,
        Err(error) => return chart.bad("queues", chain(&*error).to_string(), ""),
    };
    let mut fine = Vec::new();
    let mut unserved = BTreeMap::new();
    for queue in queues {
        match described(&queue.queue, &lanes) {
            Some(described) => fine.push(described),
            None => {
                let text = format!("queue {} has no consumer yet", queue.queue);
                let advice = format!("start gridloom worker --queue {}: it makes it", queue.queue);
                chart.note("queues", text, advice);
            }
        }
        for handler in queue.handlers {
            if handler.pending > 0 && handler.workers == 0 {
                let lane = Lane::new(queue.queue.clone(), handler.handler);
                unserved.insert(lane, Some(handler.pending));
            }
        }
    }
    if !fine.is_empty() {
        chart.ok("queues", format!("consumers {}", fine.join("; ")));
    }
    for lane in waited_for(broker).await {
        unserved.entry(lane).or_insert(None);
    }
    let more = unserved.len().saturating_sub(NAMED);
    for (lane, tiles) in unserved.into_iter().take(NAMED) {
        let Lane { queue, handler } = lane;
        let waits = match tiles {
            Some(tiles) => format!("{} of queue {queue} wait", counted(tiles, "tile")),
            None => format!("runs of queue {queue} wait"),
        };
        chart.bad(
            "handlers",
            format!("{waits} for handler {handler}: no worker that answers has it"),
            format!("start a worker of queue {queue} that has handler {handler}"),
        );
    }
    if more > 0 {
        chart.bad(
            "handlers",
            format!("and {more} more"),
            "gridloom queues shows them",
        );
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
    let named = its.iter().take(NAMED);
    let mut names: Vec<String> = named.map(|(_, found)| found.consumer.to_string()).collect();
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

/// Lanes of whose handler the leader knows nobody, although runs wait for it: it issues nothing of them.
async fn waited_for(broker: &Broker) -> BTreeSet<Lane> {
    let mut lanes = BTreeSet::new();
    let Ok(listed) = reads::runs::list(broker, None, RUNS).await else {
        return lanes;
    };
    let open = listed
        .runs
        .iter()
        .filter(|run| run.state == RunState::Running);
    for run in open {
        // Nobody leads: another check says so.
        let Some(waits) = reads::waits::of(broker, &run.run).await else {
            break;
        };
        lanes.extend(waits.into_iter().filter_map(|waiting| match waiting {
            Waiting::NoHandler { queue, handler } => Some(Lane::new(queue, handler)),
            _ => None,
        }));
    }
    lanes
}
