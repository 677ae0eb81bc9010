//! The certificate that the API shows, where it has one. It is read at the start, and again when its files change: one
//! that is of no use ends the start, and later leaves the one that is shown.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use gridloom_shared::broker::connect::end_of;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::secret::{FileError, text_of};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, ServerConfig};

/// What is read, for people.
const CERTIFICATE: &str = "the certificate of the API";
const KEY: &str = "the key of the API's certificate";

/// A certificate and its key, as files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Why a certificate cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A file does not hold what it should.
    #[error(transparent)]
    File(#[from] FileError),
    /// They do not belong together.
    #[error(
        "the key {} is not that of the certificate {}: name both of one pair (--api-tls-cert, --api-tls-key), the certificate itself before those of its authorities",
        .key.display(),
        .certificate.display()
    )]
    Another {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// Nobody could use it.
    #[error("show the certificate {}: {cause}", .certificate.display())]
    Useless {
        /// The certificate's file.
        certificate: PathBuf,
        /// Why not.
        cause: String,
    },
}

/// What a connection is begun with.
type Usable = (Vec<CertificateDer<'static>>, Arc<ServerConfig>);

impl Certificate {
    /// Whether it can be shown, as it stands in its files.
    ///
    /// # Errors
    /// When it cannot.
    pub fn check(&self) -> Result<(), CertificateError> {
        self.read().map(drop)
    }

    fn read(&self) -> Result<Usable, CertificateError> {
        let fault = |what, path: &PathBuf, cause: &str| FileError::new(what, path, cause);
        let text = text_of(CERTIFICATE, &self.certificate)?;
        let shown: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        // Nothing of what the parser says: it quotes lines.
        let shown = shown
            .ok()
            .filter(|shown| !shown.is_empty())
            .ok_or_else(|| {
                let cause = "it holds no certificate in PEM (BEGIN CERTIFICATE)";
                fault(CERTIFICATE, &self.certificate, cause)
            })?;
        let text = text_of(KEY, &self.key)?;
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
            let cause =
                "it holds no key in PEM (BEGIN PRIVATE KEY); one with a passphrase cannot be read";
            fault(KEY, &self.key, cause)
        })?;
        let wrong = |error: Error| match error {
            Error::InconsistentKeys(_) => CertificateError::Another {
                key: self.key.clone(),
                certificate: self.certificate.clone(),
            },
            error => CertificateError::Useless {
                certificate: self.certificate.clone(),
                cause: gridloom_shared::chain(&error).to_string(),
            },
        };
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider);
        let config = config
            .with_safe_default_protocol_versions()
            .map_err(wrong)?;
        let config = config.with_no_client_auth();
        let mut config = config.with_single_cert(shown.clone(), key).map_err(wrong)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((shown, Arc::new(config)))
    }
}

/// The certificate that is shown now.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) files: Certificate,
    now: RwLock<Usable>,
}

impl Shown {
    pub(super) fn new(files: Certificate) -> Result<Shown, CertificateError> {
        let now = RwLock::new(files.read()?);
        Ok(Shown { files, now })
    }

    /// What the next connection is begun with.
    pub(super) fn now(&self) -> Arc<ServerConfig> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&now.1)
    }

    /// When the certificate that is shown is over; `None`: it does not say so.
    pub(super) fn end(&self) -> Option<UnixMs> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        end_of(now.0.first()?)
    }

    /// Reads its files again. `true`: another one stands there, and is shown from now on.
    ///
    /// # Errors
    /// When what stands there is of no use; the one before is shown further on.
    pub(super) fn renew(&self) -> Result<bool, CertificateError> {
        let read = self.files.read()?;
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        let is_another = now.0 != read.0;
        *now = read;
        Ok(is_another)
    }
}
