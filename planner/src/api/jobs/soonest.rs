//! Which jobs fire next, of however many there are.

use axum::Json;
use axum::extract::State;
use futures_util::future::join_all;
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::armed::Soon;
use super::super::ask::Query;
use super::super::link::{Api, Linked};
use super::super::problem::{Answer, Problem};
use crate::prospect::coming::{Coming, Next};
use crate::prospect::obstacles::Around;
use crate::prospect::times::TimeError;

/// Fires that are told unless somebody says how many, and at most.
const TOLD: usize = 12;
/// See [`TOLD`].
const TOLD_MAX: usize = 100;
/// Jobs whose fires are reckoned at once.
const AT_ONCE: usize = 16;
/// Jobs that are looked at beyond those that are told: their alarms may be about fires that have passed.
const BEYOND_MAX: usize = 100;

/// How many.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct HowMany {
    /// At most so many; 12 where nobody says.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// The fires that come next.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct SoonestFires {
    /// The next fire of each job, the soonest first. A job that fires nothing more, is paused until somebody resumes it, or
    /// follows from the end of a run that is open, is not among them.
    items: Vec<SoonestFire>,
}

/// The next fire of a job.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct SoonestFire {
    /// The job.
    job: String,
    /// Its schedule in words.
    words: String,
    #[serde(flatten)]
    fire: Next,
}

/// The next fires of all jobs, the soonest first.
#[utoipa::path(get, path = "/fires/next", tag = "jobs", operation_id = "soonest_fires", params(HowMany),
    responses((status = 200, body = SoonestFires)))]
pub(in super::super) async fn soonest(
    State(api): State<Api>,
    Linked(broker): Linked,
    Query(how_many): Query<HowMany>,
) -> Answer<Json<SoonestFires>> {
    let most = how_many.limit.map_or(TOLD, |limit| limit as usize);
    if !(1..=TOLD_MAX).contains(&most) {
        let detail = format!("limit: must be from 1 to {TOLD_MAX}");
        return Err(Problem::invalid(detail));
    }
    let armed = api.armed.look(&broker).await?;
    let around = Around::look(&broker, &[]).await?;
    let mut found: Vec<(UnixMs, SoonestFire)> = Vec::new();
    let looked_at = armed.len().min(most + BEYOND_MAX);
    for some in armed[..looked_at].chunks(AT_ONCE) {
        // No later one opens before it is due.
        let last = found.get(most - 1).map(|(opens_at, _)| *opens_at);
        if last.is_some_and(|last| some[0].due >= last) {
            break;
        }
        let fires = some.iter().map(|soon| fire(&api, &broker, &around, soon));
        for fire in join_all(fires).await {
            found.extend(fire?);
        }
        found.sort_by(|(at, fire), (other_at, other)| {
            at.cmp(other_at).then_with(|| fire.job.cmp(&other.job))
        });
    }
    found.truncate(most);
    let items = found.into_iter().map(|(_, fire)| fire).collect();
    Ok(Json(SoonestFires { items }))
}

/// The next fire of one job, as its schedule says it now, and when it opens. `None`: it has none.
async fn fire(
    api: &Api,
    broker: &Broker,
    around: &Around,
    soon: &Soon,
) -> Answer<Option<(UnixMs, SoonestFire)>> {
    let stored = api.jobs.look(|jobs| jobs.get(soon.job.as_str()).cloned());
    let Some(stored) = stored.await? else {
        return Ok(None);
    };
    let Ok(job) = &stored.spec else {
        return Ok(None);
    };
    let coming = match Coming::of_stored(broker, job, &stored, around).await {
        Ok(coming) => coming,
        Err(error @ (TimeError::Read(_) | TimeError::List(_))) => return Err(error.into()),
        // What is wrong with its schedule is told where it is asked for.
        Err(_) => return Ok(None),
    };
    let now = UnixMs::now();
    // One whose time has passed, and that opens later by jitter or spread.
    let passed = UnixMs(soon.scheduled_at.0.saturating_sub(1)).min(now);
    let opening = coming.first(passed).filter(|(opens_at, _)| *opens_at > now);
    let first = opening.or_else(|| coming.first(now));
    Ok(first.map(|(opens_at, fire)| {
        let fire = SoonestFire {
            job: stored.name.clone(),
            words: coming.spec.words(),
            fire,
        };
        // A pause may hold it back until it is due.
        (opens_at.max(soon.due), fire)
    }))
}
