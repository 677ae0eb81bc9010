//! How a request gets to a server: the address that was looked at is the one that is connected to, and of an answer only so
//! much is read. A connection is for one request, and is closed where that is given up.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::HeaderMap;
use hyper::{Request, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{InvalidDnsNameError, ServerName};
use url::{Host, Url};

use super::address::{Network, refused};
use super::tls::{Trust, TrustError};

/// Most bytes of an answer that are read.
pub(super) const ANSWER_MAX: usize = 64 * 1024;
/// Most bytes of an answer's head.
const HEAD_MAX: usize = 64 * 1024;
/// How long one of several addresses is tried.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The server's address is one that no job may ask.
    #[error(
        "connect to {host}: its address {address} is {kind}, which requests go to only where the worker's configuration names it \
             (addresses of the service, worker.http)"
    )]
    Refused {
        host: String,
        address: IpAddr,
        kind: &'static str,
    },
    #[error("find the address of {0}")]
    Resolve(String, #[source] io::Error),
    #[error("find the address of {0}: it has none")]
    Nowhere(String),
    #[error("connect to {0}")]
    Connect(SocketAddr, #[source] io::Error),
    #[error("find whom to trust")]
    Trust(#[from] TrustError),
    #[error("find whom to trust")]
    Ended(#[from] tokio::task::JoinError),
    #[error("speak TLS with {0}: no certificate can be for that name")]
    Name(String, #[source] InvalidDnsNameError),
    #[error("speak TLS with {0}")]
    Tls(String, #[source] io::Error),
    #[error("send the request")]
    Send(#[source] hyper::Error),
    #[error("read the answer")]
    Read(#[source] hyper::Error),
}

/// An answer, or as much of it as is read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Says which addresses a name has.
pub(super) type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
/// Asked for a host and a port.
pub(super) type Resolver = Arc<dyn Fn(String, u16) -> Resolving + Send + Sync>;

/// As the system says.
pub(super) fn system() -> Resolver {
    Arc::new(|host, port| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, port)).await?;
            Ok(found.collect())
        })
    })
}

/// The way to one service.
pub(super) struct Way<'w> {
    pub(super) resolver: &'w Resolver,
    pub(super) allowed: &'w [Network],
    pub(super) trust: &'w Arc<Trust>,
}

impl Way<'_> {
    /// Asks the server of `url`.
    pub(super) async fn ask(&self, url: &Url, request: Request<Bytes>) -> Result<Answer, Trouble> {
        let stream = self.connect(url).await?;
        if url.scheme() != "https" {
            return exchange(stream, request).await;
        }
        let host = url.host_str().unwrap_or_default();
        let name = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let name =
            ServerName::try_from(name).map_err(|error| Trouble::Name(host.to_owned(), error))?;
        let trust = Arc::clone(self.trust);
        let config = tokio::task::spawn_blocking(move || trust.config()).await??;
        let encrypted = TlsConnector::from(config).connect(name, stream).await;
        exchange(
            encrypted.map_err(|error| Trouble::Tls(host.to_owned(), error))?,
            request,
        )
        .await
    }

    /// Looked at is what is connected to: a name that has another address the next time it is asked for gets nobody anywhere.
    async fn connect(&self, url: &Url) -> Result<TcpStream, Trouble> {
        let name = url.host_str().unwrap_or_default().to_owned();
        let port = url.port_or_known_default().unwrap_or_default();
        let found = match url.host() {
            Some(Host::Ipv4(address)) => vec![SocketAddr::new(address.into(), port)],
            Some(Host::Ipv6(address)) => vec![SocketAddr::new(address.into(), port)],
            Some(Host::Domain(host)) => (self.resolver)(host.to_owned(), port)
                .await
                .map_err(|error| Trouble::Resolve(name.clone(), error))?,
            None => Vec::new(),
        };
        let (mut unreached, mut last) = (None, Trouble::Nowhere(name.clone()));
        for address in found {
            if let Some(kind) = refused(address.ip(), self.allowed) {
                last = Trouble::Refused {
                    host: name.clone(),
                    address: address.ip(),
                    kind: kind.words(),
                };
                continue;
            }
            unreached = Some(
                match timeout(ADDRESS_PATIENCE, TcpStream::connect(address)).await {
                    Ok(Ok(stream)) => return Ok(stream),
                    Ok(Err(error)) => Trouble::Connect(address, error),
                    Err(_) => Trouble::Connect(address, io::ErrorKind::TimedOut.into()),
                },
            );
        }
        // One that may be asked and is away for now may be there the next time, whatever other addresses its name has.
        Err(unreached.unwrap_or(last))
    }
}

/// One request and its answer. The connection is driven here, so that both end together.
async fn exchange<S>(stream: S, request: Request<Bytes>) -> Result<Answer, Trouble>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_MAX);
    let shaken = builder.handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(Trouble::Send)?;
    let mut connection = pin!(connection);
    let mut answer = pin!(async move {
        let answer = sender.send_request(request.map(Full::new)).await;
        let (head, body) = answer.map_err(Trouble::Send)?.into_parts();
        Ok::<Answer, Trouble>(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: begin_of(body).await?,
        })
    });
    tokio::select! {
        answer = &mut answer => answer,
        // What has come is told all the same, or why nothing has.
        _ = &mut connection => answer.await,
    }
}

/// The body up to the bound; what is behind it is left where it is.
async fn begin_of(mut body: Incoming) -> Result<Bytes, Trouble> {
    let mut begin = BytesMut::new();
    while begin.len() < ANSWER_MAX {
        let Some(frame) = body.frame().await else {
            break;
        };
        if let Some(data) = frame.map_err(Trouble::Read)?.data_ref() {
            let room = ANSWER_MAX - begin.len();
            begin.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(begin.freeze())
}
