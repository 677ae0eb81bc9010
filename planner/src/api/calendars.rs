//! Calendars: days and times that schedules are bound to or kept off.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::id::CalendarName;
use gridloom_shared::job::parse::Format;
use gridloom_shared::orders::define::Change;
use gridloom_shared::reads::calendars::{self, Seen, Stored};
use gridloom_shared::reads::jobs;
use gridloom_shared::schedule::Calendar;
use gridloom_shared::turns::Turns;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::ask::{Path, Query, Text, expected};
use super::link::{Api, Linked};
use super::log::Hand;
use super::mirror::Naming;
use super::problem::{Answer, Kind, Problem};

/// So often somebody else may write first.
const ROUNDS: usize = 10;

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
    fn of(stored: &Stored, naming: &Naming) -> CalendarTold {
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
            jobs: naming
                .get(&stored.name)
                .map_or_else(Vec::new, |jobs| jobs.iter().cloned().collect()),
        }
    }
}

/// As the jobs stand at this moment: for whoever is about to change one.
async fn naming(broker: &Broker) -> Answer<Naming> {
    let (mut naming, mut turns) = (Naming::new(), Turns::begin());
    for job in jobs::list(broker).await? {
        let named = job.spec.as_ref().map(calendars::named);
        for calendar in named.unwrap_or_default() {
            let jobs = naming.entry(calendar.to_string()).or_default();
            jobs.insert(job.name.clone());
        }
        turns.pass().await;
    }
    Ok(naming)
}

/// All calendars, by name.
#[utoipa::path(get, path = "/calendars", tag = "calendars", operation_id = "calendars",
    responses((status = 200, body = Calendars)))]
pub(super) async fn list(
    State(api): State<Api>,
    Linked(broker): Linked,
) -> Answer<Json<Calendars>> {
    let all = calendars::list(&broker).await?;
    let told = api.jobs.look(|jobs| {
        let naming = jobs.calendars();
        let items = all.iter().map(|stored| CalendarTold::of(stored, naming));
        items.collect::<Vec<CalendarTold>>()
    });
    Ok(Json(Calendars { items: told.await? }))
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
    let told = CalendarTold::of(stored, &naming(&broker).await?);
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

/// What stands there, if it is what was expected.
async fn seen(broker: &Broker, name: &CalendarName, wanted: Option<u64>) -> Answer<Seen> {
    let seen = calendars::see(broker, name).await?;
    match wanted.is_none_or(|wanted| wanted == seen.revision()) {
        true => Ok(seen),
        false => Err(moved(name, seen.revision())),
    }
}

/// A calendar as it is meant to be, and the revision that is expected to stand there.
type Meant<'a> = (&'a CalendarName, &'a Calendar, Option<u64>);

/// What stands there, and what the calendar changes of that.
async fn compared(broker: &Broker, (name, calendar, wanted): Meant<'_>) -> Answer<(Seen, Change)> {
    let seen = seen(broker, name, wanted).await?;
    let change = match (&seen.stored, seen.kept()) {
        (None, _) => Change::Created,
        (_, Some(kept)) if kept.calendar() == calendar => Change::Unchanged,
        _ => Change::Changed,
    };
    Ok((seen, change))
}

/// Writes it. Where somebody else wrote first, what stands there now is looked at again: it may be what was expected no
/// more, or what is meant already.
async fn put(
    broker: &Broker,
    (mut seen, mut change): (Seen, Change),
    meant: Meant<'_>,
) -> Answer<(Change, u64)> {
    for _ in 0..ROUNDS {
        match calendars::put(broker, &seen, meant.1.clone()).await {
            Ok(revision) => return Ok((change, revision)),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
        (seen, change) = compared(broker, meant).await?;
        if change == Change::Unchanged {
            return Ok((change, seen.revision()));
        }
    }
    Err(busy(meant.0))
}

fn busy(name: &CalendarName) -> Problem {
    let detail = format!("calendar {name}: others write it all the time; try again");
    Problem::new(Kind::Conflict, detail)
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
    let meant = (&name, &calendar, wanted);
    let (seen, mut change) = compared(&broker, meant).await?;
    let mut revision = seen.revision();
    if !how.dry_run && change != Change::Unchanged {
        hand.orders(&broker, "calendar apply", name.as_str(), "")
            .await?;
        (change, revision) = put(&broker, (seen, change), meant).await?;
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
    let mut doomed = doomed(&broker, (&name, wanted), &how).await?;
    hand.orders(&broker, "calendar delete", name.as_str(), "")
        .await?;
    for _ in 0..ROUNDS {
        let (seen, jobs) = doomed;
        match calendars::delete(&broker, &seen).await {
            Ok(()) => {
                return Ok(Json(CalendarDeleted {
                    calendar: name,
                    jobs,
                }));
            }
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
        doomed = self::doomed(&broker, (&name, wanted), &how).await?;
    }
    Err(busy(&name))
}

/// What is to be deleted, if it may be, and the jobs that name it.
async fn doomed(
    broker: &Broker,
    (name, wanted): (&CalendarName, Option<u64>),
    how: &HowDeleted,
) -> Answer<(Seen, Vec<String>)> {
    let seen = seen(broker, name, wanted).await?;
    let absent = || Problem::absent(format!("there is no calendar {name}"));
    let stored = seen.stored.as_ref().ok_or_else(absent)?;
    let jobs = naming(broker).await?.remove(&stored.name);
    let jobs: Vec<String> = jobs.into_iter().flatten().collect();
    if !jobs.is_empty() && !how.force {
        let jobs = jobs.join(", ");
        let detail = format!(
            "these name calendar {name}, and would wait without it: {jobs}; apply them without it first, or say force=true"
        );
        return Err(Problem::new(Kind::Conflict, detail));
    }
    Ok((seen, jobs))
}
