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
use crate::handler::Boxed;
use crate::shard::{Hold, TileContext};

/// How long an attempt that was told to stop may take to do so by itself.
const GRACE: Duration = Duration::from_millis(50);

/// How an attempt ended.
pub(super) enum Ended<T> {
    Returned(Result<T, Failure>),
    Panicked(String),
    TimedOut(Duration),
    Stopped,
}

/// What an attempt may take, by its job. Without a limit it costs nothing.
pub(super) struct Limits(Option<Limit>);

struct Limit {
    /// Ends the attempt alone, not its tile.
    stop: CancellationToken,
    deadline: Instant,
    span: Duration,
}

impl Limits {
    pub(super) fn new(tile: &TileContext) -> Limits {
        let span = tile.run.job.limits.timeout_ms.map(Duration::from_millis);
        Limits(span.and_then(|span| {
            let deadline = Instant::now().checked_add(span)?;
            let stop = tile.hold.token().child_token();
            Some(Limit {
                stop,
                deadline,
                span,
            })
        }))
    }

    /// How long the attempt may take.
    pub(super) fn span(&self) -> Option<Duration> {
        self.0.as_ref().map(|limit| limit.span)
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
pub(super) async fn attempt<'a, T>(
    make: impl FnOnce() -> Boxed<'a, T>,
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
        span = limits.over() => {
            // Whatever it says now, it is out of time; this only lets it tidy up.
            let _ = tokio::time::timeout(GRACE, future).await;
            Ended::TimedOut(span)
        }
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
