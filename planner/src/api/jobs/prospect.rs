//! When a job fires next, what stands in its way, and what became of one nominal time.

use axum::Json;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::schedule::fired::nominal_of;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::ask::{Path, Query};
use super::super::link::Linked;
use super::super::problem::{Answer, Kind, Problem};
use super::{absent, stored};
use crate::prospect::coming::{Coming, Next, TOLD};
use crate::prospect::obstacles::{Around, Obstacles};
use crate::prospect::times::{TimeError, moment};
use crate::prospect::why::{Explanation, of_moment, on_record};

/// Times that are told at most.
const TIMES_MAX: usize = 1_000;

impl From<TimeError> for Problem {
    fn from(error: TimeError) -> Problem {
        let detail = chain(&error).to_string();
        match error {
            TimeError::Read(error) => error.into(),
            TimeError::List(error) => error.into(),
            TimeError::NoSchedule { .. } => Problem::new(Kind::Conflict, detail),
            TimeError::Unread { .. } | TimeError::NoTime { .. } => Problem::invalid(detail),
            TimeError::Schedule { .. } | TimeError::Spec(_) | TimeError::Unreadable(_) => {
                Problem::new(Kind::Refused, detail)
            }
        }
    }
}

/// Which times.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct Which {
    /// At most so many.
    #[param(minimum = 1, maximum = 1_000)]
    count: Option<u32>,
    /// From this time on, by the clocks of its schedule: `2026-03-01T02:00`, or a day. Left out: from now on.
    from: Option<String>,
}

/// When a job fires next.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct NextFires {
    /// Its schedule in words.
    words: String,
    /// The nominal times that come, also such that are taken out.
    items: Vec<Next>,
    /// The first that runs, where all of these are taken out: by the clocks of its zone.
    first_that_runs: Option<String>,
    /// Where each fire follows from the end of the run before it: from which.
    follows: Option<String>,
    /// What stands in its way.
    obstacles: Obstacles,
}

/// When a job fires next.
#[utoipa::path(get, path = "/jobs/{job}/next", tag = "jobs", operation_id = "next_fires",
    params(("job" = JobName, Path), Which), responses((status = 200, body = NextFires)))]
pub(in super::super) async fn next(
    Linked(broker): Linked,
    Path(name): Path<JobName>,
    Query(which): Query<Which>,
) -> Answer<Json<NextFires>> {
    let count = which.count.map_or(TOLD, |count| count as usize);
    if !(1..=TIMES_MAX).contains(&count) {
        let detail = format!("count: must be from 1 to {TIMES_MAX}");
        return Err(Problem::invalid(detail));
    }
    let stored = stored(&broker, &name).await?;
    let unreadable = |error: &_| Problem::new(Kind::Refused, chain(error).to_string());
    let job = stored.spec.as_ref().map_err(unreadable)?;
    let around = Around::look(&broker, &[&name]).await?;
    let coming = Coming::of_stored(&broker, job, &stored, &around).await?;
    let from = match &which.from {
        // That time is among those that are asked for.
        Some(text) => UnixMs(moment(&coming.plan, text)?.0.saturating_sub(1)),
        None => UnixMs::now(),
    };
    let told = coming.told(from, count);
    Ok(Json(NextFires {
        words: told.words,
        items: told.next,
        first_that_runs: told.first,
        follows: told.follows,
        obstacles: around.of(job),
    }))
}

/// Which time.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct AtTime {
    /// The nominal time, by the clocks of its schedule: `2026-03-01T02:00`, with a zone of its own, or a run of that time.
    time: String,
}

/// What is known of one nominal time.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Why {
    #[serde(flatten)]
    explanation: Explanation,
    /// The same as a paragraph.
    words: String,
}

/// What became of one nominal time of a job, or will, and why. Of a job that was deleted, too.
#[utoipa::path(get, path = "/jobs/{job}/why", tag = "jobs", operation_id = "why",
    params(("job" = JobName, Path), AtTime), responses((status = 200, body = Why)))]
pub(in super::super) async fn why(
    Linked(broker): Linked,
    Path(name): Path<JobName>,
    Query(asked): Query<AtTime>,
) -> Answer<Json<Why>> {
    let Some((fires, plan)) = on_record(&broker, &name).await? else {
        return Err(absent(&broker, &name).await);
    };
    let run = gridloom_shared::id::RunId::new(&asked.time).ok();
    let at = match run.filter(|run| run.job() == name.as_str()) {
        Some(run) => nominal_of(&run).ok_or_else(|| {
            let detail = format!("time: run {run} was no fire of the schedule");
            Problem::invalid(detail)
        })?,
        None => moment(&plan, &asked.time)?,
    };
    let explanation = of_moment(&broker, &name, (&fires, &plan), at).await?;
    match explanation.is_an_answer() {
        true => Ok(Json(Why {
            words: explanation.paragraph(),
            explanation,
        })),
        false => Err(Problem::absent(explanation.paragraph())),
    }
}
