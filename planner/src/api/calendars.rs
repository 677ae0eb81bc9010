//! Calendars: days and times that schedules are bound to or kept off.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use gridloom_shared::chain;
use gridloom_shared::id::CalendarName;
use gridloom_shared::job::parse::Format;
use gridloom_shared::orders::define::Change;
use gridloom_shared::reads::calendars::{self, Stored};
use gridloom_shared::reads::jobs;
use gridloom_shared::schedule::Calendar;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::ask::{Path, Query, Text, expected};
use super::link::Linked;
use super::log::Hand;
use super::problem::{Answer, Kind, Problem};

/// All calendars.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Calendars {
    /// By name.
    items: Vec<CalendarTold>,
}

/// A calendar.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Calendar)]
pub(super) struct CalendarTold {
    /// Its name.
    calendar: String,
    /// Which change made it so: what the next one may expect.
    revision: u64,
    /// When that was, RFC 3339.
    applied_at: String,
    /// What it says, as its file would; `None`: this build cannot read it.
    #[schema(value_type = Option<Object>)]
    definition: Option<Value>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
    /// The jobs that name it.
    jobs: Vec<String>,
}

impl CalendarTold {
    fn of(stored: &Stored, jobs: &[jobs::StoredJob]) -> CalendarTold {
        let naming = jobs.iter().filter(|job| {
            let named = job.spec.as_ref().map(calendars::named).unwrap_or_default();
            named.iter().any(|name| name.as_str() == stored.name)
        });
        let definition = stored.kept.as_ref().ok();
        CalendarTold {
            calendar: stored.name.clone(),
            revision: stored.revision,
            applied_at: stored.applied_at.rfc3339(),
            definition: definition.map(|kept| serde_json::json!(kept.calendar())),
            unreadable: stored
                .kept
                .as_ref()
                .err()
                .map(|error| chain(error).to_string()),
            jobs: naming.map(|job| job.name.clone()).collect(),
        }
    }
}

/// All calendars, by name.
#[utoipa::path(get, path = "/calendars", tag = "calendars", operation_id = "calendars",
    responses((status = 200, body = Calendars)))]
pub(super) async fn list(Linked(broker): Linked) -> Answer<Json<Calendars>> {
    let (all, jobs) = (calendars::list(&broker).await?, jobs::list(&broker).await?);
    let items = all.iter().map(|stored| CalendarTold::of(stored, &jobs));
    Ok(Json(Calendars {
        items: items.collect(),
    }))
}

/// One calendar.
#[utoipa::path(get, path = "/calendars/{calendar}", tag = "calendars", operation_id = "calendar",
    params(("calendar" = CalendarName, Path)),
    responses((status = 200, body = CalendarTold, headers(("etag" = String)))))]
pub(super) async fn show(
    Linked(broker): Linked,
    Path(name): Path<CalendarName>,
) -> Answer<impl IntoResponse> {
    let seen = calendars::see(&broker, &name).await?;
    let absent = || Problem::absent(format!("there is no calendar {name}"));
    let stored = seen.stored.as_ref().ok_or_else(absent)?;
    let told = CalendarTold::of(stored, &jobs::list(&broker).await?);
    Ok(([(header::ETAG, etag(stored.revision))], Json(told)))
}

/// The `ETag` of a revision.
pub(super) fn etag(revision: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// How it is applied.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct How {
    /// Say what would be done, and write nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What was done with a calendar, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CalendarApplied {
    /// The calendar.
    calendar: CalendarName,
    /// What was done, or would be.
    change: Change,
    /// The revision that stands there now; 0: none, as it would be created.
    revision: u64,
    /// Whether nothing was written.
    dry_run: bool,
}

fn moved(name: &CalendarName, revision: u64) -> Problem {
    let detail = match revision {
        0 => format!("there is no calendar {name} now"),
        _ => format!("calendar {name} has revision {revision} now"),
    };
    Problem::changed(detail, revision)
}

/// Defines a calendar, or changes it: the body is what its file would say, as JSON. With If-Match only where the
/// revision stands there that it names, with If-None-Match: * only where there is none.
#[utoipa::path(put, path = "/calendars/{calendar}", tag = "calendars", operation_id = "apply_calendar",
    params(("calendar" = CalendarName, Path), How, ("if-match" = Option<String>, Header), ("if-none-match" = Option<String>, Header)),
    request_body(content = Object, description = "The calendar, as its file would say it"),
    responses((status = 200, body = CalendarApplied, headers(("etag" = String))), (status = 201, body = CalendarApplied, headers(("etag" = String)))))]
pub(super) async fn apply(
    Linked(broker): Linked,
    hand: Hand,
    Path(name): Path<CalendarName>,
    Query(how): Query<How>,
    headers: HeaderMap,
    Text(text): Text,
) -> Answer<impl IntoResponse> {
    let wanted = expected(&headers)?;
    let syntax = serde_json::from_str::<serde::de::IgnoredAny>(&text);
    syntax.map_err(|error| Problem::invalid(format!("the body: {}", chain(&error))))?;
    let calendar = Calendar::parse(&text, Format::Json);
    let calendar =
        calendar.map_err(|faults| Problem::faulty(&format!("calendar {name}"), &faults))?;
    if calendar.name() != Some(&name) {
        let detail = format!("name: has to be {name}, as the path says");
        return Err(Problem::new(Kind::Refused, detail));
    }
    let seen = calendars::see(&broker, &name).await?;
    let mut revision = seen.revision();
    if wanted.is_some_and(|wanted| wanted != revision) {
        return Err(moved(&name, revision));
    }
    let change = match (&seen.stored, seen.kept()) {
        (None, _) => Change::Created,
        (_, Some(kept)) if *kept.calendar() == calendar => Change::Unchanged,
        _ => Change::Changed,
    };
    if !how.dry_run && change != Change::Unchanged {
        hand.orders(&broker, "calendar apply", name.as_str(), "")
            .await?;
        revision = calendars::put(&broker, &seen, calendar).await?;
    }
    let status = match (change, how.dry_run) {
        (Change::Created, false) => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    let applied = CalendarApplied {
        calendar: name,
        change,
        revision,
        dry_run: how.dry_run,
    };
    Ok((status, [(header::ETAG, etag(revision))], Json(applied)))
}

/// A calendar that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CalendarDeleted {
    /// The calendar.
    calendar: CalendarName,
    /// The jobs that name it: their schedules wait from now on.
    jobs: Vec<String>,
}

/// How it is deleted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HowDeleted {
    /// Also while jobs name it.
    #[serde(default)]
    force: bool,
}

/// Deletes a calendar. While jobs name it that is refused, as their schedules would wait; unless it is forced.
#[utoipa::path(delete, path = "/calendars/{calendar}", tag = "calendars", operation_id = "delete_calendar",
    params(("calendar" = CalendarName, Path), HowDeleted, ("if-match" = Option<String>, Header)),
    responses((status = 200, body = CalendarDeleted)))]
pub(super) async fn delete(
    Linked(broker): Linked,
    hand: Hand,
    Path(name): Path<CalendarName>,
    Query(how): Query<HowDeleted>,
    headers: HeaderMap,
) -> Answer<Json<CalendarDeleted>> {
    let wanted = expected(&headers)?;
    let seen = calendars::see(&broker, &name).await?;
    let revision = seen.revision();
    if wanted.is_some_and(|wanted| wanted != revision) {
        return Err(moved(&name, revision));
    }
    let absent = || Problem::absent(format!("there is no calendar {name}"));
    let stored = seen.stored.as_ref().ok_or_else(absent)?;
    let told = CalendarTold::of(stored, &jobs::list(&broker).await?);
    if !told.jobs.is_empty() && !how.force {
        let jobs = told.jobs.join(", ");
        let detail = format!(
            "these name calendar {name}, and would wait without it: {jobs}; apply them without it first, or say force=true"
        );
        return Err(Problem::new(Kind::Conflict, detail));
    }
    hand.orders(&broker, "calendar delete", name.as_str(), "")
        .await?;
    calendars::delete(&broker, &seen).await?;
    Ok(Json(CalendarDeleted {
        calendar: name,
        jobs: told.jobs,
    }))
}
