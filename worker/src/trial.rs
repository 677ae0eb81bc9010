//! Shards without an engine: to try out and test a handler by itself.
//!
//! ```
//! use gridloom_worker::{Failure, Handler, Shard, Trial};
//!
//! async fn measure(shard: Shard) -> Result<(), Failure> {
//!     shard.rows(u64::from(shard.page().number));
//!     Ok(())
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let trial = Trial::new("sizes", "measure").slices(4).slice(1).page(7);
//! let shard = trial.shard();
//! measure.run(shard.clone()).await.unwrap();
//! assert_eq!(shard.counters(), [("rows".to_owned(), 7)]);
//! # });
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use gridloom_shared::clock::Boot;
use gridloom_shared::id::{
    Fence, HandlerName, JobName, Namespace, Nonce, QueueName, RunId, Session,
};
use gridloom_shared::job::{GridSpec, JobSpec, LimitsSpec, PagesSpec, RetrySpec, SubmitSpec};
use gridloom_shared::ledger::record::Reason;
use gridloom_shared::limits::PROBE_BYTES_MAX;
use gridloom_shared::tile::{Bounds, Key, Tile, TileKind};
use gridloom_shared::trace::Traceparent;
use tokio_util::sync::CancellationToken;

use crate::callbacks::Callbacks;
use crate::shard::{End, Hold, Kept, Probe, RunContext, Shard, TileContext};
use crate::traced::RunTrace;
#[cfg(test)]
use crate::traced::Telling;

/// Makes shards and probes of a made-up run.
#[derive(Clone, Debug)]
pub struct Trial {
    job: JobSpec,
    /// What handlers make of that job: nothing yet where it was changed.
    kept: Arc<Kept>,
    callbacks: Arc<Callbacks>,
    run: RunId,
    nonce: Nonce,
    slice: u32,
    page: u32,
    pages: u32,
    attempt: u32,
    fence: Fence,
    bounds: Option<Bounds>,
    after: Option<Key>,
    room: usize,
    timeout: Option<Duration>,
    traceparent: Option<Traceparent>,
    /// Why it was taken over, in tests of the engine's own; and who is told of it.
    taken: Option<Reason>,
    #[cfg(test)]
    telling: Telling,
    hold: Arc<Hold>,
    /// Ends the attempts alone, not their hold.
    over: CancellationToken,
}

impl Trial {
    /// Shards of `job` for `handler`: a grid of one slice and one page, an hour's lease.
    ///
    /// # Panics
    /// When a name is malformed.
    #[expect(
        clippy::expect_used,
        reason = "a trial is written by a person, who wants to see the fault at once"
    )]
    pub fn new(job: &str, handler: &str) -> Trial {
        let name = JobName::new(job).expect("a job name");
        let now = Boot::now();
        let hold = Hold::new(now + Duration::from_secs(3_600), now);
        let namespace = Namespace::new("trial").expect("a namespace");
        Trial {
            run: RunId::from_submission(&name, 1),
            job: JobSpec {
                name,
                handler: HandlerName::new(handler).expect("a handler name"),
                queue: QueueName::new("default").expect("a queue name"),
                grid: GridSpec {
                    slices: 1,
                    pages: PagesSpec::Count { count: 1 },
                    tile: Some(1),
                },
                retry: RetrySpec::default(),
                limits: LimitsSpec::default(),
                settings: serde_json::Value::Object(serde_json::Map::new()),
                params: serde_json::Value::Object(serde_json::Map::new()),
                submit: SubmitSpec::default(),
                schedule: None,
            },
            kept: Arc::default(),
            callbacks: Arc::new(Callbacks::new(&namespace, Session(1))),
            nonce: Nonce::random(),
            slice: 0,
            page: 0,
            pages: 1,
            attempt: 1,
            fence: Fence(1),
            bounds: None,
            after: None,
            room: PROBE_BYTES_MAX,
            timeout: None,
            traceparent: None,
            taken: None,
            #[cfg(test)]
            telling: Telling::default(),
            over: hold.token().child_token(),
            hold: Arc::new(hold),
        }
    }

    /// What the job says to its handler alone.
    #[must_use]
    pub fn settings(mut self, settings: serde_json::Value) -> Trial {
        self.job_mut().settings = settings;
        self
    }

    /// The parameters.
    #[must_use]
    pub fn params(mut self, params: serde_json::Value) -> Trial {
        self.job_mut().params = params;
        self
    }

    /// How many slices the grid has.
    #[must_use]
    pub fn slices(mut self, slices: u32) -> Trial {
        self.job_mut().grid.slices = slices;
        self
    }

    /// What pages the grid has.
    #[must_use]
    pub fn pages(mut self, pages: PagesSpec) -> Trial {
        self.job_mut().grid.pages = pages;
        self
    }

    /// The shard's slice.
    #[must_use]
    pub fn slice(mut self, slice: u32) -> Trial {
        self.slice = slice;
        self
    }

    /// The shard's page, or the number of the probe.
    #[must_use]
    pub fn page(mut self, page: u32) -> Trial {
        self.page = page;
        self
    }

    /// First and last key of the page.
    #[must_use]
    pub fn bounds(mut self, first: Key, last: Key) -> Trial {
        self.bounds = Some(Bounds(first, last));
        self
    }

    /// The cursor of the previous probe.
    #[must_use]
    pub fn after(mut self, cursor: Key) -> Trial {
        self.after = Some(cursor);
        self
    }

    /// Bytes that the keys of a probe's answer may take, as [`Probe::room`] says.
    #[must_use]
    pub fn room(mut self, bytes: usize) -> Trial {
        self.room = bytes;
        self
    }

    /// The attempt's number and fence: a later holder's is higher.
    #[must_use]
    pub fn attempt(mut self, attempt: u32, fence: Fence) -> Trial {
        self.attempt = attempt;
        self.fence = fence;
        self
    }

    /// How long the attempt may take, as [`Shard::deadline`] says. Nobody enforces it here.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Trial {
        self.job_mut().limits.timeout_ms = u64::try_from(timeout.as_millis()).ok();
        self.timeout = Some(timeout);
        self
    }

    /// The place in a trace that the run is told of in, as its submitter's header `traceparent` had it. What is none
    /// is passed over, as that header would be.
    #[must_use]
    pub fn traceparent(mut self, header: &str) -> Trial {
        self.traceparent = Traceparent::parse(header);
        self
    }

    /// How long the lease lasts from now.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Trial {
        self.hold = Arc::new(Hold::new(Boot::now() + lease, Boot::now()));
        self.over = self.hold.token().child_token();
        self
    }

    /// Tells all shards of this trial and of its clones that their time is over, as a worker would at the end
    /// of the job's `limits.timeout`.
    pub fn end_time(&self) {
        self.over.cancel();
    }

    /// Takes the lease of all shards of this trial and of its clones, as another worker would.
    pub fn lose_lease(&self) {
        self.hold.end(End::LeaseLost);
    }

    fn job_mut(&mut self) -> &mut JobSpec {
        self.kept = Arc::default();
        &mut self.job
    }

    /// A shard. Each call gives a new one with the same place in the same run.
    pub fn shard(&self) -> Shard {
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        Shard::new(
            self.tile_context(),
            self.page,
            Some(self.over.clone()),
            deadline,
            self.traceparent,
        )
    }

    /// A probe.
    pub fn probe(&self) -> Probe {
        Probe::new(self.shard(), self.after.clone())
    }

    pub(crate) fn tile_context(&self) -> Arc<TileContext> {
        let run = RunContext {
            run: self.run.clone(),
            nonce: self.nonce,
            job: self.job.clone(),
            trace: self.trace(),
            worker: "trial".into(),
            kept: Arc::clone(&self.kept),
            callbacks: Arc::clone(&self.callbacks),
        };
        let tile = Tile {
            kind: TileKind::Page,
            run: self.run.clone(),
            nonce: self.nonce,
            wave: 0,
            index: 0,
            slice: self.slice,
            first: self.page,
            pages: self.pages,
            attempt: self.attempt,
            fence: self.fence,
            folded: 0,
            opened: 0,
            again: false,
            bounds: self.bounds.clone().into_iter().collect(),
            after: self.after.clone(),
            frozen: None,
        };
        let (tile, hold) = (Arc::new(tile), Arc::clone(&self.hold));
        Arc::new(TileContext {
            run: Arc::new(run),
            tile,
            fence: self.fence,
            taken: self.taken,
            hold,
            answer_max: self.room,
            page: self.page.into(),
        })
    }

    #[cfg(not(test))]
    fn trace(&self) -> Option<RunTrace> {
        Some(RunTrace::untold(self.traceparent?, self.nonce))
    }

    #[cfg(test)]
    fn trace(&self) -> Option<RunTrace> {
        RunTrace::told(self.traceparent?, self.nonce, &self.telling)
    }

    /// As one that was taken over, for a reason.
    #[cfg(test)]
    pub(crate) fn taken(mut self, reason: Reason) -> Trial {
        self.taken = Some(reason);
        self
    }

    /// Attempts of it are told of.
    #[cfg(test)]
    pub(crate) fn telling(mut self, telling: Telling) -> Trial {
        self.telling = telling;
        self
    }

    /// As so many pages of a tile, beginning with [`Trial::page`].
    #[cfg(any(test, feature = "bridge"))]
    pub(crate) fn tile(mut self, pages: u32) -> Trial {
        self.pages = pages;
        self
    }

    /// Does as the engine does with an attempt whose handler blocks its thread past its limit.
    #[cfg(test)]
    pub(crate) fn overdue(&self) {
        let late = Boot::now() + Duration::from_secs(100_000);
        assert!(self.hold.take_overdue(late, Duration::ZERO).is_some());
        self.hold.end(End::OutOfTime);
    }

    #[cfg(test)]
    pub(crate) fn end(&self, why: End) {
        self.hold.end(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Failure, Handler};

    async fn nothing(_shard: Shard) -> Result<(), Failure> {
        Ok(())
    }

    #[tokio::test]
    async fn handler_without_a_probe_says_so_for_good() {
        let failure = nothing
            .probe(Trial::new("a", "nothing").probe())
            .await
            .unwrap_err();
        assert!(failure.is_permanent());
        assert!(failure.text().contains("\"nothing\""));
    }

    #[test]
    fn params_that_do_not_fit_fail_for_good_and_name_the_fault() {
        #[derive(Debug, serde::Deserialize)]
        struct Params {
            #[expect(dead_code, reason = "only its type matters")]
            width: u32,
        }
        let shard = Trial::new("a", "b")
            .params(serde_json::json!({"width": "wide"}))
            .shard();
        let failure = shard.params::<Params>().unwrap_err();
        assert!(
            failure.is_permanent() && failure.text().contains("wide"),
            "{failure}"
        );
    }

    #[test]
    fn end_of_its_time_stops_the_shard_and_leaves_its_lease() {
        let trial = Trial::new("a", "b");
        let shard = trial.shard();
        trial.end_time();
        assert_eq!(shard.check().unwrap_err().text(), "out of time");
        assert!(!shard.lease_remaining().is_zero());
    }

    #[test]
    fn settings_and_params_do_not_mix() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Told {
            width: Option<u32>,
        }
        let shard = Trial::new("a", "resize")
            .settings(serde_json::json!({"width": 7}))
            .params(serde_json::json!({"width": 8}))
            .shard();
        let settings = shard.settings::<Told>().unwrap();
        assert_eq!(settings.width, Some(7));
        assert_eq!(shard.params::<Told>().unwrap().width, Some(8));
        let without = Trial::new("a", "resize").params(serde_json::json!({"width": 8}));
        let settings = without.shard().settings::<Told>().unwrap();
        assert_eq!(settings.width, None);
    }

    #[test]
    fn lost_lease_stops_the_shard() {
        let trial = Trial::new("a", "b");
        let shard = trial.shard();
        assert!(shard.check().is_ok() && !shard.lease_remaining().is_zero());
        trial.lose_lease();
        assert!(shard.check().unwrap_err().is_stop());
    }

    #[test]
    fn page_knows_its_window_and_its_bounds() {
        let pages = PagesSpec::Rows {
            rows: vec![2_500],
            page_size: 1_000,
        };
        let page = Trial::new("a", "b").pages(pages).page(1).shard().page();
        assert_eq!(page.window.map(|window| window.offset), Some(1_000));
        let page = Trial::new("a", "b")
            .page(3)
            .bounds(Key::Int(5), Key::Int(9))
            .shard()
            .page();
        assert_eq!(page.bounds, Some(Bounds(Key::Int(5), Key::Int(9))));
    }

    #[test]
    fn every_key_has_one_owner() {
        let owners = (0..16).filter(|slice| {
            Trial::new("a", "b")
                .slices(16)
                .slice(*slice)
                .shard()
                .owns("N14228")
        });
        assert_eq!(owners.collect::<Vec<_>>(), [1]);
    }
}
