//! Why there is no connection, with what to change.

use crate::secret::FileError;

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
    #[error("log in at broker {url}: {cause}; {advice}")]
    Denied {
        /// The address, without its password.
        url: String,
        /// What the broker said.
        cause: String,
        /// What to change.
        advice: String,
    },
    /// One of the two does not trust the other's certificate, or there is none.
    #[error("trust broker at {url}: {cause}; {advice}")]
    Untrusted {
        /// The address, without its password.
        url: String,
        /// What was said of the certificate.
        cause: String,
        /// What to change.
        advice: &'static str,
    },
    /// A file that was named cannot be read, or holds something else.
    #[error(transparent)]
    File(#[from] FileError),
    /// The address is no URL.
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
    /// A credentials file or an nkey was named to a program that was built without.
    #[error(
        "log in at broker {url} with {what}: this program was built without; build gridloom-worker with its feature \"nkeys\", which is on by default"
    )]
    WithoutNkeys {
        /// The address, without its password.
        url: String,
        /// What was named.
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
        "use broker at {url}: JetStream is not enabled ({cause}); start nats-server with -js, or enable it for this account (jetstream: enabled in its block, limits in its JWT); or log in to the account that has it"
    )]
    NoJetStream {
        /// The address, without its password.
        url: String,
        /// What the broker said.
        cause: String,
    },
    /// Nobody answers for the JetStream domain.
    #[error(
        "use broker at {url}: JetStream domain {domain:?} is not reached from there; check the name (domain in the jetstream block of nats-server), that the leaf node is connected, and that this account has JetStream in it"
    )]
    NoDomain {
        /// The address, without its password.
        url: String,
        /// The domain.
        domain: String,
    },
}

impl ConnectError {
    /// Whether what was said is wrong, or for another program, and not the broker.
    pub fn is_misuse(&self) -> bool {
        matches!(
            self,
            ConnectError::Address { .. }
                | ConnectError::File(_)
                | ConnectError::WithoutTls { .. }
                | ConnectError::WithoutNkeys { .. }
        )
    }

    /// Whether it may be otherwise in a moment: nobody is there yet, or not all of it.
    pub(super) fn may_pass(&self) -> bool {
        matches!(
            self,
            ConnectError::Unreachable { .. } | ConnectError::NoDomain { .. }
        )
    }

    /// Whether the broker could not be reached, as against: was reached and will not do.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, ConnectError::Unreachable { .. })
    }
}
