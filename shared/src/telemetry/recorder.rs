//! Where the metrics of this process are collected.

use std::sync::{Mutex, PoisonError};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::names;

/// Why metrics cannot be collected.
#[derive(Debug, thiserror::Error)]
#[error("collect metrics")]
pub struct MetricsError(#[from] BuildError);

static RECORDER: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Installs the recorder of this process, once: later calls give the same one. Whoever installs it
/// must serve it (see [`serve`](super::serve)), which keeps its memory bounded.
///
/// # Errors
/// When another library installed a recorder of its own.
pub fn metrics() -> Result<PrometheusHandle, MetricsError> {
    let mut recorder = RECORDER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*recorder {
        return Ok(handle.clone());
    }
    let mut builder = PrometheusBuilder::new();
    for metric in names::ALL {
        if let names::Kind::Histogram(buckets) = metric.kind {
            builder =
                builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    let handle = builder.install_recorder()?;
    names::describe();
    *recorder = Some(handle.clone());
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorder_is_installed_once_and_shows_what_was_counted() {
        let handle = metrics().unwrap();
        ::metrics::counter!(names::SHARDS_PLANNED).increment(3);
        ::metrics::histogram!(names::SHARD_DURATION).record(0.002);
        let text = metrics().unwrap().render();
        assert!(text.contains("gridloom_shards_planned_total 3"), "{text}");
        assert!(
            text.contains("gridloom_shard_duration_seconds_bucket{le=\"0.0025\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("# HELP gridloom_shards_planned_total "),
            "{text}"
        );
        handle.run_upkeep();
    }
}
