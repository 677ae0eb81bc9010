//! The metrics that every service records, when it is asked for them.

use crate::telemetry::metric::{Metric, counter, gauge};

/// Whether the service can work now.
pub const READY: Metric = gauge(
    "gridloom_ready",
    "0 or 1",
    &["service"],
    "1 while the service can work, as /ready says it.",
);
/// Which build it is.
pub const BUILD: Metric = gauge(
    "gridloom_build_info",
    "always 1",
    &["service", "version"],
    "Which version of Gridloom this process is.",
);
/// Memory of the process.
pub const MEMORY: Metric = gauge(
    "process_resident_memory_bytes",
    "bytes",
    &[],
    "Memory that this process has in use.",
);
/// When the process began to collect metrics.
pub const STARTED: Metric = gauge(
    "process_start_time_seconds",
    "seconds",
    &[],
    "When this process started, in seconds since 1970.",
);
/// What became of spans.
pub const SPANS: Metric = counter(
    "gridloom_spans_total",
    "spans",
    &["outcome"],
    "Spans of traces by what became of them: sent, rejected (the collector took the others of their batch), failed (it took none of it, or was too slow at the end) or dropped (more than it is quick enough to take).",
);

/// Log lines for which there was no room.
pub const LOG_LINES_LOST: Metric = counter(
    "gridloom_log_lines_lost_total",
    "lines",
    &[],
    "Log lines that were left out because standard error did not take them: a disk that stands still, or a pipe that nobody empties.",
);

/// Warnings that came too often.
pub const LOG_LINES_LEFT_OUT: Metric = counter(
    "gridloom_log_lines_left_out_total",
    "lines",
    &[],
    "Warnings and errors of one kind that were left out because there were too many of them: 1,000 at once, and 20 a second after that.",
);

/// When what it proves itself with is over.
pub const CREDENTIAL_END: Metric = gauge(
    "gridloom_credential_end_timestamp_seconds",
    "seconds",
    &["what"],
    "When this process's own credentials (what: credentials, of a credentials file), its client_certificate to the broker or its API's certificate (api_certificate) are over, in seconds since 1970; not there for what it has not, or does not end.",
);

/// All of them.
pub const ALL: &[Metric] = &[
    READY,
    BUILD,
    MEMORY,
    STARTED,
    LOG_LINES_LOST,
    LOG_LINES_LEFT_OUT,
    SPANS,
    CREDENTIAL_END,
];
