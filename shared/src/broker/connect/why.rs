//! Why an attempt to connect failed, in words that say what to change. The client knows only kinds and texts of what it
//! is built upon.

use async_nats::ConnectErrorKind as Kind;

use super::credentials::{Credentials, ProofError};
use super::tls::TlsUse;
use super::{ConnectError, Options};
use crate::chain;

/// What TLS says of certificates, and what that means. Neither gets better by itself.
const CERTIFICATES: [(&[&str], &str); 7] = [
    (
        &["not valid for name", "NotValidForName"],
        "its certificate is one of another host: name the broker by a host or address that stands in the certificate, or have one made for this one",
    ),
    (
        &["UnknownIssuer"],
        "the authority of its certificate is not trusted here: name that authority's certificate (ca), or install it on this machine",
    ),
    (
        &["CaUsedAsEndEntity"],
        "it shows the certificate of an authority as its own: have one made for the host",
    ),
    (
        &[
            "certificate expired",
            "Expired",
            "NotValidYet",
            "not valid yet",
        ],
        "its certificate does not hold at this time: renew it there, or see to the clock of this machine",
    ),
    (
        &["CertificateRequired"],
        "it wants a client certificate: give it one (cert and key)",
    ),
    (
        &[
            "BadCertificate",
            "UnknownCA",
            "CertificateUnknown",
            "CertificateExpired",
            "CertificateRevoked",
            "UnsupportedCertificate",
        ],
        "it does not take this client's certificate: give it one of the authority that it trusts (cert and key)",
    ),
    (
        &["peer certificate"],
        "its certificate is not right: look at it there",
    ),
];

/// What listens there does not speak as it was expected to.
const INFO: &str = "expected INFO";
const CORRUPT: &str = "corrupt message";
/// Nothing is said at all.
const SILENT: &str = "no answer";

/// There is nothing to log in with.
pub(super) fn unproven(url: &str, error: ProofError) -> ConnectError {
    match error {
        ProofError::File(error) => ConnectError::File(error),
        ProofError::WithoutNkeys(what) => ConnectError::WithoutNkeys {
            url: url.to_owned(),
            what,
        },
    }
}

/// The client says that the attempt failed.
pub(super) fn refused(
    options: &Options,
    credentials: &Credentials,
    error: &async_nats::ConnectError,
) -> ConnectError {
    let url = options.url.to_string();
    let cause = chain(error).to_string();
    let denied = |cause: String| ConnectError::Denied {
        url: url.clone(),
        cause,
        advice: credentials.advice(),
    };
    match error.kind() {
        // All that the broker says of it.
        Kind::AuthorizationViolation => denied(error.kind().to_string()),
        // A file that was changed since it was looked at.
        Kind::Authentication => denied(cause),
        Kind::ServerParse => ConnectError::Address { url, cause },
        Kind::Tls => ConnectError::Untrusted {
            url,
            cause,
            advice: "see that cert and key belong together, that the system's certificates are there (ca-certificates), or name an authority (ca)",
        },
        Kind::Dns | Kind::TimedOut | Kind::Io | Kind::MaxReconnects => {
            if cause.to_ascii_lowercase().contains("user authentication") {
                return denied(cause);
            }
            let of_certificates =
                |(words, _): &&(&[&str], &str)| words.iter().any(|words| cause.contains(words));
            match CERTIFICATES.iter().find(of_certificates) {
                Some((_, advice)) => ConnectError::Untrusted { url, cause, advice },
                None => unreachable(options, &cause),
            }
        }
    }
}

/// Nothing came within the time of an attempt.
pub(super) fn silent(options: &Options) -> ConnectError {
    let waited = options.attempt.as_secs_f32();
    unreachable(options, &format!("{SILENT} in {waited} s"))
}

fn unreachable(options: &Options, cause: &str) -> ConnectError {
    let is_first = options.tls.when() == TlsUse::First;
    let is_silent = cause.contains(INFO) || cause.contains(SILENT) || cause.contains("timed out");
    let hint = if is_silent && !is_first {
        "what listens there does not begin as a nats-server does: TLS at once (then set tls to \"first\"), or another service?"
    } else if cause.contains(CORRUPT) && is_first {
        "what listens there speaks no TLS, or not at once: set tls to \"required\" in place of \"first\"?"
    } else if cause.contains(CORRUPT) {
        "what listens there speaks no TLS: nats:// in place of tls://, and no tls, ca or cert?"
    } else if is_first {
        "is nats-server running there, with TLS at once (handshake_first)?"
    } else {
        "is nats-server running there?"
    };
    ConnectError::Unreachable {
        url: options.url.to_string(),
        cause: format!("{cause}; {hint}"),
    }
}
