//! What a worker of one's own says of the way to its broker. What contradicts itself is told by [`Builder::build`].

use std::path::PathBuf;
use std::time::Duration;

use gridloom_shared::broker::connect::TlsUse;
use gridloom_shared::secret::Secret;

use super::Builder;

impl Builder {
    /// Logs in with a credentials file, as `nsc` writes it. It is read at each connection anew: a worker whose
    /// credentials were changed there goes on.
    #[must_use]
    pub fn creds(mut self, file: impl Into<PathBuf>) -> Builder {
        self.way.creds = Some(file.into());
        self
    }

    /// Logs in with an nkey, whose seed stands in a file.
    #[must_use]
    pub fn nkey(mut self, file: impl Into<PathBuf>) -> Builder {
        self.way.nkey = Some(file.into());
        self
    }

    /// Logs in as a user with a password. One in a file ([`Secret::File`]) is read at each connection anew.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>, password: impl Into<Secret>) -> Builder {
        self.way.user = Some(user.into());
        self.way.password = Some(password.into());
        self
    }

    /// Logs in with a token.
    #[must_use]
    pub fn token(mut self, token: impl Into<Secret>) -> Builder {
        self.way.token = Some(token.into());
        self
    }

    /// Trusts the certificate authorities in this file (PEM), and not the system's.
    #[must_use]
    pub fn ca(mut self, file: impl Into<PathBuf>) -> Builder {
        self.way.ca = Some(file.into());
        self
    }

    /// Shows the broker this certificate, which has this key (PEM files).
    #[must_use]
    pub fn certificate(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Builder {
        self.way.cert = Some(cert.into());
        self.way.key = Some(key.into());
        self
    }

    /// When the connection is encrypted. [`TlsUse::Prefer`] if left out, or where certificates are named
    /// [`TlsUse::Required`].
    #[must_use]
    pub fn tls(mut self, when: TlsUse) -> Builder {
        self.way.tls = Some(when);
        self
    }

    /// The JetStream domain of the streams, where the broker is reached over a leaf node.
    #[must_use]
    pub fn domain(mut self, name: impl Into<String>) -> Builder {
        self.way.domain = Some(name.into());
        self
    }

    /// What subjects for answers begin with, where permissions bind a user to its own.
    #[must_use]
    pub fn inbox(mut self, prefix: impl Into<String>) -> Builder {
        self.way.inbox = Some(prefix.into());
        self
    }

    /// How long connecting may take: the first time altogether, later each attempt.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Builder {
        self.way.timeout = Some(timeout);
        self
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::broker::connect::Credentials;

    use crate::error::BuildError;
    use crate::handlers::noop::Noop;
    use crate::worker::Worker;

    #[test]
    fn way_to_the_broker_is_taken_and_a_contradiction_is_told() {
        let one = || Worker::builder().handler("noop", Noop);
        let built = one()
            .creds("a.creds")
            .ca("ca.pem")
            .domain("hub")
            .inbox("_INBOX_w");
        let options = built.build().unwrap().settings.options;
        assert_eq!(options.credentials, Credentials::File("a.creds".into()));
        assert_eq!(options.tls.authority, Some("ca.pem".into()));
        assert_eq!(
            (options.domain.as_deref(), options.inbox_prefix.as_deref()),
            (Some("hub"), Some("_INBOX_w"))
        );
        let both = one().creds("a.creds").user("me", "hunter2").build();
        let Err(BuildError::Connection(error)) = both else {
            panic!("built");
        };
        let error = error.to_string();
        assert!(
            error.contains("creds") && error.contains("user") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
