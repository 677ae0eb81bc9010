//! Projections for people: the summaries in the `runs` bucket, and what is counted. Nothing is decided
//! from them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::kv::WriteError;
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::ledger::summary::RunSummary;
use gridloom_shared::telemetry::spans::Tracer;
use gridloom_shared::wire;
use tokio::sync::{mpsc, oneshot, watch};

use super::counted::Counted;
use super::task::Task;
use super::tasks::Tasks;
use super::traced;
use crate::alive::Signs;
use crate::book::Book;
use crate::lead::{Change, Lead};
use crate::leader::{Told, Validity};
use crate::run::Run;

/// How long a new run waits for its first summary: one that is over by then needs only its last. Each is a record, and a
/// flush where the broker flushes each; whoever asks before is answered from the ledger.
const FIRST: Duration = Duration::from_millis(500);
/// How often the summary of a running run is renewed.
const RENEWED: Duration = Duration::from_millis(500);
/// Summaries that are written at once.
const AT_ONCE: usize = 64;

/// Summaries of runs that were just opened, or taken over, that may wait to be written: a leader takes
/// thousands of runs over at once. The others wait here by name.
const WAITING_MAX: usize = 1_000;
/// Pause before summaries that could not be written are written again.
const PAUSE: Duration = Duration::from_secs(1);
/// How often that is tried.
const TRIES: u32 = 60;

/// A summary to be written.
struct Due {
    summary: RunSummary,
    tries: u32,
    /// Which leadership of this process it is of.
    leadership: u64,
}

impl Due {
    /// Whether nobody can have written it before: each end of a run is another.
    fn is_news(&self) -> bool {
        self.tries == 0 && self.summary.state.ended()
    }

    /// Writes it, if anything else stands there: the leader before may have written the same, or this one
    /// before an answer that was lost. What is written to it after that look stays: it is of who leads since then.
    async fn write(&self, broker: &Broker, backlog: &Backlog) -> Result<(), String> {
        let (runs, value) = (broker.runs(), wire::encode(&self.summary));
        let key = self.summary.run.as_str();
        let text = |error: WriteError| chain(&error).to_string();
        if self.is_news() {
            // Most runs are over before their first summary.
            match runs.update(key, value.clone(), 0).await {
                Err(error) if error.is_conflict() => {}
                written => return written.map(|_| ()).map_err(text),
            }
        }
        let unread = |error: ReadError| chain(&error).to_string();
        let there = runs.place_of(key).await.map_err(unread)?;
        if there.value() == Some(&value) || !backlog.is_of_now(self) {
            return Ok(());
        }
        // Whoever was frozen does not know it yet, and another may have shown more by now.
        let certain = backlog.validity.holds(Boot::now());
        if !certain && !self.is_so_still(broker).await.map_err(unread)? {
            return Ok(());
        }
        let written = runs.update(key, value, there.revision()).await;
        written.map(|_| ()).map_err(text)
    }

    /// Whether the run stands so by the last that a planner wrote of it.
    async fn is_so_still(&self, broker: &Broker) -> Result<bool, ReadError> {
        let (summary, subjects) = (&self.summary, broker.subjects());
        let plan = subjects.ledger_of(&summary.queue, &summary.run, Author::Plan);
        let last = broker.last_of_leader(&subjects.ledger(), &plan).await?;
        let Some(last) = last else { return Ok(false) };
        let ended = summary.state.ended();
        Ok(match broker.decode(&last.subject, &last.payload) {
            Ok(PlanRecord::Closed(_)) => summary.closed_at == Some(last.at.rfc3339()),
            Ok(PlanRecord::Dropped(dropped)) if dropped.closed => {
                ended && summary.shards.dead_kept() == dropped.left
            }
            Ok(PlanRecord::Retired(_) | PlanRecord::Forgotten(_)) | Err(_) => false,
            Ok(_) => !ended,
        })
    }
}

/// What the writer and its task know of each other.
#[derive(Default)]
struct Backlog {
    /// Summaries that wait.
    waiting: AtomicUsize,
    /// Which leadership of this process it is. What is left of one that is over is another leader's to show, and what
    /// that one writes is newer.
    leadership: AtomicU64,
    /// Until when that may be believed in.
    validity: Validity,
}

impl Backlog {
    fn is_of_now(&self, due: &Due) -> bool {
        self.leadership.load(Ordering::Relaxed) == due.leadership
    }
}

/// Runs that were opened, or taken over, and wait for their first summary of this leadership. Pure.
#[derive(Default)]
struct Fresh {
    /// Each with the moment since which it waits, in that order.
    runs: VecDeque<(RunId, Boot)>,
}

impl Fresh {
    fn add(&mut self, run: RunId, now: Boot) {
        self.runs.push_back((run, now));
    }

    /// The next one whose time has come, if it `may` be shown.
    fn next(&mut self, now: Boot, may: impl Fn(&RunId) -> bool) -> Option<RunId> {
        let next = self
            .runs
            .pop_front_if(|(run, since)| now.since(*since) >= FIRST && may(run));
        next.map(|(run, _)| run)
    }

    /// Those that still wait.
    fn waiting(&self) -> HashSet<&RunId> {
        self.runs.iter().map(|(run, _)| run).collect()
    }
}

/// Whether the ledger was read up to the run's first record. Who opened it knows that record before, but only
/// about when the broker stored it: shown by then, it would be shown otherwise by the next leader.
fn is_read(run: &Run, position: u64) -> bool {
    let opening = run.fold().opening();
    opening.is_none_or(|opening| opening.sequence <= position)
}

/// Writes projections. Losing one changes nothing; `show` folds the ledger itself.
pub(super) struct Writer {
    summaries: mpsc::UnboundedSender<Due>,
    backlog: Arc<Backlog>,
    counted: Counted,
    fresh: Fresh,
    renewed: Boot,
    /// What the lease tells of.
    told: watch::Sender<Told>,
    /// Who is told of traces.
    tracer: Tracer,
    /// Closed once nothing more is written.
    written: oneshot::Receiver<()>,
}

/// Starts the writer, as one of the service's `tasks`.
pub(super) fn start(
    tasks: &mut Tasks,
    broker: Broker,
    (told, validity, tracer): (watch::Sender<Told>, Validity, Tracer),
) -> Writer {
    let (summaries, queue) = mpsc::unbounded_channel();
    let backlog = Arc::new(Backlog {
        validity,
        ..Backlog::default()
    });
    let (writes, written) = oneshot::channel();
    let known = Arc::clone(&backlog);
    tasks.keep(Task::Summaries, |signs| async move {
        let _writes: oneshot::Sender<()> = writes;
        write(broker, queue, known, signs).await;
    });
    Writer {
        summaries,
        counted: Counted::default(),
        fresh: Fresh::default(),
        renewed: Boot::now(),
        told,
        tracer,
        written,
        backlog,
    }
}

/// One round after the other, so that an older summary never comes after a newer one; of several that
/// wait only the newest of each run is written. One that could not be written is written again, for as
/// long as there is a leadership and no newer one.
async fn write(
    broker: Broker,
    mut queue: mpsc::UnboundedReceiver<Due>,
    backlog: Arc<Backlog>,
    signs: Signs,
) {
    let mut newest: HashMap<RunId, Due> = HashMap::new();
    loop {
        signs.give();
        if !newest.is_empty() {
            tokio::time::sleep(PAUSE).await;
            newest.retain(|_, due| backlog.is_of_now(due));
        }
        if newest.is_empty() {
            let Some(first) = signs.waiting(queue.recv()).await else {
                return;
            };
            newest.insert(first.summary.run.clone(), first);
        }
        while let Ok(next) = queue.try_recv() {
            newest.insert(next.summary.run.clone(), next);
        }
        backlog.waiting.store(newest.len(), Ordering::Relaxed);
        let (broker, signs, backlog) = (&broker, &signs, &*backlog);
        let writes = newest.drain().map(|(_, mut due)| async move {
            signs.give();
            if !backlog.is_of_now(&due) {
                return None;
            }
            due.summary.fit(broker.max_record());
            let error = due.write(broker, backlog).await.err()?;
            let (run, tries) = (&due.summary.run, due.tries + 1);
            tracing::warn!(%run, error, tries, "failed to write a run's summary");
            (tries < TRIES).then_some(Due { tries, ..due })
        });
        let writes = futures_util::stream::iter(writes).buffer_unordered(AT_ONCE);
        let failed: Vec<Option<Due>> = writes.collect().await;
        let failed = failed.into_iter().flatten();
        newest.extend(failed.map(|due| (due.summary.run.clone(), due)));
        backlog
            .waiting
            .store(newest.len() + queue.len(), Ordering::Relaxed);
    }
}

impl Writer {
    /// Shows what has changed in a leadership since the last call.
    pub(super) fn follow(&mut self, lead: &mut Lead, changes: Vec<Change>) {
        for change in changes {
            self.show(change);
        }
        let (now, position) = (Boot::now(), lead.position());
        let may = |book: &Book, run: &RunId| book.get(run).is_none_or(|run| is_read(run, position));
        while self.backlog.waiting.load(Ordering::Relaxed) < WAITING_MAX
            && let Some(name) = self.fresh.next(now, |run| may(lead.book(), run))
        {
            let run = lead.book_mut().as_it_stands(&name).into_iter();
            run.for_each(|run| self.send(run));
        }
        if now.since(self.renewed) >= RENEWED {
            self.renewed = now;
            // What waits for its first summary is shown by that.
            let fresh = self.fresh.waiting();
            let moved = lead.book_mut().moved();
            let moved =
                moved.filter(|run| is_read(run, position) && !fresh.contains(run.fold().run()));
            moved.for_each(|run| self.send(run));
        }
        self.tell(Told::of(lead.book(), lead.full()));
    }

    /// Nothing is led any more: what runs is another's to show.
    pub(super) fn rest(&mut self) {
        self.fresh = Fresh::default();
        self.counted.rest();
        self.backlog.leadership.fetch_add(1, Ordering::Relaxed);
        self.tell(Told::default());
    }

    fn tell(&self, now: Told) {
        self.told.send_if_modified(|told| {
            let changed = *told != now;
            *told = now;
            changed
        });
    }

    fn show(&mut self, change: Change) {
        match change {
            Change::Opened(name) => self.fresh.add(name, Boot::now()),
            Change::Moved(moved) => self.counted.moved(&moved),
            Change::Closed(run) => {
                self.send(&run);
                self.counted.closed(&run);
                traced::over(&self.tracer, run.fold());
            }
            Change::GivenUp(summary) => self.write(*summary),
            Change::Lost(run) => {
                self.counted.lost();
                traced::over(&self.tracer, run.fold());
            }
        }
    }

    fn send(&self, run: &Run) {
        if let Some(summary) = RunSummary::of(run.fold()) {
            self.write(summary);
        }
    }

    fn write(&self, summary: RunSummary) {
        self.backlog.waiting.fetch_add(1, Ordering::Relaxed);
        let leadership = self.backlog.leadership.load(Ordering::Relaxed);
        let _ = self.summaries.send(Due {
            summary,
            tries: 0,
            leadership,
        });
    }

    /// Writes what is left, then ends.
    pub(super) async fn stop(self) {
        drop(self.summaries);
        let _ = tokio::time::timeout(Duration::from_secs(2), self.written).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_is_shown_a_moment_after_it_was_opened_and_not_before_that_was_read_back() {
        let at = |ms| Boot(Duration::from_millis(ms));
        let run = |n| RunId::new(format!("a_s_{n}")).unwrap();
        let mut fresh = Fresh::default();
        fresh.add(run(1), at(1_000));
        fresh.add(run(2), at(1_400));
        assert_eq!(fresh.next(at(1_499), |_| true), None);
        assert_eq!(fresh.next(at(1_500), |_| false), None);
        assert_eq!(fresh.next(at(1_500), |_| true), Some(run(1)));
        assert_eq!(
            fresh.next(at(1_899), |_| true),
            None,
            "each waits by itself"
        );
        assert_eq!(fresh.waiting(), HashSet::from([&run(2)]));
        assert_eq!(fresh.next(at(1_900), |name| *name != run(2)), None);
        assert_eq!(fresh.next(at(1_900), |_| true), Some(run(2)));
        assert_eq!(fresh.next(at(1_900), |_| true), None);
    }
}
