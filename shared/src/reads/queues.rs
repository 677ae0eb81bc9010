//! What waits, in which queue, and for how long.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{LeftOut, ListError, jobs};
use crate::broker::topology::{Standing, consumers};
use crate::broker::{Broker, log};
use crate::clock::UnixMs;
use crate::id::QueueName;
use crate::ledger::record::Author;
use crate::presence::Presence;

/// A queue, as `queues --json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
}

/// All queues.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// Those that can be told of, by name.
    pub queues: Vec<QueueStanding>,
    /// Those of which something is amiss.
    pub left_out: Vec<LeftOut>,
}

/// Lists the queues of `workers` and of all that is there.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(broker: &Broker, workers: &[Presence]) -> Result<Listed, ListError> {
    let mut listed = Listed::default();
    for queue in names(broker, workers).await? {
        let serving = workers
            .iter()
            .filter(|worker| worker.queues.contains(&queue))
            .count();
        match standing(broker, &queue, serving).await {
            Ok(standing) => listed.queues.push(standing),
            // What is kept about its consumer makes no sense.
            Err(ListError::Topology(error)) if !error.is_unreachable() => {
                listed.left_out.push(LeftOut::new(queue.as_str(), &error));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(listed)
}

/// Queues that jobs, runs, waiting tiles or `workers` name.
///
/// # Errors
/// When the broker does not answer.
pub async fn names(
    broker: &Broker,
    workers: &[Presence],
) -> Result<BTreeSet<QueueName>, ListError> {
    let subjects = broker.subjects();
    let specs = jobs::list(broker).await?.into_iter();
    let mut queues: BTreeSet<QueueName> = specs
        .filter_map(|job| job.spec.ok())
        .map(|spec| spec.queue)
        .collect();
    queues.extend(
        workers
            .iter()
            .flat_map(|worker| worker.queues.iter().cloned()),
    );
    let ledgers = broker
        .subjects_of(&subjects.ledger(), &subjects.ledgers_by(Author::Plan))
        .await?;
    let ledgers = ledgers
        .keys()
        .filter_map(|subject| subjects.parse_ledger(subject));
    queues.extend(ledgers.map(|(queue, ..)| queue));
    let tiles = broker
        .subjects_of(&subjects.shards(), &subjects.all_shards())
        .await?;
    let tiles = tiles
        .keys()
        .filter_map(|subject| subjects.parse_shard(subject));
    queues.extend(tiles.map(|(queue, _)| queue));
    Ok(queues)
}

async fn standing(
    broker: &Broker,
    queue: &QueueName,
    workers: usize,
) -> Result<QueueStanding, ListError> {
    let stream = broker.subjects().shards();
    let tiles = broker.subjects().shards_of_queue(queue);
    let oldest = broker.first(&stream, &tiles).await?;
    let state = match consumers::current(broker, queue).await? {
        Some(consumer) => broker
            .standing(&stream, &consumer.name)
            .await?
            .unwrap_or_default(),
        // No worker ever pulled from it: all that is there waits.
        None => Standing {
            pending: broker.subjects_of(&stream, &tiles).await?.values().sum(),
            ..Standing::default()
        },
    };
    let age = |oldest: log::Record| UnixMs::now().0.saturating_sub(oldest.at.0) as f64 / 1_000.0;
    Ok(QueueStanding {
        queue: queue.clone(),
        pending: state.pending,
        in_flight: state.in_flight,
        redelivered: state.redelivered,
        oldest_s: oldest.map(age),
        workers,
    })
}
