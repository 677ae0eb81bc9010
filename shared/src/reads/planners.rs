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
    // Nobody knows how many there are.
    let all = |_: &[Attendance]| false;
    let planners = roll_call::answers(broker, call, ROLL_CALL, "planner", all).await?;
    let planners: BTreeMap<_, _> = planners
        .into_iter()
        .map(|planner| ((planner.name.clone(), planner.session), planner))
        .collect();
    Ok(planners.into_values().collect())
}

/// Why no leader has answered, and what to do: never to start what is there.
pub async fn nobody_leads(broker: &Broker) -> String {
    let here = roll_call(broker).await.unwrap_or_default();
    let leader = here.iter().find(|planner| planner.term.is_some());
    match (leader, here.first()) {
        (Some(leader), _) => format!(
            "planner {} leads and has not answered in time: ask again, or see gridloom doctor",
            leader.name
        ),
        (None, Some(_)) => {
            let names: Vec<&str> = here.iter().map(|planner| planner.name.as_str()).collect();
            format!(
                "no planner leads just now, {} is there: ask again, or see gridloom doctor",
                names.join(", ")
            )
        }
        (None, None) => "no planner answers; start one with gridloom planner".to_owned(),
    }
}
