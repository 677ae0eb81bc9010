//! That nothing fires for a while: of one job, or of all (a freeze).

use std::borrow::Cow;

use axum::Json;
use gridloom_shared::broker::Broker;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::reads::pauses;
use gridloom_shared::schedule::pause::{Missed, Pause};
use gridloom_shared::shown::on_one_line;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::ask::{Body, Path, Query};
use super::super::link::Linked;
use super::super::log::Hand;
use super::super::problem::{Answer, Kind, Problem};
use super::{PauseTold, stored};

/// No note is longer.
const NOTE_MAX: usize = 1_024;

/// A pause.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PauseWanted)]
pub(in super::super) struct Wanted {
    /// Why, for whoever finds nothing firing.
    #[schema(min_length = 1, max_length = 1_024)]
    note: String,
    /// Until when, RFC 3339; left out: until somebody resumes it.
    #[schema(format = DateTime)]
    until: Option<String>,
}

impl Wanted {
    fn pause(self, by: &str) -> Answer<Pause> {
        if !says_something(&self.note) || self.note.len() > NOTE_MAX {
            return Err(Problem::new(
                Kind::Refused,
                format!("note: says why, in 1 to {NOTE_MAX} bytes"),
            ));
        }
        let read = |text: String| match UnixMs::from_rfc3339(&text) {
            Some(until) if until > UnixMs::now() => Ok(until),
            Some(_) => Err(Problem::new(
                Kind::Refused,
                format!("until: {text} lies back"),
            )),
            None => Err(Problem::new(
                Kind::Refused,
                format!("until: {text:?} is no time such as 2026-03-01T02:00:00Z"),
            )),
        };
        Ok(Pause {
            by: by.to_owned(),
            note: self.note,
            from: None,
            until: self.until.map(read).transpose()?,
            resumed: None,
        })
    }
}

/// Whether somebody who reads it sees anything.
fn says_something(note: &str) -> bool {
    let is_seen = |c: char| {
        let mut room = [0; 4];
        let written = on_one_line(c.encode_utf8(&mut room));
        !c.is_whitespace() && matches!(written, Cow::Borrowed(_))
    };
    note.chars().any(is_seen)
}

/// What is paused now.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Paused {
    /// Whether something was changed: what is paused already keeps its note and its end.
    changed: bool,
    /// The pauses that last: of the job, and of all jobs.
    pauses: Vec<PauseTold>,
}

/// How what was held back is made up for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct How {
    /// What becomes of the fires that were held back; left out: as each schedule says.
    #[param(value_type = Option<MissedWord>)]
    missed: Option<Missed>,
}

/// What becomes of fires that were held back.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes another type, which is read")]
pub(in super::super) enum MissedWord {
    /// No runs.
    Skip,
    /// The newest gets one.
    Once,
    /// Each gets one.
    All,
}

async fn told(broker: &Broker, job: Option<&JobName>, changed: bool) -> Answer<Json<Paused>> {
    let all = pauses::list(broker).await?;
    let concern = |paused: &&pauses::Paused| {
        job.is_none() || paused.job.is_none() || paused.job.as_ref() == job
    };
    Ok(Json(Paused {
        changed,
        pauses: all.iter().filter(concern).map(PauseTold::of).collect(),
    }))
}

/// Holds back what a job fires. Its open runs go on, and runs by hand are opened.
#[utoipa::path(post, path = "/jobs/{job}/pause", tag = "jobs", operation_id = "pause",
    params(("job" = JobName, Path)), request_body = Wanted, responses((status = 200, body = Paused)))]
pub(in super::super) async fn pause(
    Linked(broker): Linked,
    hand: Hand,
    Path(name): Path<JobName>,
    Body(wanted): Body<Wanted>,
) -> Answer<Json<Paused>> {
    let pause = wanted.pause(hand.name())?;
    let spec = stored(&broker, &name).await?.spec;
    if spec.is_ok_and(|spec| spec.schedule.is_none()) {
        return Err(Problem::new(
            Kind::Conflict,
            format!(
                "job {name} has no schedule, so there is nothing to pause: a pause stops fires, and neither runs by hand nor submissions; a run is ended by /runs/RUN/cancel"
            ),
        ));
    }
    hand.orders(&broker, "job pause", name.as_str(), &pause.note)
        .await?;
    let changed = pauses::pause(&broker, Some(&name), &pause).await?;
    told(&broker, Some(&name), changed).await
}

/// Lets a job fire again.
#[utoipa::path(post, path = "/jobs/{job}/resume", tag = "jobs", operation_id = "resume",
    params(("job" = JobName, Path), How), responses((status = 200, body = Paused)))]
pub(in super::super) async fn resume(
    Linked(broker): Linked,
    hand: Hand,
    Path(name): Path<JobName>,
    Query(how): Query<How>,
) -> Answer<Json<Paused>> {
    stored(&broker, &name).await?;
    hand.orders(&broker, "job resume", name.as_str(), "")
        .await?;
    let by = hand.name().to_owned();
    let changed = pauses::resume(&broker, Some(&name), by, how.missed).await?;
    told(&broker, Some(&name), changed).await
}

/// Holds back what all jobs fire.
#[utoipa::path(post, path = "/freeze", tag = "installation", operation_id = "freeze", request_body = Wanted,
    responses((status = 200, body = Paused)))]
pub(in super::super) async fn freeze(
    Linked(broker): Linked,
    hand: Hand,
    Body(wanted): Body<Wanted>,
) -> Answer<Json<Paused>> {
    let pause = wanted.pause(hand.name())?;
    hand.orders(&broker, "pause all", "", &pause.note).await?;
    let changed = pauses::pause(&broker, None, &pause).await?;
    told(&broker, None, changed).await
}

/// Lets all jobs fire again, save those that are paused one by one.
#[utoipa::path(delete, path = "/freeze", tag = "installation", operation_id = "unfreeze", params(How),
    responses((status = 200, body = Paused)))]
pub(in super::super) async fn unfreeze(
    Linked(broker): Linked,
    hand: Hand,
    Query(how): Query<How>,
) -> Answer<Json<Paused>> {
    hand.orders(&broker, "resume all", "", "").await?;
    let by = hand.name().to_owned();
    let changed = pauses::resume(&broker, None, by, how.missed).await?;
    told(&broker, None, changed).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn note_says_something_that_is_seen() {
        for blank in ["", " \n", "\0", "\u{200b}\u{202e}", "\u{e0041} \u{7f}"] {
            assert!(!says_something(blank), "{blank:?}");
        }
        assert!(says_something("\0a") && says_something("日"));
    }
}
