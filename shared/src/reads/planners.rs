//! Who plans: the planners that answer, the one that leads among them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::broker::{Broker, PublishError};
use crate::chain;
use crate::planner::Attendance;
use crate::wire;

/// How long planners are given to answer: one that does nothing else does so within milliseconds, one that
/// reads a long ledger within some more.
const ROLL_CALL: Duration = Duration::from_millis(500);

/// The planners that answer when everybody is asked, by name.
///
/// # Errors
/// When the question cannot be sent.
pub async fn roll_call(broker: &Broker) -> Result<Vec<Attendance>, PublishError> {
    let inbox = broker.new_inbox();
    let mut answers = broker.subscribe(inbox.clone()).await?;
    broker
        .publish_with_reply(broker.subjects().planner_call(), inbox, Bytes::new())
        .await?;
    let mut planners = BTreeMap::new();
    let until = Instant::now() + ROLL_CALL;
    while let Ok(Some(answer)) = timeout_at(until, answers.next()).await {
        match wire::decode::<Attendance>(&answer.payload) {
            Ok(planner) => {
                planners.insert((planner.name.clone(), planner.session), planner);
            }
            // Nobody listens: the broker says so at once.
            Err(_) if answer.status.is_some() => break,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "a planner's answer cannot be read");
            }
        }
    }
    Ok(planners.into_values().collect())
}
