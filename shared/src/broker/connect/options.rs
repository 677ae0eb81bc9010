//! How a broker is reached: what a user may say, and what the client is told.

use std::future::ready;
use std::time::Duration;

use async_nats::{AuthError, ConnectOptions, ServerAddr};

use super::credentials::Credentials;
use super::events::Events;
use super::tls::{Tls, TlsUse};
use super::{ATTEMPT, ConnectError};
use crate::address::Address;
use crate::chain;
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
    /// When TLS is used, and whose certificates.
    pub tls: Tls,
    /// The JetStream domain of the streams, where it is not that of the server at the address.
    pub domain: Option<String>,
    /// The prefix of reply subjects, where permissions bind a client to its own.
    pub inbox_prefix: Option<String>,
    /// How long one attempt to connect may take.
    pub attempt: Duration,
    /// How long the first connection may take altogether.
    pub wait: Duration,
    /// Whether a question that the broker does not allow fails at once, and is told by that alone: right for who asks and
    /// ends. Others try again, as a permission may be given meanwhile, and should do so at their leisure.
    pub refused_at_once: bool,
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
            domain: None,
            inbox_prefix: None,
            attempt: ATTEMPT,
            wait: Duration::from_secs(5),
            refused_at_once: false,
        }
    }

    /// The credentials that count: those that were given, or what the address says.
    pub(super) fn proven_by(&self, addresses: &[ServerAddr]) -> Credentials {
        self.credentials.or_of(addresses)
    }
}

pub(super) fn addresses(options: &Options) -> Result<Vec<ServerAddr>, ConnectError> {
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

/// The same without what they say of a user: the client needs none of it, and its log is no place for it.
pub(super) fn bare(addresses: &[ServerAddr]) -> Vec<ServerAddr> {
    let bare = |address: &ServerAddr| {
        let mut url = address.clone().into_inner();
        // Neither fails where there is a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        ServerAddr::from_url(url).ok()
    };
    addresses.iter().filter_map(bare).collect()
}

pub(super) fn client_options(
    options: &Options,
    credentials: Credentials,
    events: Events,
) -> ConnectOptions {
    let mut wanted = match credentials {
        Credentials::None => ConnectOptions::new(),
        // Asked at each connection: what stands in files may be another then.
        credentials => ConnectOptions::with_auth_callback(move |nonce| {
            let proof = credentials.proof(&nonce);
            ready(proof.map_err(|error| AuthError::new(chain(&error))))
        }),
    };
    wanted = wanted
        .name(&options.name)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(options.attempt)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .client_capacity(CLIENT_CAPACITY)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            events.hear(&event);
            ready(())
        });
    if let Some(prefix) = &options.inbox_prefix {
        wanted = wanted.custom_inbox_prefix(prefix);
    }
    // The client reads these files at each connection, too.
    if let Some(authority) = &options.tls.authority {
        wanted = wanted.add_root_certificates(authority.clone());
    }
    if let Some((certificate, key)) = &options.tls.identity {
        wanted = wanted.add_client_certificate(certificate.clone(), key.clone());
    }
    match options.tls.when() {
        TlsUse::Prefer => wanted,
        TlsUse::Required => wanted.require_tls(true),
        TlsUse::First => wanted.require_tls(true).tls_first(),
    }
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
    fn client_is_told_no_password() {
        let options = Options::new(
            "tls://me:hunter2@one:1,hunter2@two,[::1]:7",
            Namespace::new("n").unwrap(),
            "test",
        );
        let shown = format!("{:?}", bare(&addresses(&options).unwrap()));
        assert!(
            !shown.contains("hunter2") && !shown.contains("\"me\""),
            "{shown}"
        );
        let bare = bare(&addresses(&options).unwrap());
        let parts: Vec<_> = bare
            .iter()
            .map(|one| (one.host(), one.port(), one.tls_required()))
            .collect();
        assert_eq!(
            parts,
            [("one", 1, true), ("two", 4222, false), ("::1", 7, false)]
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
