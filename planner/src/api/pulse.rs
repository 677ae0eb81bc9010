//! Whether the API's thread still goes round: it has a runtime of its own, and nobody in the planner waits for it, so nobody
//! would notice that it hangs or is gone. A restart sets it going again, so a planner without it is not live.

use std::convert::Infallible;
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::telemetry;

use crate::pulse::Pulse;
use crate::service::Health;

/// How often it says that it lives.
const BEAT: Duration = Duration::from_secs(1);
/// A thread that has said nothing for so long stands still: an answer for which much has to be reckoned takes seconds of
/// it at most.
const STILL: Duration = Duration::from_secs(60);

/// Beats for as long as the thread goes round. Never ends.
pub(super) async fn keep(pulse: &Pulse) -> Infallible {
    loop {
        pulse.beat();
        tokio::time::sleep(BEAT).await;
    }
}

/// A planner with its API.
pub(super) struct Whole<H = Health> {
    pub(super) planner: H,
    pub(super) api: Pulse,
}

impl<H: telemetry::Health> telemetry::Health for Whole<H> {
    fn ready(&self) -> Result<(), String> {
        self.planner.ready()
    }

    fn live(&self) -> Result<(), String> {
        judge(self.api.age(Boot::now()))
    }
}

fn judge(age: Option<Duration>) -> Result<(), String> {
    match age {
        Some(age) if age > STILL => Err(format!(
            "the thread of the API has not gone round for {} s: it hangs, or has ended",
            age.as_secs()
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use gridloom_shared::telemetry::Health as _;

    use super::*;

    /// One that is not ready yet.
    struct Planner;

    impl telemetry::Health for Planner {
        fn ready(&self) -> Result<(), String> {
            Err("it reads".to_owned())
        }
    }

    #[tokio::test]
    async fn thread_that_goes_round_lives_and_one_that_does_not_is_told_after_a_minute() {
        let pulse = Pulse::default();
        pulse.beat();
        let later = Boot(Boot::now().0 + Duration::from_secs(61));
        assert!(judge(pulse.age(later)).is_err_and(|why| why.contains("61 s")));
        assert!(judge(Some(STILL)).is_ok());
        // A planner says whether it is ready, and cannot know this.
        let whole = |age: u64| {
            let api = Pulse::default();
            api.beat_at(Boot(Boot::now().0.saturating_sub(Duration::from_secs(age))));
            Whole {
                planner: Planner,
                api,
            }
        };
        assert_eq!(whole(1).live(), Ok(()));
        assert!(whole(70).live().is_err());
        assert_eq!(whole(1).ready(), Err("it reads".to_owned()));
        pulse.still();
        assert!(keep(&pulse).now_or_never().is_none());
        assert!(pulse.age(Boot::now()).is_some());
        assert!(judge(pulse.age(Boot::now())).is_ok());
    }
}
