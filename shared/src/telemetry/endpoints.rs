//! What `/metrics`, `/live` and `/ready` answer, and for how long they are there.
//!
//! A service answers `/live` as long as its process can answer at all, and no part of it stands still that only a
//! restart sets going again: an orchestrator restarts what is not live, and a restart mends no broker. `/ready` says whether it
//! can work now, and why not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::chain;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Described, Health, MetricsError};
use crate::clock::UnixMs;
use crate::entrance::{Entrance, PROBES_MAX, Seats};
use crate::metrics::{BUILD, LOG_LINES_LEFT_OUT, LOG_LINES_LOST, MEMORY, READY, STARTED};

/// How often the recorder tidies: histograms grow until then.
const UPKEEP: Duration = Duration::from_secs(5);
/// How long an answer that is under way may take at the end.
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// So long nothing need be said on a connection: a scrape each minute keeps its own.
const QUIET: Duration = Duration::from_secs(150);

/// Why the endpoints cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address belongs to another process.
    #[error(
        "serve metrics and health on {0}: the port is in use; stop what uses it, or choose another address with --listen (port 0: any free one)"
    )]
    InUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("serve metrics and health on {listen}")]
    Listen {
        /// The address as given.
        listen: SocketAddr,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// There are no metrics to serve.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

/// Running endpoints. They end when this is dropped.
#[derive(Debug)]
pub struct Endpoints {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Endpoints {
    /// Where they are: the port that was found, if any free one was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets answers that are under way finish, a second at most, and ends.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        if timeout(STOP_WITHIN, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

#[derive(Clone)]
struct Service {
    recorder: PrometheusHandle,
    health: Arc<dyn Health>,
    described: &'static [Described],
    started: UnixMs,
}

/// Serves `/metrics`, with what is `described`, `/live` and `/ready` on `listen`; port 0 takes any free one.
///
/// # Errors
/// When the address cannot be listened on, or metrics cannot be collected.
pub fn serve(
    listen: SocketAddr,
    health: impl Health,
    described: &'static [Described],
) -> BoxFuture<'static, Result<Endpoints, ServeError>> {
    serve_any(listen, Arc::new(health), described)
}

#[inline(never)]
fn serve_any(
    listen: SocketAddr,
    health: Arc<dyn Health>,
    described: &'static [Described],
) -> BoxFuture<'static, Result<Endpoints, ServeError>> {
    Box::pin(start(listen, health, described))
}

async fn start(
    listen: SocketAddr,
    health: Arc<dyn Health>,
    described: &'static [Described],
) -> Result<Endpoints, ServeError> {
    let recorder = super::metrics(described)?;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|cause| unusable(listen, cause))?;
    let address = listener
        .local_addr()
        .map_err(|cause| unusable(listen, cause))?;
    let (stop, stopped) = watch::channel(false);
    let upkeep = tidy(recorder.clone(), stopped.clone());
    let service = Service {
        recorder,
        health,
        described,
        started: UnixMs::now(),
    };
    let routes = axum::Router::new()
        .route("/metrics", get(metrics))
        .route("/live", get(live))
        .route("/ready", get(ready))
        .with_state(service);
    let task = tokio::spawn(async move {
        let full = || {
            tracing::warn!(
                "metrics and health have as many connections as they may have: others wait"
            );
        };
        let entrance = Entrance::new(listener, Seats::new(PROBES_MAX, full), QUIET);
        let serving = axum::serve(entrance, routes).with_graceful_shutdown(ended(stopped));
        if let (Err(error), ()) = tokio::join!(serving.into_future(), upkeep) {
            tracing::error!(error = %chain(&error), "metrics and health endpoints ended");
        }
    });
    Ok(Endpoints {
        address,
        stop,
        task,
    })
}

fn unusable(listen: SocketAddr, cause: std::io::Error) -> ServeError {
    match cause.kind() {
        std::io::ErrorKind::AddrInUse => ServeError::InUse(listen),
        _ => ServeError::Listen { listen, cause },
    }
}

impl Service {
    /// What is said of a process whatever it does.
    fn tell(&self) {
        let ready = f64::from(u8::from(self.health.ready().is_ok()));
        for Described { service, .. } in self.described {
            READY.gauge(&[service]).set(ready);
            BUILD.gauge(&[service, env!("CARGO_PKG_VERSION")]).set(1.0);
        }
        STARTED.gauge(&[]).set(self.started.0 as f64 / 1_000.0);
        LOG_LINES_LOST.counter(&[]).absolute(super::logs::lost());
        let left_out = super::logs::flood::left_out();
        LOG_LINES_LEFT_OUT.counter(&[]).absolute(left_out);
        if let Some(bytes) = memory() {
            MEMORY.gauge(&[]).set(bytes);
        }
    }
}

/// Memory of this process, where the system says it.
fn memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1_024.0)
}

async fn ended(mut stopped: watch::Receiver<bool>) {
    // An error says that the sender was dropped: the same.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn tidy(recorder: PrometheusHandle, stopped: watch::Receiver<bool>) {
    let mut ticks = interval(UPKEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopped = ended(stopped);
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            _ = ticks.tick() => recorder.run_upkeep(),
            () = &mut stopped => return,
        }
    }
}

async fn metrics(State(service): State<Service>) -> impl IntoResponse {
    service.tell();
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        service.recorder.render(),
    )
}

async fn live(State(service): State<Service>) -> (StatusCode, String) {
    match service.health.live() {
        Ok(()) => (StatusCode::OK, "live\n".to_owned()),
        Err(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not live: {reason}\n"),
        ),
    }
}

async fn ready(State(service): State<Service>) -> (StatusCode, String) {
    match service.health.ready() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {reason}\n"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn readiness_follows_the_service_and_liveness_does_not() {
        let well = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&well);
        let health = move || match seen.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err("the broker is away".to_owned()),
        };
        const DESCRIBED: &[Described] = &[Described {
            service: "test",
            metrics: &[],
        }];
        let listen = ([127, 0, 0, 1], 0).into();
        let endpoints = serve(listen, health, DESCRIBED).await.unwrap();
        let address = endpoints.address();
        let answer = fetch(address, "/ready").await;
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.contains("the broker is away"),
            "{answer}"
        );
        assert!(fetch(address, "/live").await.starts_with("HTTP/1.1 200"));
        well.store(true, Ordering::Relaxed);
        assert!(fetch(address, "/ready").await.starts_with("HTTP/1.1 200"));
        let told = fetch(address, "/metrics").await;
        assert!(told.starts_with("HTTP/1.1 200"));
        assert!(
            told.contains("gridloom_ready{service=\"test\"} 1"),
            "{told}"
        );
        well.store(false, Ordering::Relaxed);
        let told = fetch(address, "/metrics").await;
        assert!(
            told.contains("gridloom_ready{service=\"test\"} 0"),
            "{told}"
        );
        endpoints.stop().await;
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn what_stands_still_is_not_live_whether_it_can_work_or_not() {
        struct Still(AtomicBool);
        impl Health for Still {
            fn ready(&self) -> Result<(), String> {
                Err("the broker is away".to_owned())
            }

            fn live(&self) -> Result<(), String> {
                match self.0.swap(true, Ordering::Relaxed) {
                    false => Ok(()),
                    true => Err("a thread stands still".to_owned()),
                }
            }
        }
        let listen = ([127, 0, 0, 1], 0).into();
        let health = Still(AtomicBool::new(false));
        let endpoints = serve(listen, health, &[]).await.unwrap();
        let first = fetch(endpoints.address(), "/live").await;
        assert!(first.starts_with("HTTP/1.1 200"), "{first}");
        let then = fetch(endpoints.address(), "/live").await;
        assert!(then.starts_with("HTTP/1.1 503"), "{then}");
        assert!(
            then.ends_with("not live: a thread stands still\n"),
            "{then}"
        );
    }

    #[tokio::test]
    async fn port_in_use_is_said_so() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = serve(taken.local_addr().unwrap(), || Ok(()), &[])
            .await
            .unwrap_err();
        assert!(matches!(error, ServeError::InUse(_)), "{error}");
    }
}
