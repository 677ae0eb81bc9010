//! Projections for people: the summaries in the `runs` bucket, and the metrics. Nothing is decided
//! from them.

use std::collections::HashMap;
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::topology::consumers;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::fold::Counts;
use gridloom_shared::ledger::summary::{RunState, RunSummary};
use gridloom_shared::telemetry::names;
use gridloom_shared::wire;
use tokio::sync::mpsc;

use crate::run::Run;

/// How often the summary of a running run is renewed.
const RENEWED: Duration = Duration::from_millis(500);
/// How often JetStream is asked for the numbers of a queue.
const ASKED: Duration = Duration::from_secs(2);

/// Where projections are written. Losing one changes nothing; `show` folds the ledger itself.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    summaries: mpsc::UnboundedSender<RunSummary>,
    positions: HashMap<RunId, u64>,
    /// Runs without a summary yet.
    fresh: Vec<RunId>,
    renewed: Boot,
}

/// The writer of summaries.
pub(super) struct Writer {
    shown: Shown,
    task: tokio::task::JoinHandle<()>,
}

impl std::ops::Deref for Writer {
    type Target = Shown;
    fn deref(&self) -> &Shown {
        &self.shown
    }
}

impl Writer {
    /// Writes what is left, then ends.
    pub(super) async fn stop(self) {
        drop(self.shown);
        let _ = tokio::time::timeout(Duration::from_secs(2), self.task).await;
    }
}

pub(super) fn start(broker: Broker) -> Writer {
    let (summaries, queue) = mpsc::unbounded_channel();
    let task = tokio::spawn(write(broker, queue));
    Writer {
        shown: Shown {
            summaries,
            positions: HashMap::new(),
            fresh: Vec::new(),
            renewed: Boot::now(),
        },
        task,
    }
}

/// One after the other, so that an older summary never comes after a newer one; of several that
/// wait only the newest of each run is written.
async fn write(broker: Broker, mut queue: mpsc::UnboundedReceiver<RunSummary>) {
    let runs = broker.runs();
    while let Some(first) = queue.recv().await {
        let mut newest = HashMap::from([(first.run.clone(), first)]);
        while let Ok(next) = queue.try_recv() {
            newest.insert(next.run.clone(), next);
        }
        let writes = newest.into_values().map(|summary| {
            let runs = runs.clone();
            async move {
                if let Err(error) = runs.put(summary.run.as_str(), wire::encode(&summary)).await {
                    tracing::warn!(run = %summary.run, %error, "failed to write a run's summary");
                }
            }
        });
        futures_util::future::join_all(writes).await;
    }
}

impl Shown {
    /// Its summary comes with the next tick: its first shards go first, and one that is over by then
    /// needs only its last.
    pub(super) fn opened(&mut self, run: &Run) {
        self.fresh.push(run.fold.run().clone());
        metrics::gauge!(names::RUNS, "state" => RunState::Running.as_str()).increment(1.0);
    }

    pub(super) fn closed(&mut self, run: &Run) {
        self.positions.remove(run.fold.run());
        self.send(run);
        metrics::gauge!(names::RUNS, "state" => RunState::Running.as_str()).decrement(1.0);
        if let Some((_, closed)) = run.fold.closing() {
            let state = RunState::from(closed.state).as_str();
            tracing::info!(run = %run.fold.run(), state, "closed");
            metrics::counter!(names::RUNS_CLOSED, "state" => state).increment(1);
        }
    }

    /// Renews the summaries of runs that have moved.
    pub(super) fn tick(&mut self, runs: &HashMap<RunId, Run>) {
        for name in std::mem::take(&mut self.fresh) {
            runs.get(&name).into_iter().for_each(|run| self.send(run));
        }
        let now = Boot::now();
        if now.since(self.renewed) < RENEWED {
            return;
        }
        self.renewed = now;
        for (name, run) in runs {
            let position = run.fold.position();
            if self.positions.get(name) != Some(&position) {
                self.positions.insert(name.clone(), position);
                self.send(run);
            }
        }
    }

    /// Counts what one record changed.
    pub(super) fn counted(&self, before: &Counts, after: &Counts) {
        let count = |name: &'static str, before: u64, after: u64| {
            if after > before {
                metrics::counter!(name).increment(after - before);
            }
        };
        count(names::SHARDS_PLANNED, before.planned, after.planned);
        count(names::SHARDS_DONE, before.done, after.done);
        count(names::SHARDS_FAILED, before.failures, after.failures);
        count(names::SHARDS_DEAD, before.dead, after.dead);
        count(names::SHARDS_LATE, before.late, after.late);
    }

    fn send(&self, run: &Run) {
        if let Some(summary) = RunSummary::of(&run.fold) {
            let _ = self.summaries.send(summary);
        }
    }
}

/// Shows JetStream's own numbers of each queue, for as long as the leadership lasts.
pub(super) async fn watch_queues(broker: Broker) {
    loop {
        if let Err(error) = show_queues(&broker).await {
            tracing::debug!(error, "failed to ask for the numbers of the queues");
        }
        tokio::time::sleep(ASKED).await;
    }
}

async fn show_queues(broker: &Broker) -> Result<(), String> {
    let keys = broker
        .state()
        .entries(broker.subjects().all_consumers())
        .await;
    for entry in keys.map_err(|error| error.to_string())? {
        let Some(queue) = broker.subjects().parse_consumer_key(&entry.key) else {
            continue;
        };
        let consumer = consumers::current(broker, &queue)
            .await
            .map_err(|error| error.to_string())?;
        let Some(consumer) = consumer else { continue };
        let standing = broker
            .standing(&broker.subjects().shards(), &consumer.name)
            .await;
        let Some(standing) = standing.map_err(|error| error.to_string())? else {
            continue;
        };
        let show = |name: &'static str, value: u64| {
            metrics::gauge!(name, "queue" => queue.to_string()).set(value as f64);
        };
        show(names::QUEUE_PENDING, standing.pending);
        show(names::QUEUE_IN_FLIGHT, standing.in_flight);
        show(names::QUEUE_REDELIVERED, standing.redelivered);
    }
    Ok(())
}
