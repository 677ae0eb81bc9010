//! A planner while it starts. It says from the first moment on whether it can work, and goes on trying to make its streams for
//! as long as what keeps it from that may pass: of a cluster that has too little of its machines nobody knows how long that is.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gridloom_planner::{Planner, PlannerOptions};
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::topology::TopologyError;
use gridloom_shared::chain;
use gridloom_shared::telemetry::Health;

/// What is known of one: nothing before it has started, and then what it says itself.
#[derive(Clone, Default)]
pub(super) struct Starting(Arc<State>);

#[derive(Default)]
struct State {
    planner: OnceLock<Box<dyn Health>>,
    /// Why it has not started.
    why: Mutex<String>,
}

impl Starting {
    /// It has started, and speaks for itself.
    pub(super) fn started(&self, planner: impl Health) {
        let _ = self.0.planner.set(Box::new(planner));
    }

    fn waits(&self, why: String) {
        *self.0.why.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

impl Health for Starting {
    fn ready(&self) -> Result<(), String> {
        if let Some(planner) = self.0.planner.get() {
            return planner.ready();
        }
        let why = self.0.why.lock().unwrap_or_else(PoisonError::into_inner);
        Err(match why.is_empty() {
            true => "it starts: it has asked the broker for its streams".to_owned(),
            false => format!("its streams are not made yet, and it goes on trying: {why}"),
        })
    }

    fn live(&self) -> Result<(), String> {
        self.0
            .planner
            .get()
            .map_or(Ok(()), |planner| planner.live())
    }
}

/// Starts it, however long that takes.
///
/// # Errors
/// When it cannot be: what the broker has will not do, or this user may not ask for it.
pub(super) async fn start(
    broker: &Broker,
    options: PlannerOptions,
    starting: &Starting,
) -> Result<Planner, TopologyError> {
    loop {
        match Planner::start(broker.clone(), options.clone()).await {
            Err(error) if error.is_passing() && broker.refused().is_none() => {
                let why = chain(&error).to_string();
                tracing::error!(error = why, "the streams cannot be made yet; trying on");
                starting.waits(why);
            }
            started => return started,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_has_not_started_lives_and_is_not_ready_with_the_reason_until_it_speaks_for_itself()
    {
        let starting = Starting::default();
        assert!(starting.live().is_ok());
        assert!(starting.ready().is_err_and(|why| why.contains("it starts")));
        starting.waits("no answer".into());
        let told = starting.ready();
        assert!(told.is_err_and(|why| why.ends_with("goes on trying: no answer")));
        starting.started(|| Err("it says so itself".to_owned()));
        assert_eq!(starting.ready(), Err("it says so itself".to_owned()));
    }
}
