//! What happens, as it happens: one stream of server-sent events for a reader, about the topics that it names.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`topic`] | what a stream may be about (pure) |
//! | [`since`] | what an `id` says: up to where a reader was told (pure) |
//! | [`frame`] | how an event is written (pure) |
//! | [`recent`] | what was written to a bucket lately (pure) |
//! | [`hub`] | when who is told what: the one loop |
//! | [`ledgers`] | the runs that somebody is told of |
//! | [`purged`] | the runs that retention has removed |
//! | [`lately`] | the buckets of which is told what is written |
//! | [`looks`] | what no stream tells, looked at again and again |
//! | [`readers`] | who is told, and who is too slow |

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use gridloom_shared::broker::Broker;
use serde::Deserialize;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use utoipa::IntoParams;

use super::access::Tokens;
use super::ask::Query;
use super::link::{Api, Link, Linked};
use super::problem::{Answer, Kind, Problem};
use super::sessions::{self, Id};
use since::Since;

mod frame;
mod hub;
mod lately;
mod ledgers;
mod looks;
mod purged;
mod readers;
mod recent;
mod since;
mod topic;

/// Readers of a planner at once.
const READERS_MAX: usize = 1_000;
/// Those that wait for the loop.
const JOINS_MAX: usize = 64;
/// What a browser sends when it comes back.
const LAST_EVENT_ID: &str = "last-event-id";

/// How readers reach the loop.
pub(super) struct Events {
    asked: mpsc::Sender<hub::Join>,
    joins: Mutex<mpsc::Receiver<hub::Join>>,
    seats: Arc<Semaphore>,
}

impl Default for Events {
    fn default() -> Self {
        let (asked, joins) = mpsc::channel(JOINS_MAX);
        Events {
            asked,
            joins: Mutex::new(joins),
            seats: Arc::new(Semaphore::new(READERS_MAX)),
        }
    }
}

impl Events {
    /// Tells readers what happens. Never ends; once it is `over` their streams do.
    pub(super) async fn keep(&self, link: &Link, broker: &Broker, over: watch::Receiver<bool>) {
        let mut joins = self.joins.lock().await;
        hub::keep(link, broker, &mut joins, over).await;
    }
}

/// What is to be told.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// From 1 to 16 topics, separated by commas: `run:RUN` (four at most), `runs`, `jobs`, `queues`, `workers`,
    /// `planners`, `pauses`, `dead`.
    #[param(example = "runs,queues")]
    topics: String,
    /// Where to go on: the `id` of the last event, for whoever cannot send `Last-Event-ID`, which goes before it.
    after: Option<String>,
}

/// What happens, as server-sent events: one stream about all the topics that it names, described in docs/API.md.
#[utoipa::path(get, path = "/events", tag = "installation", operation_id = "events",
    params(Which, ("last-event-id" = Option<String>, Header, description = "Where to go on: a browser sends it.")),
    responses((status = 200, body = String, content_type = "text/event-stream",
        description = "Events `reset` and `change`; each line of their data is a JSON object with its `topic`")))]
pub(super) async fn events(
    State(api): State<Api>,
    Linked(_broker): Linked,
    shown: Option<Extension<Id>>,
    headers: HeaderMap,
    Query(which): Query<Which>,
) -> Answer<Response> {
    let topics = topic::read(&which.topics)?;
    let given = headers.get(LAST_EVENT_ID).map(HeaderValue::as_bytes);
    let given = given.map(String::from_utf8_lossy);
    let given = given.as_deref().or(which.after.as_deref());
    // What makes no sense is no place that can be gone on from: the reader begins anew.
    let since = given.and_then(Since::read);
    let seat = Arc::clone(&api.events.seats).try_acquire_owned();
    let seat = seat.map_err(|_| {
        let detail = format!("{READERS_MAX} readers are told here already");
        Problem::new(Kind::Unavailable, detail)
    })?;
    let (reply, told) = oneshot::channel();
    let join = hub::Join {
        topics,
        since,
        reply,
    };
    let asked = api.events.asked.send(join).await;
    asked.map_err(|_| Problem::away())?;
    let events = told.await.map_err(|_| Problem::away())??;
    let tokens = api.changes_of_tokens();
    let over = sessions::over(api, shown.map(|Extension(id)| id));
    Ok(streamed(events, seat, over_with(tokens, over)))
}

/// Waits until others may ask than before, or a session is over.
async fn over_with(mut tokens: watch::Receiver<Arc<Tokens>>, session: impl Future<Output = ()>) {
    tokio::select! {
        Ok(()) = tokens.changed() => {}
        () = session => {}
    }
}

/// The answer, which ends when nobody tells it anything any more, or when it is `over` for who reads it: whoever still may
/// comes back. Its seat is free then.
fn streamed(
    events: mpsc::Receiver<Bytes>,
    seat: OwnedSemaphorePermit,
    over: impl Future<Output = ()> + Send + 'static,
) -> Response {
    let begin = (Some(frame::BEGIN), events, Box::pin(over), seat);
    let body = stream::unfold(begin, async |(begin, mut events, mut over, seat)| {
        let bytes = match begin {
            Some(begin) => begin,
            None => tokio::select! {
                event = events.recv() => event?,
                () = &mut over => return None,
            },
        };
        let next: Result<Bytes, std::convert::Infallible> = Ok(bytes);
        Some((next, (None, events, over, seat)))
    });
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    // A proxy that gathers answers would hold events back.
    let at_once = HeaderValue::from_static("no");
    headers.insert("x-accel-buffering", at_once);
    response
}
