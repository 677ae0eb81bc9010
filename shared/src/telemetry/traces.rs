//! Whether a service tells of traces, to which collector, and of how many: by what it was told, else by the variables
//! that OpenTelemetry has for it.
//!
//! Without the feature `otlp` nothing is told, and whoever asks for it is told so.

use std::fmt;
use std::str::FromStr;

use axum::http::Uri;
use serde::Deserialize;

#[cfg(feature = "otlp")]
use super::otlp;
use super::spans::Tracer;
#[cfg(feature = "otlp")]
use crate::environment::{self, EnvironmentError};

/// What a service was told of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Where spans go.
    pub collector: Option<Collector>,
    /// The share of runs that begin a trace of their own.
    pub share: Option<Share>,
}

/// The address of a collector, as `http://127.0.0.1:4318`. What it is called there is added.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Collector(String);

/// A share of all, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Share(f64);

impl Collector {
    /// Where traces go.
    pub fn traces(&self) -> String {
        let base = self.0.trim_end_matches('/');
        match base.ends_with(TRACES) {
            true => base.to_owned(),
            false => format!("{base}{TRACES}"),
        }
    }
}

/// The setting that holds what a collector is to be told of who tells.
#[cfg(feature = "otlp")]
const HEADERS: &str = "OTLP_HEADERS";
/// What traces are called at a collector.
const TRACES: &str = "/v1/traces";

impl FromStr for Collector {
    type Err = String;
    fn from_str(text: &str) -> Result<Collector, String> {
        let text = text.trim();
        // No fault shows the text: there may be a password in it, or a key.
        if text.contains('@') {
            return Err(
                "the address of a collector holds no user and no @: what the collector is to be told of who tells belongs into the variable GRIDLOOM_OTLP_HEADERS"
                    .to_owned(),
            );
        }
        if text.contains(['?', '#']) {
            return Err(
                "the address of a collector holds no ? and no #: a key belongs into the variable GRIDLOOM_OTLP_HEADERS"
                    .to_owned(),
            );
        }
        let collector = Collector(text.to_owned());
        match collector.traces().parse::<Uri>() {
            Ok(whole) if is_of_http(&whole) => Ok(collector),
            _ => Err(
                "must be the address of a collector that takes OTLP over HTTP, as http://127.0.0.1:4318 (it is not shown here: there may be a password in it)"
                    .to_owned(),
            ),
        }
    }
}

/// Whether a request can go there: by HTTP, to a host, and to a port that is one, if one is named.
fn is_of_http(whole: &Uri) -> bool {
    let Some(authority) = whole.authority() else {
        return false;
    };
    let host = authority.host();
    let has_port = authority.as_str() != host;
    matches!(whole.scheme_str(), Some("http" | "https"))
        && !host.is_empty()
        && (!has_port || authority.port_u16().is_some_and(|port| port > 0))
}

impl TryFrom<String> for Collector {
    type Error = String;
    fn try_from(text: String) -> Result<Collector, String> {
        text.parse()
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Share {
    /// As a number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Share {
    type Error = String;
    fn try_from(share: f64) -> Result<Share, String> {
        match (0.0..=1.0).contains(&share) {
            true => Ok(Share(share)),
            false => Err(format!(
                "{share} must be from 0 to 1, as 0.01 for one run of a hundred"
            )),
        }
    }
}

impl FromStr for Share {
    type Err = String;
    fn from_str(text: &str) -> Result<Share, String> {
        let share: f64 = text.trim().parse().map_err(|_| {
            format!("{text:?} must be a number from 0 to 1, as 0.01 for one run of a hundred")
        })?;
        share.try_into()
    }
}

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// It was left out.
    #[error(
        "tell {0} of traces: this program was built without the feature otlp; build it with that, or name no collector"
    )]
    LeftOut(Collector),
    /// It cannot be begun.
    #[cfg(feature = "otlp")]
    #[error("tell a collector of traces")]
    Exporter(#[from] otlp::OtlpError),
    /// What it is to be told of who tells cannot be had.
    #[cfg(feature = "otlp")]
    #[error(transparent)]
    Headers(#[from] EnvironmentError),
}

/// Whatever of this process tells of traces, and the way to whom.
#[derive(Debug, Default)]
pub struct Traces {
    tracer: Tracer,
    #[cfg(feature = "otlp")]
    exporter: Option<otlp::Exporter>,
}

impl Traces {
    /// Begins, if anybody wants it. `service` is what kind of service this is, and `instance` its name.
    ///
    /// # Errors
    /// When it cannot.
    #[cfg(feature = "otlp")]
    pub fn begin(wanted: &Wanted, service: &str, instance: &str) -> Result<Traces, TracesError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let mut passed_over = Vec::new();
        let target = otlp::Target::of(wanted, variable, &mut passed_over);
        for otlp::PassedOver { name, reason } in passed_over {
            tracing::warn!(name, reason, "a variable is passed over");
        }
        let Some(mut target) = target else {
            return Ok(Traces::default());
        };
        if let Some(headers) = environment::secret(HEADERS)? {
            let told = target.tell(&headers);
            told.map_err(|cause| EnvironmentError::Value {
                name: HEADERS,
                cause,
            })?;
        }
        let (tracer, exporter) = otlp::start(&target, service, instance)?;
        tracing::info!(
            collector = target.url,
            share = target.share,
            "tells of traces"
        );
        Ok(Traces {
            tracer,
            exporter: Some(exporter),
        })
    }

    /// Begins nothing.
    ///
    /// # Errors
    /// When anybody wants it.
    #[cfg(not(feature = "otlp"))]
    pub fn begin(wanted: &Wanted, _service: &str, _instance: &str) -> Result<Traces, TracesError> {
        match &wanted.collector {
            None => Ok(Traces::default()),
            Some(collector) => Err(TracesError::LeftOut(collector.clone())),
        }
    }

    /// What is to be told goes there.
    pub fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Sends what is left, if that is soon done.
    pub async fn stop(self) {
        #[cfg(feature = "otlp")]
        if let Some(exporter) = self.exporter {
            exporter.stop().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_a_collector_is_one_with_or_without_what_traces_are_called_there() {
        let at = |text: &str| {
            text.parse::<Collector>()
                .map(|collector| collector.traces())
        };
        for text in ["http://a:4318", "http://a:4318/", "http://a:4318/v1/traces"] {
            assert_eq!(at(text).as_deref(), Ok("http://a:4318/v1/traces"));
        }
        assert_eq!(
            at(" https://a/otlp ").as_deref(),
            Ok("https://a/otlp/v1/traces")
        );
        assert!(at("http://[::1]:4318").is_ok());
        for wrong in [
            "",
            "a:4318",
            "grpc://a:4317",
            "http://",
            "http://:4318",
            "http://a b",
            "http://a?x=1",
            "http://<collector>:4318",
            "http://{node}:4318",
            "http://b\u{fc}cher:4318",
            "http://a:99999",
            "http://a:x",
            "http://a:",
            "http://a:0",
        ] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_fault_of_an_address_shows_what_may_be_a_secret() {
        for secret in [
            "http://me:hunter2@a:4318",
            "HTTP://me:hunter2@a",
            "grpc://me:hunter2@a:4317",
            "me:hunter2@a:4318",
            "http://me:p/hunter2@a",
            "https://a/?api-key=hunter2",
            "https://a/#hunter2",
            "hunter2",
            "http://a:hunter2",
        ] {
            let fault = secret.parse::<Collector>().unwrap_err();
            assert!(!fault.contains("hunter2"), "{fault}");
            let is_told = fault.contains("GRIDLOOM_OTLP_HEADERS");
            assert_eq!(is_told, secret.contains(['@', '?', '#']), "{fault}");
        }
    }

    #[test]
    fn share_is_from_nothing_to_all() {
        for (text, share) in [("0", 0.0), (" 0.01 ", 0.01), ("1", 1.0)] {
            assert_eq!(text.parse::<Share>().unwrap().get(), share);
        }
        for wrong in ["", "1%", "-0.1", "1.5", "NaN"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[cfg(not(feature = "otlp"))]
    #[test]
    fn whoever_wants_what_was_left_out_is_told_so() {
        let wanted = Wanted {
            collector: Some("http://a:4318".parse().unwrap()),
            share: None,
        };
        let error = Traces::begin(&wanted, "a", "b").unwrap_err();
        assert!(error.to_string().contains("feature otlp"));
        assert!(Traces::begin(&Wanted::default(), "a", "b").is_ok());
    }
}
