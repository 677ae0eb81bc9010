//! Nominal times that are run again: how far each backfill has come, and that one is to end.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::reads::backfills::{self, Begun, Listed};
use gridloom_shared::schedule::BackfillName;
use gridloom_shared::submission::ByHand;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::ask::{Body, Path, Query};
use super::super::link::Linked;
use super::super::log::Hand;
use super::super::problem::{Answer, Kind, Problem};
use super::define::How;
use crate::prospect::again::{AgainError, Asked, Extent};

/// Times that are named in an answer.
const NAMED: usize = 1_000;
/// Runs of a backfill that are open at once, where nobody says so.
const AT_ONCE: u32 = 1;

/// The backfills of a job.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Backfills {
    /// The oldest first.
    items: Vec<BackfillTold>,
}

/// A backfill.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Backfill)]
struct BackfillTold {
    /// Its name.
    backfill: String,
    /// Who asked for it.
    by: String,
    /// When, RFC 3339.
    asked_at: String,
    /// From this instant on, RFC 3339.
    from: String,
    /// To this one, RFC 3339.
    to: String,
    /// Nominal times that get a run.
    count: u64,
    /// Runs of it that are open at once.
    concurrency: u32,
    /// Runs that were opened.
    opened: u64,
    /// Who has cancelled it.
    cancelled_by: Option<String>,
    /// Whether nothing more of it is opened.
    ended: bool,
}

impl BackfillTold {
    fn of(listed: Listed) -> BackfillTold {
        let Listed { name, backfill } = listed;
        BackfillTold {
            backfill: name.to_string(),
            by: backfill.by,
            asked_at: backfill.asked_at.rfc3339(),
            from: backfill.from.rfc3339(),
            to: UnixMs::rfc3339(backfill.to),
            count: backfill.count,
            concurrency: backfill.concurrency,
            opened: backfill.progress.opened,
            cancelled_by: backfill.cancelled,
            ended: backfill.progress.ended.is_some(),
        }
    }
}

/// The backfills of a job that are remembered.
#[utoipa::path(get, path = "/jobs/{job}/backfills", tag = "jobs", operation_id = "backfills",
    params(("job" = JobName, Path)), responses((status = 200, body = Backfills)))]
pub(in super::super) async fn list(
    Linked(broker): Linked,
    Path(name): Path<JobName>,
) -> Answer<Json<Backfills>> {
    let all = backfills::list(&broker, &name).await?;
    if all.is_empty() {
        super::stored(&broker, &name).await?;
    }
    let items = all.into_iter().map(BackfillTold::of).collect();
    Ok(Json(Backfills { items }))
}

/// What became of the order to end a backfill.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Ended {
    /// Whether it was under way until now.
    changed: bool,
}

/// Ends a backfill: nothing more of it is opened, and what is open goes on.
#[utoipa::path(delete, path = "/jobs/{job}/backfills/{backfill}", tag = "jobs", operation_id = "cancel_backfill",
    params(("job" = JobName, Path), ("backfill" = String, Path)), responses((status = 200, body = Ended)))]
pub(in super::super) async fn cancel(
    Linked(broker): Linked,
    hand: Hand,
    Path((name, backfill)): Path<(JobName, String)>,
) -> Answer<Json<Ended>> {
    let unnamed = |error| Problem::invalid(format!("the name of a backfill: {}", chain(&error)));
    let backfill = BackfillName::new(&backfill).map_err(unnamed)?;
    let of = format!("{name} {backfill}");
    hand.orders(&broker, "job backfill --cancel", &of, "")
        .await?;
    let changed = backfills::cancel(&broker, &name, &backfill, hand.name()).await?;
    Ok(Json(Ended { changed }))
}

/// A range of nominal times.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BackfillWanted)]
pub(in super::super) struct Wanted {
    /// The first nominal time, by the clocks of the schedule: `2026-03-01T02:00`, or a day.
    from: String,
    /// The last one, or a day, which is among them.
    to: String,
    /// Its name: the same name and the same wish is the same backfill. Left out: one by chance.
    name: Option<String>,
    /// What its runs have to do with others of the job: allow, skip, queue_one, queue_all, cancel_running.
    overlap: Option<String>,
    /// At most so many of its runs are open at once; 1 where it is left out.
    #[schema(minimum = 1)]
    concurrency: Option<u32>,
}

/// A backfill that has begun, or would.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct BackfillBegun {
    /// Its name; `None`: nothing has begun.
    backfill: Option<String>,
    /// Whether it begins now: the same may have been asked for before.
    begun: bool,
    /// Nominal times that get a run.
    count: u64,
    /// How many more calendars take out.
    excluded: u64,
    /// The first of the times, RFC 3339.
    times: Vec<String>,
}

/// Runs nominal times of a job again, beside its schedule. With dry_run it says which those are.
#[utoipa::path(post, path = "/jobs/{job}/backfills", tag = "jobs", operation_id = "backfill",
    params(("job" = JobName, Path), How), request_body = Wanted,
    responses((status = 200, body = BackfillBegun), (status = 201, body = BackfillBegun)))]
pub(in super::super) async fn begin(
    Linked(broker): Linked,
    hand: Hand,
    Path(name): Path<JobName>,
    Query(how): Query<How>,
    Body(wanted): Body<Wanted>,
) -> Answer<impl IntoResponse> {
    let refused = |detail: String| Problem::new(Kind::Refused, detail);
    let overlap = wanted
        .overlap
        .as_deref()
        .unwrap_or(ByHand::default().as_str());
    let overlap = ByHand::of(overlap).ok_or_else(|| {
        let words = ByHand::ALL.map(|(word, _)| word).join(", ");
        refused(format!("overlap: must be one of {words}"))
    })?;
    let asked = Asked {
        from: wanted.from,
        to: wanted.to,
        overlap,
        concurrency: wanted.concurrency.unwrap_or(AT_ONCE),
        by: hand.name().to_owned(),
    };
    if asked.concurrency == 0 {
        return Err(refused("concurrency: must be 1 at least".to_owned()));
    }
    let chance = || format!("{:08x}", uuid::Uuid::new_v4().as_fields().0);
    let backfill = BackfillName::new(&wanted.name.unwrap_or_else(chance));
    let backfill = backfill.map_err(|error| refused(format!("name: {}", chain(&error))))?;
    let job = super::stored(&broker, &name).await?.spec;
    let job = job.map_err(|error| refused(chain(&error).to_string()))?;
    let extent = Extent::of(&broker, &job, &asked).await;
    let extent = extent.map_err(|error| match error {
        AgainError::Time(error) => error.into(),
        AgainError::Refused(why) => refused(why),
    })?;
    let mut begun = BackfillBegun {
        backfill: None,
        begun: false,
        count: extent.backfill.count,
        excluded: extent.excluded,
        times: extent
            .times
            .iter()
            .take(NAMED)
            .map(|at| at.rfc3339())
            .collect(),
    };
    if how.dry_run {
        return Ok((StatusCode::OK, Json(begun)));
    }
    let (of, detail) = (format!("{name} {backfill}"), extent.words(&name));
    hand.orders(&broker, "job backfill", &of, &detail).await?;
    let came = backfills::begin(&broker, &name, &backfill, &extent.backfill).await?;
    begun.begun = came == Begun::New;
    begun.backfill = Some(backfill.to_string());
    // The same again begins nothing.
    let status = match begun.begun {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    Ok((status, Json(begun)))
}
