//! Runs tiles on the caller's runtime: page after page, within their limits, until their hold ends.
//!
//! It decides nothing about leases or the ledger: it reports to the engine what came out.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`mod@attempt`] | how one attempt ended: returned, panicked, timed out, stopped |
//! | [`meters`] | what is recorded of a job's shards |
//! | [`pace`] | which handlers are so quick that a task of their own would cost more than they do |

use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::ledger::outcomes::Entry;
use gridloom_shared::telemetry::about::Concern;
use gridloom_shared::tile::TileKind;
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::handler::{AnyHandler, ProbedPages, SharedHandler};
use crate::outcomes::tally::Tally;
use crate::shard::{End, Lent, Probe, Report, Shard, TileContext};
use crate::traced;

mod attempt;
pub(crate) mod meters;
pub(crate) mod pace;

use attempt::{Ended, Limits, attempt};
use meters::JobMeters;
use pace::Pace;

/// After this long with quick tiles, the engine hears of them and others get their turn.
const STRETCH: Duration = Duration::from_micros(500);

/// A tile to be run.
pub(crate) struct Job<K> {
    /// The engine's name for this execution.
    pub(crate) key: K,
    pub(crate) tile: Arc<TileContext>,
    pub(crate) handler: SharedHandler,
    pub(crate) pace: Arc<Pace>,
    pub(crate) meters: Arc<JobMeters>,
    /// The pages that are left; `None`: all of them.
    pub(crate) left: Option<Vec<Range<u64>>>,
}

/// What came out of a tile.
#[derive(Debug)]
pub(crate) struct Finished<K> {
    pub(crate) key: K,
    pub(crate) entries: Vec<Entry>,
    /// The answer to a probe, which has no entry.
    pub(crate) probed: Option<ProbedPages>,
    /// Whether pages are left because the tile was told to stop.
    pub(crate) stopped: bool,
    pub(crate) done: u64,
    pub(crate) failed: u64,
}

/// Takes batches of tiles until the engine is gone, and counts them as `taken`. Each tile gets a task; those of a handler that
/// was quick lately are tried here first, so that a batch of them costs one wake-up each way.
pub(crate) async fn serve<K: Copy + Send + 'static>(
    mut batches: mpsc::UnboundedReceiver<Vec<Job<K>>>,
    taken: Arc<AtomicU64>,
    finished: mpsc::UnboundedSender<Vec<Finished<K>>>,
) {
    // Where the last quick tile was run: the next one needs no memory of its own.
    let mut spare = None;
    while let Some(batch) = batches.recv().await {
        taken.fetch_add(1, Ordering::Relaxed);
        let mut ready = Vec::with_capacity(batch.len());
        let mut stretch = Boot::now();
        let mut now = stretch;
        for job in batch {
            let quick = job.pace.is_quick();
            let mut concern = Concern::of(Arc::<TileContext>::clone(&job.tile));
            let tile = run(job, quick.then_some(now));
            let mut running = put(tile, spare.take());
            if quick
                && let Poll::Ready((done, end)) = poll_fn(|context| {
                    Poll::Ready(concern.during(|| running.as_mut().poll(context)))
                })
                .await
            {
                ready.push(done);
                now = end;
                spare = Some(running);
            } else {
                let finished = finished.clone();
                let running = concern.with(running);
                tokio::spawn(async move {
                    // The engine is gone only when nothing counts any more.
                    let _ = finished.send(vec![running.await.0]);
                });
                now = Boot::now();
            }
            if quick && now.since(stretch) > STRETCH {
                let _ = finished.send(std::mem::take(&mut ready));
                tokio::task::yield_now().await;
                stretch = Boot::now();
                now = stretch;
            }
        }
        if !ready.is_empty() {
            let _ = finished.send(ready);
        }
    }
}

/// Puts a future where another one was, if there is such a place.
fn put<F>(future: F, place: Option<Pin<Box<F>>>) -> Pin<Box<F>> {
    match place {
        Some(mut place) => {
            place.set(future);
            place
        }
        None => Box::pin(future),
    }
}

/// Runs a tile from `now` on (from its first step where that is not given), and says when it ended:
/// tiny tiles are done faster than clocks are read often.
async fn run<K>(job: Job<K>, now: Option<Boot>) -> (Finished<K>, Boot) {
    job.tile.hold.begin();
    let tile = Arc::clone(&job.tile.tile);
    let whole = [tile.range()];
    let left = job.left.as_deref().unwrap_or(&whole);
    let (handler, begun) = match job.handler.open(&job.tile, left) {
        None => (Some(job.handler), now.unwrap_or_else(Boot::now)),
        Some(opening) => {
            let opened = tokio::select! {
                biased;
                () = job.tile.hold.token().cancelled() => None,
                opened = opening => Some(opened),
            };
            // Nothing of it ran while it waited.
            (opened, Boot::now())
        }
    };
    let mut work = Work {
        tally: Tally::new(&tile, job.tile.fence),
        finished: Finished {
            key: job.key,
            entries: Vec::new(),
            probed: None,
            stopped: handler.is_none(),
            done: 0,
            failed: 0,
        },
        tile: job.tile,
        told: None,
    };
    let mut now = begun;
    for page in left.iter().cloned().flatten() {
        let Some(handler) = handler.as_deref().filter(|_| !work.finished.stopped) else {
            break;
        };
        work.page(handler, page as u32, now).await;
        now = Boot::now();
    }
    let took = now.since(begun);
    let pages = work.finished.done + work.finished.failed;
    job.pace.note(took, pages);
    let finished = Finished {
        entries: work.tally.into_entries(),
        ..work.finished
    };
    if pages > 0 {
        let each = took.as_secs_f64() / pages as f64;
        job.meters.ran(each, &finished.entries);
    }
    (finished, now)
}

/// What is said of an attempt whose handler did not let itself be stopped at its limit.
pub(crate) fn blocked(limit: Duration) -> String {
    format!("timed out after {limit:?}, and its handler blocks its thread")
}

struct Work<K> {
    tile: Arc<TileContext>,
    tally: Tally,
    finished: Finished<K>,
    /// The attempt that goes on, if it may be told of.
    told: Option<traced::Attempt>,
}

impl<K> Work<K> {
    async fn page(&mut self, handler: &dyn AnyHandler, page: u32, now: Boot) {
        if self.tile.hold.ended_by(now).is_some() {
            self.finished.stopped = true;
            return;
        }
        self.tile.page.store(page, Ordering::Relaxed);
        let limits = Limits::new(&self.tile, handler.grace());
        if let Some(limit) = limits.span() {
            self.tile.hold.lend(Lent {
                page,
                since: now,
                limit,
                grace: limits.grace(),
                entries: self.tally.lend(),
            });
        }
        let (stop, deadline) = limits.of_shard();
        let trace = self.tile.run.trace.as_ref();
        self.told = trace.and_then(|trace| trace.begin(&self.tile, page));
        let place = trace.map(|trace| trace.place_of(self.told.as_ref()));
        let shard = Shard::new(Arc::clone(&self.tile), page, stop, deadline, place);
        match self.tile.tile.kind {
            TileKind::Page => {
                let given = shard.clone();
                let make = || shard.spanned(|| handler.run_boxed(given));
                let ended = attempt(make, &limits, &self.tile.hold).await;
                let report = shard.take_report();
                if self.in_time(&limits) && self.judge(page, ended, &report).is_some() {
                    self.tally.done(page, &report);
                    self.finished.done += 1;
                }
            }
            TileKind::Probe => {
                let probe = Probe::new(shard.clone(), self.tile.tile.after.clone());
                let make = || shard.spanned(|| handler.probe_boxed(probe));
                let ended = attempt(make, &limits, &self.tile.hold).await;
                let report = shard.take_report();
                if self.in_time(&limits) {
                    self.finished.probed = self.judge(page, ended, &report);
                }
                self.finished.done += u64::from(self.finished.probed.is_some());
            }
        }
        if let Some(told) = self.told.take()
            && let Some(trace) = &self.tile.run.trace
        {
            trace.end(told, &self.tile, self.finished.stopped);
        }
    }

    /// Whether the attempt is ours to judge. The engine says of one whose handler blocked its thread past
    /// its limit how it ended, and what came before; all that is left to do is to stop.
    fn in_time(&mut self, limits: &Limits) -> bool {
        if limits.span().is_none() {
            return true;
        }
        match self.tile.hold.take_back() {
            Some(entries) => self.tally.put_back(entries),
            None => {
                self.finished.stopped = true;
                if let (Some(told), Some(limit)) = (&mut self.told, limits.span())
                    && self.tile.hold.ended() == Some(End::OutOfTime)
                {
                    told.fail("timeout", &blocked(limit));
                }
            }
        }
        !self.finished.stopped
    }

    /// What the attempt brought, if it succeeded; a failure is noted.
    fn judge<T>(&mut self, page: u32, ended: Ended<T>, report: &Report) -> Option<T> {
        let (kind, failure) = match ended {
            Ended::Returned(Ok(value)) => match report.fault() {
                None => return Some(value),
                Some(fault) => ("permanent", Failure::permanent(fault)),
            },
            Ended::Returned(Err(_)) | Ended::Stopped if self.tile.hold.ended().is_some() => {
                self.finished.stopped = true;
                return None;
            }
            Ended::Returned(Err(failure)) => (failure.kind(), failure),
            Ended::Stopped => ("stopped", Failure::retry("stopped without a cause")),
            Ended::Panicked(text) => ("panic", Failure::retry(format!("panicked: {text}"))),
            Ended::TimedOut(limit, said) => {
                let said = said.map_or_else(String::new, |said| format!(": {said}"));
                let text = format!("timed out after {limit:?}{said}");
                ("timeout", Failure::retry(text))
            }
        };
        if let Some(told) = &mut self.told {
            told.fail(kind, failure.text());
        }
        let tile = &self.tile.tile;
        let worker = &self.tile.run.worker;
        tracing::debug!(run = %tile.run, slice = tile.slice, page, attempt = tile.attempt, %worker,
            error = failure.text(), "attempt failed");
        self.tally.failed(page, failure.into_failed());
        self.finished.failed += 1;
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use gridloom_shared::ledger::outcomes::{Retry, Status};

    use super::*;
    use crate::{Handler, Trial};

    fn job(trial: &Trial, handler: impl Handler) -> Job<u8> {
        let tile = trial.tile_context();
        Job {
            key: 1,
            tile,
            pace: Arc::default(),
            handler: Arc::new(handler),
            meters: Arc::new(JobMeters::of("a", "b")),
            left: None,
        }
    }

    async fn run_one(job: Job<u8>) -> Finished<u8> {
        run(job, None).await.0
    }

    /// Runs the trial's tile, and says how many of its shards were done.
    pub(crate) async fn run_of(trial: &Trial, handler: impl Handler) -> u64 {
        run_one(job(trial, handler)).await.done
    }

    fn failure(finished: &Finished<u8>) -> (String, Retry) {
        match &finished.entries[0].status {
            Status::Failed(failed) => (failed.error.clone(), failed.retry),
            Status::Done => panic!("succeeded"),
        }
    }

    #[tokio::test]
    async fn pages_run_in_order_and_share_an_entry() {
        let trial = Trial::new("a", "b").page(3).tile(4);
        let finished = run_one(job(&trial, async |shard: Shard| {
            shard.rows(u64::from(shard.page().number));
            Ok(())
        }))
        .await;
        assert_eq!((finished.done, finished.entries.len()), (4, 1));
        assert_eq!(
            finished.entries[0].columns[0].runs,
            [(1, 3), (1, 4), (1, 5), (1, 6)]
        );
    }

    #[tokio::test]
    async fn only_what_is_left_is_run() {
        let trial = Trial::new("a", "b").page(0).tile(10);
        let left = Some(vec![2..4, 9..10]);
        let finished = run_one(Job {
            left,
            ..job(&trial, async |_: Shard| Ok(()))
        })
        .await;
        let pages: Vec<_> = finished
            .entries
            .iter()
            .map(|entry| (entry.first, entry.pages))
            .collect();
        assert_eq!(pages, [(2, 2), (9, 1)]);
    }

    #[tokio::test]
    async fn panic_is_a_failure_of_its_page_alone() {
        let trial = Trial::new("a", "b").tile(2);
        let finished = run_one(job(&trial, async |shard: Shard| {
            assert!(shard.page().number != 0, "page zero");
            Ok(())
        }))
        .await;
        assert_eq!((finished.done, finished.failed), (1, 1));
        assert!(failure(&finished).0.starts_with("panicked: page zero"));
    }

    #[tokio::test]
    async fn attempt_out_of_time_fails_and_the_next_page_runs() {
        let trial = Trial::new("a", "b")
            .tile(2)
            .timeout(Duration::from_millis(20));
        let finished = run_one(job(&trial, async |shard: Shard| {
            if shard.page().number == 0 {
                shard.cancelled().await;
                assert!(shard.check().is_err());
            }
            Ok(())
        }))
        .await;
        assert_eq!((finished.done, finished.failed), (1, 1));
        assert_eq!(failure(&finished).0, "timed out after 20ms");
    }

    #[tokio::test]
    async fn attempt_that_always_has_something_to_do_runs_out_of_time_all_the_same() {
        let busy = async |_: Shard| -> Result<(), Failure> {
            let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
            loop {
                let _ = sender.send(()).await;
                let _ = receiver.recv().await;
            }
        };
        let trial = Trial::new("a", "b").timeout(Duration::from_millis(20));
        let finished = run_one(job(&trial, busy));
        let finished = tokio::time::timeout(Duration::from_secs(30), finished).await;
        assert_eq!(failure(&finished.unwrap()).0, "timed out after 20ms");
    }

    #[tokio::test]
    async fn what_an_attempt_out_of_time_says_within_its_grace_is_kept() {
        struct Slow;
        impl Handler for Slow {
            async fn run(&self, shard: Shard) -> Result<(), Failure> {
                shard.cancelled().await;
                // Longer than others may take.
                tokio::time::sleep(crate::handler::GRACE_DEFAULT * 3).await;
                Err(Failure::permanent("was at line 7"))
            }
            fn grace(&self) -> Duration {
                Duration::from_secs(20)
            }
        }
        let trial = Trial::new("a", "b").timeout(Duration::from_millis(20));
        let finished = run_one(job(&trial, Slow)).await;
        let (text, retry) = failure(&finished);
        assert_eq!(text, "timed out after 20ms: was at line 7");
        assert_eq!(retry, Retry::Backoff);
    }

    #[tokio::test]
    async fn grace_ends_with_the_hold() {
        struct Stubborn(Trial);
        impl Handler for Stubborn {
            async fn run(&self, shard: Shard) -> Result<(), Failure> {
                shard.cancelled().await;
                self.0.end(End::Cancelled);
                std::future::pending().await
            }
            fn grace(&self) -> Duration {
                Duration::from_secs(3_600)
            }
        }
        let trial = Trial::new("a", "b").timeout(Duration::from_millis(20));
        let finished = run_one(job(&trial, Stubborn(trial.clone()))).await;
        assert_eq!(failure(&finished).0, "timed out after 20ms");
    }

    #[tokio::test]
    async fn tile_that_loses_its_lease_stops_and_says_nothing_of_the_page() {
        let trial = Trial::new("a", "b").tile(3);
        let thief = trial.clone();
        let finished = run_one(job(&trial, move |shard: Shard| {
            let thief = thief.clone();
            async move {
                if shard.page().number == 1 {
                    thief.end(End::LeaseLost);
                    std::future::pending::<()>().await;
                }
                Ok(())
            }
        }))
        .await;
        assert!(finished.stopped);
        assert_eq!((finished.done, finished.failed), (1, 0));
    }

    #[tokio::test]
    async fn what_the_ledger_has_no_room_for_fails_for_good() {
        let finished = run_one(job(&Trial::new("a", "b"), async |shard: Shard| {
            shard.result(vec![0; 2_000]);
            Ok(())
        }))
        .await;
        assert_eq!(failure(&finished).1, Retry::Never);
    }
}
