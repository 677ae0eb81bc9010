//! Asks a service for each shard, by HTTP. Which services jobs may ask, whom to believe that it is they, and the secrets that are
//! sent to them, the worker's configuration says: whoever may define jobs cannot ask whatever the workers' network has.
//!
//! **Settings of a job**, the table `[http]` of its file: `url`, `method`, `headers`, `body`, `success`, `retry`, `timeout`,
//! `callback`. No submission can change them; its parameters stand where placeholders (`{day}`) name them, and in the body where none is said.
//!
//! **What a service gets.** The request that the job says, with the header `Idempotency-Key`, which is the shard's key: the same
//! for each attempt, of no other shard ever. Without a `body`, POST, PUT and PATCH carry the shard as a line of JSON, as commands
//! of `exec` get it. `traceparent` names the place in a trace, where there is one.
//!
//! **What its answer means** is the table of `answer`. JSON with `rows` and `counters` in an answer adds to what the shard
//! reports.
//!
//! **What requests do not do**: go to another server because one says so, go to a link-local address or to one of a cloud's
//! metadata unless the configuration names it, whatever a name resolves to at whichever moment, read more of an answer than 64
//! KiB, or tell a secret to a log or in an error.
//!
//! An attempt that is stopped closes its connection. The service may have done what it was asked for: execution is
//! at-least-once, and the key is how it knows a request that it has seen.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | `service` | what a service is, and how it is written in the configuration |
//! | `request` | how placeholders become a request, and none another part of it |
//! | `escapes` | how a value is written where some signs have a meaning |
//! | `secrets` | which secrets are sent, and that none is told |
//! | `address` | to which addresses requests may go |
//! | `connection` | how a request gets to a server, and how much of an answer is read |
//! | `tls` | whom to believe |
//! | `answer` | what an answer means |
//! | `callback` | what becomes of a shard whose service calls back |

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use gridloom_shared::chain;
use gridloom_shared::job::handlers::http::{Order, wanted};
use gridloom_shared::job::handlers::named::{ANY, Named};
use gridloom_shared::job::handlers::{self, Said};
use gridloom_shared::ledger::outcomes::{COUNTER_NAME_MAX, COUNTERS_MAX};
use serde_json::Value;
use time::OffsetDateTime;
use url::Url;

use super::lacking::{HOLDS_MAX, Lacking};
use crate::failure::Failure;
use crate::handler::Handler;
use crate::shard::Shard;

mod address;
mod answer;
mod callback;
mod connection;
#[cfg(test)]
mod documented;
mod escapes;
mod request;
mod secrets;
mod service;
#[cfg(test)]
mod tests;
mod tls;

pub use address::{Network, NetworkError};
pub use service::{HttpError, HttpService, named_secrets, named_services};

use answer::{MOVES_MAX, Meaning, meaning};
use connection::{Answer, Resolver, Trouble, Way};
use request::Message;
use secrets::Secrets;
use tls::Trust;

/// Most of an answer that a failure's text repeats, in bytes; the ledger keeps 1 KiB of the whole.
const SAID_MAX: usize = 500;

/// The handler `http`.
#[derive(Clone)]
pub struct HttpHandler {
    services: Arc<BTreeMap<String, Known>>,
    lacking: Lacking,
    lacking_secrets: Lacking,
    resolver: Resolver,
}

/// A service, and whom to believe that it is it.
#[derive(Debug)]
struct Known {
    service: HttpService,
    trust: Arc<Trust>,
}

impl HttpHandler {
    /// A handler for these services; a job asks the one whose origin its address has.
    ///
    /// # Errors
    /// When two have the same origin, or a file that one names is of no use.
    pub fn new(services: BTreeMap<String, HttpService>) -> Result<HttpHandler, HttpError> {
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        let mut known = BTreeMap::new();
        for (name, service) in services {
            service.check(&name)?;
            let origin = service.known_as().to_owned();
            if let Some(other) = names.insert(origin.clone(), name.clone()) {
                return Err(HttpError::Twice(name, other));
            }
            let trust = Arc::new(Trust::in_authorities(service.ca.clone()));
            known.insert(origin, Known { service, trust });
        }
        Ok(HttpHandler {
            services: Arc::new(known),
            lacking: Lacking::new(Named::Service),
            lacking_secrets: Lacking::new(Named::Secret),
            resolver: connection::system(),
        })
    }

    /// What jobs may want of it.
    fn known_as(&self) -> Vec<String> {
        let calling = self.services.iter();
        let calling = calling.filter(|(_, known)| known.service.callback.is_some());
        let calling = calling.map(|(origin, _)| wanted(origin, true));
        self.services.keys().cloned().chain(calling).collect()
    }

    /// The service that is asked: the one of that origin, else the one that is any.
    fn known(&self, order: &Order, shard: &Shard) -> Result<&Known, Failure> {
        let origin = order.origin.as_str();
        let found = self.services.get(origin);
        let found = found.or_else(|| self.services.get(ANY));
        found.ok_or_else(|| self.lacking.failure(origin, self.services.keys(), shard))
    }

    /// Asks, and asks where the server says that it is instead; says what the last answer means.
    async fn ask(&self, known: &Known, order: &Order, message: &Message) -> Asked {
        let way = Way {
            resolver: &self.resolver,
            allowed: &known.service.addresses,
            trust: &known.trust,
        };
        let mut url = message.url.clone();
        let mut moves = 0;
        loop {
            let request = match message.request(&url) {
                Ok(request) => request,
                Err(failure) => return Asked::Failed(failure),
            };
            let answer = match way.ask(&url, request).await {
                Ok(answer) => answer,
                Err(trouble) => return Asked::Nothing(url, trouble),
            };
            let now = OffsetDateTime::now_utc();
            let asked = (&message.method, &url);
            match meaning(order, asked, answer.status, &answer.headers, now) {
                Meaning::Moved(place) if moves < MOVES_MAX => url = place,
                Meaning::Moved(_) => {
                    let why = "it is told to be elsewhere again and again";
                    return Asked::Answered(url, answer, Meaning::Never(why));
                }
                meant => return Asked::Answered(url, answer, meant),
            }
            moves += 1;
        }
    }
}

/// What came of a request.
enum Asked {
    /// It cannot be made.
    Failed(Failure),
    /// No answer.
    Nothing(Url, Trouble),
    /// An answer, and what it means.
    Answered(Url, Answer, Meaning),
}

impl Handler for HttpHandler {
    async fn run(&self, shard: Shard) -> Result<(), Failure> {
        let found = handlers::check(Said::by_run(shard.spec()));
        if let Some(fault) = found.faults.first() {
            return Err(Failure::permanent(format!("read the job: {fault}")));
        }
        let order = Order::read(shard.settings_value());
        let order = order.map_err(|fault| Failure::permanent(format!("read the job: {fault}")))?;
        let known = self.known(&order, &shard)?;
        let mut secrets = Secrets::of_service(&known.service, &self.lacking_secrets);
        let mut message = Message::of(&order, &shard, &mut secrets)?;
        let mut awaited = self.awaited(known, &order, &shard)?;
        if let Some(awaited) = &awaited {
            message.calls_back(&awaited.url)?;
            secrets.hide(service::SECRET, awaited.token());
        }
        let what = message.told(&message.url);
        let asked = tokio::select! {
            biased;
            // It may call before it answers.
            said = callback::said(awaited.as_mut()) => return callback::end(&shard, said, &what, &secrets),
            asked = tokio::time::timeout(order.timeout, self.ask(known, &order, &message)) => asked,
            // Out of time, or not held any more: dropped, the request closes its connection.
            () = shard.cancelled() => {
                return Err(Failure::retry(format!("{what}: no answer when it was told to stop")));
            }
        };
        match asked {
            Ok(Asked::Answered(_, answer, Meaning::Done)) => {
                report(&shard, &answer);
                Ok(())
            }
            Ok(Asked::Answered(_, _, Meaning::Later)) => match awaited {
                Some(mut awaited) => awaited.until_said(&what, &shard, &secrets).await,
                None => Ok(()),
            },
            Ok(Asked::Answered(url, answer, meant)) => {
                let said = secrets.out_of(&String::from_utf8_lossy(&answer.body));
                let what = message.told(&url);
                Err(failed(&what, &answer, &meant, &said, shard.attempt()))
            }
            Ok(Asked::Nothing(url, trouble)) => {
                let text = format!("{}: {}", message.told(&url), chain(&trouble));
                Err(match trouble {
                    Trouble::Refused { .. } => Failure::permanent(text),
                    _ => Failure::retry(text),
                })
            }
            Ok(Asked::Failed(failure)) => Err(failure),
            Err(_) => Err(Failure::retry(format!(
                "{what}: no answer within {:?} (http.timeout)",
                order.timeout
            ))),
        }
    }

    fn knows(&self) -> Vec<String> {
        self.known_as()
    }
}

/// What an answer without success means for the shard. `said` is what it says, without secrets.
fn failed(what: &str, answer: &Answer, meant: &Meaning, said: &str, attempt: u32) -> Failure {
    let status = hyper::StatusCode::from_u16(answer.status);
    let status = status.map_or_else(|_| answer.status.to_string(), |status| status.to_string());
    let mut text = format!("{what}: it answered {status}");
    if let Meaning::Never(why) = meant
        && !why.is_empty()
    {
        text = format!("{text}: {why}");
    }
    let said = said.trim();
    let said = &said[..said.floor_char_boundary(SAID_MAX)];
    if !said.is_empty() {
        text = format!("{text}: {said}");
    }
    match meant {
        Meaning::Hold(wait) if attempt <= HOLDS_MAX => Failure::hold(*wait, text),
        Meaning::Hold(wait) | Meaning::AgainAfter(wait) => Failure::retry_after(*wait, text),
        Meaning::Again => Failure::retry(text),
        Meaning::Done | Meaning::Later | Meaning::Moved(_) | Meaning::Never(_) => {
            Failure::permanent(text)
        }
    }
}

/// What a service counts that answers so: JSON with `rows` and `counters`. Others answer as they like, and nothing is made of it.
fn report(shard: &Shard, answer: &Answer) {
    let Ok(Value::Object(said)) = serde_json::from_slice(&answer.body) else {
        return;
    };
    if let Some(rows) = said.get("rows").and_then(Value::as_u64) {
        shard.rows(rows);
    }
    let counters = said.get("counters").and_then(Value::as_object);
    let counted = counters.into_iter().flatten().filter_map(|(name, n)| {
        let fits = !name.is_empty() && name.len() <= COUNTER_NAME_MAX && name != "rows";
        Some((name, n.as_i64().filter(|_| fits)?))
    });
    for (name, n) in counted.take(COUNTERS_MAX - 1) {
        shard.count(name, n);
    }
}

/// Without what it asks names with; secrets tell nothing of themselves.
impl fmt::Debug for HttpHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpHandler")
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}
