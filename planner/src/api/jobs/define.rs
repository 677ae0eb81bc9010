//! Defines, changes and deletes jobs, each over what was seen.

use std::error::Error;

use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::job::JobSpec;
use gridloom_shared::job::difference::{self, Difference};
use gridloom_shared::job::parse::{self, Format};
use gridloom_shared::orders::define::{self, Change, DefineError, Write};
use gridloom_shared::orders::empty;
use gridloom_shared::reads::{by_hand, calendars, fires, runs};
use gridloom_shared::schedule::{Plan, Spec};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::ask::{Path, Query, Text, expected};
use super::super::calendars::etag;
use super::super::link::Linked;
use super::super::log::Hand;
use super::super::problem::{Answer, Kind, Problem};
use super::absent;

/// Fires that are told of a definition.
const TOLD: usize = 5;

/// How it is applied.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct How {
    /// Say what would be done, and write nothing.
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// What was done with a job, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Applied {
    /// The job.
    job: JobName,
    /// What was done, or would be.
    change: Change,
    /// The revision that stands there now; 0: none, as it would be created.
    revision: u64,
    /// Whether nothing was written.
    dry_run: bool,
    /// What differs from the definition before.
    changes: Vec<Difference>,
    /// When it fires from now on, in words; `None`: by submissions alone.
    fires: Option<String>,
    /// The next times of that, RFC 3339; none where they follow from the ends of runs.
    next: Vec<String>,
}

/// The definition in a body, which is one of that name.
fn read(name: &JobName, text: &str) -> Answer<JobSpec> {
    let syntax = serde_json::from_str::<serde::de::IgnoredAny>(text);
    syntax.map_err(|error| Problem::invalid(format!("the body: {}", chain(&error))))?;
    let spec = parse::parse(text, Format::Json);
    let spec = spec.map_err(|faults| Problem::faulty(&format!("job {name}"), &faults))?;
    match spec.name == *name {
        true => Ok(spec),
        false => Err(Problem::new(
            Kind::Refused,
            format!(
                "the body defines job {}, and the path names {name}",
                spec.name
            ),
        )),
    }
}

/// When it fires; refused where it never does, or names a calendar that is not there.
async fn plan(broker: &Broker, spec: &JobSpec) -> Answer<Option<(Spec, Plan)>> {
    let Some(schedule) = spec.schedule.clone() else {
        return Ok(None);
    };
    let refused = |why: String| {
        let name = &spec.name;
        Problem::new(
            Kind::Refused,
            format!("job {name}: {why}; nothing was applied"),
        )
    };
    let schedule = Spec::try_from(schedule).map_err(|error| refused(chain(&error).to_string()))?;
    let known = calendars::known(broker).await?;
    let state = fires::state(broker, &spec.name).await?;
    let anchor = state.filter(|state| state.spec.is_some());
    let anchor = anchor.map_or_else(UnixMs::now, |state| state.anchor);
    let plan = Plan::new(&schedule, spec.name.as_str(), &known, anchor);
    let plan = plan.map_err(|error| refused(chain(&error).to_string()))?;
    Ok(Some((schedule, plan)))
}

pub(in super::super) fn moved(error: DefineError, expected: Option<u64>) -> Problem {
    match error {
        DefineError::Moved { job, seen } => {
            let revision = seen.revision();
            let detail = match (revision, expected) {
                (0, _) => format!("there is no job {job} now"),
                (_, Some(0)) => format!("there is a job {job} already, of revision {revision}"),
                _ => format!("job {job} was changed since: it has revision {revision} now"),
            };
            Problem::changed(detail, revision)
        }
        DefineError::Busy { .. } => Problem::new(Kind::Conflict, chain(&error).to_string()),
        DefineError::Read(error) => error.into(),
        DefineError::Write(error) => error.into(),
    }
}

/// Defines a job, or changes it: the body is what its file would say, as JSON. With If-Match only where the revision
/// stands there that it names, with If-None-Match: * only where there is none.
#[utoipa::path(put, path = "/jobs/{job}", tag = "jobs", operation_id = "apply_job",
    params(("job" = JobName, Path), How, ("if-match" = Option<String>, Header), ("if-none-match" = Option<String>, Header)),
    request_body(content = Object, description = "The job, as its file would say it"),
    responses((status = 200, body = Applied, headers(("etag" = String))), (status = 201, body = Applied, headers(("etag" = String)))))]
pub(in super::super) async fn apply(
    Linked(broker): Linked,
    hand: Hand,
    Path(name): Path<JobName>,
    Query(how): Query<How>,
    headers: HeaderMap,
    Text(text): Text,
) -> Answer<impl IntoResponse> {
    let (spec, wanted) = (read(&name, &text)?, expected(&headers)?);
    let plan = plan(&broker, &spec).await?;
    // What stands there says what would be done: only that is on record.
    let dry = define::job(&broker, &spec, wanted, Write::Dry).await;
    let mut written = dry.map_err(|error| moved(error, wanted))?;
    if !how.dry_run && written.change != Change::Unchanged {
        hand.orders(&broker, "job apply", name.as_str(), "").await?;
        let really = define::job(&broker, &spec, wanted, Write::Really).await;
        written = really.map_err(|error| moved(error, wanted))?;
    }
    let before = written.seen.job().and_then(|job| job.spec.as_ref().ok());
    let now = UnixMs::now();
    let next = plan.iter().flat_map(|(_, plan)| {
        let next = |after| plan.next_fire_after(after);
        std::iter::successors(next(now), move |last| next(last.at)).take(TOLD)
    });
    let applied = Applied {
        job: name,
        change: written.change,
        revision: written.revision,
        dry_run: how.dry_run,
        changes: before.map_or_else(Vec::new, |before| difference::of(before, &spec)),
        next: next.map(|nominal| nominal.at.rfc3339()).collect(),
        fires: plan.as_ref().map(|(spec, _)| spec.words()),
    };
    let status = match (applied.change, how.dry_run) {
        (Change::Created, false) => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    Ok((
        status,
        [(header::ETAG, etag(applied.revision))],
        Json(applied),
    ))
}

/// How it is deleted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct HowDeleted {
    /// Cancel what is open of it, too. Without it its runs go on.
    #[serde(default)]
    cancel: bool,
}

/// A job that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Deleted {
    /// The job.
    job: JobName,
    /// Its runs that were cancelled.
    cancelled: Vec<RunId>,
    /// Its runs that are open and go on.
    open: Vec<RunId>,
    /// Its runs that waited for others to be over: they are not opened any more.
    dropped: Vec<RunId>,
}

/// Deletes a job; its runs stay. What waits until others are over is dropped.
#[utoipa::path(delete, path = "/jobs/{job}", tag = "jobs", operation_id = "delete_job",
    params(("job" = JobName, Path), HowDeleted, ("if-match" = Option<String>, Header)),
    responses((status = 200, body = Deleted)))]
pub(in super::super) async fn delete(
    Linked(broker): Linked,
    hand: Hand,
    Path(name): Path<JobName>,
    Query(how): Query<HowDeleted>,
    headers: HeaderMap,
) -> Answer<Json<Deleted>> {
    let wanted = expected(&headers)?;
    let revision = super::stored(&broker, &name).await?.revision;
    if wanted.is_some_and(|wanted| wanted != revision) {
        let detail = format!("job {name} was changed since: it has revision {revision} now");
        return Err(Problem::changed(detail, revision));
    }
    let detail = if how.cancel { "with its open runs" } else { "" };
    hand.orders(&broker, "job delete", name.as_str(), detail)
        .await?;
    let dropped = by_hand::with_fires(&broker, &name).await?;
    let deleted = define::delete(&broker, &name, wanted).await;
    if !deleted.map_err(|error| moved(error, wanted))? {
        return Err(absent(&broker, &name).await);
    }
    let beyond = |error: &dyn Error| {
        let detail = format!("job {name} is deleted; {}", chain(error));
        Problem::new(Kind::Unavailable, detail)
    };
    let (mut cancelled, mut open) = (Vec::new(), Vec::new());
    if how.cancel {
        let emptied = empty::cancel_open(&broker, &name, true, || ()).await;
        cancelled = emptied.map_err(|error| beyond(&error))?;
    } else {
        let found = runs::open_of(&broker, &name).await;
        open = found.map_err(|error| beyond(&error))?;
    }
    Ok(Json(Deleted {
        job: name,
        cancelled,
        open,
        dropped,
    }))
}
