//! A collector of traces: takes OTLP over HTTP as any does, and keeps what it was told. It can also hang, or refuse.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::serve::Listener;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use crate::certificates::Certified;
use crate::wait::eventually_some;

/// Why one that keeps less than it takes does so, in its own words.
pub const WHY_REJECTED: &str = "older than what is kept";

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Takes it.
    Takes,
    /// Refuses it with this status.
    Refuses(u16),
    /// Takes it, and says that it keeps none of so many spans of it.
    Rejects(i64),
    /// Never answers.
    Hangs,
}

/// A span, as it was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The service that told it.
    pub service: String,
    /// Its trace.
    pub trace: String,
    /// Its id.
    pub span: String,
    /// The span that it is a part of; empty: none.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// What is said of it.
    pub said: BTreeMap<String, String>,
    /// What happened meanwhile, each with what is said of it.
    pub events: Vec<(String, BTreeMap<String, String>)>,
    /// Spans that it follows from.
    pub follows: Vec<String>,
    /// Whether it failed, and why.
    pub error: Option<String>,
    /// How long it took.
    pub took: Duration,
}

#[derive(Debug)]
struct Kept {
    manner: Manner,
    told: Mutex<Vec<Told>>,
    requests: AtomicUsize,
    headers: Mutex<Vec<HeaderMap>>,
}

impl Kept {
    fn note(&self, headers: HeaderMap) {
        let all = &mut *self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(headers);
    }
}

/// A collector on 127.0.0.1. It ends when dropped.
#[derive(Debug)]
pub struct Collector {
    scheme: &'static str,
    address: SocketAddr,
    kept: Arc<Kept>,
    task: JoinHandle<()>,
}

impl Collector {
    /// Starts one.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(manner: Manner) -> anyhow::Result<Collector> {
        Collector::begin(manner, None).await
    }

    /// Starts one that takes everything, over TLS with this certificate.
    ///
    /// # Errors
    /// When there is no port, or the certificate is none.
    pub async fn start_encrypted(shown: &Certified) -> anyhow::Result<Collector> {
        let certificates = CertificateDer::pem_file_iter(&shown.cert)?.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&shown.key)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates, key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Collector::begin(Manner::Takes, Some(acceptor)).await
    }

    async fn begin(manner: Manner, tls: Option<TlsAcceptor>) -> anyhow::Result<Collector> {
        let kept = Arc::new(Kept {
            manner,
            told: Mutex::default(),
            requests: AtomicUsize::new(0),
            headers: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(Arc::clone(&kept));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let task = tokio::spawn(async move {
            let _ = match tls {
                None => axum::serve(listener, router).await,
                Some(acceptor) => axum::serve(Encrypted { listener, acceptor }, router).await,
            };
        });
        Ok(Collector {
            scheme,
            address,
            kept,
            task,
        })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// What it was told.
    pub fn told(&self) -> Vec<Told> {
        let told = self.kept.told.lock();
        told.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often it was asked to take something.
    pub fn requests(&self) -> usize {
        self.kept.requests.load(Ordering::Relaxed)
    }

    /// The headers of all requests.
    pub fn headers(&self) -> Vec<HeaderMap> {
        let headers = self.kept.headers.lock();
        headers.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it was told `wanted` of a trace, and gives all of that trace.
    ///
    /// # Errors
    /// When it is not by then: says what it was told.
    pub async fn trace(
        &self,
        trace: &str,
        wanted: impl Fn(&[Told]) -> bool,
        deadline: Duration,
    ) -> anyhow::Result<Vec<Told>> {
        let of_trace = || {
            let told = self.told().into_iter();
            told.filter(|told| told.trace == trace).collect::<Vec<_>>()
        };
        let waited = eventually_some(deadline, "the trace is told", async || {
            let told = of_trace();
            Ok(wanted(&told).then_some(told))
        });
        waited.await.with_context(|| format!("{:#?}", of_trace()))
    }
}

/// Takes connections over TLS; one that comes to nothing is passed over.
struct Encrypted {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, from) = Listener::accept(&mut self.listener).await;
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// That each span of a trace was told once, and its parent, too, unless it is `outside`.
///
/// # Errors
/// With the first that is not.
pub fn whole(told: &[Told], outside: &str) -> anyhow::Result<()> {
    let mut ids = HashSet::new();
    for span in told {
        ensure!(ids.insert(span.span.as_str()), "told twice: {span:#?}");
    }
    for span in told {
        let parent = span.parent.as_str();
        let known = ids.contains(parent) || parent == outside;
        ensure!(known, "its parent is not there: {span:#?} of {told:#?}");
    }
    Ok(())
}

async fn take(
    State(kept): State<Arc<Kept>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Vec<u8>, StatusCode> {
    kept.requests.fetch_add(1, Ordering::Relaxed);
    kept.note(headers);
    match kept.manner {
        Manner::Takes | Manner::Rejects(_) => {}
        Manner::Refuses(status) => {
            return Err(StatusCode::from_u16(status).unwrap_or_default());
        }
        Manner::Hangs => std::future::pending().await,
    }
    let Ok(request) = ExportTraceServiceRequest::decode(body) else {
        return Err(StatusCode::BAD_REQUEST);
    };
    let mut all = kept.told.lock().unwrap_or_else(PoisonError::into_inner);
    for resource in request.resource_spans {
        let of = resource.resource.map(|resource| said(resource.attributes));
        let of = of.unwrap_or_default();
        let service = of.get("service.name").cloned().unwrap_or_default();
        let spans = resource
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans);
        all.extend(spans.map(|span| read(&service, span)));
    }
    let partial_success = match kept.manner {
        Manner::Rejects(rejected_spans) => Some(ExportTracePartialSuccess {
            rejected_spans,
            error_message: WHY_REJECTED.to_owned(),
        }),
        Manner::Takes | Manner::Refuses(_) | Manner::Hangs => None,
    };
    Ok(ExportTraceServiceResponse { partial_success }.encode_to_vec())
}

fn read(service: &str, span: Span) -> Told {
    let failed = span.status.filter(|status| status.code == 2);
    let took = span
        .end_time_unix_nano
        .saturating_sub(span.start_time_unix_nano);
    let events = span.events.into_iter();
    Told {
        service: service.to_owned(),
        trace: hex(&span.trace_id),
        span: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name,
        said: said(span.attributes),
        events: events
            .map(|event| (event.name, said(event.attributes)))
            .collect(),
        follows: span.links.iter().map(|link| hex(&link.span_id)).collect(),
        error: failed.map(|status| status.message),
        took: Duration::from_nanos(took),
    }
}

fn said(said: Vec<KeyValue>) -> BTreeMap<String, String> {
    let said = said.into_iter();
    said.map(|pair| {
        let value = pair.value.and_then(|value| value.value);
        let value = match value {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => format!("{other:?}"),
        };
        (pair.key, value)
    })
    .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
