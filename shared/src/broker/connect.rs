//! Decides which broker is good enough, and what counts as a new connection.
//!
//! It must not decide what to do about a lost connection: it only makes the change visible, before
//! anything of the new connection can be read.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Event};
use tokio::sync::watch;
use tokio::time::Instant;

use super::api::{self, ApiError};
use super::subjects::Subjects;
use crate::id::Namespace;

/// The oldest server that is known to keep what the protocol relies on.
pub const SERVER_MIN: (u64, u64, u64) = (2, 14, 2);

/// A dead peer is noticed after about two of these.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// The client drops what is beyond this in one subscription: far above anything in flight.
const SUBSCRIPTION_CAPACITY: usize = 1 << 20;
/// What may be written and not yet sent.
const CLIENT_CAPACITY: usize = 8_192;
/// One attempt to connect.
const ATTEMPT: Duration = Duration::from_secs(3);
/// Longest pause between two attempts.
const BACKOFF_MAX: Duration = Duration::from_millis(800);

/// How to reach the broker.
#[derive(Clone, Debug)]
pub struct Options {
    /// One URL or several with commas: `nats://user:password@host:4222`, `tls://...`.
    pub url: String,
    /// The installation.
    pub namespace: Namespace,
    /// What the broker shows as this client's name.
    pub name: String,
    /// How this client proves who it is, when the URL does not say.
    pub credentials: Credentials,
    /// A certificate authority of one's own (PEM), a client certificate and its key.
    pub tls: Tls,
    /// The prefix of reply subjects, where permissions bind a client to its own.
    pub inbox_prefix: Option<String>,
    /// How long the first connection may take altogether.
    pub wait: Duration,
}

impl Options {
    /// The usual options for a broker at `url`.
    pub fn new(url: impl Into<String>, namespace: Namespace, name: impl Into<String>) -> Options {
        Options {
            url: url.into(),
            namespace,
            name: name.into(),
            credentials: Credentials::None,
            tls: Tls::default(),
            inbox_prefix: None,
            wait: Duration::from_secs(5),
        }
    }
}

/// How a client proves who it is.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Not at all, or by what stands in the URL.
    #[default]
    None,
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// Its password.
        password: String,
    },
    /// A token.
    Token(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Credentials::None => f.write_str("None"),
            Credentials::Password { user, .. } => write!(f, "Password({user})"),
            Credentials::Token(_) => f.write_str("Token"),
        }
    }
}

/// Certificates of a TLS connection; paths of PEM files.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Certificate authority to trust besides the system's.
    pub authority: Option<std::path::PathBuf>,
    /// Client certificate and its key.
    pub identity: Option<(std::path::PathBuf, std::path::PathBuf)>,
    /// Refuse connections without TLS.
    pub required: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered at the address.
    #[error("reach broker at {url}: {cause}; is nats-server running there?")]
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
}

impl Broker {
    /// Connects, and checks that the broker is new enough and has JetStream. The first connection
    /// has to come within `options.wait`; later ones are made again for ever.
    pub async fn connect(options: &Options) -> Result<Broker, ConnectError> {
        let deadline = Instant::now() + options.wait;
        let mut pause = Duration::from_millis(25);
        loop {
            let failed = match attempt(options).await {
                Err(failed @ ConnectError::Unreachable { .. }) => failed,
                other => return other,
            };
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

    /// Largest message in bytes, headers included.
    pub fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    /// Watches for connects and disconnects: a hint to look at [`Broker::connection`], that may come
    /// late or be missed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}

async fn attempt(options: &Options) -> Result<Broker, ConnectError> {
    let url = without_password(&options.url);
    let (bump, changes) = watch::channel(0);
    let client = match tokio::time::timeout(
        ATTEMPT,
        client_options(options, bump)?.connect(addresses(options)?),
    )
    .await
    {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return Err(refused(url, &error)),
        Err(_) => {
            return Err(ConnectError::Unreachable {
                url,
                cause: "no answer in 3 s".into(),
            });
        }
    };
    check_version(&client, &url)?;
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
    Ok(Broker {
        client,
        subjects,
        seen: Arc::new(Mutex::new(seen)),
        changes,
    })
}

fn addresses(options: &Options) -> Result<Vec<async_nats::ServerAddr>, ConnectError> {
    options
        .url
        .split(',')
        .map(|part| part.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|error: std::io::Error| ConnectError::Address {
            url: without_password(&options.url),
            cause: error.to_string(),
        })
}

fn client_options(
    options: &Options,
    bump: watch::Sender<u64>,
) -> Result<async_nats::ConnectOptions, ConnectError> {
    let mut wanted = async_nats::ConnectOptions::new()
        .name(&options.name)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(ATTEMPT)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .client_capacity(CLIENT_CAPACITY)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            report(&event);
            bump.send_modify(|count| *count += 1);
            async {}
        });
    match &options.credentials {
        Credentials::None => {}
        Credentials::Password { user, password } => {
            wanted = wanted.user_and_password(user.clone(), password.clone())
        }
        Credentials::Token(token) => wanted = wanted.token(token.clone()),
    }
    if let Some(prefix) = &options.inbox_prefix {
        wanted = wanted.custom_inbox_prefix(prefix);
    }
    if let Some(authority) = &options.tls.authority {
        wanted = wanted.add_root_certificates(authority.clone());
    }
    if let Some((certificate, key)) = &options.tls.identity {
        wanted = wanted.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(wanted.require_tls(options.tls.required))
}

/// At once, then with growing pauses of 25 to 800 ms, each cut by up to a half so that many clients
/// of one restarted broker do not come all together.
fn reconnect_delay(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::ZERO;
    }
    let doublings = u32::try_from(attempts - 2).unwrap_or(u32::MAX).min(5);
    jittered((Duration::from_millis(25) * (1 << doublings)).min(BACKOFF_MAX))
}

/// Between half of `pause` and all of it.
pub(super) fn jittered(pause: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_u128() as u32;
    pause / 2 + pause.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}

fn report(event: &Event) {
    match event {
        Event::Connected => tracing::info!("connected to the broker"),
        Event::Disconnected => tracing::warn!("disconnected from the broker"),
        Event::ServerError(error) => {
            tracing::error!(%error, "the broker refused something; check this client's permissions")
        }
        Event::SlowConsumer(subscription) => {
            tracing::error!(
                subscription,
                "messages dropped: they came faster than they were read"
            );
        }
        Event::LameDuckMode => tracing::warn!("the broker is about to stop"),
        Event::ClientError(error) => tracing::debug!(%error, "connection attempt failed"),
        Event::Draining | Event::Closed => tracing::debug!(%event, "connection"),
    }
}

fn refused(url: String, error: &async_nats::ConnectError) -> ConnectError {
    use async_nats::ConnectErrorKind as Kind;
    let cause = match std::error::Error::source(error) {
        Some(source) => format!("{}: {source}", error.kind()),
        None => error.to_string(),
    };
    match error.kind() {
        Kind::Authentication | Kind::AuthorizationViolation => ConnectError::Denied { url, cause },
        Kind::ServerParse | Kind::Tls => ConnectError::Address { url, cause },
        Kind::Dns | Kind::TimedOut | Kind::Io | Kind::MaxReconnects => {
            ConnectError::Unreachable { url, cause }
        }
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

fn version(text: &str) -> Option<(u64, u64, u64)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts = text.split(['-', '+']).next()?.split('.').map(str::parse);
    let mut next = || parts.next()?.ok();
    Some((next()?, next()?, next().unwrap_or(0)))
}

async fn check_jetstream(client: &Client, url: &str) -> Result<(), ConnectError> {
    let request = client.request(api::ACCOUNT_INFO, bytes::Bytes::new());
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

fn without_password(url: &str) -> String {
    let hide = |part: &str| match (part.split_once("://"), part.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        (_, None) => part.to_owned(),
    };
    url.split(',').map(hide).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(version("2.15.1"), Some((2, 15, 1)));
        assert!(version("2.9.10").unwrap() < SERVER_MIN);
        assert!(version("v2.14.2-beta.1").unwrap() >= SERVER_MIN);
        assert_eq!(version("odd"), None);
    }

    #[test]
    fn passwords_do_not_get_into_messages() {
        assert_eq!(
            without_password("nats://me:pa@ss@one:4222,two:4222"),
            "nats://one:4222,two:4222"
        );
    }

    #[test]
    fn reconnects_come_quickly_and_stay_below_a_second() {
        assert_eq!(reconnect_delay(1), Duration::ZERO);
        for attempts in 2..50 {
            let delay = reconnect_delay(attempts);
            assert!(
                delay >= Duration::from_millis(12) && delay <= BACKOFF_MAX,
                "{delay:?}"
            );
        }
    }
}
