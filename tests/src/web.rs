//! A server of HTTP whose answers a test says, byte by byte where it has to be: it can hang, never end, and show a certificate.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::certificates::Certified;

/// A request, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// What it asks for.
    pub path: String,
    /// By their names in small letters.
    pub headers: Vec<(String, String)>,
    /// What it carries.
    pub body: String,
}

impl Asked {
    /// The value of a header, which is named in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A status, headers and a body.
    Says(u16, Vec<(&'static str, String)>, String),
    /// Nothing, ever.
    Hangs,
    /// A status, and a body that never ends.
    NeverEnds(u16),
    /// The connection's end.
    Leaves,
}

impl Answer {
    /// A status and nothing else.
    pub fn status(status: u16) -> Answer {
        Answer::Says(status, Vec::new(), String::new())
    }
}

type Script = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;

/// A server on 127.0.0.1. It ends when dropped.
#[derive(Debug)]
pub struct Web {
    scheme: &'static str,
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Web {
    /// Starts one that answers by `script`.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(
        script: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> anyhow::Result<Web> {
        Web::begin(Arc::new(script), None).await
    }

    /// The same over TLS, with this certificate.
    ///
    /// # Errors
    /// When there is no port, or the certificate is none.
    pub async fn start_encrypted(
        shown: &Certified,
        script: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> anyhow::Result<Web> {
        let certificates = CertificateDer::pem_file_iter(&shown.cert)?.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&shown.key)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates, key)?;
        Web::begin(Arc::new(script), Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn begin(script: Script, tls: Option<TlsAcceptor>) -> anyhow::Result<Web> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let heard = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, heard, tls) = (Arc::clone(&script), Arc::clone(&heard), tls.clone());
                tokio::spawn(async move {
                    // Whoever leaves, or does not trust the certificate, ends its own connection alone.
                    let _ = match tls {
                        None => serve(stream, &script, &heard).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &script, &heard).await,
                            Err(_) => Ok(()),
                        },
                    };
                });
            }
        });
        Ok(Web {
            scheme,
            address,
            asked,
            task,
        })
    }

    /// Its origin.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// The port at which it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What it was asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        let asked = self.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: &Script,
    heard: &Mutex<Vec<Asked>>,
) -> anyhow::Result<()> {
    let asked = read(&mut stream).await?;
    let answer = script(&asked);
    heard
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(asked);
    match answer {
        Answer::Hangs => std::future::pending().await,
        Answer::Leaves => {}
        Answer::NeverEnds(status) => {
            let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(&[b'x'; 4096]).await?;
            }
        }
        Answer::Says(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                write!(head, "{name}: {value}\r\n")?;
            }
            let whole = format!("{head}\r\n{body}");
            stream.write_all(whole.as_bytes()).await?;
            stream.shutdown().await?;
        }
    }
    Ok(())
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<Asked> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        anyhow::ensure!(stream.read_buf(&mut bytes).await? > 0, "no request");
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: Vec<(String, String)> = headers
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(Ok(0), |(_, length)| length.parse::<usize>())?;
    while bytes.len() < end + 4 + length {
        anyhow::ensure!(stream.read_buf(&mut bytes).await? > 0, "half a body");
    }
    Ok(Asked {
        method: first.next().unwrap_or_default().to_owned(),
        path: first.next().context("no path")?.to_owned(),
        headers,
        body: String::from_utf8_lossy(&bytes[end + 4..]).into_owned(),
    })
}
