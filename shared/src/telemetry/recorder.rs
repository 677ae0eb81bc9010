//! Where the metrics of this process are collected.
//!
//! Gauges that nobody sets any more go away; counters and histograms stay, since what records them keeps its handles.

use std::sync::{Mutex, PoisonError};

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;

use super::metric::{Described, IDLE, Kind, Metric, WORK};

/// Why metrics cannot be collected.
#[derive(Debug, thiserror::Error)]
#[error("collect metrics")]
pub struct MetricsError(#[from] BuildError);

static RECORDER: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Installs the recorder of this process for what is `described`, once: later calls give the same one. What is recorded
/// before that is lost, and so is what a handle records that was made before. Whoever installs it must serve it (see
/// [`serve`](super::serve)), which keeps its memory bounded.
///
/// # Errors
/// When another library installed a recorder of its own.
pub fn metrics(described: &[Described]) -> Result<PrometheusHandle, MetricsError> {
    let mut recorder = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*recorder {
        return Ok(handle.clone());
    }
    let all = || {
        let described = described.iter().flat_map(|described| described.metrics);
        crate::metrics::ALL.iter().chain(described)
    };
    let mut builder = PrometheusBuilder::new()
        .idle_timeout(MetricKindMask::GAUGE, Some(IDLE))
        .set_buckets(WORK)?;
    for metric in all() {
        if let Kind::Histogram(buckets) = metric.kind {
            let name = Matcher::Full(metric.name.to_owned());
            builder = builder.set_buckets_for_metric(name, buckets)?;
        }
    }
    let handle = builder.install_recorder()?;
    all().for_each(describe);
    *recorder = Some(handle.clone());
    Ok(handle)
}

/// Says what a metric means. A counter of one series is there from the beginning: who sees it first when it is 1 cannot
/// say that it has grown.
fn describe(metric: &Metric) {
    let unit = match metric.unit {
        "seconds" => Unit::Seconds,
        "bytes" => Unit::Bytes,
        _ => Unit::Count,
    };
    match metric.kind {
        Kind::Counter => describe_counter!(metric.name, unit, metric.help),
        Kind::Gauge => describe_gauge!(metric.name, unit, metric.help),
        Kind::Histogram(_) => describe_histogram!(metric.name, unit, metric.help),
    }
    if metric.kind == Kind::Counter && metric.labels.is_empty() {
        metric.counter(&[]).increment(0);
    }
}

#[cfg(test)]
mod tests {
    use super::super::metric::{counter, histogram};
    use super::*;

    const SEEN: Metric = counter("seen_total", "things", &[], "For this test.");
    const KINDS: Metric = counter("kinds_total", "things", &["kind"], "For this test.");
    const TOOK: Metric = histogram("took_seconds", "seconds", WORK, &["kind"], "For this test.");

    #[test]
    fn recorder_is_installed_once_and_shows_what_was_counted() {
        let described = [Described {
            service: "test",
            metrics: &[SEEN, KINDS, TOOK],
        }];
        let handle = metrics(&described).unwrap();
        // Another test of this process may have been first.
        describe(&SEEN);
        let text = handle.render();
        assert!(text.contains("seen_total 0"), "{text}");
        KINDS.counter(&["odd"]).increment(3);
        TOOK.histogram(&["odd"]).record(0.002);
        let text = metrics(&[]).unwrap().render();
        assert!(text.contains("kinds_total{kind=\"odd\"} 3"), "{text}");
        assert!(
            text.contains("took_seconds_bucket{kind=\"odd\",le=\"0.0025\"} 1"),
            "{text}"
        );
        assert!(text.contains("# HELP seen_total For this test."), "{text}");
        handle.run_upkeep();
    }
}
