//! When the certificates are over that the broker's servers show. Whoever is connected hears nothing of that: it is seen by a
//! connection of its own to each address, over which nothing is said, and which therefore trusts whatever it is shown.
//!
//! It must not decide whether a certificate will do: that does the connection over which something is said.

use async_nats::ServerAddr;

use super::Broker;
use super::credentials::Credentials;
use super::options::Options;
use super::tls::{Tls, TlsUse};
use crate::clock::UnixMs;

/// A server of the broker, and its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its host and port, as they were named.
    pub server: String,
    /// When its certificate is over.
    pub end: UnixMs,
}

/// How the servers are reached that were named.
#[derive(Debug)]
pub(super) struct Way {
    addresses: Vec<ServerAddr>,
    pub(super) tls: Tls,
    pub(super) credentials: Credentials,
}

impl Way {
    pub(super) fn new(
        addresses: Vec<ServerAddr>,
        options: &Options,
        credentials: Credentials,
    ) -> Way {
        Way {
            addresses,
            credentials,
            tls: options.tls.clone(),
        }
    }

    /// Whether a connection is encrypted that this client says something over.
    fn is_encrypted(&self, server_asks: bool) -> bool {
        server_asks
            || self.tls.when() != TlsUse::Prefer
            || self.addresses.iter().any(ServerAddr::tls_required)
    }
}

impl Broker {
    /// When the certificates of the servers are over that were named, the soonest first. Those that do not answer, and those
    /// that show none, are left out.
    pub async fn certificates(&self) -> Vec<Shown> {
        if !self
            .way
            .is_encrypted(self.client.server_info().tls_required)
        {
            return Vec::new();
        }
        let asked = self.way.addresses.iter().map(async |address| {
            let end = look::end_at(address, &self.way.tls).await?;
            let server = format!("{}:{}", address.host(), address.port());
            Some(Shown { server, end })
        });
        let found = futures_util::future::join_all(asked).await;
        let mut found: Vec<Shown> = found.into_iter().flatten().collect();
        found.sort_by_key(|shown| shown.end);
        found
    }
}

#[cfg(feature = "tls")]
pub use look::end_of;

/// A program that was built without TLS sees none.
#[cfg(not(feature = "tls"))]
mod look {
    use super::{ServerAddr, Tls, UnixMs};

    pub(super) async fn end_at(_: &ServerAddr, _: &Tls) -> Option<UnixMs> {
        None
    }
}

#[cfg(feature = "tls")]
mod look {
    use std::sync::{Arc, OnceLock};
    use std::time::Duration;

    use async_nats::ServerAddr;
    use async_nats::rustls::client::danger::{
        HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
    };
    use async_nats::rustls::client::verify_server_cert_signed_by_trust_anchor;
    use async_nats::rustls::crypto::{CryptoProvider, ring};
    use async_nats::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use async_nats::rustls::server::ParsedCertificate;
    use async_nats::rustls::{
        CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
        SignatureScheme,
    };
    use tokio::net::TcpStream;
    use tokio::time::timeout;
    use tokio_rustls::TlsConnector;

    use super::super::tls::{Tls, TlsUse, introduced};
    use crate::clock::UnixMs;

    /// How long a server is given to show it.
    const PATIENCE: Duration = Duration::from_secs(3);
    /// The last moment that a certificate can name, 9999-12-31T23:59:59Z, after 1970.
    const LAST: Duration = Duration::from_secs(253_402_300_799);

    /// When the certificate is over that is shown at an address.
    pub(super) async fn end_at(address: &ServerAddr, tls: &Tls) -> Option<UnixMs> {
        if address.is_websocket() {
            return None;
        }
        timeout(PATIENCE, shown_at(address, tls)).await.ok()?
    }

    async fn shown_at(address: &ServerAddr, tls: &Tls) -> Option<UnixMs> {
        let stream = match tls.when() {
            TlsUse::First => TcpStream::connect((address.host(), address.port())).await,
            TlsUse::Prefer | TlsUse::Required => introduced(address.host(), address.port())
                .await
                .map(|(_, stream)| stream),
        };
        let seen = Arc::new(Seen::new());
        let config = config(tls, Arc::clone(&seen))?;
        let name = ServerName::try_from(address.host().to_owned()).ok()?;
        // What comes of it is nobody's business: the certificate was shown by then.
        let _ = TlsConnector::from(Arc::new(config))
            .connect(name, stream.ok()?)
            .await;
        seen.end.get().copied()
    }

    /// A server may want a certificate of its client before it goes on.
    fn config(tls: &Tls, seen: Arc<Seen>) -> Option<ClientConfig> {
        let config = ClientConfig::builder_with_provider(Arc::clone(&seen.provider));
        let config = config.with_safe_default_protocol_versions().ok()?;
        let config = config.dangerous().with_custom_certificate_verifier(seen);
        match tls.own() {
            Some((shown, key)) => config.with_client_auth_cert(shown, key).ok(),
            None => Some(config.with_no_client_auth()),
        }
    }

    /// Sees a certificate, and trusts it.
    #[derive(Debug)]
    struct Seen {
        provider: Arc<CryptoProvider>,
        end: OnceLock<UnixMs>,
    }

    impl Seen {
        fn new() -> Seen {
            Seen {
                provider: Arc::new(ring::default_provider()),
                end: OnceLock::new(),
            }
        }
    }

    impl ServerCertVerifier for Seen {
        fn verify_server_cert(
            &self,
            end_entity: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            if let Some(end) = end_of(end_entity) {
                let _ = self.end.set(end);
            }
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            let algorithms = self.provider.signature_verification_algorithms;
            algorithms.supported_schemes()
        }
    }

    /// When a certificate is over. Who verifies one looks at that before anything else, and says it of a time behind it: so
    /// it is asked for the last moment that a certificate can name, and trusts nobody.
    pub fn end_of(certificate: &CertificateDer<'_>) -> Option<UnixMs> {
        let parsed = ParsedCertificate::try_from(certificate).ok()?;
        let verified = verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &RootCertStore::empty(),
            &[],
            UnixTime::since_unix_epoch(LAST),
            &[],
        );
        match verified {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext {
                not_after, ..
            })) => Some(UnixMs(not_after.as_secs().saturating_mul(1_000))),
            Ok(()) | Err(_) => None,
        }
    }
}
