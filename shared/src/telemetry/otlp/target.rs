//! To which collector spans go, and how many runs begin a trace: by what was told, else by the standard variables. By
//! the standard a variable that cannot be is warned of and passed over: whoever set it may not even know this program.

use std::path::PathBuf;
use std::time::Duration;

use hyper::HeaderMap;

use super::super::traces::{Collector, Share, Wanted};
use super::headers;

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
    /// What tells the collector who tells. Marked as secrets, so that they are not shown.
    pub headers: HeaderMap,
}

/// A standard variable that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Which.
    pub name: String,
    /// Why, and what it should be.
    pub reason: String,
}

impl Target {
    /// What `wanted` and the variables say; `None`: nowhere. What cannot be is added to `passed_over`.
    pub fn of(
        wanted: &Wanted,
        variable: impl Fn(&str) -> Option<String>,
        passed_over: &mut Vec<PassedOver>,
    ) -> Option<Target> {
        let of_traces = |name: &str| {
            let own = format!("OTEL_EXPORTER_OTLP_TRACES_{name}");
            let all = format!("OTEL_EXPORTER_OTLP_{name}");
            let named = [own, all];
            named
                .into_iter()
                .find_map(|name| Some((variable(&name)?, name)))
        };
        let mut read = |found: Option<(String, String)>, fault: &dyn Fn(&str) -> Option<String>| {
            let (text, name) = found?;
            match fault(&text) {
                None => return Some(text),
                Some(reason) => passed_over.push(PassedOver { name, reason }),
            }
            None
        };
        let url = match &wanted.collector {
            Some(collector) => collector.traces(),
            None => standard(&variable)?,
        };
        let patience = read(of_traces("TIMEOUT"), &|text| match patience(text) {
            Some(_) => None,
            None => Some(format!(
                "{text:?} must be a whole number of milliseconds, from 1"
            )),
        });
        // By the exporter itself.
        read(of_traces("COMPRESSION"), &|text| {
            let known = ["gzip", "none"];
            let is_known = known.iter().any(|name| text.eq_ignore_ascii_case(name));
            (!is_known).then(|| format!("{text:?} must be gzip or none"))
        });
        let told = of_traces("HEADERS");
        let headers = told.as_ref().map(|(text, _)| headers::read(text).0);
        read(told, &|text| headers::read(text).1);
        let share = match wanted.share {
            Some(share) => share.get(),
            None => share(&variable, passed_over),
        };
        Some(Target {
            url,
            share,
            patience: patience
                .and_then(|text| self::patience(&text))
                .unwrap_or(PATIENCE),
            authority: of_traces("CERTIFICATE").map(|(text, _)| PathBuf::from(text)),
            headers: headers.unwrap_or_default(),
        })
    }

    /// Tells the collector `text` of who tells, before what the standard variables say.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn tell(&mut self, text: &str) -> Result<(), String> {
        match headers::read(text) {
            (_, Some(fault)) => Err(fault),
            (headers, None) => {
                self.headers.extend(headers);
                Ok(())
            }
        }
    }
}

fn patience(text: &str) -> Option<Duration> {
    let millis = text.trim().parse().ok().filter(|millis| *millis > 0)?;
    Some(Duration::from_millis(millis).min(PATIENCE_MAX))
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
fn share(variable: &impl Fn(&str) -> Option<String>, passed_over: &mut Vec<PassedOver>) -> f64 {
    let mut pass_over = |name: &str, reason: String| {
        let name = name.to_owned();
        passed_over.push(PassedOver { name, reason });
        1.0
    };
    let (sampler, arg) = ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG");
    let named = variable(sampler).unwrap_or_default();
    let named = named.trim();
    // A trace that is brought along goes by its own flag, whatever is said here.
    match named.strip_prefix("parentbased_").unwrap_or(named) {
        "always_off" => 0.0,
        "always_on" => 1.0,
        "traceidratio" | "" => {
            let share = variable(arg).map(|text| text.parse::<Share>());
            match share {
                None => 1.0,
                Some(Ok(share)) => share.get(),
                Some(Err(reason)) => pass_over(arg, reason),
            }
        }
        _ => pass_over(
            sampler,
            format!(
                "{named:?} must be always_on, always_off or traceidratio, or one of these after parentbased_"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(wanted: &Wanted, variables: &[(&str, &str)]) -> Option<Target> {
        told(wanted, variables).0
    }

    fn told(wanted: &Wanted, variables: &[(&str, &str)]) -> (Option<Target>, Vec<PassedOver>) {
        let mut passed_over = Vec::new();
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let target = Target::of(wanted, variable, &mut passed_over);
        (target, passed_over)
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
        for no_address in ["http://<collector>:4318", "http://a:99999"] {
            assert_eq!(url(&[("OTEL_EXPORTER_OTLP_ENDPOINT", no_address)]), None);
        }
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

    #[test]
    fn variable_that_cannot_be_is_told_once_and_does_as_if_it_were_not_there() {
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a");
        let without = of(&Wanted::default(), &[base]);
        for (name, text) in [
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
            ("OTEL_TRACES_SAMPLER_ARG", "25%"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ] {
            let (target, passed_over) = told(&Wanted::default(), &[base, (name, text)]);
            assert_eq!(target, without, "{name}");
            let [one] = &passed_over[..] else {
                panic!("{name}: {passed_over:?}");
            };
            assert_eq!(one.name, name);
            assert!(!one.reason.contains("hunter2"), "{}", one.reason);
        }
        let fine = [
            base,
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=b"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ];
        assert!(told(&Wanted::default(), &fine).1.is_empty());
    }

    #[test]
    fn collector_is_told_who_tells_by_the_setting_before_the_standard_variable() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=standard, x-other=1"),
        ];
        let mut target = of(&Wanted::default(), &variables).unwrap();
        target.tell("x-key=hunter2").unwrap();
        assert_eq!(target.headers["x-key"], "hunter2");
        assert_eq!(target.headers["x-other"], "1");
        assert!(!format!("{target:?}").contains("hunter2"));
        let fault = target.tell("x-key=1,hunter2").unwrap_err();
        assert!(!fault.contains("hunter2"), "{fault}");
    }
}
