//! What a handler is: the code that executes a shard, found by its name.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::id::Nonce;

use crate::failure::Failure;
use crate::shard::{Probe, Shard, TileContext};

mod probed;

pub use probed::ProbedPages;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub(crate) use probed::{SharedKey, disjoint};

/// How long an attempt that is told to stop may take to do so by itself.
pub(crate) const GRACE_DEFAULT: Duration = Duration::from_millis(50);

/// Code that executes shards. Any `async fn(Shard) -> Result<(), Failure>` is one.
///
/// An attempt that is told to stop ([`Shard::cancelled`], [`Shard::check`]) has 50 ms to end by
/// itself ([`Handler::grace`] when it is out of time); then its future is dropped at its next await.
pub trait Handler: Send + Sync + 'static {
    /// Executes one shard. `Ok` commits it.
    fn run(&self, shard: Shard) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Says which pages a slice has, for jobs with `pages = { probe = true }`.
    fn probe(&self, probe: Probe) -> impl Future<Output = Result<ProbedPages, Failure>> + Send {
        let text = format!(
            "handler \"{}\" has no probe: give the job counted pages",
            probe.handler()
        );
        std::future::ready(Err(Failure::permanent(text)))
    }

    /// How long an attempt that is out of time may take to end by itself. The failure that it returns
    /// within it becomes part of the attempt's error. When its lease is lost or the run was cancelled,
    /// it has 50 ms all the same.
    fn grace(&self) -> Duration {
        GRACE_DEFAULT
    }

    /// The ledger has purged these runs (their nonces: [`Shard::nonce`]), a day ago or more: none of their
    /// shards is executed any more, so what the handler keeps for them may go. Told again after a
    /// restart, and to every worker.
    fn forget(&self, runs: &[Nonce]) -> impl Future<Output = ()> + Send {
        let _ = runs;
        std::future::ready(())
    }

    /// What of this worker's own configuration a job may name, such as its databases: a job that names another
    /// one fails here, so the workers of a queue should know the same, and `gridloom doctor` says where they do
    /// not. Asked once.
    fn knows(&self) -> Vec<String> {
        Vec::new()
    }

    /// What keeps it from working at all just now, such as a database that cannot be reached: the
    /// worker is not ready meanwhile, and says so wherever it is asked. Asked every second.
    fn trouble(&self) -> Option<String> {
        None
    }
}

impl<F, Fut> Handler for F
where
    F: Fn(Shard) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send,
{
    fn run(&self, shard: Shard) -> impl Future<Output = Result<(), Failure>> + Send {
        self(shard)
    }
}

/// A future that the engine can keep without knowing its type.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// Makes the handler that runs a tile, as soon as there is room for it.
pub(crate) type Opening = Pin<Box<dyn Future<Output = SharedHandler> + Send>>;

/// A handler whose type is forgotten.
pub(crate) trait AnyHandler: Send + Sync + 'static {
    /// Of a handler that has to see a tile as a whole before it runs the pages that are left of it, or waits for room of its own before their
    /// time begins: what runs this tile instead, and is dropped when it is over. `None`: it runs pages as they come.
    fn open(&self, tile: &Arc<TileContext>, left: &[Range<u64>]) -> Option<Opening>;
    fn run_boxed(&self, shard: Shard) -> Boxed<'_, ()>;
    fn probe_boxed(&self, probe: Probe) -> Boxed<'_, ProbedPages>;
    fn grace(&self) -> Duration;
    fn trouble_now(&self) -> Option<String>;
    fn names_known(&self) -> Vec<String>;
    fn forget_boxed<'a>(
        &'a self,
        runs: &'a [Nonce],
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

impl<H: Handler> AnyHandler for H {
    fn open(&self, _tile: &Arc<TileContext>, _left: &[Range<u64>]) -> Option<Opening> {
        None
    }

    fn run_boxed(&self, shard: Shard) -> Boxed<'_, ()> {
        Box::pin(self.run(shard))
    }

    fn probe_boxed(&self, probe: Probe) -> Boxed<'_, ProbedPages> {
        Box::pin(self.probe(probe))
    }

    fn grace(&self) -> Duration {
        Handler::grace(self)
    }

    fn trouble_now(&self) -> Option<String> {
        self.trouble()
    }

    fn names_known(&self) -> Vec<String> {
        self.knows()
    }

    fn forget_boxed<'a>(
        &'a self,
        runs: &'a [Nonce],
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(self.forget(runs))
    }
}

/// A handler as the engine holds it.
pub(crate) type SharedHandler = Arc<dyn AnyHandler>;
