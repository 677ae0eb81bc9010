//! Whom to believe that a service is the one that it says: the authorities that the system trusts, or those of a file. As the
//! broker's client does: rustls with ring.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gridloom_shared::chain;
use gridloom_shared::secret::{FileError, text_of};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// For so long what was read of files is believed: authorities are renewed under a worker that runs.
const FRESH: Duration = Duration::from_secs(60);

/// Why nobody can be believed.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum TrustError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("set up TLS")]
    Rustls(#[from] rustls::Error),
}

/// Whom a service is to be vouched for by.
#[derive(Debug)]
pub(super) struct Trust {
    ca: Option<PathBuf>,
    known: Mutex<Option<(Instant, Arc<ClientConfig>)>>,
}

impl Trust {
    pub(super) fn in_authorities(ca: Option<PathBuf>) -> Trust {
        Trust {
            ca,
            known: Mutex::default(),
        }
    }

    /// How a connection is encrypted. Reads files, now and then.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, TrustError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, config)) = &*known
            && since.elapsed() < FRESH
        {
            return Ok(Arc::clone(config));
        }
        let trusted = match &self.ca {
            Some(path) => authorities(path)?,
            None => {
                let mut system = RootCertStore::empty();
                system.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                system
            }
        };
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions()?;
        let config = Arc::new(config.with_root_certificates(trusted).with_no_client_auth());
        *known = Some((Instant::now(), Arc::clone(&config)));
        Ok(config)
    }
}

/// The authorities in the file at `path`.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, FileError> {
    const WHAT: &str = "authorities";
    let text = text_of(WHAT, path)?;
    let mut trusted = RootCertStore::empty();
    for found in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let found = found.map_err(|error| FileError::new(WHAT, path, chain(&error).to_string()))?;
        let added = trusted.add(found);
        added.map_err(|error| FileError::new(WHAT, path, chain(&error).to_string()))?;
    }
    match trusted.is_empty() {
        true => Err(FileError::new(WHAT, path, "it holds no certificate in PEM")),
        false => Ok(trusted),
    }
}
