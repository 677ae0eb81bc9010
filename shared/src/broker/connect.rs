//! Decides which broker is good enough, and what counts as a new connection.
//!
//! It must not decide what to do about a lost connection: it only makes the change visible, before
//! anything of the new connection can be read.

mod options;
mod refusals;
mod tls;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Event};
use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

pub(super) use options::jittered;
use options::{BACKOFF_MAX, addresses, client_options};
pub use options::{Credentials, Options, Tls};
use refusals::Refusals;

use super::api::{self, ApiError};
use super::subjects::{self, Subjects};
use crate::chain;
use crate::clock::Boot;
use crate::limits::{self, MESSAGE_MIN};

/// The oldest server that keeps what the protocol relies on: before it, two expectations of a subject's last
/// sequence in one atomic batch were mixed up where the subjects have the same length.
pub const SERVER_MIN: (u32, u32, u32) = (2, 14, 4);

/// Where the client logs that it connects. Whether a broker can be reached, and why not, is told here, once; and in
/// what the client says of it in detail stands the password.
pub const CONNECTOR: &str = "async_nats::connector";

/// Batches under way at once.
const BATCHES: usize = 32;
/// One attempt to connect.
const ATTEMPT: Duration = Duration::from_secs(3);
/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered at the address.
    #[error("reach broker at {url}: {cause}")]
    Unreachable {
        /// The address, without its password.
        url: String,
        /// What the last attempt said.
        cause: String,
    },
    /// The broker does not let this client in.
    #[error("log in at broker {url}: {cause}; check user, password or token")]
    Denied {
        /// The address, without its password.
        url: String,
        /// What the broker said.
        cause: String,
    },
    /// The address is no URL, or a certificate cannot be read.
    #[error("use broker address {url}: {cause}")]
    Address {
        /// The address, without its password.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The address, the options or the server ask for TLS, which this program was built without.
    #[error(
        "use broker at {url}: {what} TLS, which this program was built without; build gridloom-worker with its feature \"tls\", which is on by default"
    )]
    WithoutTls {
        /// The address, without its password.
        url: String,
        /// Who asks for it.
        what: &'static str,
    },
    /// The server is too old.
    #[error(
        "use broker at {url}: nats-server {found} is too old, at least {needed} is needed (2.15.1 recommended)"
    )]
    TooOld {
        /// The address, without its password.
        url: String,
        /// The server's version.
        found: String,
        /// The lowest version that will do.
        needed: String,
    },
    /// The server takes only messages that are too small.
    #[error(
        "use broker at {url}: its max_payload of {found} bytes is too small, the records of a run may have {needed}; \
         raise it in the server's configuration, or in the account's limits"
    )]
    SmallMessages {
        /// The address, without its password.
        url: String,
        /// The largest message that it takes, in bytes.
        found: usize,
        /// What it has to take at least.
        needed: usize,
    },
    /// The server runs without JetStream, or not for this account.
    #[error(
        "use broker at {url}: JetStream is not enabled ({cause}); start nats-server with -js, or enable it for this account"
    )]
    NoJetStream {
        /// The address, without its password.
        url: String,
        /// What the broker said.
        cause: String,
    },
}

impl ConnectError {
    /// Whether the address is none, or one for another program: what was said is wrong, and not the broker.
    pub fn is_misuse(&self) -> bool {
        matches!(
            self,
            ConnectError::Address { .. } | ConnectError::WithoutTls { .. }
        )
    }

    /// Whether the broker could not be reached, as against: was reached and will not do.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, ConnectError::Unreachable { .. })
    }
}

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
                Err(failed @ ConnectError::Unreachable { .. }) => failed,
                other => return other,
            };
            if !std::mem::replace(&mut told, true) {
                let patience = options.wait.as_secs();
                tracing::info!(error = %chain(&failed), "no broker yet: it is tried for {patience} s");
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

    /// Name of the server's cluster; `None` for a server that stands alone.
    pub fn cluster(&self) -> Option<String> {
        self.client.server_info().cluster
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

    /// Watches for connects and disconnects: a hint to look at [`Broker::connection`], that may come
    /// late or be missed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}

async fn attempt(options: &Options) -> Result<Broker, ConnectError> {
    let url = options.url.to_string();
    if !tls::is_there() {
        let what = tls::asked_for(options, &addresses(options)?).await;
        if let Some(what) = what {
            return Err(ConnectError::WithoutTls { url, what });
        }
    }
    let (bump, changes) = watch::channel(0);
    let refusals = Refusals::default();
    let client = match tokio::time::timeout(
        ATTEMPT,
        client_options(options, bump, refusals.clone())?.connect(addresses(options)?),
    )
    .await
    {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return Err(refused(url, &error)),
        Err(_) => {
            return Err(ConnectError::Unreachable {
                url,
                cause: with_hint("no answer in 3 s"),
            });
        }
    };
    check_version(&client, &url)?;
    check_messages(&client, &url)?;
    check_jetstream(&client, &url).await?;
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
    // On a replicated stream two batches that expect the same register would refuse each other.
    let batches = if info.cluster.is_some() { 1 } else { BATCHES };
    Ok(Broker {
        client,
        subjects,
        seen: Arc::new(Mutex::new(seen)),
        changes,
        refusals,
        batches: Arc::new(Semaphore::new(batches)),
    })
}

fn report(event: &Event) {
    match event {
        Event::Connected => tracing::info!("connected to the broker"),
        Event::Disconnected => tracing::warn!("disconnected from the broker"),
        Event::ServerError(error) => {
            tracing::error!(error = %chain(error), "the broker refused something; check this client's permissions")
        }
        Event::SlowConsumer(subscription) => {
            tracing::error!(
                subscription,
                "messages dropped: they came faster than they were read"
            );
        }
        Event::LameDuckMode => tracing::warn!("the broker is about to stop"),
        // A password may be changed under those who are connected.
        Event::ClientError(what) if what.to_string().contains("authorization") => {
            tracing::error!(%what, "the broker does not let this client in again; check user, password or token");
        }
        Event::ClientError(what) => {
            tracing::debug!(%what, "connection attempt failed")
        }
        Event::Draining | Event::Closed => tracing::debug!(%event, "connection"),
    }
}

fn refused(url: String, error: &async_nats::ConnectError) -> ConnectError {
    use async_nats::ConnectErrorKind as Kind;
    let cause = chain(error).to_string();
    match error.kind() {
        // All that the broker says of it.
        Kind::Authentication | Kind::AuthorizationViolation => ConnectError::Denied {
            url,
            cause: error.kind().to_string(),
        },
        Kind::ServerParse | Kind::Tls => ConnectError::Address { url, cause },
        Kind::Dns | Kind::TimedOut | Kind::Io | Kind::MaxReconnects => ConnectError::Unreachable {
            url,
            cause: with_hint(&cause),
        },
    }
}

/// Why nobody could be reached, and what that means.
fn with_hint(cause: &str) -> String {
    const HINTS: [(&str, &str); 3] = [
        (
            "expected INFO",
            "what listens there speaks no plain NATS: TLS at once, or another service?",
        ),
        (
            "corrupt message",
            "what listens there speaks no TLS: nats:// in place of tls://?",
        ),
        (
            "peer certificate",
            "it speaks TLS, and this machine does not trust its certificate: is that of its authority installed here?",
        ),
    ];
    let hint = HINTS.iter().find(|(words, _)| cause.contains(words));
    let hint = hint.map_or("is nats-server running there?", |(_, hint)| hint);
    format!("{cause}; {hint}")
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

async fn check_jetstream(client: &Client, url: &str) -> Result<(), ConnectError> {
    let request = client.request(subjects::api::ACCOUNT_INFO, bytes::Bytes::new());
    let cause = match tokio::time::timeout(ATTEMPT, request).await {
        Ok(Ok(message)) => match api::parse::<serde_json::Value>(&message.payload) {
            Err(ApiError::Fault(fault)) => fault.to_string(),
            Ok(_) | Err(_) => return Ok(()),
        },
        // A server that just started answers plain NATS before JetStream.
        Ok(Err(error)) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
            if client.server_info().jetstream {
                return Err(ConnectError::Unreachable {
                    url: url.to_owned(),
                    cause: "JetStream is not ready yet".into(),
                });
            }
            "no responders".to_owned()
        }
        // Without the permission to ask there is no answer; what the client may not do will show.
        Ok(Err(_)) | Err(_) => return Ok(()),
    };
    Err(ConnectError::NoJetStream {
        url: url.to_owned(),
        cause,
    })
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
