//! What may be typed about traces.

use clap::Args;
use gridloom_shared::telemetry::traces::Share;

use crate::setting::Given;

/// Who is told of traces.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Traces")]
pub struct TraceFlags {
    /// The collector that is told of traces, by OTLP over HTTP, as http://127.0.0.1:4318 [default: the one that
    /// OTEL_EXPORTER_OTLP_ENDPOINT names, else none]
    #[arg(
        long = "otlp-endpoint",
        env = "GRIDLOOM_OTLP_ENDPOINT",
        value_name = "URL",
        hide_env_values = true
    )]
    pub collector: Option<Given>,
    /// The share of runs that are told of, of those that nobody brought a trace for: from 0 to 1 [default: what
    /// OTEL_TRACES_SAMPLER_ARG says, else 1]
    #[arg(
        long = "otlp-sample",
        env = "GRIDLOOM_OTLP_SAMPLE",
        value_name = "SHARE",
        hide_env_values = true
    )]
    pub sample: Option<Share>,
}
