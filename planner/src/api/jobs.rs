//! Jobs: their definitions, what was decided of their fires, what is paused.
//!
//! | room | what it orders |
//! |------|----------------|
//! | [`backfills`] | nominal times that are run again |
//! | [`define`] | definitions, each over what was seen |
//! | [`pause`] | that nothing fires for a while |
//! | [`prospect`] | nothing: when it fires next, and what became of one of its times |
//! | [`soonest`] | nothing: which jobs fire next |
//! | [`submit`] | a run |

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::id::JobName;
use gridloom_shared::job::parse;
use gridloom_shared::reads::fires::{self, Told};
use gridloom_shared::reads::jobs::{self, StoredJob};
use gridloom_shared::reads::pauses::{self, Paused};
use gridloom_shared::suggest;
use gridloom_shared::turns::Turns;
use serde::de::IntoDeserializer as _;
use serde::de::value::{self, StrDeserializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::ask::{Path, Query, after, limit};
use super::calendars::etag;
use super::crew::moment;
use super::cursor::List;
use super::link::{Api, Linked};
use super::problem::{Answer, Problem};

pub(super) mod backfills;
pub(super) mod define;
pub(super) mod pause;
pub(super) mod prospect;
pub(super) mod soonest;
pub(super) mod submit;

/// Names that are compared with one that is not known before others have their turn.
const COMPARED: usize = 32;

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Whose name holds this.
    name: Option<String>,
    /// On this queue.
    queue: Option<String>,
    /// With this handler.
    handler: Option<String>,
    /// With a schedule, or without.
    scheduled: Option<bool>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
    /// What `next` of the page before said.
    after: Option<String>,
}

/// A page of jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Jobs {
    /// By name.
    items: Vec<JobTold>,
    /// Where the list goes on; `None`: that was the end.
    next: Option<String>,
}

/// A job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub(super) struct JobTold {
    /// Its name.
    job: String,
    /// Which change made it so: what the next one may expect.
    revision: u64,
    /// When that was, RFC 3339.
    applied_at: String,
    /// What its file would say; `None`: this build cannot read it.
    #[schema(value_type = Option<Object>)]
    definition: Option<Value>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

impl JobTold {
    pub(super) fn of(stored: &StoredJob) -> JobTold {
        JobTold {
            job: stored.name.clone(),
            revision: stored.revision,
            applied_at: stored.applied_at.rfc3339(),
            definition: stored.spec.as_ref().ok().map(parse::to_value),
            unreadable: stored
                .spec
                .as_ref()
                .err()
                .map(|error| chain(error).to_string()),
        }
    }
}

impl Which {
    fn is_meant(&self, job: &StoredJob) -> bool {
        let spec = job.spec.as_ref().ok();
        let is = |wanted: &Option<String>, of: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| of == Some(wanted))
        };
        self.name
            .as_deref()
            .is_none_or(|part| job.name.contains(part))
            && is(&self.queue, spec.map(|spec| spec.queue.as_str()))
            && is(&self.handler, spec.map(|spec| spec.handler.as_str()))
            && self.scheduled.is_none_or(|scheduled| {
                spec.is_some_and(|spec| spec.schedule.is_some() == scheduled)
            })
    }
}

/// Jobs, by name.
#[utoipa::path(get, path = "/jobs", tag = "jobs", operation_id = "jobs", params(Which),
    responses((status = 200, body = Jobs)))]
pub(super) async fn list(
    State(api): State<Api>,
    Linked(_): Linked,
    Query(which): Query<Which>,
) -> Answer<Json<Jobs>> {
    let limit = limit(which.limit)?;
    let after: Option<String> = after(List::JOBS, which.after.as_deref())?;
    let found = api.jobs.look(|jobs| {
        let jobs = jobs.behind(after.as_ref());
        let meant = jobs.filter(|job| which.is_meant(job)).take(limit + 1);
        meant.cloned().collect::<Vec<Arc<StoredJob>>>()
    });
    let mut found = found.await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    Ok(Json(Jobs {
        next: last.and_then(|last| List::JOBS.behind(&last.name)),
        items: found.iter().map(|job| JobTold::of(job)).collect(),
    }))
}

/// One job.
#[utoipa::path(get, path = "/jobs/{job}", tag = "jobs", operation_id = "job", params(("job" = JobName, Path)),
    responses((status = 200, body = JobTold, headers(("etag" = String)))))]
pub(super) async fn show(
    Linked(broker): Linked,
    Path(name): Path<JobName>,
) -> Answer<impl IntoResponse> {
    let stored = stored(&broker, &name).await?;
    let told = JobTold::of(&stored);
    Ok(([(header::ETAG, etag(stored.revision))], Json(told)))
}

/// The job of that name.
pub(super) async fn stored(broker: &Broker, name: &JobName) -> Answer<StoredJob> {
    match jobs::get(broker, name).await? {
        Some(job) => Ok(job),
        None => Err(absent(broker, name).await),
    }
}

pub(super) async fn absent(broker: &Broker, name: &JobName) -> Problem {
    let known = jobs::list(broker).await.unwrap_or_default();
    let names: Vec<&str> = known.iter().map(|job| job.name.as_str()).collect();
    // The nearest of all is the nearest of those beside it, too.
    let (mut near, mut turns) = (Vec::new(), Turns::begin());
    for some in names.chunks(COMPARED) {
        near.extend(suggest::nearest(name.as_str(), some.iter().copied()));
        turns.pass().await;
    }
    let hint = suggest::hint(name.as_str(), near);
    Problem::absent(format!("there is no job {name}{hint}"))
}

/// What was decided, as [`Told::decision`] says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Word {
    Opened,
    Queued,
    Skipped,
    CancelledPrevious,
    Expired,
    Coalesced,
    Paused,
    Frozen,
    Excluded,
    Dropped,
    Adopted,
    Halted,
    Ended,
}

impl Word {
    fn is_of(self, told: &Told) -> bool {
        let word: StrDeserializer<'_, value::Error> = told.decision.into_deserializer();
        Word::deserialize(word).is_ok_and(|word| word == self)
    }
}

/// Which decisions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichFires {
    /// Of this kind.
    #[param(inline)]
    decision: Option<Word>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
    /// What `next` of the page before said.
    after: Option<String>,
}

/// A page of decisions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Fires {
    /// The newest first.
    items: Vec<Told>,
    /// Where the list goes on; `None`: that was the end.
    next: Option<String>,
    /// Records that make no sense to this build.
    unreadable: u64,
}

/// What was decided of a job's fires, the newest first. Of a job that was deleted, too.
#[utoipa::path(get, path = "/jobs/{job}/fires", tag = "jobs", operation_id = "fires",
    params(("job" = JobName, Path), WhichFires), responses((status = 200, body = Fires)))]
pub(super) async fn fires(
    Linked(broker): Linked,
    Path(name): Path<JobName>,
    Query(which): Query<WhichFires>,
) -> Answer<Json<Fires>> {
    let limit = limit(which.limit)?;
    // How many from the oldest on were not told yet.
    let left: Option<usize> = after(List::fires(&name), which.after.as_deref())?;
    let fires = fires::list(&broker, &name).await?;
    if fires.told.is_empty() && jobs::get(&broker, &name).await?.is_none() {
        return Err(absent(&broker, &name).await);
    }
    let left = left.unwrap_or(usize::MAX).min(fires.told.len());
    let of_kind = |told: &Told| which.decision.is_none_or(|word| word.is_of(told));
    let mut all = fires.told.into_iter().enumerate().take(left).rev();
    let mut items = Vec::new();
    let mut last = 0;
    for (place, told) in all.by_ref().filter(|(_, told)| of_kind(told)).take(limit) {
        items.push(told);
        last = place;
    }
    let more = all.any(|(_, told)| of_kind(&told));
    Ok(Json(Fires {
        items,
        next: more.then(|| List::fires(&name).behind(&last)).flatten(),
        unreadable: fires.unreadable,
    }))
}

/// What is paused.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pauses {
    /// That of all jobs first, then by job.
    items: Vec<PauseTold>,
}

/// A pause that lasts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Pause)]
pub(super) struct PauseTold {
    /// The job; `None`: all of them.
    job: Option<JobName>,
    /// Who has paused it.
    by: String,
    /// What they said.
    note: String,
    /// Since when, RFC 3339.
    since: String,
    /// Until when, RFC 3339; `None`: until somebody resumes it.
    until: Option<String>,
}

impl PauseTold {
    pub(super) fn of(paused: &Paused) -> PauseTold {
        PauseTold {
            job: paused.job.clone(),
            by: paused.pause.by.clone(),
            note: paused.pause.note.clone(),
            since: paused.since().rfc3339(),
            until: moment(paused.pause.until),
        }
    }
}

/// All pauses that last.
pub(super) async fn all_pauses(broker: &Broker) -> Answer<Pauses> {
    let all = pauses::list(broker).await?;
    Ok(Pauses {
        items: all.iter().map(PauseTold::of).collect(),
    })
}

/// Schedules that are paused, of all jobs (a freeze) or of one.
#[utoipa::path(get, path = "/pauses", tag = "installation", operation_id = "pauses",
    responses((status = 200, body = Pauses)))]
pub(super) async fn pauses(Linked(broker): Linked) -> Answer<Json<Pauses>> {
    all_pauses(&broker).await.map(Json)
}
