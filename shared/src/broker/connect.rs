//! Decides which broker is good enough, and what counts as a new connection.
//!
//! It must not decide what to do about a lost connection: it only makes the change visible, before
//! anything of the new connection can be read.

mod certificates;
mod credentials;
mod ends;
mod error;
mod events;
mod options;
mod refusals;
mod settings;
mod tls;
mod why;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

pub use certificates::Shown;
use certificates::Way;
#[cfg(feature = "tls")]
pub use certificates::end_of;
pub use credentials::Credentials;
pub use error::ConnectError;
use events::Events;
pub use options::Options;
pub(super) use options::jittered;
use options::{BACKOFF_MAX, addresses, bare, client_options};
use refusals::Refusals;
pub use settings::{Settings, SettingsError, timeout};
pub use tls::{Tls, TlsUse};

use super::api::{self, ApiError};
use super::newer::Met;
use super::plain::RequestError;
use super::subjects::domain::Domain;
use super::subjects::{self, Subjects};
use crate::chain;
use crate::clock::Boot;
use crate::limits::{self, MESSAGE_MIN};

/// The oldest server that keeps what the protocol relies on: before it, two expectations of a subject's last
/// sequence in one atomic batch were mixed up where the subjects have the same length.
pub const SERVER_MIN: (u32, u32, u32) = (2, 14, 4);

/// Where the client logs that it connects. Whether a broker can be reached, and why not, is told here, once.
pub const CONNECTOR: &str = "async_nats::connector";

/// Batches under way at once.
const BATCHES: usize = 32;
/// How often to look without a hint whether something changed.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// One attempt to connect.
const ATTEMPT: Duration = Duration::from_secs(3);

/// One connection to one broker process. A new one has a higher epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Counts connections of this client, from 1.
    pub epoch: u64,
    /// The broker process: random at each of its starts.
    pub server_id: Arc<str>,
}

#[derive(Debug)]
struct Seen {
    connects: u64,
    client_id: u64,
    connection: Connection,
}

/// A handle to the broker, cheap to clone: everything said to JetStream goes through it.
#[derive(Clone, Debug)]
pub struct Broker {
    pub(super) client: Client,
    subjects: Arc<Subjects>,
    seen: Arc<Mutex<Seen>>,
    /// Bumped at each connect and disconnect: a hint to look, never truth.
    changes: watch::Receiver<u64>,
    refusals: Refusals,
    pub(super) met: Met,
    /// Whose questions fail at once that are not allowed.
    refused_at_once: Option<Arc<str>>,
    pub(super) domain: Domain,
    way: Arc<Way>,
    /// Bounds the batches under way.
    pub(super) batches: Arc<Semaphore>,
}

impl Broker {
    /// Connects, and checks that the broker is new enough and has JetStream. The first connection
    /// has to come within `options.wait`; later ones are made again for ever.
    #[inline(never)]
    pub fn connect(options: &Options) -> BoxFuture<'_, Result<Broker, ConnectError>> {
        Box::pin(Broker::connect_within(options))
    }

    async fn connect_within(options: &Options) -> Result<Broker, ConnectError> {
        let deadline = Instant::now() + options.wait;
        let mut pause = Duration::from_millis(25);
        let mut told = false;
        loop {
            let failed = match attempt(options).await {
                Err(failed) if failed.may_pass() => failed,
                other => return other,
            };
            if !std::mem::replace(&mut told, true) {
                let seconds = options.wait.as_secs();
                tracing::info!(error = %chain(&failed), seconds, "no broker yet: it is tried for a while");
            }
            if Instant::now() + pause >= deadline {
                return Err(failed);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(BACKOFF_MAX);
        }
    }

    /// Every name of this installation.
    pub fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// The current connection. Up to date before anything that came over it can be read; while
    /// disconnected, the last one.
    pub fn connection(&self) -> Connection {
        self.look(|seen| seen.connection.clone())
    }

    /// [`Connection::epoch`] of the current connection; cheap enough for every message.
    pub fn connection_epoch(&self) -> u64 {
        self.look(|seen| seen.connection.epoch)
    }

    /// [`Connection::server_id`] of the current connection.
    pub fn server_id(&self) -> Arc<str> {
        self.look(|seen| Arc::clone(&seen.connection.server_id))
    }

    fn look<T>(&self, take: impl FnOnce(&Seen) -> T) -> T {
        let connects = self.client.statistics().connects.load(Ordering::Relaxed);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.connects != connects {
            // The counter moves a moment before the server's info does: only both make a new one.
            let info = self.client.server_info();
            if info.client_id != seen.client_id || *info.server_id != *seen.connection.server_id {
                seen.connects = connects;
                seen.client_id = info.client_id;
                seen.connection = Connection {
                    epoch: seen.connection.epoch + 1,
                    server_id: info.server_id.into(),
                };
            }
        }
        take(&seen)
    }

    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Version of the server, as `2.15.1`.
    pub fn server_version(&self) -> String {
        self.client.server_info().version
    }

    /// Name of the server's cluster, or that the servers with the streams are others than the one that it is connected
    /// to; `None` for a server that stands alone and holds the streams itself. One with leaf nodes that stands alone calls
    /// itself its cluster.
    pub fn cluster(&self) -> Option<String> {
        let info = self.client.server_info();
        let cluster = info.cluster.filter(|cluster| *cluster != info.server_name);
        cluster.or_else(|| match self.is_elsewhere() {
            true => Some("behind a leaf node".to_owned()),
            false => None,
        })
    }

    /// Whether the server that it is connected to has another JetStream than the one of the streams, or none: another
    /// member of its cluster has them, or a server behind a leaf node.
    pub(super) fn is_elsewhere(&self) -> bool {
        let info = self.client.server_info();
        match self.domain.name() {
            Some(domain) => info.domain.as_deref() != Some(domain),
            None => !info.jetstream,
        }
    }

    /// Largest record in bytes that surely fits into a message, with its headers.
    pub fn max_record(&self) -> usize {
        limits::record_of(self.max_payload())
    }

    /// Largest message in bytes, headers included.
    pub fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    /// What this client was refused lately for want of a permission, as the broker said it.
    pub fn refused(&self) -> Option<String> {
        self.refusals.last(Boot::now())
    }

    /// Whether this client asks and ends ([`Options::refused_at_once`]).
    pub(super) fn asks_and_ends(&self) -> bool {
        self.refused_at_once.is_some()
    }

    /// Ends when the broker has refused what was sent to `subject` since this was called, or the answer to it; never where
    /// that is not wanted ([`Options::refused_at_once`]).
    pub fn refusal_of(&self, subject: &str) -> impl Future<Output = RequestError> + use<> {
        // It costs nothing where that is not wanted: every question comes by here.
        let asked = self.refused_at_once.as_ref().map(|who| {
            let subject = self.domain.subject(subject.into()).to_string();
            (self.clone(), (subject, Boot::now()), who.to_string())
        });
        async move {
            let Some((broker, (subject, since), who)) = asked else {
                return std::future::pending().await;
            };
            broker.until_refused(&subject, since).await;
            RequestError::Refused { subject, who }
        }
    }

    /// What the broker has against this client's publishing to `subject`. It is asked by an empty message, to be sent where
    /// that does nothing; an answer, and that nobody listens there, both say that it may.
    pub async fn refusal_to_publish(&self, subject: &str) -> Option<RequestError> {
        let since = Boot::now();
        let asked = self.client.request(subject.to_owned(), bytes::Bytes::new());
        tokio::select! {
            _ = asked => None,
            () = self.until_refused(subject, since) => Some(RequestError::Refused {
                subject: subject.to_owned(),
                who: "this user".to_owned(),
            }),
        }
    }

    async fn until_refused(&self, subject: &str, since: Boot) {
        let inbox = self.client.new_inbox();
        let inbox = inbox.rsplit_once('.').map_or("", |(prefix, _)| prefix);
        let mut changes = self.changes();
        while !self.refusals.are_of((subject, since), inbox) {
            let _ = tokio::time::timeout(LOOK_AGAIN, changes.changed()).await;
        }
    }

    /// Watches for connects and disconnects: a hint to look at [`Broker::connection`], that may come
    /// late or be missed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}

async fn attempt(options: &Options) -> Result<Broker, ConnectError> {
    let url = options.url.to_string();
    let addresses = addresses(options)?;
    if !tls::is_there()
        && let Some(what) = tls::asked_for(options, &addresses).await
    {
        return Err(ConnectError::WithoutTls { url, what });
    }
    let credentials = options.proven_by(&addresses);
    // The client says of a file that cannot be read neither which nor why.
    options.tls.check()?;
    credentials
        .proof(b"")
        .map_err(|error| why::unproven(&url, error))?;
    let (bump, changes) = watch::channel(0);
    let refusals = Refusals::default();
    let told = (credentials.clone(), options.refused_at_once);
    let events = Events::new(bump, refusals.clone(), told);
    let client = client_options(options, credentials.clone(), events).connect(bare(&addresses));
    let client = match tokio::time::timeout(options.attempt, client).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return Err(why::refused(options, &credentials, &error)),
        Err(_) => return Err(why::silent(options)),
    };
    check_version(&client, &url)?;
    check_messages(&client, &url)?;
    let domain = Domain::new(options.domain.as_deref());
    let who = options
        .refused_at_once
        .then(|| Arc::from(credentials.who()));
    let asked = check_jetstream(&client, &url, &domain);
    tokio::select! {
        there = asked => there?,
        // It may not ask. What it may will show.
        () = refused(&refusals, &changes), if options.refused_at_once => {}
    }
    let info = client.server_info();
    let seen = Seen {
        connects: client.statistics().connects.load(Ordering::Relaxed),
        client_id: info.client_id,
        connection: Connection {
            epoch: 1,
            server_id: info.server_id.into(),
        },
    };
    let subjects = Arc::new(Subjects::new(options.namespace.clone()));
    let mut broker = Broker {
        client,
        domain,
        way: Arc::new(Way::new(addresses, options, credentials)),
        subjects,
        seen: Arc::new(Mutex::new(seen)),
        changes,
        refusals,
        met: Met::default(),
        refused_at_once: who,
        batches: Arc::new(Semaphore::new(BATCHES)),
    };
    // On a replicated stream two batches that expect the same register would refuse each other.
    if broker.cluster().is_some() {
        broker.batches = Arc::new(Semaphore::new(1));
    }
    Ok(broker)
}

/// Ends when the broker has refused anything.
async fn refused(refusals: &Refusals, changes: &watch::Receiver<u64>) {
    let mut changes = changes.clone();
    while refusals.last(Boot::now()).is_none() {
        let _ = tokio::time::timeout(LOOK_AGAIN, changes.changed()).await;
    }
}

fn check_version(client: &Client, url: &str) -> Result<(), ConnectError> {
    let found = client.server_info().version;
    if version(&found).is_some_and(|found| found >= SERVER_MIN) {
        return Ok(());
    }
    let (major, minor, patch) = SERVER_MIN;
    Err(ConnectError::TooOld {
        url: url.to_owned(),
        found,
        needed: format!("{major}.{minor}.{patch}"),
    })
}

/// Every record fits into a message of [`MESSAGE_MIN`], save those that a job's own size makes larger: they are
/// refused before a run is opened. Below that a run might be opened and never be issued.
fn check_messages(client: &Client, url: &str) -> Result<(), ConnectError> {
    let found = client.max_payload();
    if found >= MESSAGE_MIN {
        return Ok(());
    }
    Err(ConnectError::SmallMessages {
        url: url.to_owned(),
        found,
        needed: MESSAGE_MIN,
    })
}

fn version(text: &str) -> Option<(u32, u32, u32)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts = text.split(['-', '+']).next()?.split('.').map(str::parse);
    let mut next = || parts.next()?.ok();
    Some((next()?, next()?, next().unwrap_or(0)))
}

async fn check_jetstream(client: &Client, url: &str, domain: &Domain) -> Result<(), ConnectError> {
    let asked = domain.subject(subjects::api::ACCOUNT_INFO.into());
    let request = client.request(asked, bytes::Bytes::new());
    let url = url.to_owned();
    let cause = match tokio::time::timeout(ATTEMPT, request).await {
        Ok(Ok(message)) => match api::parse::<serde_json::Value>(&message.payload) {
            // Not all of a cluster is there yet, or any more: it has JetStream, and nobody to answer for it.
            Err(ApiError::Fault(fault)) if fault.is_without_leader() => {
                return Err(ConnectError::Unreachable {
                    url,
                    cause: format!(
                        "{fault}: more than half of the cluster's servers have to be there, and hear each other"
                    ),
                });
            }
            Err(ApiError::Fault(fault)) => fault.to_string(),
            Ok(_) | Err(_) => return Ok(()),
        },
        Ok(Err(error)) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
            if let Some(domain) = domain.name() {
                let domain = domain.to_owned();
                return Err(ConnectError::NoDomain { url, domain });
            }
            // A server that just started answers plain NATS before JetStream.
            if client.server_info().jetstream {
                return Err(ConnectError::Unreachable {
                    url,
                    cause: "JetStream is not ready yet".into(),
                });
            }
            "no responders".to_owned()
        }
        // Without the permission to ask there is no answer; what the client may not do will show.
        Ok(Err(_)) | Err(_) => return Ok(()),
    };
    Err(ConnectError::NoJetStream { url, cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(version("2.15.1"), Some((2, 15, 1)));
        assert!(version("2.9.10").unwrap() < SERVER_MIN);
        assert!(version("2.14.3").unwrap() < SERVER_MIN);
        assert!(version("v2.14.4-beta.1").unwrap() >= SERVER_MIN);
        assert_eq!(version("odd"), None);
    }
}
