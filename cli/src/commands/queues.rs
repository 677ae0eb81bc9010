//! `gridloom queues` and `gridloom workers`: what waits, and who is there to do it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::topology::{Standing, consumers};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{QueueName, Session};
use gridloom_shared::presence::Presence;
use gridloom_shared::wire;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::{Context, installation};
use crate::fault::Verdict;
use crate::output::{Align, Table, grouped, spoken};

/// How long workers are given to answer: a machine under load answers within tens of milliseconds.
const ROLL_CALL: Duration = Duration::from_millis(300);

/// A worker that was killed stays registered; after this time nobody looks for it any more.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);

/// A queue, as `queues --json` prints it.
#[derive(Serialize)]
struct QueueStanding {
    queue: QueueName,
    pending: u64,
    in_flight: u64,
    redelivered: u64,
    /// Age of the oldest tile that is not acknowledged, in seconds; `None` when there is none.
    oldest_s: Option<f64>,
    workers: usize,
}

/// Lists queues.
///
/// # Errors
/// When the broker does not answer.
pub async fn queues(context: &Context) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    let workers = roll_call(&broker).await?;
    let names = installation::queues(&broker, &workers).await?;
    let mut all = Vec::new();
    for queue in names {
        let serving = workers
            .iter()
            .filter(|worker| worker.queues.contains(&queue))
            .count();
        all.push(standing(&broker, queue, serving).await?);
    }
    context.output.show(&all, |output| {
        let mut table = Table::new([
            ("queue", Align::Left),
            ("pending", Align::Right),
            ("in flight", Align::Right),
            ("redelivered", Align::Right),
            ("oldest", Align::Right),
            ("workers", Align::Right),
        ]);
        for queue in &all {
            let oldest = queue.oldest_s.map_or_else(
                || "-".to_owned(),
                |age| spoken(Duration::from_secs_f64(age)),
            );
            table.row([
                queue.queue.to_string(),
                grouped(queue.pending),
                grouped(queue.in_flight),
                grouped(queue.redelivered),
                oldest,
                grouped(queue.workers as u64),
            ]);
        }
        output.table(
            &table,
            "no queues yet; a job or a worker brings the first one",
        );
    });
    Ok(Verdict::Fine)
}

async fn standing(
    broker: &Broker,
    queue: QueueName,
    workers: usize,
) -> anyhow::Result<QueueStanding> {
    let stream = broker.subjects().shards();
    let mut tiles = broker.reader(&stream, broker.subjects().shards_of_queue(&queue), 1, None);
    let oldest = tiles
        .next_page()
        .await?
        .and_then(|page| page.first().map(|record| record.at));
    let state = match consumers::current(broker, &queue).await? {
        Some(consumer) => broker
            .standing(&stream, &consumer.name)
            .await?
            .unwrap_or_default(),
        // No worker ever pulled from it: all that is there waits.
        None => {
            let tiles = broker
                .subjects_of(&stream, &broker.subjects().shards_of_queue(&queue))
                .await?;
            Standing {
                pending: tiles.values().sum(),
                ..Standing::default()
            }
        }
    };
    Ok(QueueStanding {
        queue,
        pending: state.pending,
        in_flight: state.in_flight,
        redelivered: state.redelivered,
        oldest_s: oldest.map(|at| UnixMs::now().0.saturating_sub(at.0) as f64 / 1_000.0),
        workers,
    })
}

/// A worker, as `workers --json` prints it.
#[derive(Serialize)]
struct WorkerStanding {
    #[serde(flatten)]
    presence: PresenceDocument,
    /// Whether it answered just now.
    answers: bool,
}

#[derive(Serialize)]
struct PresenceDocument {
    worker: String,
    session: String,
    queues: Vec<String>,
    handlers: Vec<String>,
    in_flight: u32,
    capacity: u32,
    last_seen: String,
    started_at: String,
    version: String,
    stopping: bool,
}

/// Lists workers: those that answer, and those that fell silent a while ago without a goodbye.
///
/// # Errors
/// When the broker does not answer.
pub async fn workers(context: &Context) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    let answering = roll_call(&broker).await?;
    let here: BTreeSet<Session> = answering.iter().map(|worker| worker.session).collect();
    let registered = broker.workers().entries(">").await?;
    let silent = registered
        .iter()
        .filter_map(|entry| wire::decode::<Presence>(entry.value.as_deref()?).ok())
        .filter(|worker| !here.contains(&worker.session) && UnixMs::now() < worker.at + FORGOTTEN);
    let mut all: Vec<WorkerStanding> = answering
        .iter()
        .map(|worker| document(worker, true))
        .collect();
    all.extend(silent.map(|worker| document(&worker, false)));
    context.output.show(&all, |output| {
        let mut table = Table::new([
            ("worker", Align::Left),
            ("queues", Align::Left),
            ("handlers", Align::Left),
            ("in flight", Align::Right),
            ("capacity", Align::Right),
            ("state", Align::Left),
        ]);
        for worker in &all {
            let presence = &worker.presence;
            let state = match (worker.answers, presence.stopping) {
                (true, false) => "here".to_owned(),
                (true, true) => "stopping".to_owned(),
                (false, _) => format!("silent since {}", presence.last_seen),
            };
            table.row([
                presence.worker.clone(),
                presence.queues.join(" "),
                presence.handlers.join(" "),
                presence.in_flight.to_string(),
                presence.capacity.to_string(),
                state,
            ]);
        }
        output.table(&table, "no workers answer; start one with gridloom worker");
    });
    Ok(Verdict::Fine)
}

fn document(worker: &Presence, answers: bool) -> WorkerStanding {
    let presence = PresenceDocument {
        worker: worker.worker.to_string(),
        session: worker.session.to_string(),
        queues: worker.queues.iter().map(ToString::to_string).collect(),
        handlers: worker.handlers.iter().map(ToString::to_string).collect(),
        in_flight: worker.in_flight,
        capacity: worker.capacity,
        last_seen: if answers { UnixMs::now() } else { worker.at }.rfc3339(),
        started_at: worker.started_at.rfc3339(),
        version: worker.version.clone(),
        stopping: worker.stopping,
    };
    WorkerStanding { presence, answers }
}

/// The workers that answer when everybody is asked, by name.
///
/// # Errors
/// When the question cannot be sent.
pub async fn roll_call(broker: &Broker) -> anyhow::Result<Vec<Presence>> {
    let inbox = broker.new_inbox();
    let mut answers = broker.subscribe(inbox.clone()).await?;
    broker
        .publish_with_reply(broker.subjects().roll_call(), inbox, Bytes::new())
        .await?;
    let mut workers = BTreeMap::new();
    let until = Instant::now() + ROLL_CALL;
    while let Ok(Some(answer)) = timeout_at(until, answers.next()).await {
        match wire::decode::<Presence>(&answer.payload) {
            Ok(worker) => {
                workers.insert((worker.worker.clone(), worker.session), worker);
            }
            // Nobody listens: the broker says so at once.
            Err(_) if answer.status.is_some() => break,
            Err(error) => tracing::warn!(%error, "a worker's answer cannot be read"),
        }
    }
    Ok(workers.into_values().collect())
}
