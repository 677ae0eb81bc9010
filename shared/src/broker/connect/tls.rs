//! Decides when a connection is encrypted, and whether its certificates are of use. A program that was built without
//! TLS and is asked for it is told so: the client would find out by a panic.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use async_nats::ServerAddr;
use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;

use super::Options;
use crate::secret::{FileError, text_of};

/// How long a server is given to introduce itself.
const PATIENCE: Duration = Duration::from_secs(1);
/// More than any server says of itself.
const INTRODUCTION: u64 = 64 * 1024;

/// When a connection is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsUse {
    /// When the server or the address (`tls://`) asks for it, or certificates are named.
    #[default]
    Prefer,
    /// Always: a server without is refused.
    Required,
    /// Always, and before the server says anything: one with `handshake_first`.
    First,
}

impl FromStr for TlsUse {
    type Err = String;
    fn from_str(text: &str) -> Result<TlsUse, String> {
        match text {
            "prefer" => Ok(TlsUse::Prefer),
            "required" => Ok(TlsUse::Required),
            "first" => Ok(TlsUse::First),
            _ => Err(
                "must be \"prefer\", \"required\" or \"first\" (for a server with handshake_first)"
                    .to_owned(),
            ),
        }
    }
}

/// A client certificate and its key, as they stand in their files.
type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// When TLS is used, and whose certificates; paths of PEM files, which are read at each connection anew.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Certificate authorities to trust, in place of the system's.
    pub authority: Option<PathBuf>,
    /// Client certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// When a connection is encrypted.
    pub using: TlsUse,
}

impl Tls {
    /// When a connection is encrypted: whoever names certificates wants it.
    pub(super) fn when(&self) -> TlsUse {
        match self.using {
            TlsUse::Prefer if self.authority.is_some() || self.identity.is_some() => {
                TlsUse::Required
            }
            using => using,
        }
    }

    /// Whether the files are there, and hold what they should.
    pub(super) fn check(&self) -> Result<(), FileError> {
        if let Some(path) = &self.authority {
            certificates("the certificate authority", path)?;
        }
        self.read_own()?;
        Ok(())
    }

    /// The client certificate and its key, where they are named and of use.
    #[cfg(feature = "tls")]
    pub(super) fn own(&self) -> Option<Own> {
        self.read_own().ok()?
    }

    fn read_own(&self) -> Result<Option<Own>, FileError> {
        let Some((certificate, key)) = &self.identity else {
            return Ok(None);
        };
        let shown = certificates("the client certificate", certificate)?;
        let what = "the client certificate's key";
        let text = text_of(what, key)?;
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|_| FileError::new(what, key, "it holds no key in PEM (BEGIN PRIVATE KEY)"))?;
        Ok(Some((shown, key)))
    }
}

/// Nothing of what the parser says: it quotes lines.
fn certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let text = text_of(what, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => {
            let cause = "it holds no certificate in PEM (BEGIN CERTIFICATE)";
            Err(FileError::new(what, path, cause))
        }
    }
}

/// Whether this program can do TLS: by the feature `tls`, or because it has given its own cryptography to rustls.
pub(super) fn is_there() -> bool {
    cfg!(feature = "tls") || async_nats::rustls::crypto::CryptoProvider::get_default().is_some()
}

/// Who asks for TLS, if anybody.
pub(super) async fn asked_for(options: &Options, addresses: &[ServerAddr]) -> Option<&'static str> {
    if addresses.iter().any(ServerAddr::tls_required) {
        return Some("its address asks for");
    }
    if options.tls.when() != TlsUse::Prefer {
        return Some("the options of this connection ask for");
    }
    for address in addresses {
        let asking = wants_tls(address.host(), address.port());
        if tokio::time::timeout(PATIENCE, asking).await == Ok(Some(true)) {
            return Some("the server asks for");
        }
    }
    None
}

/// Whether the server's introduction asks for TLS.
async fn wants_tls(host: &str, port: u16) -> Option<bool> {
    let (line, _) = introduced(host, port).await.ok()?;
    let said = line.strip_prefix("INFO ")?;
    let said: serde_json::Value = serde_json::from_str(said).ok()?;
    said.get("tls_required")?.as_bool()
}

/// The server's introduction, the first line that it sends, and the connection behind it: it says no more before it is
/// answered.
pub(super) async fn introduced(host: &str, port: u16) -> std::io::Result<(String, TcpStream)> {
    let stream = TcpStream::connect((host, port)).await?;
    let mut line = String::new();
    let mut reader = BufReader::new(stream.take(INTRODUCTION));
    reader.read_line(&mut line).await?;
    Ok((line, reader.into_inner().into_inner()))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::broker::connect::options::addresses;
    use crate::id::Namespace;

    /// A server that introduces itself so.
    async fn server(says: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(says.as_bytes()).await;
            }
        });
        format!("127.0.0.1:{port}")
    }

    async fn asks(url: String, tls: Tls) -> Option<&'static str> {
        let mut options = Options::new(url, Namespace::new("n").unwrap(), "test");
        options.tls = tls;
        asked_for(&options, &addresses(&options).unwrap()).await
    }

    #[tokio::test]
    async fn address_options_and_server_may_each_ask_for_tls() {
        let plain = server("INFO {\"server_id\":\"a\"}\r\n").await;
        let strict = server("INFO {\"tls_required\":true}\r\n").await;
        let none = Tls::default;
        assert_eq!(asks(format!("nats://{plain}"), none()).await, None);
        let asked = asks(format!("nats://{plain},nats://{strict}"), none()).await;
        assert_eq!(asked, Some("the server asks for"));
        let asked = asks(format!("tls://{plain}"), none()).await;
        assert_eq!(asked, Some("its address asks for"));
        let required = Tls {
            using: TlsUse::Required,
            ..Tls::default()
        };
        let asked = asks(format!("nats://{plain}"), required).await;
        assert_eq!(asked, Some("the options of this connection ask for"));
    }

    #[test]
    fn files_that_hold_something_else_are_named_without_a_word_of_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pem");
        let fault = |tls: &Tls| tls.check().unwrap_err().to_string();
        let authority = Tls {
            authority: Some(path.clone()),
            ..Tls::default()
        };
        assert!(fault(&authority).contains("No such file"));
        for text in ["", "hunter2", "-----BEGIN CERTIFICATE-----\nhunter2!\n"] {
            std::fs::write(&path, text).unwrap();
            let fault = fault(&authority);
            assert!(
                fault.contains("x.pem") && fault.contains("no certificate"),
                "{fault}"
            );
            assert!(!fault.contains("hunter2"), "{fault}");
        }
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&path, certificate).unwrap();
        assert_eq!(authority.check(), Ok(()));
        let identity = Tls {
            identity: Some((path.clone(), path)),
            ..Tls::default()
        };
        assert!(fault(&identity).contains("no key in PEM"));
        assert_eq!(
            (authority.when(), Tls::default().when()),
            (TlsUse::Required, TlsUse::Prefer)
        );
    }

    #[tokio::test]
    async fn server_that_is_not_there_or_is_another_asks_for_nothing() {
        let other = server("HTTP/1.1 400\r\n").await;
        assert_eq!(asks(format!("nats://{other}"), Tls::default()).await, None);
        assert_eq!(
            asks("nats://127.0.0.1:1".into(), Tls::default()).await,
            None
        );
    }
}
