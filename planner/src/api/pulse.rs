//! Whether the API's thread still goes round: it has a runtime of its own, and nobody in the planner waits for it, so nobody
//! would notice that it hangs or is gone. A restart sets it going again, so a planner without it is not live.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::telemetry;

use crate::service::Health;

/// How often it says that it lives.
const BEAT: Duration = Duration::from_secs(1);
/// A thread that has said nothing for so long stands still: an answer for which much has to be reckoned takes seconds of
/// it at most.
const STILL: Duration = Duration::from_secs(60);

/// When the thread was last seen to live, in milliseconds of the boot clock.
#[derive(Clone, Debug)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// It begins now.
    pub(super) fn begin() -> Pulse {
        let pulse = Pulse(Arc::default());
        pulse.beat();
        pulse
    }

    fn beat(&self) {
        self.0.store(millis(Boot::now()), Ordering::Relaxed);
    }

    /// Beats for as long as the thread goes round. Never ends.
    pub(super) async fn keep(&self) -> Infallible {
        loop {
            self.beat();
            tokio::time::sleep(BEAT).await;
        }
    }

    fn age(&self, now: Boot) -> Duration {
        let last = self.0.load(Ordering::Relaxed);
        Duration::from_millis(millis(now).saturating_sub(last))
    }
}

fn millis(at: Boot) -> u64 {
    u64::try_from(at.0.as_millis()).unwrap_or(u64::MAX)
}

/// A planner with its API.
pub(super) struct Whole {
    pub(super) planner: Health,
    pub(super) api: Pulse,
}

impl telemetry::Health for Whole {
    fn ready(&self) -> Result<(), String> {
        self.planner.ready()
    }

    fn live(&self) -> Result<(), String> {
        judge(self.api.age(Boot::now()))
    }
}

fn judge(age: Duration) -> Result<(), String> {
    match age > STILL {
        true => Err(format!(
            "the thread of the API has not gone round for {} s: it hangs, or has ended",
            age.as_secs()
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn thread_that_goes_round_lives_and_one_that_does_not_is_told_after_a_minute() {
        let pulse = Pulse::begin();
        pulse.0.store(0, Ordering::Relaxed);
        let later = Boot(Duration::from_secs(61));
        assert!(judge(pulse.age(later)).is_err_and(|why| why.contains("61 s")));
        assert!(judge(pulse.age(Boot(STILL))).is_ok());
        assert!(pulse.keep().now_or_never().is_none());
        assert!(judge(pulse.age(Boot::now())).is_ok());
    }
}
