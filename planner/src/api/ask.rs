//! How what is asked is read: path, query and body. What cannot be understood is a problem like any other, and a key
//! that nobody knows is refused: a filter that is silently ignored is worse than none.

use axum::body::{Body as Sent, Bytes, to_bytes};
use axum::extract::path::ErrorKind;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use gridloom_shared::chain;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::access::Who;
use super::cursor::List;
use super::problem::{Answer, Kind, Problem};
use super::settings::{BODY_MAX, PAGE, PAGE_MAX};

/// What the library puts before what is wrong with a query, and tells nobody anything.
const LIBRARY: &str = "Failed to deserialize query string: ";
/// So many bytes of a body that is too large are read all the same.
const PASSED_OVER: usize = 16 << 20;

/// The names in a path.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Path<T>> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        let read = read.map_err(|refused| Problem::invalid(misread(&refused)));
        read.map(|path| Path(path.0))
    }
}

/// What is wrong with a path, in words about what stands there.
fn misread(refused: &PathRejection) -> String {
    let PathRejection::FailedToDeserializePathParams(failed) = refused else {
        return refused.body_text();
    };
    match failed.kind() {
        ErrorKind::ParseErrorAtIndex { value, .. }
        | ErrorKind::ParseErrorAtKey { value, .. }
        | ErrorKind::ParseError { value, .. } => {
            format!("the path: {value:?} is no number that can stand there")
        }
        ErrorKind::Message(said) | ErrorKind::DeserializeError { message: said, .. } => {
            format!("the path: {said}")
        }
        kind => format!("the path: {kind}"),
    }
}

/// What stands behind the question mark.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Query<T>> {
        let read = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        let read = read.map_err(|refused: QueryRejection| {
            let said = refused.body_text();
            let said = said.strip_prefix(LIBRARY).unwrap_or(&said);
            Problem::invalid(format!("the query: {said}"))
        });
        read.map(|query| Query(query.0))
    }
}

/// What is sent: JSON, and as much as is taken. Nothing at all is an empty object.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Answer<Body<T>> {
        let Text(text) = Text::from_request(request, state).await?;
        // The library takes a list for the values of an object in their order: nobody knows which a key names.
        if text.trim_start().starts_with('[') {
            return Err(Problem::invalid(
                "the body: has to be an object, {...}, and is a list",
            ));
        }
        let read = serde_json::from_str(&text);
        let read = read.map_err(|error| Problem::invalid(format!("the body: {}", chain(&error))));
        read.map(Body)
    }
}

/// The same as it was sent: whoever reads it keeps each number as it was written.
pub(super) struct Text(pub(super) String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Answer<Text> {
        text(request, BODY_MAX).await.map(Text)
    }
}

/// What is sent, if it has `most` bytes or less.
pub(super) async fn text(request: Request, most: usize) -> Answer<String> {
    let is_json = is_json(request.headers());
    let bytes = taken(request, most).await?;
    if bytes.is_empty() {
        return Ok("{}".to_owned());
    }
    if !is_json {
        return Err(Problem::new(
            Kind::MediaType,
            "the body has to be JSON, and to say so: Content-Type: application/json",
        ));
    }
    let text = String::from_utf8(bytes.into());
    text.map_err(|_| Problem::invalid("the body: is no UTF-8"))
}

/// A request of an operation that takes no body. What stands in one would be passed over, a `dry_run` or a `slice` too, and more be
/// done than was meant. An empty object is nothing.
pub(super) async fn without_body(request: Request) -> Answer<Request> {
    let (parts, body) = request.into_parts();
    let sent = Request::from_parts(parts.clone(), body);
    let bytes = taken(sent, BODY_MAX).await?;
    let is_nothing = bytes.is_empty()
        || serde_json::from_slice::<Map<String, Value>>(&bytes).is_ok_and(|sent| sent.is_empty());
    match is_nothing {
        true => Ok(Request::from_parts(parts, Sent::empty())),
        false => Err(Problem::invalid(
            "the body: this operation takes none; what it takes stands in its path and behind the question mark",
        )),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

async fn taken(request: Request, most: usize) -> Answer<Bytes> {
    let too_large = || {
        let detail = format!("a body may have {most} bytes at most");
        Problem::new(Kind::TooLarge, detail)
    };
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > most) {
        pass_over(request.into_body()).await;
        return Err(too_large());
    }
    let bytes = to_bytes(request.into_body(), most).await;
    bytes.map_err(|error| match chain(&error).to_string() {
        said if said.contains("length limit") => too_large(),
        said => Problem::invalid(format!("the body cannot be read: {said}")),
    })
}

/// Reads what nobody wants: whoever is still sending it would not read the answer. Not all of what has no end.
async fn pass_over(body: Sent) {
    let (mut chunks, mut left) = (body.into_data_stream(), PASSED_OVER);
    while let Some(Ok(chunk)) = chunks.next().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// Who asks: the gate has seen to that.
pub(super) struct Asking(pub(super) Who);

impl<S: Send + Sync> FromRequestParts<S> for Asking {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Answer<Asking> {
        let who = parts.extensions.get::<Who>().cloned();
        let unknown = || Problem::new(Kind::Internal, "nobody has looked who asks");
        who.map(Asking).ok_or_else(unknown)
    }
}

/// How many items a page may have.
pub(super) fn limit(wanted: Option<u32>) -> Answer<usize> {
    match wanted.unwrap_or(PAGE) {
        limit @ 1..=PAGE_MAX => Ok(limit as usize),
        _ => Err(Problem::invalid(format!(
            "limit: must be from 1 to {PAGE_MAX}"
        ))),
    }
}

/// Where a list goes on.
pub(super) fn after<T: DeserializeOwned>(
    list: List<'_>,
    cursor: Option<&str>,
) -> Answer<Option<T>> {
    let read = |text| {
        list.read(text).ok_or_else(|| {
            Problem::invalid(
                "after: is no cursor of this list; take what `next` of its last page says",
            )
        })
    };
    cursor.map(read).transpose()
}

/// The revision that is expected: 0 for none at all, `None` where nobody said.
pub(super) fn expected(headers: &HeaderMap) -> Answer<Option<u64>> {
    let said = headers.get_all(header::IF_MATCH).iter();
    if said.chain(headers.get_all(header::IF_NONE_MATCH)).count() > 1 {
        let detail =
            "If-Match and If-None-Match: one of them, and once: a second line would be passed over";
        return Err(Problem::invalid(detail));
    }
    if let Some(value) = headers.get(header::IF_NONE_MATCH) {
        return match value.to_str() {
            Ok("*") => Ok(Some(0)),
            _ => Err(Problem::invalid("If-None-Match: only * is understood here")),
        };
    }
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let revision = value.to_str().ok().and_then(|text| {
        let text = text.trim().strip_prefix('"')?.strip_suffix('"')?;
        let revision = text.parse::<u64>().ok()?;
        (revision > 0 && revision.to_string() == text).then_some(revision)
    });
    let wrong = "If-Match: takes one ETag, as it was answered: a revision in double quotes";
    revision.map(Some).ok_or_else(|| Problem::invalid(wrong))
}
