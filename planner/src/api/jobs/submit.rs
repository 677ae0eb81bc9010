//! Starts a run by hand, as a submission would; or says what that would be.

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use gridloom_shared::chain;
use gridloom_shared::exact;
use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::job::parse;
use gridloom_shared::orders::submit::{self, SubmitError};
use gridloom_shared::submission::Submission;
use gridloom_shared::submission::answer::Outcome;
use gridloom_shared::trace::{self, Traceparent};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::ask::{Path, Query, Text};
use super::super::link::Linked;
use super::super::log::Hand;
use super::super::problem::{Answer, Kind, Problem};
use super::define::How;
use super::stored;

/// The header that names the request: the same one never makes a second run.
const KEY: &str = "idempotency-key";

/// What may be said of a run.
#[derive(ToSchema)]
#[schema(as = Submission)]
#[expect(dead_code, reason = "describes what the submission's own reader reads")]
pub(in super::super) struct Said {
    /// Parameters that are put over the job's own, key by key.
    #[schema(value_type = Option<Object>)]
    params: Option<Value>,
    /// A grid that takes the place of the job's, where that lets a submission change it.
    #[schema(value_type = Option<Object>)]
    grid: Option<Value>,
    /// What becomes of it while another run of the job is open: allow, skip, queue_one, queue_all, cancel_running.
    overlap: Option<String>,
    /// The request's id, where it is none that a header may have. Not beside an Idempotency-Key.
    id: Option<String>,
}

/// A submission that is stored.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Receipt {
    /// The run that it makes.
    run: RunId,
    /// The job.
    job: JobName,
    /// The request's id, as it was said, or one by chance.
    id: String,
    /// Its place in the submit stream.
    sequence: u64,
    /// What became of it: opened, exists, purged or queued; `None`: no planner has said so yet, and the run will be
    /// opened once one leads.
    answer: Option<String>,
    /// The run that it waits for.
    behind: Option<RunId>,
}

/// What a submission would be.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunProspect)]
pub(in super::super) struct Prospect {
    /// The job.
    job: JobName,
    /// What the run would be frozen to, as a job file would say it.
    #[schema(value_type = Object)]
    definition: Value,
    /// Shards of its grid, as far as they are known before it runs.
    shards: Option<u64>,
}

/// The body with the request's id in it, wherever that is said; one by chance where it is not.
fn named(headers: &HeaderMap, text: &str) -> Answer<Vec<u8>> {
    // As the planner reads it in the end: whatever another reader would make another number of is refused here, too.
    let body = exact::json(text.as_bytes()).map_err(|error| {
        let kind = match error.is_json {
            true => Kind::Refused,
            false => Kind::Invalid,
        };
        Problem::new(kind, format!("the body: {}", chain(&error)))
    })?;
    let Value::Object(mut body) = body else {
        return Err(Problem::invalid(
            "the body: must be an object, as {\"params\": {}}",
        ));
    };
    if headers.get_all(KEY).iter().count() > 1 {
        let detail = "Idempotency-Key: once: a second one would be passed over";
        return Err(Problem::invalid(detail));
    }
    if let Some(key) = headers.get(KEY) {
        if body.contains_key("id") {
            let detail = "id: the request is named by the header Idempotency-Key already: leave one of them out";
            return Err(Problem::new(Kind::Refused, detail));
        }
        let key = key.to_str().ok().filter(|text| !text.is_empty());
        let wrong = "Idempotency-Key: must be a visible text of ASCII: any other id may stand in the body, as id";
        let key = key.ok_or_else(|| Problem::invalid(wrong))?;
        body.insert("id".to_owned(), key.into());
    }
    if body.get("id").is_none_or(Value::is_null) {
        body.insert("id".to_owned(), uuid::Uuid::new_v4().to_string().into());
    }
    Ok(serde_json::to_vec(&body).unwrap_or_default())
}

/// Starts a run. With an Idempotency-Key, or an id in the body, the same request never makes a second one. A traceparent (W3C Trace Context) is
/// kept with the run, and its handlers are told.
#[utoipa::path(post, path = "/jobs/{job}/runs", tag = "runs", operation_id = "submit",
    params(("job" = JobName, Path), How, ("idempotency-key" = Option<String>, Header)), request_body = Option<Said>,
    responses((status = 202, body = Receipt), (status = 200, body = Prospect)))]
pub(in super::super) async fn submit(
    Linked(broker): Linked,
    hand: Hand,
    Path(name): Path<JobName>,
    Query(how): Query<How>,
    headers: HeaderMap,
    Text(text): Text,
) -> Answer<Response> {
    let body = named(&headers, &text)?;
    let refused =
        |error: &dyn std::error::Error| Problem::new(Kind::Refused, chain(error).to_string());
    let submission = Submission::parse(&body, None).map_err(|error| refused(&error))?;
    let id = submission.id.clone().unwrap_or_default();
    let spec = stored(&broker, &name).await?.spec;
    let spec = spec.map_err(|error| refused(&error))?;
    let frozen = submission
        .applied_to(&spec)
        .map_err(|error| refused(&error))?;
    if how.dry_run {
        return Ok(Json(Prospect {
            job: name,
            shards: frozen.grid.shards(),
            definition: parse::to_value(&frozen),
        })
        .into_response());
    }
    let traceparent = headers.get(trace::TRACEPARENT);
    let traceparent = traceparent.and_then(|text| Traceparent::parse(text.to_str().ok()?));
    hand.orders(&broker, "run", name.as_str(), &format!("id {id}"))
        .await?;
    let mut sent = match submit::send(&broker, &name, (&id, body.into()), traceparent).await {
        Ok(sent) => sent,
        Err(SubmitError::Append(error)) => return Err(error.into()),
        Err(SubmitError::Listen(error)) => return Err(error.into()),
    };
    let reply = sent.answer().await;
    let answer = match &reply {
        Some(reply) if reply.answer == Outcome::Refused => {
            let reason = reply.reason.clone().unwrap_or_default();
            let detail = format!("the planner refused the submission: {reason}");
            return Err(Problem::new(Kind::Refused, detail));
        }
        Some(reply) => serde_json::json!(reply.answer).as_str().map(str::to_owned),
        None => None,
    };
    let receipt = Receipt {
        run: sent.run,
        job: name,
        id,
        sequence: sent.sequence,
        answer,
        behind: reply.and_then(|reply| reply.behind),
    };
    Ok((StatusCode::ACCEPTED, Json(receipt)).into_response())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn handed_on(params: &str) -> Answer<String> {
        let text = format!("{{\"id\": \"a\", \"params\": {{\"n\": {params}}}}}");
        named(&HeaderMap::new(), &text).map(|body| String::from_utf8(body).unwrap())
    }

    fn status(refused: &Problem) -> Value {
        json!(refused.told())["status"].clone()
    }

    #[test]
    fn number_is_handed_on_as_it_was_written_or_refused() {
        for carried in [
            "9007199254740993",
            "18446744073709551615",
            "-9223372036854775808",
            "0.1",
            "12345678901234.56",
        ] {
            let wanted = format!("{{\"id\":\"a\",\"params\":{{\"n\":{carried}}}}}");
            assert_eq!(handed_on(carried).unwrap(), wanted);
        }
        for refused in [
            "18446744073709551617",
            "0.1234567890123456789",
            "1e400",
            "1, \"n\": 2",
        ] {
            let problem = handed_on(refused).unwrap_err();
            assert_eq!(status(&problem), 422, "{refused}: {problem:?}");
        }
        assert_eq!(status(&handed_on("nan").unwrap_err()), 400);
        let list = named(&HeaderMap::new(), "[]").unwrap_err();
        assert_eq!(status(&list), 400);
    }
}
