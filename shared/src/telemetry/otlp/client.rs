//! How a request gets to a collector: HTTP, or HTTPS with what the system trusts. One connection, which stays open.

use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::Target;
use super::answer::{self, Refused};
use crate::chain;

/// Most bytes of an answer that are read: it says how many spans were refused.
const ANSWER_MAX: usize = 64 * 1024;

/// A client of one collector.
#[derive(Debug)]
pub(super) struct Client {
    patience: Duration,
    authority: Option<PathBuf>,
    /// Before those of the exporter.
    headers: HeaderMap,
    open: tokio::sync::Mutex<Option<SendRequest<Full<Bytes>>>>,
    /// What went wrong last, of which the exporter says only that something did.
    fault: Mutex<Option<String>>,
    /// What the last answer says of a batch that was taken: likewise.
    refused: Mutex<Option<Refused>>,
}

impl Client {
    pub(super) fn new(target: &Target) -> Client {
        Client {
            patience: target.patience,
            authority: target.authority.clone(),
            headers: target.headers.clone(),
            open: tokio::sync::Mutex::default(),
            fault: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// What of the last batch was refused although it was taken.
    pub(super) fn take_refused(&self) -> Option<Refused> {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// What went wrong since this was asked last.
    pub(super) fn take_fault(&self) -> Option<String> {
        self.fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut open = self.open.lock().await;
        // Taken out: a connection in whose middle something went wrong is not used again.
        let kept = open.take().filter(|sender| !sender.is_closed());
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect(request.uri()).await?,
        };
        let authority = request.uri().authority().map(Authority::as_str);
        let host = HeaderValue::from_str(authority.unwrap_or_default())?;
        request.headers_mut().extend(self.headers.clone());
        request.headers_mut().insert(HOST, host);
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
        sender.ready().await?;
        let answer = sender.send_request(request.map(Full::new)).await?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await?.to_bytes();
        *open = Some(sender);
        Ok(Response::from_parts(head, body))
    }

    async fn connect(&self, to: &Uri) -> Result<SendRequest<Full<Bytes>>, HttpError> {
        let host = to.host().ok_or("the address names no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let encrypted = to.scheme() == Some(&Scheme::HTTPS);
        let port = to.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await?;
        if !encrypted {
            return speak(stream).await;
        }
        let name = ServerName::try_from(host.to_owned())?;
        let connector = TlsConnector::from(Arc::new(self.trusting()?));
        speak(connector.connect(name, stream).await?).await
    }

    /// Read at each connection: certificates are renewed.
    fn trusting(&self) -> Result<ClientConfig, HttpError> {
        let mut trusted = RootCertStore::empty();
        match &self.authority {
            Some(path) => {
                for found in CertificateDer::pem_file_iter(path)? {
                    trusted.add(found?)?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                trusted.add_parsable_certificates(found.certs);
            }
        }
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions()?;
        Ok(config.with_root_certificates(trusted).with_no_client_auth())
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
) -> Result<SendRequest<Full<Bytes>>, HttpError> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends with the connection, or with the runtime of the exporter, which is its own.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %chain(&error), "the connection to the collector ended");
        }
    });
    Ok(sender)
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answered = match timeout(self.patience, self.send(request)).await {
            Ok(answered) => answered,
            Err(_) => Err("it does not answer".into()),
        };
        let fault = match &answered {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answered {}", answer.status())),
            Err(error) => Some(told(error.as_ref())),
        };
        let refused = match &answered {
            Ok(answer) if fault.is_none() => answer::refused(answer.body()),
            Ok(_) | Err(_) => None,
        };
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
        answered
    }
}

fn told(error: &(dyn Error + 'static)) -> String {
    chain(&error).to_string()
}
