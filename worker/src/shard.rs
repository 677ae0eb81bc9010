//! What a handler sees of one shard, and what it may say about it.
//!
//! A [`Shard`] knows nothing of the broker: the engine keeps its [`Hold`] up to date and reads its
//! report when the handler is done.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
#[cfg(any(feature = "exec", feature = "bridge"))]
use gridloom_shared::clock::Boot;
use gridloom_shared::grid::Window;
use gridloom_shared::id::{Fence, HandlerName, JobName, Nonce, RunId};
use gridloom_shared::job::{JobSpec, given};
use gridloom_shared::ledger::record::Reason;
use gridloom_shared::slicing;
use gridloom_shared::tile::{Bounds, Key, Tile};
use gridloom_shared::trace::Traceparent;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::callbacks::Callbacks;
use crate::failure::Failure;
use crate::traced::RunTrace;

mod hold;
mod kept;
mod logged;
mod report;

pub(crate) use hold::{End, Hold, Lent};
pub(crate) use kept::Kept;
pub use report::Report;

/// What a run's shards have in common: its frozen job.
#[derive(Debug)]
pub(crate) struct RunContext {
    pub(crate) run: RunId,
    pub(crate) nonce: Nonce,
    pub(crate) job: JobSpec,
    /// Its place in a trace, if it has one.
    pub(crate) trace: Option<RunTrace>,
    /// Who runs them here.
    pub(crate) worker: Arc<str>,
    #[cfg_attr(
        not(any(feature = "sqlite", feature = "postgres", feature = "mysql")),
        allow(dead_code, reason = "no other handler keeps anything")
    )]
    pub(crate) kept: Arc<Kept>,
    #[cfg_attr(
        not(feature = "http"),
        allow(dead_code, reason = "no other handler awaits a callback")
    )]
    pub(crate) callbacks: Arc<Callbacks>,
}

/// What the shards of one tile have in common.
#[derive(Debug)]
pub(crate) struct TileContext {
    pub(crate) run: Arc<RunContext>,
    pub(crate) tile: Arc<Tile>,
    /// Under which it is held: its wave's, or that of a takeover.
    pub(crate) fence: Fence,
    /// Why it was taken over, if it was.
    pub(crate) taken: Option<Reason>,
    pub(crate) hold: Arc<Hold>,
    /// Most bytes of keys that the answer to a probe may have.
    pub(crate) answer_max: usize,
    /// The page that its handler is at, for the log.
    pub(crate) page: AtomicU32,
}

impl TileContext {
    /// Whether another may have held it before.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken.is_some()
    }
}

/// One cell of the grid, in the hands of its handler. Clones are cheap and mean the same shard.
#[derive(Clone, Debug)]
pub struct Shard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tile: Arc<TileContext>,
    page: u32,
    deadline: Option<Instant>,
    /// Ends the attempt before its tile, where it has a time limit. Below the tile's own token.
    stop: Option<CancellationToken>,
    /// Its place in a trace.
    place: Option<Traceparent>,
    report: Mutex<Report>,
}

/// Which part of its slice a shard is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Number of the page in its slice, from 0.
    pub number: u32,
    /// The rows of the page by position, where the job's grid has `rows` and `page_size`.
    pub window: Option<Window>,
    /// First and last key of the page, both inside it, where the pages were probed.
    pub bounds: Option<Bounds>,
}

/// What a shard is.
impl Shard {
    pub(crate) fn new(
        tile: Arc<TileContext>,
        page: u32,
        stop: Option<CancellationToken>,
        deadline: Option<Instant>,
        place: Option<Traceparent>,
    ) -> Shard {
        Shard(Arc::new(Inner {
            tile,
            page,
            deadline,
            stop,
            place,
            report: Mutex::default(),
        }))
    }

    /// The run that it is of.
    pub fn run(&self) -> &RunId {
        &self.0.tile.run.run
    }

    /// The name of its job.
    pub fn job(&self) -> &JobName {
        &self.0.tile.run.job.name
    }

    /// The name under which its handler was registered.
    pub fn handler(&self) -> &HandlerName {
        &self.0.tile.run.job.handler
    }

    /// The job as it stood when the run was opened.
    pub fn spec(&self) -> &JobSpec {
        &self.0.tile.run.job
    }

    /// Its row of the grid, from 0.
    pub fn slice(&self) -> u32 {
        self.0.tile.tile.slice
    }

    /// How many slices the grid has.
    pub fn slices(&self) -> u32 {
        self.0.tile.run.job.grid.slices
    }

    /// Its column of the grid.
    pub fn page(&self) -> Page {
        let tile = &self.0.tile.tile;
        Page {
            number: self.0.page,
            window: self.spec().grid.window(tile.slice, self.0.page),
            bounds: tile
                .bounds
                .get(self.0.page.saturating_sub(tile.first) as usize)
                .cloned(),
        }
    }

    #[cfg(any(feature = "bridge", feature = "http"))]
    pub(crate) fn page_number(&self) -> u32 {
        self.0.page
    }

    /// Number of the attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.0.tile.tile.attempt
    }

    /// The fence under which it is held: of two holders, the later one's is higher. A store that
    /// refuses lower fences than it has seen is safe from every earlier holder.
    pub fn fence(&self) -> Fence {
        self.0.tile.fence
    }

    /// Tells its run from an earlier one with the same id that was purged. `(nonce, slice, page)` is
    /// the shard's identity for ever.
    pub fn nonce(&self) -> Nonce {
        self.0.tile.run.nonce
    }

    /// The place in a trace that it is a part of, if its run is told of in one: what a request that it makes carries as
    /// its header `traceparent` (W3C Trace Context), so that others go on from there.
    pub fn traceparent(&self) -> Option<String> {
        self.0.place.map(|place| place.to_string())
    }

    /// The shard's identity as a text: the same for each of its attempts, and of no other shard ever. It is what a
    /// request to others carries as its `Idempotency-Key`.
    pub fn key(&self) -> String {
        format!("{:016x}-{}-{}", self.nonce().0, self.slice(), self.0.page)
    }

    /// Whether the record with this key is in the shard's slice
    /// ([`slicing::slice_of`] says how, also for SQL).
    pub fn owns(&self, key: impl AsRef<str>) -> bool {
        slicing::slice_of(key.as_ref(), self.slices()) == self.slice()
    }

    /// What the job says to its handler alone (the table of its file that is called like the handler), as
    /// JSON. No submission can change it: what decides *what* is done belongs here, values into the
    /// parameters.
    pub fn settings_value(&self) -> &serde_json::Value {
        &self.0.tile.run.job.settings
    }

    /// The handler's settings as a `T`. Settings that are none fail the shard for good: another attempt
    /// would read the same.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let (handler, job) = (self.handler(), self.job());
        given::read(handler.as_str(), self.settings_value())
            .map_err(|fault| Failure::permanent(format!("read settings of job {job}: {fault}")))
    }

    /// The job's parameters with the submission's over them, as JSON.
    pub fn params_value(&self) -> &serde_json::Value {
        &self.0.tile.run.job.params
    }

    /// The parameters as a `T`. Parameters that are none fail the shard for good: another
    /// attempt would read the same.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        given::read("params", self.params_value()).map_err(|fault| {
            Failure::permanent(format!("read parameters of job {}: {fault}", self.job()))
        })
    }
}

/// What is made once for all shards of a run.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
impl Shard {
    pub(crate) fn kept(&self) -> &Kept {
        &self.0.tile.run.kept
    }
}

/// Where callbacks come in that end shards of its worker.
#[cfg(feature = "http")]
impl Shard {
    pub(crate) fn callbacks(&self) -> &Arc<Callbacks> {
        &self.0.tile.run.callbacks
    }
}

/// Whether a shard may still be worked on.
impl Shard {
    /// `Err` when the attempt is to stop: cancelled, out of time, or its lease lost. To be asked
    /// before each step that another holder must not see done twice.
    pub fn check(&self) -> Result<(), Failure> {
        if let Some(end) = self.0.tile.hold.ended() {
            return Err(Failure::stopped(end.text()));
        }
        if self.stop_token().is_cancelled() {
            return Err(Failure::stopped("out of time"));
        }
        Ok(())
    }

    /// Ends when the attempt is to stop.
    pub async fn cancelled(&self) {
        self.stop_token().cancelled().await;
    }

    /// Ends when the tile is not held any more, or not wanted: an attempt that is only out of time goes on.
    #[cfg(feature = "exec")]
    pub(crate) async fn let_go(&self) {
        self.0.tile.hold.token().cancelled().await;
    }

    fn stop_token(&self) -> &CancellationToken {
        self.0
            .stop
            .as_ref()
            .unwrap_or_else(|| self.0.tile.hold.token())
    }

    /// When the attempt is out of time by the job's `limits.timeout`; `None`: never.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// Until when the tile is surely held if it is not renewed any more.
    #[cfg(feature = "exec")]
    pub(crate) fn lease_end(&self) -> Boot {
        self.0.tile.hold.until()
    }

    /// How long the tile is surely held if it is not renewed any more; zero when it was lost.
    pub fn lease_remaining(&self) -> Duration {
        self.0.tile.hold.remaining()
    }
}

/// What a handler says about its shard; it counts only if the attempt succeeds.
impl Shard {
    /// Counts `rows` more rows.
    pub fn rows(&self, rows: u64) {
        self.report_mut().add_rows(rows);
    }

    /// Adds `n` to the counter `name` (at most 48 bytes; at most 16 counters a shard, `rows` among
    /// them: beyond that the attempt fails for good).
    pub fn count(&self, name: impl AsRef<str>, n: i64) {
        self.report_mut().add(name.as_ref(), n);
    }

    /// A small result, at most 1 KiB: beyond that the attempt fails for good. The last one counts.
    pub fn result(&self, bytes: impl Into<Bytes>) {
        self.report_mut().set_result(bytes.into());
    }

    /// Replaces everything counted so far: for a handler that finds that the shard's effect was
    /// decided earlier, and reports *that* outcome.
    pub fn restore(&self, counters: impl IntoIterator<Item = (String, i64)>) {
        self.report_mut().restore(counters);
    }

    /// What was counted so far, `rows` among it, in the order of first use.
    pub fn counters(&self) -> Vec<(String, i64)> {
        self.report_mut().counters().to_vec()
    }

    /// Takes what was said. What is said after that is heard by nobody.
    pub(crate) fn take_report(&self) -> Report {
        std::mem::take(&mut *self.report_mut())
    }

    fn report_mut(&self) -> MutexGuard<'_, Report> {
        self.0.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question to a handler: which pages does this slice have? It is a shard like any other, and
/// everything of [`Shard`] can be asked of it; its page is the number of the question.
#[derive(Clone, Debug)]
pub struct Probe {
    shard: Shard,
    after: Option<Key>,
}

impl Probe {
    pub(crate) fn new(shard: Shard, after: Option<Key>) -> Probe {
        Probe { shard, after }
    }

    /// The cursor that the previous probe of this slice returned; `None` for the first.
    pub fn after(&self) -> Option<&Key> {
        self.after.as_ref()
    }

    /// How many bytes the keys of the answer may take, each as [`Bounds::cost`] says: what is beyond it is to
    /// be left to the next probe ([`ProbedPages::fitting`](crate::ProbedPages::fitting) does that). It follows
    /// from the largest message that the broker takes.
    pub fn room(&self) -> usize {
        self.shard.0.tile.answer_max
    }
}

impl std::ops::Deref for Probe {
    type Target = Shard;
    fn deref(&self) -> &Shard {
        &self.shard
    }
}
