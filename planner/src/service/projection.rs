//! Projections for people: the summaries in the `runs` bucket, and the metrics. Nothing is decided
//! from them.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::api::ApiError;
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::fold::Counts;
use gridloom_shared::ledger::summary::{RunState, RunSummary};
use gridloom_shared::telemetry::names;
use gridloom_shared::wire;
use tokio::sync::{mpsc, watch};

use crate::lead::{Change, Lead};
use crate::leader::SetAside;
use crate::run::Run;

/// How long a new run waits for its first summary: its first shards go first, and one that is over by
/// then needs only its last.
const FIRST: Duration = Duration::from_millis(25);
/// How often the summary of a running run is renewed.
const RENEWED: Duration = Duration::from_millis(500);
/// How often JetStream is asked for the numbers of all lanes.
const ASKED: Duration = Duration::from_secs(2);
/// Summaries that are written at once.
const AT_ONCE: usize = 64;

/// Writes projections. Losing one changes nothing; `show` folds the ledger itself.
pub(super) struct Writer {
    summaries: mpsc::UnboundedSender<RunSummary>,
    /// Runs without a summary yet, and since when the first of them waits.
    fresh: Vec<RunId>,
    since: Boot,
    renewed: Boot,
    /// What the lease tells of.
    aside: watch::Sender<SetAside>,
    task: tokio::task::JoinHandle<()>,
}

/// Starts the writer.
pub(super) fn start(broker: Broker, aside: watch::Sender<SetAside>) -> Writer {
    let (summaries, queue) = mpsc::unbounded_channel();
    Writer {
        summaries,
        fresh: Vec::new(),
        since: Boot::now(),
        renewed: Boot::now(),
        aside,
        task: tokio::spawn(write(broker, queue)),
    }
}

/// One round after the other, so that an older summary never comes after a newer one; of several that
/// wait only the newest of each run is written.
async fn write(broker: Broker, mut queue: mpsc::UnboundedReceiver<RunSummary>) {
    let runs = &broker.runs();
    while let Some(first) = queue.recv().await {
        let mut newest = HashMap::from([(first.run.clone(), first)]);
        while let Ok(next) = queue.try_recv() {
            newest.insert(next.run.clone(), next);
        }
        let most = broker.max_record();
        let writes = newest.into_values().map(|mut summary| async move {
            summary.fit(most);
            if let Err(error) = runs.put(summary.run.as_str(), wire::encode(&summary)).await {
                tracing::warn!(run = %summary.run, error = %chain(&error), "failed to write a run's summary");
            }
        });
        let writes = futures_util::stream::iter(writes).buffer_unordered(AT_ONCE);
        writes.collect::<()>().await;
    }
}

impl Writer {
    /// Shows what has changed in a leadership since the last call.
    pub(super) fn follow(&mut self, lead: &mut Lead) {
        let changes = lead.changes();
        let changed = !changes.is_empty();
        for change in changes {
            self.show(change);
        }
        let now = Boot::now();
        if !self.fresh.is_empty() && now.since(self.since) >= FIRST {
            for name in std::mem::take(&mut self.fresh) {
                lead.book()
                    .get(&name)
                    .into_iter()
                    .for_each(|run| self.send(run));
            }
        }
        if now.since(self.renewed) >= RENEWED {
            self.renewed = now;
            lead.book_mut().moved().for_each(|run| self.send(run));
        }
        if changed {
            self.running(lead.book().len());
        }
        self.tell_aside(SetAside::of(lead.book().aside()));
    }

    /// Nothing is led any more: what runs is another's to show.
    pub(super) fn rest(&mut self) {
        self.fresh.clear();
        self.running(0);
        self.tell_aside(SetAside::default());
    }

    fn tell_aside(&self, now: SetAside) {
        self.aside.send_if_modified(|told| {
            let changed = *told != now;
            *told = now;
            changed
        });
    }

    fn running(&self, runs: usize) {
        metrics::gauge!(names::RUNS, "state" => RunState::Running.as_str()).set(runs as f64);
    }

    fn show(&mut self, change: Change) {
        match change {
            Change::Opened(name) => {
                if self.fresh.is_empty() {
                    self.since = Boot::now();
                }
                self.fresh.push(name);
            }
            Change::Moved(moved) => count(&moved.before, &moved.after),
            Change::Closed(run) => {
                self.send(&run);
                if let Some((_, closed)) = run.fold().closing() {
                    let state = RunState::from(closed.state).as_str();
                    tracing::info!(run = %run.fold().run(), state, "closed");
                    metrics::counter!(names::RUNS_CLOSED, "state" => state).increment(1);
                }
            }
            Change::Lost(_) => metrics::counter!(names::RUNS_LOST).increment(1),
        }
    }

    fn send(&self, run: &Run) {
        if let Some(summary) = RunSummary::of(run.fold()) {
            let _ = self.summaries.send(summary);
        }
    }

    /// Writes what is left, then ends.
    pub(super) async fn stop(self) {
        drop(self.summaries);
        let _ = tokio::time::timeout(Duration::from_secs(2), self.task).await;
    }
}

/// Counts what one record changed.
fn count(before: &Counts, after: &Counts) {
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

/// Shows JetStream's own numbers of each lane, for as long as the leadership lasts.
pub(super) async fn watch_queues(broker: Broker) {
    loop {
        if let Err(error) = show_queues(&broker).await {
            tracing::debug!(error = %chain(&error), "failed to ask for the numbers of the queues");
        }
        tokio::time::sleep(ASKED).await;
    }
}

async fn show_queues(broker: &Broker) -> Result<(), ApiError> {
    for (lane, found) in broker.lanes().await? {
        let show = |name: &'static str, value: u64| {
            let (queue, handler) = (lane.queue.to_string(), lane.handler.to_string());
            metrics::gauge!(name, "queue" => queue, "handler" => handler).set(value as f64);
        };
        show(names::QUEUE_PENDING, found.standing.pending);
        show(names::QUEUE_IN_FLIGHT, found.standing.in_flight);
        show(names::QUEUE_REDELIVERED, found.standing.redelivered);
    }
    Ok(())
}
