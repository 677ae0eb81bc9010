//! Sends spans to a collector: OTLP, as protobuf over HTTP. On a thread of its own, in batches, and of nothing that goes
//! wrong here anything else hears: what cannot be sent is counted and forgotten.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`target`] | to which collector, by flags and by the standard variables |
//! | [`client`] | how a request gets there |
//! | [`headers`] | what tells it who tells |
//! | [`data`] | how a span is written |
//! | [`answer`] | what a collector refuses of what it took |

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::{Key, KeyValue};
use opentelemetry_http::HttpClient;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use crate::chain;
use crate::metrics::SPANS;

use super::spans::{Span, Tracer};

mod answer;
mod client;
mod data;
mod headers;
mod target;

use client::Client;
pub use target::{PassedOver, Target};

/// Most spans of one request: some hundred kilobytes.
const BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const GATHERED: Duration = Duration::from_secs(1);
/// How long the end of a service waits for what is left to be sent.
const AT_THE_END: Duration = Duration::from_secs(2);
/// How often it is told that nothing is taken.
const TOLD: Duration = Duration::from_secs(60);

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// What the variables say of it cannot be.
    #[error(transparent)]
    Exporter(#[from] ExporterBuildError),
    /// There is no thread for it.
    #[error("start a thread")]
    Thread(#[from] std::io::Error),
}

/// What sends.
#[derive(Debug)]
pub struct Exporter {
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
    tracer: Tracer,
    sending: Arc<AtomicU64>,
}

/// Begins to send.
///
/// # Errors
/// When the variables say what cannot be, or there is no thread for it.
pub fn start(
    target: &Target,
    service: &str,
    instance: &str,
) -> Result<(Tracer, Exporter), OtlpError> {
    let client = Arc::new(Client::new(target));
    let shared: Arc<dyn HttpClient> = Arc::<Client>::clone(&client);
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_shared_http_client(shared)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&target.url)
        .with_timeout(target.patience)
        .build()?;
    exporter.set_resource(&resource(service, instance));
    let (tracer, spans) = Tracer::listened(target.share);
    let (stop, stopped) = oneshot::channel();
    let (ending, ended) = oneshot::channel::<()>();
    let sender = Sender {
        exporter,
        client,
        patience: target.patience,
        sending: Arc::default(),
        told: None,
        lost: 0,
    };
    let sending = Arc::clone(&sender.sending);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("gridloom-traces".into())
        .spawn(move || {
            let _ending = ending;
            runtime.block_on(sender.run(spans, stopped));
        })?;
    let exporter = Exporter {
        stop,
        ended,
        tracer: tracer.clone(),
        sending,
    };
    Ok((tracer, exporter))
}

impl Exporter {
    /// Sends what is left, if that is soon done. What is not is counted as lost.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        if timeout(AT_THE_END, self.ended).await.is_err() {
            let lost = self.sending.swap(0, Ordering::Relaxed) + self.tracer.waiting();
            SPANS.counter(&["failed"]).increment(lost);
            tracing::warn!(
                seconds = AT_THE_END.as_secs(),
                lost,
                "the collector does not take what is left of the traces in time: it is lost"
            );
        }
    }
}

/// Who tells: by the standard variables, and as a service of Gridloom where they do not say.
fn resource(service: &str, instance: &str) -> Resource {
    let name = Key::from_static_str("service.name");
    let found = Resource::builder().build();
    let is_named = found
        .get(&name)
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let named = Resource::builder().with_attributes([
        KeyValue::new("service.instance.id", instance.to_owned()),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ]);
    match is_named {
        true => named.build(),
        false => named.with_service_name(service.to_owned()).build(),
    }
}

struct Sender {
    exporter: SpanExporter,
    client: Arc<Client>,
    patience: Duration,
    /// Spans of the batch that is on its way; 0 also once somebody else has counted them.
    sending: Arc<AtomicU64>,
    /// When it was told last that something is not taken; `None` while all that is sent is.
    told: Option<Instant>,
    /// Spans that were not taken since then.
    lost: u64,
}

impl Sender {
    /// Sends until it is stopped and nothing is left.
    async fn run(mut self, mut spans: mpsc::Receiver<Span>, mut stop: oneshot::Receiver<()>) {
        let mut batch = Vec::with_capacity(BATCH);
        while gather(&mut spans, &mut stop, &mut batch).await {
            self.sending.store(batch.len() as u64, Ordering::Relaxed);
            let written = batch.drain(..).map(data::written).collect();
            let sent = timeout(self.patience, self.exporter.export(written)).await;
            let count = self.sending.swap(0, Ordering::Relaxed);
            match sent {
                Ok(Ok(())) => self.taken(count),
                Ok(Err(error)) => self.not_taken(count, &chain(&error).to_string()),
                Err(_) => self.not_taken(count, "it does not answer"),
            }
        }
        // Nobody tells of it later.
        if self.lost > 0 {
            tracing::warn!(
                lost = self.lost,
                "traces were lost: the collector did not take them"
            );
        }
    }

    /// A batch was taken, perhaps without some of its spans.
    fn taken(&mut self, count: u64) {
        let refused = self.client.take_refused();
        let rejected = refused.as_ref().map_or(0, |it| it.spans.min(count));
        SPANS.counter(&["sent"]).increment(count - rejected);
        SPANS.counter(&["rejected"]).increment(rejected);
        match refused {
            Some(refused) => {
                if let Some(lost) = self.tells(rejected) {
                    let reason = refused.reason;
                    tracing::warn!(
                        reason,
                        lost,
                        "the collector does not keep all that it takes; what it refuses is counted (gridloom_spans_total)"
                    );
                }
            }
            None => {
                if self.told.take().is_some() {
                    tracing::info!("the collector takes traces again");
                }
            }
        }
    }

    fn not_taken(&mut self, count: u64, why: &str) {
        SPANS.counter(&["failed"]).increment(count);
        let cause = self.client.take_fault().unwrap_or_default();
        if let Some(lost) = self.tells(count) {
            tracing::warn!(
                reason = why,
                error = cause,
                lost,
                "the collector does not take traces; what is not sent is counted (gridloom_spans_total)"
            );
        }
    }

    /// So many were not taken. How many since it was told last, if it is to be told now.
    fn tells(&mut self, lost: u64) -> Option<u64> {
        self.lost += lost;
        if self.told.is_some_and(|told| told.elapsed() < TOLD) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(std::mem::take(&mut self.lost))
    }
}

/// Waits for a span and for those that follow it within a second. `false` once there are no more.
async fn gather(
    spans: &mut mpsc::Receiver<Span>,
    stop: &mut oneshot::Receiver<()>,
    batch: &mut Vec<Span>,
) -> bool {
    let mut until = None;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        let pause = until.map(|until: Instant| until.saturating_duration_since(Instant::now()));
        tokio::select! {
            // Asked once: what is closed is not closed again.
            _ = &mut *stop, if !spans.is_closed() => spans.close(),
            taken = spans.recv_many(batch, room) => {
                if taken == 0 {
                    break;
                }
                until = until.or_else(|| Some(Instant::now() + GATHERED));
            }
            () = sleep(pause.unwrap_or_default()), if pause.is_some() => break,
        }
    }
    !batch.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_told_before_the_end_is_gathered_and_then_there_is_no_more() {
        let (tracer, mut spans) = Tracer::listened(1.0);
        let (stop, mut stopped) = oneshot::channel();
        for n in 0..BATCH as u64 + 3 {
            tracer.tell(data::tests::span(n));
        }
        let mut batch = Vec::new();
        assert!(gather(&mut spans, &mut stopped, &mut batch).await);
        assert_eq!(batch.len(), BATCH);
        batch.clear();
        stop.send(()).unwrap();
        assert!(gather(&mut spans, &mut stopped, &mut batch).await);
        assert_eq!(batch.len(), 3);
        batch.clear();
        assert!(!gather(&mut spans, &mut stopped, &mut batch).await);
    }
}
