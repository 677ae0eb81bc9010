//! How one attempt ended: it returned, panicked, ran out of time, or was told to stop.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::handler::GRACE_DEFAULT as GRACE;
use crate::shard::{Hold, TileContext};

/// How an attempt ended.
pub(super) enum Ended<T> {
    Returned(Result<T, Failure>),
    Panicked(String),
    /// With what it said within its grace.
    TimedOut(Duration, Option<Failure>),
    Stopped,
}

/// What an attempt may take, by its job. Without a limit it costs nothing.
pub(super) struct Limits(Option<Limit>);

struct Limit {
    /// Ends the attempt alone, not its tile.
    stop: CancellationToken,
    deadline: Instant,
    span: Duration,
    grace: Duration,
}

impl Limits {
    /// Those of the tile's job, and `grace` for an attempt that is out of time to end by itself.
    pub(super) fn new(tile: &TileContext, grace: Duration) -> Limits {
        let span = tile.run.job.limits.timeout_ms.map(Duration::from_millis);
        Limits(span.and_then(|span| {
            let deadline = Instant::now().checked_add(span)?;
            let stop = tile.hold.token().child_token();
            Some(Limit {
                stop,
                deadline,
                span,
                grace,
            })
        }))
    }

    /// How long the attempt may take.
    pub(super) fn span(&self) -> Option<Duration> {
        self.0.as_ref().map(|limit| limit.span)
    }

    /// How much longer it may take to end by itself.
    pub(super) fn grace(&self) -> Duration {
        self.0.as_ref().map_or(GRACE, |limit| limit.grace)
    }

    /// What the shard itself sees of them.
    pub(super) fn of_shard(&self) -> (Option<CancellationToken>, Option<Instant>) {
        match &self.0 {
            Some(limit) => (Some(limit.stop.clone()), Some(limit.deadline)),
            None => (None, None),
        }
    }

    /// Ends when time is over, with how much there was.
    async fn over(&self) -> Duration {
        match &self.0 {
            Some(limit) => {
                tokio::time::sleep_until(limit.deadline.into()).await;
                limit.stop.cancel();
                limit.span
            }
            None => std::future::pending().await,
        }
    }
}

/// Runs the future that `make` makes to its end, or to that of its limits or of the hold.
pub(super) async fn attempt<T, F: Future<Output = Result<T, Failure>>>(
    make: impl FnOnce() -> F,
    limits: &Limits,
    hold: &Hold,
) -> Ended<T> {
    // A handler may panic before it has a future.
    let future = match std::panic::catch_unwind(AssertUnwindSafe(make)) {
        Ok(future) => AssertUnwindSafe(future).catch_unwind(),
        Err(panic) => return Ended::Panicked(text_of(panic.as_ref())),
    };
    let mut future = pin!(future);
    // Most handlers of tiny shards are done at once, and nothing need be set up for them.
    if let Poll::Ready(ended) = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
    {
        return returned(ended);
    }
    tokio::select! {
        biased;
        () = hold.token().cancelled() => match tokio::time::timeout(GRACE, future).await {
            Ok(ended) => returned(ended),
            Err(_) => Ended::Stopped,
        },
        ended = &mut future => returned(ended),
        // Also where each poll of the handler uses up all that its task may do at once: a time-out that
        // is bound by that would never come.
        span = tokio::task::unconstrained(limits.over()) => {
            // Whatever it says now, it is out of time; this lets it tidy up and say what it was at.
            let said = tokio::select! {
                said = tokio::time::timeout(limits.grace(), &mut future) => said,
                () = hold.token().cancelled() => tokio::time::timeout(GRACE, &mut future).await,
            };
            Ended::TimedOut(span, said.ok().and_then(complaint))
        }
    }
}

/// What an attempt out of time has to say, if it is more than that it was told to stop.
fn complaint<T>(ended: Result<Result<T, Failure>, Box<dyn Any + Send>>) -> Option<Failure> {
    match ended {
        Ok(Err(failure)) if !failure.is_stop() => Some(failure),
        Ok(_) => None,
        Err(panic) => Some(Failure::retry(format!(
            "panicked: {}",
            text_of(panic.as_ref())
        ))),
    }
}

fn returned<T>(ended: Result<Result<T, Failure>, Box<dyn Any + Send>>) -> Ended<T> {
    match ended {
        Ok(result) => Ended::Returned(result),
        Err(panic) => Ended::Panicked(text_of(panic.as_ref())),
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a text".into())
}
