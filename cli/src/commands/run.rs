//! `gridloom run`: a submission, and with `--wait` its run to the end.
//!
//! It checks what it can before anything is sent: a submission that the planner would refuse is
//! refused here, at once, with the same words.

use std::collections::BTreeSet;

use gridloom_shared::broker::log::AppendError;
use gridloom_shared::chain;
use gridloom_shared::id::RunId;
use gridloom_shared::job::JobSpec;
use gridloom_shared::orders::submit::{self, SubmitError};
use gridloom_shared::submission::answer::{Outcome, Reply};
use gridloom_shared::submission::{ByHand, Submission};
use gridloom_shared::trace::{self, Traceparent};
use serde_json::{Map, Value};

use super::{installation, log};
use crate::args::RunArgs;
use crate::context::Context;
use crate::fault::{Misuse, Verdict};

mod failure;
mod value;
mod wait;

/// Submits, and waits if so wished.
///
/// # Errors
/// When there is no such job, the parameters cannot be, or the broker does not answer.
pub async fn run(context: &Context, flags: RunArgs) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    let spec = installation::job(&broker, &flags.job).await?;
    // What others have put into the environment is no fault of whoever types this.
    let inherited = || Traceparent::parse(&std::env::var(trace::VARIABLE).ok()?);
    let traceparent = flags.traceparent.or_else(inherited);
    let id = flags.id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let mut body = Map::from_iter([("id".to_owned(), Value::from(id.clone()))]);
    if !flags.params.is_empty() {
        let given = params(&spec, &flags.params).map_err(Misuse::error)?;
        body.insert("params".to_owned(), Value::Object(given));
    }
    if let Some(overlap) = flags.overlap {
        let overlap = ByHand::from(overlap).as_str();
        body.insert("overlap".to_owned(), Value::from(overlap));
    }
    let body = serde_json::to_vec(&body)?;
    let submission =
        Submission::parse(&body, None).map_err(|error| Misuse::error(chain(&error).to_string()))?;
    submission
        .applied_to(&spec)
        .map_err(|error| Misuse::error(chain(&error).to_string()))?;

    log::mention(&broker, "run", flags.job.as_str(), &format!("id {id}")).await;
    let refused_before = match flags.wait {
        true => broker.info(&broker.subjects().history()).await?.last_seq,
        false => 0,
    };
    let sent = submit::send(&broker, &flags.job, (&id, body.into()), traceparent).await;
    let mut sent = sent.map_err(|error| unsubmitted(error, &id))?;
    let answer = sent.answer().await;
    let (run, sequence) = (sent.run, sent.sequence);
    let behind = answer.as_ref().and_then(|answer| answer.behind.clone());
    let outcome = accepted(answer)?;
    if flags.wait {
        begin(context, &run, outcome)?;
        let submitted = wait::Submitted {
            run,
            spec,
            sequence,
            refused_before,
            content: submission.content(),
        };
        return wait::to_the_end(context, &broker, &submitted, sent.answers).await;
    }
    let nobody = match outcome {
        Some(_) => String::new(),
        None => installation::nobody_leads(&broker).await,
    };
    let receipt = serde_json::json!({
        "run": run, "job": flags.job, "id": id, "sequence": sequence, "answer": outcome, "behind": behind,
    });
    let (said, more) = match (outcome, behind) {
        (Some(Outcome::Queued), behind) => (
            match behind {
                Some(behind) => format!("run {run} waits until run {behind} is over"),
                None => format!("run {run} waits: the same --id was submitted before"),
            },
            format!("what becomes of it: gridloom job fires {}", flags.job),
        ),
        _ => told(&run, outcome, &nobody),
    };
    context.output.show(&receipt, |output| {
        output.say(said);
        output.note(more);
    });
    Ok(Verdict::Fine)
}

/// Says what became of a submission whose run is waited for.
fn begin(context: &Context, run: &RunId, outcome: Option<Outcome>) -> anyhow::Result<()> {
    let output = &context.output;
    match outcome {
        Some(Outcome::Exists) => output.note(format!("{}; waiting for its end", exists(run))),
        Some(Outcome::Purged) => return Err(wait::purged(run)),
        _ if output.is_json() => {}
        Some(Outcome::Opened | Outcome::Refused | Outcome::Queued) | None => {
            output.say(format!("submitted run {run}"));
        }
    }
    Ok(())
}

/// What became of a submission, and what to do next.
fn told(run: &RunId, outcome: Option<Outcome>, nobody: &str) -> (String, String) {
    match outcome {
        Some(Outcome::Opened) => (
            format!("submitted run {run}"),
            format!("look at it with gridloom show {run}"),
        ),
        Some(Outcome::Exists) => (
            exists(run),
            format!("nothing new was started; look at it with gridloom show {run}"),
        ),
        Some(Outcome::Purged) => (
            format!("run {run} is over and was purged: the same --id was submitted before"),
            "nothing new was started; take another --id for a new run".to_owned(),
        ),
        Some(Outcome::Refused | Outcome::Queued) | None => (
            format!("submitted run {run}"),
            format!("the submission is not taken yet: {nobody}"),
        ),
    }
}

fn exists(run: &RunId) -> String {
    format!("run {run} exists already: the same --id was submitted before")
}

/// What became of a submission that was not refused.
fn accepted(answer: Option<Reply>) -> anyhow::Result<Option<Outcome>> {
    let Some(answer) = answer else {
        return Ok(None);
    };
    match (answer.answer, answer.reason) {
        (Outcome::Refused, reason) => Err(refused(&reason.unwrap_or_default())),
        (outcome, _) => Ok(Some(outcome)),
    }
}

fn refused(reason: &str) -> anyhow::Error {
    Misuse::error(format!("the planner refused the submission: {reason}"))
}

fn unsubmitted(error: SubmitError, id: &str) -> anyhow::Error {
    match error {
        SubmitError::Append(AppendError::Unknown { .. }) => anyhow::Error::new(error).context(
            format!("submit (safe to repeat with --id {id}: it never makes a second run)"),
        ),
        SubmitError::Append(_) | SubmitError::Listen(_) => error.into(),
    }
}

/// The parameters that were given, nested at their dots. A key inside a table of the job's own
/// parameters changes that key alone: the rest of the table is kept.
fn params(spec: &JobSpec, given: &[String]) -> Result<Map<String, Value>, String> {
    let (mut params, mut paths) = (Map::new(), BTreeSet::new());
    for text in given {
        let (path, value) = text.split_once('=').ok_or_else(|| {
            format!("--param {text:?}: must be KEY=VALUE, as --param day=2013-01-01")
        })?;
        if !paths.insert(path) {
            return Err(format!("--param {text:?}: {path} is given twice"));
        }
        let value = value::read(path, value).map_err(|why| format!("--param {text:?}: {why}"))?;
        let keys: Vec<&str> = path.split('.').collect();
        if keys.iter().any(|key| key.is_empty()) {
            return Err(format!("--param {text:?}: a key is empty"));
        }
        if keys.len() > 1
            && !params.contains_key(keys[0])
            && let Some(own) = spec.params.get(keys[0])
        {
            params.insert(keys[0].to_owned(), own.clone());
        }
        set(&mut params, &keys, value)
            .map_err(|inner| format!("--param {text:?}: {inner} is no table"))?;
    }
    Ok(params)
}

fn set(table: &mut Map<String, Value>, keys: &[&str], value: Value) -> Result<(), String> {
    match keys {
        [] => Ok(()),
        [key] => {
            table.insert((*key).to_owned(), value);
            Ok(())
        }
        [key, rest @ ..] => match table
            .entry(*key)
            .or_insert_with(|| Value::Object(Map::new()))
        {
            Value::Object(inner) => set(inner, rest, value),
            _ => Err((*key).to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::job::parse::{self, Format};

    use super::*;

    fn job() -> JobSpec {
        parse::parse(
            "name = \"a\"\nhandler = \"mine\"\n[params]\nx = 1\n[params.deep]\na = 1\nb = 2",
            Format::Toml,
        )
        .unwrap()
    }

    fn given(texts: &[&str]) -> Result<Value, String> {
        params(
            &job(),
            &texts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        )
        .map(Value::Object)
    }

    #[test]
    fn values_are_json_where_they_can_be_and_text_otherwise() {
        let params = given(&[
            "n=3",
            "day=2013-01-01",
            "list=[1,2]",
            "text=\"3\"",
            "empty=",
        ])
        .unwrap();
        let wanted = serde_json::json!({"n": 3, "day": "2013-01-01", "list": [1, 2], "text": "3", "empty": ""});
        assert_eq!(params, wanted);
    }

    #[test]
    fn dotted_key_changes_only_itself_in_a_table_of_the_job() {
        assert_eq!(
            given(&["deep.a=7"]).unwrap(),
            serde_json::json!({"deep": {"a": 7, "b": 2}})
        );
        assert_eq!(
            given(&["new.a.b=7"]).unwrap(),
            serde_json::json!({"new": {"a": {"b": 7}}})
        );
        assert!(given(&["x.y=1"]).is_err());
        assert!(given(&["novalue"]).is_err());
        assert!(given(&[".a=1"]).is_err());
    }

    #[test]
    fn parameter_that_is_given_twice_is_refused() {
        let error = given(&["deep.a=2", "x=1", "deep.a=3"]).unwrap_err();
        assert!(error.contains("deep.a is given twice"), "{error}");
    }
}
