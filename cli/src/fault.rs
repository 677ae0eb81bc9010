//! Decides with which of its codes the command ends.

use std::process::ExitCode;

use gridloom_planner::api;
use gridloom_planner::prospect::again::AgainError;
use gridloom_planner::prospect::times::TimeError;
use gridloom_shared::broker::api::ApiError;
use gridloom_shared::broker::kv::WriteError;
use gridloom_shared::broker::log::{AppendError, FollowError, ReadError};
use gridloom_shared::broker::topology::TopologyError;
use gridloom_shared::broker::{ConnectError, RequestError};
use gridloom_shared::chain;
use gridloom_shared::orders::define::DefineError;
use gridloom_shared::orders::empty::EmptyError;
use gridloom_shared::orders::submit::SubmitError;
use gridloom_shared::reads;
use gridloom_shared::telemetry::ServeError;
use gridloom_shared::wire::WireError;
use gridloom_worker::RunError;
use serde::Serialize;

use crate::exit::{FAILED, INTERRUPTED, MISUSE, OUTDATED, UNREACHABLE};

/// How a command ended that did what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Fine,
    /// The thing asked about failed: a failed run, a breach in an audit.
    Failed,
    /// The broker cannot be reached, and that was said already.
    Unreachable,
    /// All is well, as far as this build can read it.
    Outdated,
    /// It was told to stop waiting before there was an answer.
    Interrupted,
}

/// What a person did that cannot work. The message says how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(pub String);

impl Misuse {
    /// An error of wrong usage or input.
    pub fn error(message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Misuse(message.into()))
    }
}

/// A newer build wrote what was asked for, or some of it.
#[derive(Debug, thiserror::Error)]
#[error("{0}; use the gridloom of that build")]
pub struct Outdated(pub String);

/// Files with mistakes, each of which was told.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Faulty {
    /// How many there are.
    pub message: String,
    /// Each: the file, the key, what is wrong.
    pub faults: Vec<String>,
}

/// Why a command did nothing, or not all, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    error: String,
    /// One word of a closed set: misuse, unreachable, outdated, failed.
    kind: &'static str,
    /// The exit code.
    code: u8,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<String>,
}

impl Refusal {
    /// What is told of an error.
    pub fn of(error: &anyhow::Error) -> Refusal {
        let faulty = error
            .chain()
            .find_map(|cause| cause.downcast_ref::<Faulty>());
        Refusal {
            faults: faulty
                .map(|faulty| faulty.faults.clone())
                .unwrap_or_default(),
            ..Refusal::new(chain(&**error).to_string(), code_of(error))
        }
    }

    /// An error with its exit code.
    pub fn new(error: String, code: u8) -> Refusal {
        let kind = match code {
            MISUSE => "misuse",
            UNREACHABLE => "unreachable",
            OUTDATED => "outdated",
            _ => "failed",
        };
        Refusal {
            error,
            kind,
            code,
            faults: Vec::new(),
        }
    }
}

/// The broker was there and has been away for too long.
#[derive(Debug, thiserror::Error)]
#[error("reach the broker: it has been away for {}", crate::output::spoken(*.0))]
pub struct Gone(pub std::time::Duration);

/// The code for a verdict.
pub fn code(verdict: Verdict) -> ExitCode {
    match verdict {
        Verdict::Fine => ExitCode::SUCCESS,
        Verdict::Failed => ExitCode::from(FAILED),
        Verdict::Outdated => ExitCode::from(OUTDATED),
        Verdict::Unreachable => ExitCode::from(UNREACHABLE),
        Verdict::Interrupted => ExitCode::from(INTERRUPTED),
    }
}

/// The code for an error, by what caused it.
pub fn code_of(error: &anyhow::Error) -> u8 {
    error.chain().find_map(code_of_cause).unwrap_or(FAILED)
}

fn code_of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    match is_refused(cause) {
        true => Some(MISUSE),
        false => code_by_kind(cause),
    }
}

fn code_by_kind(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(code) = code_of_own(cause) {
        return Some(code);
    }
    if let Some(api::ServeError::InUse(_) | api::ServeError::Settings(_)) = cause.downcast_ref() {
        return Some(MISUSE);
    }
    if let Some(error) = cause.downcast_ref::<RunError>() {
        return Some(error.exit_code());
    }
    if let Some(error) = cause.downcast_ref::<reads::RunError>() {
        return match error {
            reads::RunError::Absent { .. }
            | reads::RunError::Waiting { .. }
            | reads::RunError::Purged { .. } => Some(MISUSE),
            reads::RunError::Headless { .. } | reads::RunError::Lost { .. } => None,
            reads::RunError::Read(error) => code_of_cause(error),
            reads::RunError::Api(error) => code_of_cause(error),
        };
    }
    let unreachable = |away: bool| away.then_some(UNREACHABLE);
    if let Some(error) = cause.downcast_ref::<ConnectError>() {
        return Some(if error.is_misuse() {
            MISUSE
        } else {
            UNREACHABLE
        });
    }
    if let Some(error) = cause.downcast_ref::<TopologyError>() {
        return unreachable(error.is_unreachable());
    }
    if let Some(error) = cause.downcast_ref::<ApiError>() {
        return unreachable(matches!(error, ApiError::Request(error) if is_away(error)));
    }
    if let Some(error) = cause.downcast_ref::<ReadError>() {
        return code_of_cause(&error.cause);
    }
    if let Some(error) = cause.downcast_ref::<WriteError>() {
        return unreachable(matches!(error, WriteError::Unknown { .. }));
    }
    if let Some(error) = cause.downcast_ref::<AppendError>() {
        return unreachable(matches!(
            error,
            AppendError::Unavailable { .. } | AppendError::Unknown { .. }
        ));
    }
    if let Some(code) = code_of_order(cause) {
        return Some(code);
    }
    if let Some(error) = cause.downcast_ref::<FollowError>() {
        return unreachable(matches!(error, FollowError::Unavailable { .. }));
    }
    unreachable(cause.downcast_ref::<RequestError>().is_some_and(is_away))
}

/// The code of what means one thing, wherever it comes from.
fn code_of_own(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if cause.is::<Misuse>() || cause.is::<Faulty>() {
        return Some(MISUSE);
    }
    let newer = cause
        .downcast_ref::<WireError>()
        .is_some_and(WireError::is_newer);
    if newer || cause.is::<Outdated>() {
        return Some(OUTDATED);
    }
    if cause.is::<Gone>() {
        return Some(UNREACHABLE);
    }
    if let Some(ServeError::InUse(_)) = cause.downcast_ref() {
        return Some(MISUSE);
    }
    None
}

/// Of what was asked of shards, lists and schedules, or ordered.
fn code_of_order(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(error) = cause.downcast_ref::<reads::attempts::ShardError>() {
        return match error {
            reads::attempts::ShardError::Run(error) => code_of_cause(error),
            reads::attempts::ShardError::NoSlice { .. }
            | reads::attempts::ShardError::NoPage { .. }
            | reads::attempts::ShardError::NoQuestion { .. } => Some(MISUSE),
        };
    }
    if let Some(error) = cause.downcast_ref::<reads::ListError>() {
        return match error {
            reads::ListError::Read(error) => code_of_cause(error),
            reads::ListError::Api(error) => code_of_cause(error),
            reads::ListError::Topology(error) => code_of_cause(error),
            reads::ListError::Ask(error) => code_of_cause(error),
        };
    }
    if let Some(error) = cause.downcast_ref::<TimeError>() {
        return match error {
            TimeError::Read(error) => code_of_cause(error),
            TimeError::List(error) => code_of_cause(error),
            error => error.is_misuse().then_some(MISUSE),
        };
    }
    if let Some(error) = cause.downcast_ref::<AgainError>() {
        return match error {
            AgainError::Time(error) => code_of_cause(error),
            AgainError::Refused(_) => Some(MISUSE),
        };
    }
    if let Some(SubmitError::Append(error)) = cause.downcast_ref() {
        return code_of_cause(error);
    }
    if let Some(error) = cause.downcast_ref::<DefineError>() {
        return match error {
            DefineError::Read(error) => code_of_cause(error),
            DefineError::Write(error) => code_of_cause(error),
            DefineError::Moved { .. } | DefineError::Busy { .. } => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<EmptyError>() {
        return match error {
            EmptyError::List(error) => code_of_cause(error),
            EmptyError::Read(error) => code_of_cause(error),
            // Its cause says it.
            EmptyError::Order(_) => None,
            EmptyError::Misuse(_) => Some(MISUSE),
        };
    }
    None
}

fn is_away(error: &RequestError) -> bool {
    !matches!(
        error,
        RequestError::Unsendable { .. } | RequestError::Refused { .. }
    )
}

/// Whether this user may not ask that: another one may.
fn is_refused(cause: &(dyn std::error::Error + 'static)) -> bool {
    let of_api = |error: &ApiError| error.is_refused();
    if let Some(TopologyError::Create { cause, .. } | TopologyError::Look { cause, .. }) =
        cause.downcast_ref()
    {
        return of_api(cause);
    }
    cause.downcast_ref().is_some_and(of_api)
        || cause.downcast_ref().is_some_and(WriteError::is_refused)
        || cause.downcast_ref().is_some_and(RequestError::is_refused)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn programs_are_told_an_error_with_its_kind_and_each_fault() {
        let faults = vec!["a.toml: name: is missing".to_owned()];
        let message = "1 mistake in 1 file".to_owned();
        let error = anyhow::Error::from(Faulty { message, faults });
        let wanted = serde_json::json!({
            "error": "1 mistake in 1 file", "kind": "misuse", "code": 2, "faults": ["a.toml: name: is missing"],
        });
        assert_eq!(serde_json::to_value(Refusal::of(&error)).unwrap(), wanted);
        let gone = anyhow::Error::from(Gone(std::time::Duration::from_secs(60)));
        let told = serde_json::to_value(Refusal::of(&gone)).unwrap();
        assert_eq!(
            (&told["kind"], &told["code"]),
            (&"unreachable".into(), &3.into())
        );
        assert_eq!(told.get("faults"), None);
    }

    #[test]
    fn code_follows_the_cause_however_deep_it_lies() {
        let away = ConnectError::Unreachable {
            url: "nats://x".into(),
            cause: "refused".into(),
        };
        let wrapped = Err::<(), _>(away).context("list the runs").unwrap_err();
        assert_eq!(code_of(&wrapped), UNREACHABLE);
        assert_eq!(
            code_of(&Misuse::error("no such job").context("run it")),
            MISUSE
        );
        assert_eq!(code_of(&anyhow::anyhow!("something else")), FAILED);
        let newer = anyhow::Error::from(WireError::Newer { found: 9, reads: 1 });
        assert_eq!(code_of(&newer.context("read it")), OUTDATED);
        let said = chain(&*wrapped).to_string();
        assert!(
            said.starts_with("list the runs: reach broker at nats://x: refused"),
            "{said}"
        );
    }
}
