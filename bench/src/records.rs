//! What a run's ledger says of its outcomes and takeovers, with the broker's stamps.

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::subjects::Author;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::ledger::record::{Reason, Takeover};
use gridloom_shared::wire;

use crate::stack::QUEUE;

/// When outcomes of a run were stored, in ascending order, in milliseconds.
pub(crate) async fn commits(broker: &Broker, run: &RunId) -> anyhow::Result<Vec<u64>> {
    let subjects = broker.subjects();
    let queue: QueueName = QUEUE.parse()?;
    let work = subjects.ledger_of(&queue, run, Author::Work);
    let records = broker.read(&subjects.ledger(), work, 1, None).await?;
    Ok(records.iter().map(|record| record.at.0).collect())
}

/// Why tiles of a run were taken over after `since`, once for each.
pub(crate) async fn takeovers(
    broker: &Broker,
    run: &RunId,
    since: UnixMs,
) -> anyhow::Result<Vec<Reason>> {
    let subjects = broker.subjects();
    let queue: QueueName = QUEUE.parse()?;
    let of_run = subjects.ledger_of(&queue, run, Author::Takeover);
    let records = broker.read(&subjects.ledger(), of_run, 1, None).await?;
    let mut reasons = Vec::new();
    for record in records.iter().filter(|record| record.at > since) {
        let takeover: Takeover = wire::decode(&record.payload)?;
        reasons.extend(takeover.tiles.iter().map(|_| takeover.reason));
    }
    Ok(reasons)
}
