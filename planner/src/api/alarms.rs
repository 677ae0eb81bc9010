//! What came too late, or has not come: fires that nobody answered for, and runs that are not over by their time.

use axum::Json;
use gridloom_shared::alarm::{Alarm, Watched};
use gridloom_shared::id::RunId;
use gridloom_shared::reads::alarms;
use serde::Serialize;
use utoipa::ToSchema;

use super::link::Linked;
use super::problem::Answer;

/// So many are told, the oldest.
const TOLD: usize = 100;

/// Alarms that stand.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Alarms {
    /// The oldest first, 100 at most.
    items: Vec<AlarmTold>,
    /// How many more there are.
    more: usize,
}

/// An alarm: the broker raised it, and no planner has withdrawn it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlarmTold {
    /// The job that it is about.
    job: String,
    /// The run that had to be over; `None`: a fire of the job has no answer.
    run: Option<RunId>,
    /// When the fire was to open, or the run to be over, RFC 3339.
    due: String,
    /// The same as a sentence.
    words: String,
}

impl AlarmTold {
    fn of(alarm: &Alarm) -> AlarmTold {
        AlarmTold {
            job: alarm.watched.job().to_owned(),
            run: match &alarm.watched {
                Watched::Fire(_) => None,
                Watched::Run(run) => Some(run.clone()),
            },
            due: alarm.due.rfc3339(),
            words: alarm.to_string(),
        }
    }
}

/// What is late: fires that no planner answered for, and runs that are not over by the time that their schedule says.
#[utoipa::path(get, path = "/alarms", tag = "installation", operation_id = "alarms",
    responses((status = 200, body = Alarms)))]
pub(super) async fn list(Linked(broker): Linked) -> Answer<Json<Alarms>> {
    let all = alarms::raised(&broker).await?;
    Ok(Json(Alarms {
        more: all.len().saturating_sub(TOLD),
        items: all.iter().take(TOLD).map(AlarmTold::of).collect(),
    }))
}
