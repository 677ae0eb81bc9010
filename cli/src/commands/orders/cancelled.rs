//! What became of a run that was told to end: the order is on record when it is answered, and the run is over when its
//! workers have answered too, within seconds.

use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::summary::RunState;
use gridloom_shared::reads::runs;
use tokio::time::{Instant, sleep};

/// A cancelled run is closed two seconds after its record, whoever is silent; and a planner may change meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// How the run stands once it is over, or after a while. `None`: the broker does not say.
pub(super) async fn end_of(broker: &Broker, run: &RunId) -> Option<RunState> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let state = runs::show(broker, run).await.ok().map(|run| run.state);
        if state.is_some_and(|state| state.ended()) || Instant::now() >= give_up {
            return state;
        }
        sleep(PAUSE).await;
    }
}

/// What is said of it.
pub(super) fn words(run: &RunId, state: Option<RunState>) -> String {
    match state {
        Some(RunState::Cancelled) => format!("cancelled run {run}"),
        Some(state) if state.ended() => format!("run {run} was over before: {}", state.as_str()),
        Some(_) | None => format!(
            "run {run} is being cancelled: nothing more of it is started; it is over when its workers have answered"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_is_called_cancelled_only_when_it_is() {
        let run = RunId::new("a_s_1").unwrap();
        assert_eq!(
            words(&run, Some(RunState::Cancelled)),
            "cancelled run a_s_1"
        );
        for other in [None, Some(RunState::Running), Some(RunState::Succeeded)] {
            assert!(!words(&run, other).contains("cancelled run"), "{other:?}");
        }
    }
}
