//! What waits, in which queue, for which handler, and for how long.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::ListError;
use super::jobs::{self, StoredJob};
use crate::broker::topology::LaneStanding;
use crate::broker::{Broker, log};
use crate::clock::UnixMs;
use crate::id::{HandlerName, QueueName};
use crate::lane::Lane;
use crate::ledger::record::Author;
use crate::presence::Presence;
use crate::turns::Turns;

/// A queue, as `queues --json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueueStanding {
    /// Its name.
    pub queue: QueueName,
    /// Tiles that nobody has pulled.
    pub pending: u64,
    /// Tiles that workers hold.
    pub in_flight: u64,
    /// Tiles of those that were delivered more than once.
    pub redelivered: u64,
    /// Age of the oldest tile that is not acknowledged, in seconds; `None` when there is none.
    pub oldest_s: Option<f64>,
    /// Workers that answer and pull from it.
    pub workers: usize,
    /// The same by the handler that tiles want, by its name.
    pub handlers: Vec<HandlerStanding>,
}

/// What of a queue wants one handler.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HandlerStanding {
    /// The handler.
    pub handler: HandlerName,
    /// Tiles that nobody has pulled.
    pub pending: u64,
    /// Tiles that workers hold.
    pub in_flight: u64,
    /// Tiles of those that were delivered more than once.
    pub redelivered: u64,
    /// Workers that answer, pull from the queue and have the handler.
    pub workers: usize,
}

/// Lists the queues of `workers` and of all that is there.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(broker: &Broker, workers: &[Presence]) -> Result<Vec<QueueStanding>, ListError> {
    let named = names(broker).await?;
    list_named(broker, workers, &named).await
}

/// As [`list`], where it is known already which queues jobs and runs name: to find that out takes longer than the rest.
///
/// # Errors
/// When the broker does not answer.
pub async fn list_named(
    broker: &Broker,
    workers: &[Presence],
    named: &BTreeSet<QueueName>,
) -> Result<Vec<QueueStanding>, ListError> {
    let tiles = tiles(broker).await?;
    let consumers = broker.lanes().await?;
    let lanes: BTreeSet<&Lane> = tiles.keys().chain(consumers.keys()).collect();
    let mut listed = Vec::new();
    for queue in with_those_of(named, workers, &tiles) {
        let of_queue = lanes.iter().filter(|lane| lane.queue == queue);
        let handlers: Vec<_> = of_queue
            .map(|lane| {
                let waiting = tiles.get(*lane).copied().unwrap_or_default();
                standing(lane, consumers.get(*lane), waiting, workers)
            })
            .collect();
        let sum = |of: fn(&HandlerStanding) -> u64| handlers.iter().map(of).sum();
        listed.push(QueueStanding {
            pending: sum(|handler| handler.pending),
            in_flight: sum(|handler| handler.in_flight),
            redelivered: sum(|handler| handler.redelivered),
            oldest_s: oldest(broker, &queue).await?,
            workers: workers
                .iter()
                .filter(|worker| worker.queues.contains(&queue))
                .count(),
            handlers,
            queue,
        });
    }
    Ok(listed)
}

/// How many tiles there are of each lane that has some, pulled or not.
///
/// # Errors
/// When the broker does not answer.
pub async fn tiles(broker: &Broker) -> Result<BTreeMap<Lane, u64>, ListError> {
    let subjects = broker.subjects();
    let found = broker
        .subjects_of(&subjects.shards(), &subjects.all_shards())
        .await?;
    let (mut tiles, mut turns) = (BTreeMap::new(), Turns::begin());
    for (subject, count) in found {
        if let Some((lane, _)) = subjects.parse_shard(&subject) {
            *tiles.entry(lane).or_default() += count;
        }
        turns.pass().await;
    }
    Ok(tiles)
}

/// Queues that jobs and runs name.
///
/// # Errors
/// When the broker does not answer.
pub async fn names(broker: &Broker) -> Result<BTreeSet<QueueName>, ListError> {
    names_beside(broker, &jobs::list(broker).await?).await
}

/// As [`names`], where the jobs are known already.
///
/// # Errors
/// When the broker does not answer.
pub async fn names_beside(
    broker: &Broker,
    jobs: &[StoredJob],
) -> Result<BTreeSet<QueueName>, ListError> {
    let mut turns = Turns::begin();
    let mut queues = names_of_runs(broker).await?;
    for spec in jobs.iter().filter_map(|job| job.spec.as_ref().ok()) {
        queues.insert(spec.queue.clone());
        turns.pass().await;
    }
    Ok(queues)
}

/// Queues of all runs whose ledgers are there.
///
/// # Errors
/// When the broker does not answer.
pub async fn names_of_runs(broker: &Broker) -> Result<BTreeSet<QueueName>, ListError> {
    let subjects = broker.subjects();
    let (mut queues, mut turns) = (BTreeSet::new(), Turns::begin());
    let ledgers = broker
        .subjects_of(&subjects.ledger(), &subjects.ledgers_by(Author::Plan))
        .await?;
    for subject in ledgers.keys() {
        queues.extend(subjects.parse_ledger(subject).map(|(queue, ..)| queue));
        turns.pass().await;
    }
    Ok(queues)
}

/// Those of `tiles` and `workers`, too.
fn with_those_of(
    named: &BTreeSet<QueueName>,
    workers: &[Presence],
    tiles: &BTreeMap<Lane, u64>,
) -> BTreeSet<QueueName> {
    let mut queues = named.clone();
    queues.extend(
        workers
            .iter()
            .flat_map(|worker| worker.queues.iter().cloned()),
    );
    queues.extend(tiles.keys().map(|lane| lane.queue.clone()));
    queues
}

/// `stored`: tiles of the lane. Where no worker ever pulled from it, all of them wait.
fn standing(
    lane: &Lane,
    consumer: Option<&LaneStanding>,
    stored: u64,
    workers: &[Presence],
) -> HandlerStanding {
    let state = consumer.map(|found| found.standing);
    HandlerStanding {
        handler: lane.handler.clone(),
        pending: state.map_or(stored, |state| state.pending),
        in_flight: state.map_or(0, |state| state.in_flight),
        redelivered: state.map_or(0, |state| state.redelivered),
        workers: serving(lane, workers),
    }
}

/// How many of `workers` pull from the lane.
pub fn serving(lane: &Lane, workers: &[Presence]) -> usize {
    let serving = |worker: &&Presence| worker.serves(&lane.queue, &lane.handler);
    workers.iter().filter(serving).count()
}

async fn oldest(broker: &Broker, queue: &QueueName) -> Result<Option<f64>, ListError> {
    let subjects = broker.subjects();
    let oldest = broker
        .first(&subjects.shards(), &subjects.shards_of_queue(queue))
        .await?;
    let age = |oldest: log::Record| UnixMs::now().0.saturating_sub(oldest.at.0) as f64 / 1_000.0;
    Ok(oldest.map(age))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::made_up;

    fn lane(queue: &str, handler: &str) -> Lane {
        let (queue, handler) = (QueueName::new(queue), HandlerName::new(handler));
        Lane::new(queue.unwrap(), handler.unwrap())
    }

    fn worker(queue: &str, handler: &str) -> Presence {
        let Lane { queue, handler } = lane(queue, handler);
        Presence {
            queues: vec![queue],
            handlers: vec![handler],
            ..made_up()
        }
    }

    #[test]
    fn lane_is_served_by_who_pulls_from_its_queue_and_has_its_handler() {
        let workers = [
            worker("images", "resize"),
            worker("images", "noop"),
            worker("reports", "resize"),
        ];
        assert_eq!(serving(&lane("images", "resize"), &workers), 1);
        assert_eq!(serving(&lane("reports", "noop"), &workers), 0);
    }

    #[test]
    fn all_tiles_of_a_lane_wait_that_nobody_has_ever_pulled_from() {
        let told = standing(&lane("images", "resize"), None, 7, &[]);
        assert_eq!((told.pending, told.in_flight, told.workers), (7, 0, 0));
    }
}
