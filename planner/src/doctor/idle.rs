//! Lanes that have tiles, and workers with a free slot that have their handler, and on which nobody waits for a tile:
//! something keeps those workers from pulling, which nothing else would show.

use std::collections::BTreeMap;
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::topology::LaneStanding;
use gridloom_shared::count::counted;
use gridloom_shared::lane::Lane;
use gridloom_shared::presence::Presence;
use gridloom_shared::reads::workers;

use super::chart::Chart;
use super::lines;
use super::staff::{Staff, named};

/// A worker that has become free pulls within a moment; who waits for longer is kept from it.
const PASSING: Duration = Duration::from_secs(2);

/// Tiles of a lane that nobody waits for.
#[derive(Debug, PartialEq, Eq)]
struct Forsaken {
    tiles: u64,
    /// Deliveries by now: where there are more later, somebody pulls.
    delivery: u64,
    /// Workers that could run them.
    free: Vec<String>,
}

pub(super) async fn look(broker: &Broker, staff: &Staff, chart: &mut Chart) {
    // Where they cannot be asked for, another check says so.
    let lanes = broker.lanes().await.unwrap_or_default();
    let before = forsaken(&lanes, &staff.at_work());
    if before.is_empty() {
        return;
    }
    tokio::time::sleep(PASSING).await;
    let (lanes, workers) = tokio::join!(broker.lanes(), workers::roll_call(broker));
    let (lanes, workers) = (lanes.unwrap_or_default(), workers.unwrap_or_default());
    for (lane, found) in forsaken(&lanes, &workers) {
        let stood = before.get(&lane);
        if stood.is_some_and(|before| before.delivery == found.delivery) {
            tell(&lane, &found, chart);
        }
    }
}

/// Lanes with tiles on which nobody waits, although some of `workers` could.
fn forsaken(
    lanes: &BTreeMap<Lane, LaneStanding>,
    workers: &[Presence],
) -> BTreeMap<Lane, Forsaken> {
    let waiting = lanes
        .iter()
        .filter(|(_, found)| found.standing.pending > 0 && found.standing.waiting == 0);
    let forsaken = waiting.map(|(lane, found)| {
        let free = workers.iter().filter(|worker| may_run(worker, lane));
        let found = Forsaken {
            tiles: found.standing.pending,
            delivery: found.standing.delivery,
            free: free.map(|worker| worker.worker.to_string()).collect(),
        };
        (lane.clone(), found)
    });
    forsaken
        .filter(|(_, found)| !found.free.is_empty())
        .collect()
}

fn may_run(worker: &Presence, lane: &Lane) -> bool {
    !worker.stopping
        && worker.in_flight < worker.capacity
        && worker.serves(&lane.queue, &lane.handler)
}

fn tell(lane: &Lane, found: &Forsaken, chart: &mut Chart) {
    let names = named(found.free.iter().map(String::as_str));
    let Lane { queue, handler } = lane;
    chart.bad(
        lines::NOBODY_WAITS,
        format!(
            "nobody waits for the {} of queue {queue} and handler {handler}, although {names} could run them",
            counted(found.tiles, "tile")
        ),
        format!(
            "the log of {names} says what keeps it from pulling: a permission (docs/PERMISSIONS.md), a full ledger, handlers that do not end; where it says nothing, restart it: what it holds goes to others"
        ),
    );
}

#[cfg(test)]
mod tests {
    use gridloom_shared::broker::topology::Standing;
    use gridloom_shared::clock::UnixMs;
    use gridloom_shared::id::{HandlerName, QueueName, Session, WorkerName};

    use super::*;

    fn worker(name: &str, handler: &str, free: u32) -> Presence {
        Presence {
            worker: WorkerName::new(name).unwrap(),
            session: Session(1),
            queues: vec![QueueName::new("default").unwrap()],
            handlers: vec![HandlerName::new(handler).unwrap()],
            capacity: 4,
            in_flight: 4 - free,
            version: "1".into(),
            wire: Default::default(),
            started_at: UnixMs(0),
            at: UnixMs(0),
            stopping: name == "leaving",
            gone: false,
            named: Default::default(),
            tolls: Vec::new(),
            ack_deadlines_ms: Vec::new(),
            knows: Vec::new(),
            trouble: String::new(),
        }
    }

    fn lane(handler: &str) -> Lane {
        Lane::new(
            QueueName::new("default").unwrap(),
            HandlerName::new(handler).unwrap(),
        )
    }

    fn free(handler: &str, pending: u64, waiting: u64) -> Vec<String> {
        let lane = lane(handler);
        let found = LaneStanding {
            consumer: gridloom_shared::broker::subjects::ConsumerName::new(&lane, 1),
            ack_deadline: Duration::from_secs(30),
            standing: Standing {
                pending,
                waiting,
                ..Standing::default()
            },
        };
        let workers = [
            worker("free", "noop", 1),
            worker("full", "noop", 0),
            worker("leaving", "noop", 4),
            worker("other", "exec", 4),
        ];
        let found = forsaken(&BTreeMap::from([(lane, found)]), &workers);
        found.into_values().flat_map(|found| found.free).collect()
    }

    #[test]
    fn lane_is_forsaken_where_tiles_and_a_free_worker_are_there_and_nobody_waits() {
        assert_eq!(free("noop", 3, 0), ["free"]);
        assert_eq!(free("exec", 3, 0), ["other"]);
        assert_eq!(free("noop", 3, 1), Vec::<String>::new());
        assert_eq!(free("noop", 0, 0), Vec::<String>::new());
        assert_eq!(free("sql", 3, 0), Vec::<String>::new());
    }
}
