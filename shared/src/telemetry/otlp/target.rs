//! To which collector spans go, and how many runs begin a trace: by what was told, else by the standard variables. By
//! the standard a variable that cannot be is warned of and passed over: whoever set it may not even know this program.

use std::path::PathBuf;
use std::time::Duration;

use super::super::traces::{Collector, Wanted};

/// How long a collector may take for an answer, unless a variable says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most that one may say: nothing is sent meanwhile.
const PATIENCE_MAX: Duration = Duration::from_secs(60);

/// Where spans go.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The address, whole.
    pub url: String,
    /// The share of runs that begin a trace where nobody brought one.
    pub share: f64,
    /// How long an answer may take, with all that is tried again.
    pub patience: Duration,
    /// Authorities to trust in place of the system's.
    pub authority: Option<PathBuf>,
}

impl Target {
    /// What `wanted` and the variables say; `None`: nowhere.
    pub fn of(wanted: &Wanted, variable: impl Fn(&str) -> Option<String>) -> Option<Target> {
        let of_traces = |name: &str| {
            let own = variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"));
            own.or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
        };
        let url = match &wanted.collector {
            Some(collector) => collector.traces(),
            None => standard(&variable)?,
        };
        let patience = of_traces("TIMEOUT").and_then(|text| text.trim().parse().ok());
        Some(Target {
            url,
            share: match wanted.share {
                Some(share) => share.get(),
                None => share(&variable),
            },
            patience: patience
                .map_or(PATIENCE, Duration::from_millis)
                .min(PATIENCE_MAX),
            authority: of_traces("CERTIFICATE").map(PathBuf::from),
        })
    }
}

/// The address that the standard variables name, if they name one that can be used here.
fn standard(variable: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let is_off =
        variable("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let others = variable("OTEL_TRACES_EXPORTER");
    let is_elsewhere =
        others.is_some_and(|list| !list.split(',').any(|name| name.trim() == "otlp"));
    if is_off || is_elsewhere {
        return None;
    }
    let whole = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    let base = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let (name, text) = match (variable(whole), variable(base)) {
        (Some(text), _) => (whole, text),
        (None, Some(text)) => (base, text),
        (None, None) => return None,
    };
    let protocol = variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL");
    let protocol = protocol.or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"));
    if let Some(protocol) = protocol.filter(|text| text.trim() != "http/protobuf") {
        tracing::warn!(
            name,
            protocol,
            "no traces are told: the variable OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf, and this one the address for that (mostly port 4318); or name it with GRIDLOOM_OTLP_ENDPOINT"
        );
        return None;
    }
    match text.parse::<Collector>() {
        Ok(_) if name == whole => Some(text.trim().to_owned()),
        Ok(collector) => Some(collector.traces()),
        Err(why) => {
            tracing::warn!(name, reason = %why, "no traces are told: that is no address of a collector");
            None
        }
    }
}

/// The share by the standard variables; all, where they do not say.
fn share(variable: &impl Fn(&str) -> Option<String>) -> f64 {
    let named = variable("OTEL_TRACES_SAMPLER").unwrap_or_default();
    // A trace that is brought along goes by its own flag, whatever is said here.
    match named
        .trim()
        .strip_prefix("parentbased_")
        .unwrap_or(named.trim())
    {
        "always_off" => 0.0,
        "always_on" => 1.0,
        _ => {
            let share =
                variable("OTEL_TRACES_SAMPLER_ARG").and_then(|text| text.trim().parse().ok());
            share
                .filter(|share| (0.0..=1.0).contains(share))
                .unwrap_or(1.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(wanted: &Wanted, variables: &[(&str, &str)]) -> Option<Target> {
        Target::of(wanted, |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn url(variables: &[(&str, &str)]) -> Option<String> {
        of(&Wanted::default(), variables).map(|target| target.url)
    }

    #[test]
    fn what_was_told_goes_before_the_standard_variables() {
        let wanted = Wanted {
            collector: Some("http://told:1".parse().unwrap()),
            share: Some("0.5".parse().unwrap()),
        };
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://found:2"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.1"),
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
        ];
        let target = of(&wanted, &variables).unwrap();
        assert_eq!(
            (target.url.as_str(), target.share),
            ("http://told:1/v1/traces", 0.5)
        );
        assert_eq!(target.patience, Duration::from_millis(250));
    }

    #[test]
    fn standard_variables_name_a_collector() {
        assert_eq!(url(&[]), None);
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318/");
        let whole = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b/x");
        assert_eq!(url(&[base]).as_deref(), Some("http://a:4318/v1/traces"));
        assert_eq!(url(&[base, whole]).as_deref(), Some("http://b/x"));
        for off in [
            ("OTEL_SDK_DISABLED", "TRUE"),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ] {
            assert_eq!(url(&[base, off]), None, "{off:?}");
        }
        assert_eq!(url(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "a:4317")]), None);
        let list = ("OTEL_TRACES_EXPORTER", "console, otlp");
        assert!(url(&[base, list]).is_some());
    }

    #[test]
    fn standard_variables_say_how_many_runs_begin_a_trace() {
        let share = |variables: &[(&str, &str)]| {
            let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a");
            let all: Vec<_> = variables.iter().copied().chain([base]).collect();
            of(&Wanted::default(), &all).unwrap().share
        };
        let sampler = |text| ("OTEL_TRACES_SAMPLER", text);
        let arg = |text| ("OTEL_TRACES_SAMPLER_ARG", text);
        assert_eq!(share(&[]), 1.0);
        assert_eq!(share(&[arg("0.25")]), 0.25);
        assert_eq!(
            share(&[sampler("parentbased_traceidratio"), arg("0.25")]),
            0.25
        );
        assert_eq!(
            share(&[sampler("parentbased_always_off"), arg("0.25")]),
            0.0
        );
        assert_eq!(share(&[sampler("always_on"), arg("0.25")]), 1.0);
        assert_eq!(share(&[arg("25%")]), 1.0);
    }
}
