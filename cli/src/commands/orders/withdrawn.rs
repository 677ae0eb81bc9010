//! A run that was asked for by hand and waits is cancelled before it is open: that is written where it waits, and whoever
//! leads has it on record within moments.

use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::id::RunId;
use gridloom_shared::reads::by_hand;
use tokio::time::{Instant, sleep};

use super::super::installation;
use super::Outcome;
use crate::context::who;

/// A leader that died has its successor by then.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// What became of it. `None`: no such run waits, or it was opened meanwhile.
pub(super) async fn cancel(broker: &Broker, run: &RunId) -> anyhow::Result<Option<Outcome>> {
    if !by_hand::withdraw(broker, run, &who()).await? {
        return Ok(None);
    }
    let give_up = Instant::now() + PATIENCE;
    while !by_hand::is_answered(broker, run).await? {
        if Instant::now() >= give_up {
            let nobody = installation::nobody_leads(broker).await;
            let reason = format!("run {run} is dropped as soon as a planner leads: {nobody}");
            return Ok(Some(outcome(run, "pending", reason)));
        }
        sleep(PAUSE).await;
    }
    let dropped = !by_hand::is_open(broker, run).await?;
    let reason = format!("cancelled run {run}: it waited, and is never opened");
    Ok(dropped.then(|| outcome(run, "dropped", reason)))
}

fn outcome(run: &RunId, outcome: &'static str, reason: String) -> Outcome {
    Outcome {
        run: run.clone(),
        order: "cancel",
        outcome,
        shards: 0,
        reason: Some(reason),
        ended: None,
        changed: None,
    }
}
