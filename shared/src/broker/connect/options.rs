//! How a broker is reached: what a user may say, and what the client is told.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use super::refusals::Refusals;
use super::{ATTEMPT, ConnectError};
use crate::address::Address;
use crate::chain;
use crate::clock::Boot;
use crate::id::Namespace;

/// A dead peer is noticed after about two of these.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// The client drops what is beyond this in one subscription: far above anything in flight.
const SUBSCRIPTION_CAPACITY: usize = 1 << 20;
/// What may be written and not yet sent.
const CLIENT_CAPACITY: usize = 8_192;
/// Longest pause between two attempts.
pub(super) const BACKOFF_MAX: Duration = Duration::from_millis(800);

/// How to reach the broker.
#[derive(Clone, Debug)]
pub struct Options {
    /// One URL or several with commas: `nats://user:password@host:4222`, `tls://...`.
    pub url: Address,
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
    pub fn new(url: impl Into<Address>, namespace: Namespace, name: impl Into<String>) -> Options {
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
    pub authority: Option<PathBuf>,
    /// Client certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Refuse connections without TLS.
    pub required: bool,
}

pub(super) fn addresses(options: &Options) -> Result<Vec<async_nats::ServerAddr>, ConnectError> {
    options
        .url
        .exact()
        .split(',')
        .map(|part| part.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|error: std::io::Error| ConnectError::Address {
            url: options.url.to_string(),
            cause: chain(&error).to_string(),
        })
}

pub(super) fn client_options(
    options: &Options,
    bump: watch::Sender<u64>,
    refusals: Refusals,
) -> Result<async_nats::ConnectOptions, ConnectError> {
    let mut wanted = async_nats::ConnectOptions::new()
        .name(&options.name)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(ATTEMPT)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .client_capacity(CLIENT_CAPACITY)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            super::report(&event);
            refusals.hear(&event, Boot::now());
            bump.send_modify(|count| *count += 1);
            async {}
        });
    let credentials = match &options.credentials {
        Credentials::None => in_url(&addresses(options)?),
        given => given.clone(),
    };
    match credentials {
        Credentials::None => {}
        Credentials::Password { user, password } => {
            wanted = wanted.user_and_password(user, password)
        }
        Credentials::Token(token) => wanted = wanted.token(token),
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

/// What the first address says that says anything: the client takes none of it by itself.
fn in_url(addresses: &[async_nats::ServerAddr]) -> Credentials {
    let said = addresses.iter().find_map(|address| {
        let user = decoded(address.username()?);
        Some(match address.password() {
            Some(password) => Credentials::Password {
                user,
                password: decoded(password),
            },
            None => Credentials::Token(user),
        })
    });
    said.unwrap_or_default()
}

/// Text of a URL, in which `%40` stands for `@`.
fn decoded(text: &str) -> String {
    let (mut plain, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let digit = |n: usize| char::from(*after.get(n)?).to_digit(16);
        match (*first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                plain.extend(u8::try_from(high * 16 + low));
                rest = &after[2..];
            }
            (byte, ..) => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// At once, then with pauses that grow from 25 to 800 ms with each third, so that a pause is a small part of the
/// time that the broker was away; each is cut by up to a half so that many clients of one restarted broker do not
/// come all together.
fn reconnect_delay(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::ZERO;
    }
    let doublings = u32::try_from((attempts - 2) / 3).unwrap_or(u32::MAX).min(5);
    jittered((Duration::from_millis(25) * (1 << doublings)).min(BACKOFF_MAX))
}

/// Between half of `pause` and all of it.
pub(in crate::broker) fn jittered(pause: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_u128() as u32;
    pause / 2 + pause.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stand_in_any_of_the_addresses() {
        let said = |url: &str| {
            let options = Options::new(url, Namespace::new("n").unwrap(), "test");
            format!("{:?}", in_url(&addresses(&options).unwrap()))
        };
        assert_eq!(said("nats://one:4222"), "None");
        assert_eq!(said("nats://one,nats://me:secret@two:4222"), "Password(me)");
        assert_eq!(said("nats://secret@one:4222"), "Token");
    }

    #[test]
    fn what_a_url_cannot_hold_is_decoded() {
        assert_eq!(decoded("p%40s%2fs"), "p@s/s");
        assert_eq!(decoded("100%"), "100%");
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
