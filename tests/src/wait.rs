//! Decides how a test waits: for a condition, with a deadline, never for a time.

use std::time::{Duration, Instant};

use anyhow::bail;

const EVERY: Duration = Duration::from_millis(10);

/// Asks until `condition` says true, and fails with `what` when the deadline has passed. The
/// condition is asked at least once.
///
/// # Errors
/// When the deadline passes; an error of the condition ends the wait at once.
pub async fn eventually(
    deadline: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    eventually_some(deadline, what, async || {
        Ok(condition().await?.then_some(()))
    })
    .await
}

/// Asks until `question` has an answer, and gives it.
///
/// # Errors
/// When the deadline passes; an error of the question ends the wait at once.
pub async fn eventually_some<T>(
    deadline: Duration,
    what: &str,
    mut question: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(answer) = question().await? {
            return Ok(answer);
        }
        if Instant::now() >= end {
            bail!("waited {}s in vain until {what}", deadline.as_secs_f32());
        }
        tokio::time::sleep(EVERY).await;
    }
}
