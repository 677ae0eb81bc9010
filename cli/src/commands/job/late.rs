//! Tells of a job whose fires nobody answers for.

use gridloom_shared::broker::Broker;
use gridloom_shared::id::JobName;
use gridloom_shared::reads::alarms;

use crate::context::Context;

/// Tells of the alarm that stands, if one does. An installation of an earlier build has none.
pub(super) async fn tell(context: &Context, broker: &Broker, job: &JobName) {
    if let Ok(Some(alarm)) = alarms::of_fires(broker, job).await {
        context.output.note(format!(
            "late: no planner has answered for the fire of {}, or for one since; see gridloom doctor",
            alarm.due.rfc3339()
        ));
    }
}
