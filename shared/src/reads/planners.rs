//! Who plans: the planners that answer, the one that leads among them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::roll_call;
use crate::broker::{Broker, PublishError};
use crate::planner::Attendance;

/// How long planners are given to answer: one that does nothing else does so within milliseconds, one that
/// reads a long ledger within some more.
const ROLL_CALL: Duration = Duration::from_millis(500);

/// The planners that answer when everybody is asked, by name.
///
/// # Errors
/// When the question cannot be sent.
pub async fn roll_call(broker: &Broker) -> Result<Vec<Attendance>, PublishError> {
    let call = broker.subjects().planner_call();
    let planners = roll_call::answers::<Attendance>(broker, call, ROLL_CALL, "planner").await?;
    let planners: BTreeMap<_, _> = planners
        .into_iter()
        .map(|planner| ((planner.name.clone(), planner.session), planner))
        .collect();
    Ok(planners.into_values().collect())
}
