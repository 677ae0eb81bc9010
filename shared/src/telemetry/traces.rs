//! Whether a service tells of traces, to which collector, and of how many: by what it was told, else by the variables
//! that OpenTelemetry has for it.
//!
//! Without the feature `otlp` nothing is told, and whoever asks for it is told so.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

#[cfg(feature = "otlp")]
use super::otlp;
use super::spans::Tracer;

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

/// What traces are called at a collector.
const TRACES: &str = "/v1/traces";

impl FromStr for Collector {
    type Err = String;
    fn from_str(text: &str) -> Result<Collector, String> {
        let text = text.trim();
        let form = || {
            format!(
                "{text:?} must be the address of a collector that takes OTLP over HTTP, as http://127.0.0.1:4318"
            )
        };
        let rest = text.strip_prefix("http://");
        let rest = rest
            .or_else(|| text.strip_prefix("https://"))
            .ok_or_else(form)?;
        let host = rest.split('/').next().unwrap_or_default();
        if host.contains('@') {
            // Not shown: there may be a password in it.
            return Err(
                "the address of a collector holds no user: what it is to be told belongs into the variable OTEL_EXPORTER_OTLP_HEADERS"
                    .to_owned(),
            );
        }
        let odd = |c: char| c.is_whitespace() || c.is_control() || "?#".contains(c);
        if host.is_empty() || host.starts_with(':') || rest.contains(odd) {
            return Err(form());
        }
        Ok(Collector(text.to_owned()))
    }
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
        let Some(target) = otlp::Target::of(wanted, variable) else {
            return Ok(Traces::default());
        };
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
        for wrong in [
            "",
            "a:4318",
            "grpc://a:4317",
            "http://",
            "http://:4318",
            "http://a b",
            "http://a?x=1",
        ] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
        let refused = at("http://me:hunter2@a:4318").unwrap_err();
        assert!(
            !refused.contains("hunter2") && refused.contains("HEADERS"),
            "{refused}"
        );
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
