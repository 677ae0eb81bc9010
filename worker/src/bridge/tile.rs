//! Runs a tile in a child: its pages go there in one frame, and each waits here for its answer. Where the child dies,
//! the rest goes to another one, a shard a frame: which of several has killed it nobody knows, and only the one that
//! is alone when its child dies has failed.

use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gridloom_shared::id::Nonce;
use gridloom_shared::tile::TileKind;

use super::answers::{Answer, Answers, Came};
use super::death::Death;
use super::pool::{Place, Pool, Way, What};
use super::said::Why;
use crate::failure::Failure;
use crate::handler::{AnyHandler, Boxed, Opening, ProbedPages, SharedHandler};
use crate::shard::{Probe, Shard, TileContext};

/// How much longer than its grace a child may need until its end is known.
const SLACK: Duration = Duration::from_secs(2);

/// A handler that children have.
pub(super) struct Bridged {
    pub(super) pool: Arc<Pool>,
    /// Whether it answers probes.
    pub(super) probes: bool,
    /// Whether it is the one that tells of troubles: all have them in common.
    pub(super) tells: bool,
    /// How long a shard may take to end when it is told to stop.
    pub(super) grace: Duration,
}

impl AnyHandler for Bridged {
    fn open(&self, tile: &Arc<TileContext>, left: &[Range<u64>]) -> Option<Opening> {
        let is_probe = tile.tile.kind == TileKind::Probe;
        if is_probe && !self.probes {
            return None;
        }
        let pages: Vec<u32> = left
            .iter()
            .cloned()
            .flatten()
            .map(|page| page as u32)
            .collect();
        let (pool, tile, grace) = (Arc::clone(&self.pool), Arc::clone(tile), self.grace);
        Some(Box::pin(async move {
            let place = pool.slot().await;
            let run = TileRun {
                tile,
                pool,
                pages,
                grace,
                one_by_one: AtomicBool::new(is_probe),
                batch: Mutex::new(None),
            };
            if let Some(first) = run.pages.first() {
                run.begin(place, *first);
            }
            Arc::new(run) as SharedHandler
        }))
    }

    fn run_boxed(&self, _shard: Shard) -> Boxed<'_, ()> {
        // A tile is opened first, and runs by what that gives.
        Box::pin(std::future::ready(Err(Failure::retry(
            "run a shard of a tile that was not opened",
        ))))
    }

    fn probe_boxed(&self, probe: Probe) -> Boxed<'_, ProbedPages> {
        let text = format!(
            "handler \"{}\" has no probe: give the job counted pages, or let its child name it among its probes",
            probe.handler()
        );
        Box::pin(std::future::ready(Err(Failure::permanent(text))))
    }

    fn grace(&self) -> Duration {
        self.grace + SLACK
    }

    fn trouble_now(&self) -> Option<String> {
        self.tells.then(|| self.pool.trouble()).flatten()
    }

    fn names_known(&self) -> Vec<String> {
        Vec::new()
    }

    fn forget_boxed<'a>(
        &'a self,
        _runs: &'a [Nonce],
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(std::future::ready(()))
    }
}

/// Some pages of a tile that a child has.
#[derive(Clone)]
struct Batch {
    way: Way,
    first: u64,
    pages: Arc<[u32]>,
    answers: Arc<Answers>,
    /// How many of its pages are through.
    through: usize,
}

/// A tile that runs in a child.
struct TileRun {
    tile: Arc<TileContext>,
    pool: Arc<Pool>,
    /// All that is to be run of it, in this order.
    pages: Vec<u32>,
    grace: Duration,
    /// Whether each page goes in a frame of its own.
    one_by_one: AtomicBool,
    batch: Mutex<Option<Batch>>,
}

impl TileRun {
    /// Gives a child the pages from this one on.
    fn begin(&self, place: Place, from: u32) -> Batch {
        let at = self
            .pages
            .iter()
            .position(|page| *page == from)
            .unwrap_or(0);
        let one_by_one = self.one_by_one.load(Ordering::Relaxed);
        let pages = if one_by_one {
            &self.pages[at..=at]
        } else {
            &self.pages[at..]
        };
        let what = match self.tile.tile.kind {
            TileKind::Page => What::Pages(pages.to_vec()),
            TileKind::Probe => What::Probe(from),
        };
        let (way, first, answers) = place.give(Arc::clone(&self.tile), what);
        let batch = Batch {
            way,
            first,
            pages: pages.into(),
            answers,
            through: 0,
        };
        *self.batch() = Some(batch.clone());
        batch
    }

    /// What a child has of it that this page is a part of.
    fn held(&self, page: u32) -> Option<Batch> {
        self.batch()
            .clone()
            .filter(|batch| batch.pages.get(batch.through) == Some(&page))
    }

    /// Waits for the answer for a page.
    async fn answer(&self, shard: &Shard) -> Result<Answer, Failure> {
        let page = shard.page_number();
        let mut told = false;
        loop {
            let batch = match self.held(page) {
                Some(batch) => batch,
                None => self.begin_again(shard, page).await?,
            };
            let index = batch.through;
            let came = loop {
                tokio::select! {
                    biased;
                    came = batch.answers.take(index) => break came,
                    () = shard.cancelled(), if !told => {
                        told = true;
                        self.stop(&batch, Some(index));
                    }
                }
            };
            let death = match came {
                Came::Answer(answer) => {
                    self.pass();
                    return Ok(answer);
                }
                Came::Died(death) => death,
            };
            let is_alone = batch.pages.len() - index == 1;
            *self.batch() = None;
            if death.may_have_run() {
                if is_alone || told {
                    return Err(self.died(&death, &batch, index));
                }
                self.one_by_one.store(true, Ordering::Relaxed);
            }
            shard.check()?;
        }
    }

    /// Gives a child this page, and what follows it.
    async fn begin_again(&self, shard: &Shard, page: u32) -> Result<Batch, Failure> {
        let old = self.batch().take();
        if let Some(old) = old {
            // Of a page that is given up though its child has not answered.
            self.stop(&old, None);
        }
        tokio::select! {
            place = self.pool.slot() => Ok(self.begin(place, page)),
            () = shard.cancelled() => Err(Failure::stopped("told to stop")),
        }
    }

    /// A page is through.
    fn pass(&self) {
        let mut batch = self.batch();
        if let Some(held) = &mut *batch {
            held.through += 1;
            if held.through == held.pages.len() {
                *batch = None;
            }
        }
    }

    /// Tells the child to stop: this shard, or all that is left where the tile is not ours any more.
    fn stop(&self, batch: &Batch, index: Option<usize>) {
        let ended = self.tile.hold.ended();
        let only = index.filter(|_| ended.is_none());
        let why = ended.map_or(Why::Time, Why::from);
        let only = only.map(|index| batch.first + index as u64);
        batch.way.stop(batch.first, only, why);
    }

    fn died(&self, death: &Death, batch: &Batch, index: usize) -> Failure {
        let rows = batch.answers.rows(index);
        let rows = rows.map_or_else(String::new, |rows| format!("after {rows} rows: "));
        Failure::retry(format!("{rows}{death}"))
    }

    fn batch(&self) -> MutexGuard<'_, Option<Batch>> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left of it in a child when nobody waits for it any more is to end.
impl Drop for TileRun {
    fn drop(&mut self) {
        let left = self.batch().take();
        if let Some(batch) = left {
            self.stop(&batch, None);
        }
    }
}

/// What an answer is that belongs to the other kind of shard.
fn of_the_other_kind(what: &str) -> Failure {
    Failure::permanent(format!(
        "the child answered {what}: its library is at fault"
    ))
}

/// The child said that it stopped a shard.
fn stopped(shard: &Shard) -> Failure {
    match shard.check() {
        Err(told) => told,
        Ok(()) => Failure::retry("the child stopped the shard though nobody told it to"),
    }
}

impl AnyHandler for TileRun {
    fn open(&self, _tile: &Arc<TileContext>, _left: &[Range<u64>]) -> Option<Opening> {
        None
    }

    fn run_boxed(&self, shard: Shard) -> Boxed<'_, ()> {
        Box::pin(async move {
            match self.answer(&shard).await? {
                Answer::Done(done) => done.report(&shard),
                Answer::Failed(failure) => Err(failure),
                Answer::Stopped => Err(stopped(&shard)),
                Answer::Pages(_) => Err(of_the_other_kind("a shard with the pages of a probe")),
            }
        })
    }

    fn probe_boxed(&self, probe: Probe) -> Boxed<'_, ProbedPages> {
        Box::pin(async move {
            match self.answer(&probe).await? {
                Answer::Pages(pages) => Ok(pages),
                Answer::Failed(failure) => Err(failure),
                Answer::Stopped => Err(stopped(&probe)),
                Answer::Done(_) => Err(of_the_other_kind("a probe without pages")),
            }
        })
    }

    fn grace(&self) -> Duration {
        self.grace + SLACK
    }

    fn trouble_now(&self) -> Option<String> {
        None
    }

    fn names_known(&self) -> Vec<String> {
        Vec::new()
    }

    fn forget_boxed<'a>(
        &'a self,
        _runs: &'a [Nonce],
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(std::future::ready(()))
    }
}
