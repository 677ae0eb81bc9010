//! How it is said that something cannot be done: one form for everything (RFC 9457), whatever refuses it.

use std::error::Error;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gridloom_shared::broker::api::ApiError;
use gridloom_shared::broker::kv::WriteError;
use gridloom_shared::broker::log::{AppendError, ReadError};
use gridloom_shared::broker::topology::TopologyError;
use gridloom_shared::broker::{PublishError, RequestError};
use gridloom_shared::chain;
use gridloom_shared::job::parse::Faults;
use gridloom_shared::reads::attempts::ShardError;
use gridloom_shared::reads::backfills::BackfillError;
use gridloom_shared::reads::by_hand::WithdrawError;
use gridloom_shared::reads::pauses::PauseError;
use gridloom_shared::reads::{ListError, RunError};
use serde::Serialize;

/// Seconds after which to ask again where the broker is away.
const SOON_S: u32 = 2;

/// What kind of problem it is: the end of its `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Invalid,
    Unauthorized,
    Forbidden,
    ReadOnly,
    NotFound,
    NoMethod,
    Conflict,
    Gone,
    Changed,
    TooLarge,
    MediaType,
    Refused,
    Internal,
    Unavailable,
    Unknown,
    TimedOut,
}

impl Kind {
    fn told(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Kind::Invalid => (S::BAD_REQUEST, "invalid", "The request makes no sense"),
            Kind::Unauthorized => (S::UNAUTHORIZED, "unauthorized", "A token is needed"),
            Kind::Forbidden => (S::FORBIDDEN, "forbidden", "That is not allowed"),
            Kind::ReadOnly => (S::FORBIDDEN, "read-only", "Nothing is changed here"),
            Kind::NotFound => (S::NOT_FOUND, "not-found", "There is no such thing"),
            Kind::NoMethod => (S::METHOD_NOT_ALLOWED, "method", "Not in that way"),
            Kind::Conflict => (S::CONFLICT, "conflict", "It stands otherwise"),
            Kind::Gone => (S::GONE, "gone", "It is not there any more"),
            Kind::Changed => (S::PRECONDITION_FAILED, "changed", "It was changed since"),
            Kind::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", "That is too much"),
            Kind::MediaType => (S::UNSUPPORTED_MEDIA_TYPE, "media-type", "JSON is needed"),
            Kind::Refused => (S::UNPROCESSABLE_ENTITY, "refused", "That cannot be done"),
            Kind::Internal => (
                S::INTERNAL_SERVER_ERROR,
                "internal",
                "Something is wrong here",
            ),
            Kind::Unavailable => (S::SERVICE_UNAVAILABLE, "unavailable", "Not just now"),
            Kind::Unknown => (S::SERVICE_UNAVAILABLE, "unknown", "It may have been done"),
            Kind::TimedOut => (S::SERVICE_UNAVAILABLE, "timed-out", "It takes too long"),
        }
    }

    /// What a status of the framework's own means.
    pub(super) fn of(status: StatusCode) -> Kind {
        match status {
            StatusCode::NOT_FOUND => Kind::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Kind::NoMethod,
            StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Kind::MediaType,
            status if status.is_server_error() => Kind::Internal,
            _ => Kind::Invalid,
        }
    }
}

/// Why a request was not answered as it wished.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    faults: Vec<String>,
    revision: Option<u64>,
}

/// What is sent of it: `application/problem+json`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(super) struct Told<'p> {
    /// `urn:gridloom:` and one word of a closed set: what a program decides by.
    r#type: String,
    /// The same in words.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What is the matter, and what to do about it.
    detail: &'p str,
    /// Of a definition: each of its faults, with its place.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    faults: &'p [String],
    /// Of what was changed since: the revision that stands there; 0: nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
}

pub(super) type Answer<T> = Result<T, Problem>;

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Problem {
        Problem {
            kind,
            detail: detail.into(),
            faults: Vec::new(),
            revision: None,
        }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Problem {
        Problem::new(Kind::Invalid, detail)
    }

    pub(super) fn absent(detail: impl Into<String>) -> Problem {
        Problem::new(Kind::NotFound, detail)
    }

    /// Something else stands there than was expected.
    pub(super) fn changed(detail: impl Into<String>, revision: u64) -> Problem {
        Problem {
            revision: Some(revision),
            ..Problem::new(Kind::Changed, detail)
        }
    }

    /// What a definition says cannot be.
    pub(super) fn faulty(what: &str, faults: &Faults) -> Problem {
        let faults: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
        Problem {
            detail: format!("{what} cannot be so: {}", faults.join("; ")),
            faults,
            ..Problem::new(Kind::Refused, "")
        }
    }

    /// There is no broker to ask.
    pub(super) fn away() -> Problem {
        Problem::new(
            Kind::Unavailable,
            "this planner has no connection to the broker; it goes on trying",
        )
    }

    /// What is sent of it.
    pub(super) fn told(&self) -> Told<'_> {
        let (status, word, title) = self.kind.told();
        Told {
            r#type: format!("urn:gridloom:{word}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            faults: &self.faults,
            revision: self.revision,
        }
    }

    /// Whether it is not about what was asked for: whatever is asked for next meets it, too.
    pub(super) fn is_of_all(&self) -> bool {
        matches!(
            self.kind,
            Kind::Internal | Kind::Unavailable | Kind::Unknown | Kind::TimedOut
        )
    }

    /// What is the matter.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    fn of_broker(error: &dyn Error, cause: &ApiError) -> Problem {
        let detail = chain(error).to_string();
        if cause.is_stream_missing() {
            let detail = format!("{detail}; a planner makes the streams when it starts");
            return Problem::new(Kind::Unavailable, detail);
        }
        match cause.is_passing() {
            true => Problem::new(Kind::Unavailable, detail),
            false => Problem::new(Kind::Internal, detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, ..) = self.kind.told();
        let mut response = (status, Json(self.told())).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(SOON_S));
            }
            StatusCode::UNAUTHORIZED => {
                let scheme = HeaderValue::from_static("Bearer realm=\"gridloom\"");
                headers.insert(header::WWW_AUTHENTICATE, scheme);
            }
            _ => {}
        }
        response
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Problem {
        Problem::of_broker(&error, &error)
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Problem {
        Problem::from(ApiError::from(error))
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Problem {
        Problem::of_broker(&error, &error.cause)
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Problem {
        Problem::new(Kind::Unavailable, chain(&error).to_string())
    }
}

impl From<TopologyError> for Problem {
    fn from(error: TopologyError) -> Problem {
        let kind = match error.is_passing() {
            true => Kind::Unavailable,
            false => Kind::Internal,
        };
        Problem::new(kind, chain(&error).to_string())
    }
}

impl From<ListError> for Problem {
    fn from(error: ListError) -> Problem {
        match error {
            ListError::Read(error) => error.into(),
            ListError::Api(error) => error.into(),
            ListError::Topology(error) => error.into(),
            ListError::Ask(error) => error.into(),
        }
    }
}

impl From<RunError> for Problem {
    fn from(error: RunError) -> Problem {
        let detail = chain(&error).to_string();
        match error {
            RunError::Absent { .. } => Problem::absent(detail),
            RunError::Purged { .. } | RunError::Lost { .. } => Problem::new(Kind::Gone, detail),
            RunError::Waiting { .. } => Problem::new(Kind::Conflict, detail),
            RunError::Headless { .. } => Problem::new(Kind::Refused, detail),
            RunError::Read(error) => error.into(),
            RunError::Api(error) => error.into(),
        }
    }
}

impl From<ShardError> for Problem {
    fn from(error: ShardError) -> Problem {
        match error {
            ShardError::Run(error) => error.into(),
            ShardError::NoSlice { .. }
            | ShardError::NoPage { .. }
            | ShardError::NoQuestion { .. } => Problem::absent(chain(&error).to_string()),
        }
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Problem {
        // Under which key of which bucket something stands is nobody's business who asks for it over HTTP.
        match &error {
            WriteError::Conflict { .. } => Problem::new(
                Kind::Conflict,
                "somebody else changed the same at the same time, and nothing was done: look how it stands now, and ask again",
            ),
            WriteError::Newer { cause, .. } => Problem::new(
                Kind::Conflict,
                format!(
                    "what stands there was written by a newer build, and this planner does not replace it: {}",
                    chain(cause)
                ),
            ),
            WriteError::Unknown { cause, .. } => Problem::new(
                Kind::Unknown,
                format!("it may have been done: {}", chain(cause)),
            ),
            WriteError::Failed { cause, .. } => Problem::of_broker(cause, cause),
        }
    }
}

impl From<PauseError> for Problem {
    fn from(error: PauseError) -> Problem {
        match error {
            PauseError::Read(error) => error.into(),
            PauseError::Write(error) => error.into(),
            PauseError::Busy { .. } => Problem::new(Kind::Conflict, chain(&error).to_string()),
        }
    }
}

impl From<WithdrawError> for Problem {
    fn from(error: WithdrawError) -> Problem {
        let detail = chain(&error).to_string();
        match error {
            WithdrawError::Read(error) => error.into(),
            WithdrawError::Write(error) => error.into(),
            WithdrawError::Newer(_) => Problem::new(Kind::Conflict, detail),
        }
    }
}

impl From<BackfillError> for Problem {
    fn from(error: BackfillError) -> Problem {
        let detail = chain(&error).to_string();
        match error {
            BackfillError::Read(error) => error.into(),
            BackfillError::Write(error) => error.into(),
            BackfillError::TooMany { .. } | BackfillError::Conflict { .. } => {
                Problem::new(Kind::Conflict, detail)
            }
            BackfillError::Absent { .. } => Problem::absent(detail),
        }
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Problem {
        let detail = stored_not(&error);
        let kind = match &error {
            AppendError::Conflict { .. } => Kind::Conflict,
            AppendError::Full { .. } | AppendError::Unavailable { .. } => Kind::Unavailable,
            AppendError::Unknown { .. } => Kind::Unknown,
            AppendError::Failed { .. } => Kind::Refused,
        };
        Problem::new(kind, detail)
    }
}

/// Why something is not stored, or may be, without the broker's name for the place.
pub(super) fn stored_not(error: &AppendError) -> String {
    match error {
        AppendError::Conflict { .. } => "somebody else came first".to_owned(),
        AppendError::Full { fault, .. } => format!(
            "the broker has no room for it (make room on its disk, or raise its limits): {}",
            chain(fault)
        ),
        AppendError::Unavailable { cause, .. } => {
            format!("the broker does not take it just now: {cause}")
        }
        AppendError::Unknown { cause, .. } => {
            format!("it may have been stored, as no answer came: {cause}")
        }
        AppendError::Failed { cause, .. } => format!("the broker refused it: {cause}"),
    }
}
