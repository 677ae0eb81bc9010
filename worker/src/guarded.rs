//! Programs of others below this worker, each under a guard (`gridloom guard`): it kills the whole process group of its
//! program as soon as this process is gone, however it went, and at the end of a lease that is not renewed.
//!
//! It knows nothing of shards: `exec` starts a program for each, the bridge one for many.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | `lifeline` | what this process and a guard tell each other |
//! | `ending` | how a program ended |
//! | `tail` | how much is kept of what it says |

use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use gridloom_shared::environment::{OF_A_CLIENT, PREFIX};
use gridloom_shared::trace::VARIABLE;
use tokio::process::Command;

mod ending;
mod lifeline;
mod tail;

pub use ending::Ending;
pub(crate) use lifeline::Lifeline;
pub(crate) use tail::{KEPT, Tail, end};

/// How long output is still read after a program's end: a process that left its group may hold the
/// pipe for ever.
pub(crate) const AFTER_END: Duration = Duration::from_secs(1);
/// In which trace the worker was started, which is not that of what it runs.
const OF_THE_WORKER: [&str; 2] = [VARIABLE, "TRACESTATE"];

/// A guard to be started, a `gridloom` executable, with its end of the line: the program and its arguments follow. Without the variables that
/// are the worker's alone.
pub(crate) fn guard(executable: &Path, lifeline: Stdio, dir: Option<&Path>) -> Command {
    let mut guard = Command::new(executable);
    for (name, _) in std::env::vars_os() {
        if is_of_the_worker(&name) {
            guard.env_remove(name);
        }
    }
    guard.args(["guard", "--report"]);
    if let Some(dir) = dir {
        guard.arg("--dir").arg(dir);
    }
    guard
        .arg("--")
        .stdin(lifeline)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Away from the terminal's group: Ctrl-C reaches the worker, which decides.
        .process_group(0);
    guard
}

/// Whether a variable is the worker's alone: its settings, its place in a trace, and what it says to a collector of who it
/// is, which is as good as a password.
fn is_of_the_worker(name: &OsStr) -> bool {
    let text = name.as_encoded_bytes();
    let setting = text.strip_prefix(PREFIX.as_bytes());
    let is_for_clients = |rest: &[u8]| OF_A_CLIENT.iter().any(|known| known.as_bytes() == rest);
    OF_THE_WORKER.iter().any(|other| name == *other)
        || setting.is_some_and(|rest| !is_for_clients(rest))
        || text.starts_with(b"OTEL_EXPORTER_OTLP_") && text.ends_with(b"HEADERS")
}

/// What is known of a program whose guard did not say how it ended. The program may have run.
pub(crate) fn lost_guard(status: ExitStatus) -> Ending {
    Ending::Unstarted(match status.code() {
        Some(code) => format!("its guard ended with {code} and without an answer"),
        None => "its guard was killed".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_worker_are_its_own() {
        for own in [
            "GRIDLOOM_NATS_PASSWORD",
            "GRIDLOOM_API_TOKENS",
            "GRIDLOOM_OTLP_HEADERS",
            "OTEL_EXPORTER_OTLP_HEADERS",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
            "TRACEPARENT",
            "TRACESTATE",
        ] {
            assert!(is_of_the_worker(own.as_ref()), "{own}");
        }
        for other in [
            "PATH",
            "GRIDLOOM_API",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_SERVICE_NAME",
            "HEADERS",
        ] {
            assert!(!is_of_the_worker(other.as_ref()), "{other}");
        }
    }
}
