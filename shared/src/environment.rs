//! The settings that stand in the environment: their names, those that are none, and secrets that stand in a
//! file of their own. The command and workers of one's own read the same ones.

use crate::chain;
use crate::secret::Secret;
use std::ffi::OsString;
use std::path::PathBuf;

/// What every name begins with.
pub const PREFIX: &str = "GRIDLOOM_";

/// Every setting, without [`PREFIX`].
pub const SETTINGS: &[&str] = &[
    "API_BASE_PATH",
    "API_LISTEN",
    "API_READ_ONLY",
    "API_TLS_CERT",
    "API_TLS_KEY",
    "API_TOKENS",
    "API_TOKENS_FILE",
    "CONFIG",
    "LISTEN",
    "LOG",
    "LOG_FORMAT",
    "NAMESPACE",
    "NATS",
    "NATS_CA",
    "NATS_CERT",
    "NATS_CREDS",
    "NATS_DOMAIN",
    "NATS_FILE",
    "NATS_INBOX",
    "NATS_KEY",
    "NATS_NKEY",
    "NATS_PASSWORD",
    "NATS_PASSWORD_FILE",
    "NATS_SERVER",
    "NATS_TIMEOUT",
    "NATS_TLS",
    "NATS_TOKEN",
    "NATS_TOKEN_FILE",
    "NATS_USER",
    "OTLP_ENDPOINT",
    "OTLP_HEADERS",
    "OTLP_HEADERS_FILE",
    "OTLP_SAMPLE",
    "PLANNER_OPEN_RUNS",
    "PLANNER_SHARES",
    "QUEUE_ACK_DEADLINE",
    "QUEUE_REPLICAS",
    "QUEUE_STORAGE",
    "RETENTION_DEAD",
    "RETENTION_EVERY",
    "RETENTION_IDS",
    "RETENTION_MOST",
    "RETENTION_MOST_DEAD",
    "RETENTION_RUNS",
    "STREAMS_MAX_BYTES",
    "WORKER_CHILD_GRACE",
    "WORKER_CHILD_TCP",
    "WORKER_CONCURRENCY",
    "WORKER_DATABASES",
    "WORKER_DATABASES_FILE",
    "WORKER_EXEC",
    "WORKER_GRACE",
    "WORKER_HELLO_WITHIN",
    "WORKER_HTTP",
    "WORKER_HTTP_SECRETS",
    "WORKER_HTTP_SECRETS_FILE",
    "WORKER_NAME",
    "WORKER_PROCESSES",
    "WORKER_QUEUES",
    "WORKER_SLOTS",
];

/// What a command of the exec handler is told of its shard: it may run `gridloom` itself.
const OF_A_SHARD: &[&str] = &[
    "ATTEMPT",
    "FENCE",
    "JOB",
    "LIMIT",
    "OFFSET",
    "PAGE",
    "PAGE_FROM",
    "PAGE_TO",
    "PARAMS",
    "RUN",
    "SLICE",
    "SLICES",
];

/// What a child of a worker is told, or a worker by the program that it is attached to: a child may run `gridloom` as well.
const OF_A_CHILD: &[&str] = &["PROCESS", "SLOTS", "SOCKET", "TOKEN", "WORKER"];

/// What clients of the libraries read: where the HTTP API is. It is no secret, and handlers have clients.
pub const OF_A_CLIENT: &[&str] = &["API"];

/// Why a setting of the environment cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// Not text.
    #[error("read {PREFIX}{0}: it is no valid UTF-8")]
    NoText(&'static str),
    /// Given in two ways.
    #[error("read {PREFIX}{0}: {PREFIX}{0}_FILE is set as well; set one of them")]
    Twice(&'static str),
    /// The file that holds it cannot be read.
    #[error("read {PREFIX}{name}_FILE: {}: {cause}", .path.display())]
    File {
        /// The setting.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// It says what cannot be.
    #[error("read {PREFIX}{name}: {cause}")]
    Value {
        /// The setting.
        name: &'static str,
        /// What is wrong with it.
        cause: String,
    },
}

/// What the variable `name` holds. One that is empty says nothing: so a setting is taken back where it cannot be unset.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(format!("{PREFIX}{name}")).filter(|value| !value.is_empty())
}

/// The setting `name`, if it is there.
///
/// # Errors
/// When it is no text.
pub fn setting(name: &'static str) -> Result<Option<String>, EnvironmentError> {
    match variable(name) {
        None => Ok(None),
        Some(value) => match value.into_string() {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(EnvironmentError::NoText(name)),
        },
    }
}

/// The setting `name`, read by its own rules.
///
/// # Errors
/// When it says what cannot be.
pub fn parsed<T>(
    name: &'static str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, EnvironmentError> {
    let Some(text) = setting(name)? else {
        return Ok(None);
    };
    match read(&text) {
        Ok(value) => Ok(Some(value)),
        Err(cause) => Err(EnvironmentError::Value { name, cause }),
    }
}

/// The secret `name` out of the file that `GRIDLOOM_<name>_FILE` names: its text without the line's end.
///
/// # Errors
/// When the file cannot be read, or the secret stands in the environment as well.
pub fn secret_of_file(name: &'static str) -> Result<Option<String>, EnvironmentError> {
    let Some(path) = variable(&format!("{name}_FILE")) else {
        return Ok(None);
    };
    if variable(name).is_some() {
        return Err(EnvironmentError::Twice(name));
    }
    let path = PathBuf::from(path);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
        Err(error) => Err(EnvironmentError::File {
            name,
            path,
            cause: chain(&error).to_string(),
        }),
    }
}

/// The secret `name`, as it stands in the environment or in the file that the environment names.
///
/// # Errors
/// As [`setting`] and [`secret_of_file`].
pub fn secret(name: &'static str) -> Result<Option<String>, EnvironmentError> {
    match secret_of_file(name)? {
        None => setting(name),
        found => Ok(found),
    }
}

/// Where the secret `name` stands: in the environment, or in the file that it names, which may change.
///
/// # Errors
/// When it is no text, or both are there.
pub fn place_of(name: &'static str) -> Result<Option<Secret>, EnvironmentError> {
    let file = variable(&format!("{name}_FILE"));
    match (file, setting(name)?) {
        (Some(_), Some(_)) => Err(EnvironmentError::Twice(name)),
        (Some(path), None) => Ok(Some(Secret::File(path.into()))),
        (None, text) => Ok(text.map(Secret::Text)),
    }
}

/// Names among `variables` that begin like settings and are none: surely mistyped, unless a container platform
/// describes a service called `gridloom` with them.
pub fn unknown(variables: impl Iterator<Item = OsString>) -> Vec<String> {
    let mut unknown: Vec<String> = variables
        .filter_map(|name| {
            let name = name.to_string_lossy().into_owned();
            let rest = name.strip_prefix(PREFIX)?;
            (!is_known(rest)).then_some(name)
        })
        .collect();
    unknown.sort();
    unknown
}

fn is_known(rest: &str) -> bool {
    SETTINGS.contains(&rest)
        || OF_A_SHARD.contains(&rest)
        || OF_A_CHILD.contains(&rest)
        || OF_A_CLIENT.contains(&rest)
        || rest.starts_with("TEST_")
        || is_of_a_service(rest)
}

/// What Kubernetes and Docker links set for a service: `..._SERVICE_HOST`, `..._PORT`, `..._PORT_4222_TCP_ADDR`.
fn is_of_a_service(rest: &str) -> bool {
    let padded = format!("_{rest}");
    padded.contains("_SERVICE_HOST")
        || padded.contains("_SERVICE_PORT")
        || padded.ends_with("_PORT")
        || padded
            .split_once("_PORT_")
            .is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mistyped_is_found_and_what_others_set_is_not() {
        let set = |names: &[&str]| unknown(names.iter().map(OsString::from));
        assert_eq!(
            set(&[
                "GRIDLOOM_WORKER_CONCURENCY",
                "PATH",
                "GRIDLOOM_NATS",
                "GRIDLOOM_"
            ]),
            ["GRIDLOOM_", "GRIDLOOM_WORKER_CONCURENCY"]
        );
        let of_others = [
            "GRIDLOOM_SERVICE_HOST",
            "GRIDLOOM_PORT",
            "GRIDLOOM_PORT_4222_TCP_ADDR",
            "GRIDLOOM_NATS_SERVICE_PORT_CLIENT",
            "GRIDLOOM_NATS_PORT",
            "GRIDLOOM_SLICE",
            "GRIDLOOM_API",
        ];
        assert_eq!(set(&of_others), [""; 0]);
    }

    #[test]
    fn names_are_in_order_and_stand_once() {
        assert!(
            [SETTINGS, OF_A_SHARD, OF_A_CHILD, OF_A_CLIENT]
                .iter()
                .all(|names| names.is_sorted())
        );
    }
}
