//! What the configuration file may say.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

use gridloom_shared::address::Address;
use gridloom_shared::broker::topology::{Kept, Sizes};
use gridloom_shared::chain;
use gridloom_shared::id::{Namespace, QueueName, WorkerName};
use gridloom_shared::job::Shares;
use gridloom_shared::suggest;
use gridloom_shared::telemetry::traces::{Collector, Share};
use gridloom_worker::handlers::exec::ExecCommand;
use gridloom_worker::handlers::http::HttpService;
use serde::Deserialize;

use crate::fault::Misuse;
use crate::setting::{Listen, LogStyle, Span, Storage, check_ids, size_of};

mod api;
mod nats;

use api::Api;
use nats::Nats;

/// The settings of a file; what it does not say is `None` or empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct File {
    pub(super) nats: Nats,
    pub(super) namespace: Option<Namespace>,
    pub(super) listen: Option<Listen>,
    pub(super) log: Option<String>,
    pub(super) log_format: Option<LogStyle>,
    pub(super) worker: Worker,
    pub(super) queue: Queue,
    pub(super) retention: Retention,
    pub(super) planner: Planner,
    pub(super) streams: Streams,
    pub(super) otlp: Otlp,
    pub(super) api: Api,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Worker {
    pub(super) name: Option<WorkerName>,
    pub(super) queues: Option<Vec<QueueName>>,
    pub(super) concurrency: Option<u32>,
    pub(super) grace: Option<Span>,
    pub(super) processes: Option<u32>,
    pub(super) slots: Option<u32>,
    pub(super) child_grace: Option<Span>,
    pub(super) hello_within: Option<Span>,
    pub(super) child_tcp: Option<bool>,
    pub(super) databases: BTreeMap<String, Address>,
    pub(super) exec: BTreeMap<String, ExecCommand>,
    pub(super) http: BTreeMap<String, HttpService>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Queue {
    pub(super) ack_deadline: Option<Span>,
    pub(super) storage: Option<Storage>,
    pub(super) replicas: Option<u8>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Retention {
    pub(super) runs: Option<Span>,
    pub(super) most: Option<usize>,
    pub(super) dead: Option<Span>,
    pub(super) most_dead: Option<usize>,
    pub(super) ids: Option<Span>,
    pub(super) every: Option<Span>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Planner {
    pub(super) shares: Shares,
    pub(super) open_runs: Option<NonZeroUsize>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Otlp {
    pub(super) endpoint: Option<Collector>,
    pub(super) sample: Option<Share>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Streams {
    max_bytes: BTreeMap<String, String>,
}

impl Streams {
    /// The sizes that are named.
    pub(super) fn sizes(&self) -> Result<Sizes, String> {
        let mut named = self.max_bytes.iter();
        named.try_fold(Sizes::default(), |sizes, (name, text)| {
            let kept = Kept::called(name).ok_or_else(|| format!("{name}: is no stream"))?;
            let size =
                size_of(text).map_err(|fault| format!("streams.max_bytes.{name}: {fault}"))?;
            Ok(sizes.with(kept, size))
        })
    }
}

/// Every key, `*` for a name that the user chooses.
const KEYS: &[&str] = &[
    "nats",
    "nats.url",
    "nats.creds",
    "nats.nkey",
    "nats.user",
    "nats.password",
    "nats.password_file",
    "nats.token",
    "nats.token_file",
    "nats.ca",
    "nats.cert",
    "nats.key",
    "nats.tls",
    "nats.domain",
    "nats.inbox",
    "nats.timeout",
    "namespace",
    "listen",
    "log",
    "log_format",
    "worker.name",
    "worker.queues",
    "worker.concurrency",
    "worker.grace",
    "worker.processes",
    "worker.slots",
    "worker.child_grace",
    "worker.hello_within",
    "worker.child_tcp",
    "worker.databases.*",
    "worker.exec.*.program",
    "worker.exec.*.args",
    "worker.exec.*.env.*",
    "worker.exec.*.dir",
    "worker.exec.*.grace",
    "worker.http.*.origin",
    "worker.http.*.ca",
    "worker.http.*.secrets.*",
    "worker.http.*.secret_files.*",
    "worker.http.*.addresses",
    "worker.http.*.callback",
    "queue.ack_deadline",
    "queue.storage",
    "queue.replicas",
    "retention.runs",
    "retention.most",
    "retention.dead",
    "retention.most_dead",
    "retention.ids",
    "retention.every",
    "planner.shares.*",
    "planner.open_runs",
    "otlp.endpoint",
    "otlp.sample",
    "api.listen",
    "api.base_path",
    "api.read_only",
    "api.tokens",
    "api.tls_cert",
    "api.tls_key",
    "streams.max_bytes.alarm",
    "streams.max_bytes.shards",
    "streams.max_bytes.ledger",
    "streams.max_bytes.submit",
    "streams.max_bytes.history",
    "streams.max_bytes.jobs",
    "streams.max_bytes.runs",
    "streams.max_bytes.state",
    "streams.max_bytes.workers",
];

impl File {
    /// The settings in the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or says what cannot be.
    pub fn read(path: &Path) -> anyhow::Result<File> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Misuse::error(format!(
                "read configuration {}: {}",
                path.display(),
                chain(&error)
            ))
        })?;
        File::parse(path, &text)
    }

    /// The settings in `text`, which stood in the file at `path`.
    ///
    /// # Errors
    /// When it says what cannot be; all unknown keys at once.
    pub fn parse(path: &Path, text: &str) -> anyhow::Result<File> {
        let wrong = |error: &toml::de::Error| {
            Misuse::error(format!("{}: {}", path.display(), in_words(text, error)))
        };
        let table: toml::Table = text.parse().map_err(|error| wrong(&error))?;
        let mut unknown = Vec::new();
        check(&table, &mut Vec::new(), &mut unknown);
        if !unknown.is_empty() {
            let lines: Vec<_> = unknown
                .iter()
                .map(|fault| format!("{}: {fault}", path.display()))
                .collect();
            return Err(Misuse::error(lines.join("\n")));
        }
        let file: File = toml::from_str(text).map_err(|error| wrong(&error))?;
        file.within_bounds()
            .map_err(|fault| Misuse::error(format!("{}: {fault}", path.display())))?;
        Ok(file)
    }

    fn within_bounds(&self) -> Result<(), String> {
        if self
            .worker
            .concurrency
            .is_some_and(|n| !(1..=20_000).contains(&n))
        {
            return Err("worker.concurrency: must be from 1 to 20000".into());
        }
        if self
            .worker
            .processes
            .is_some_and(|n| !(1..=256).contains(&n))
        {
            return Err("worker.processes: must be from 1 to 256".into());
        }
        if self
            .worker
            .slots
            .is_some_and(|n| !(1..=10_000).contains(&n))
        {
            return Err("worker.slots: must be from 1 to 10000".into());
        }
        if self.queue.replicas.is_some_and(|n| !(1..=5).contains(&n)) {
            return Err("queue.replicas: must be from 1 to 5".into());
        }
        if let Some(ids) = self.retention.ids {
            check_ids(&ids).map_err(|fault| format!("retention.ids: {fault}"))?;
        }
        self.streams.sizes().map(drop)
    }
}

/// What is wrong, and where; with the line itself, unless a password may stand in it.
fn in_words(text: &str, error: &toml::de::Error) -> String {
    let shown = chain(error).to_string();
    let telling = ["@", "pass", "pwd", "secret", "token", "endpoint"];
    let lower = shown.to_lowercase();
    if !telling.iter().any(|word| lower.contains(word)) {
        return shown.trim_end().to_owned();
    }
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.unwrap_or_default().matches('\n').count() + 1;
    // Its own words may quote the value.
    let message = match error.message().rsplit_once(", expected ") {
        Some((_, wanted)) => format!("expected {wanted}"),
        None if error.message().contains(['"', '`', '@']) => "is not what belongs here".to_owned(),
        None => error.message().to_owned(),
    };
    format!("line {line}: {message} (the line is not shown: there may be a password in it)")
}

fn check(table: &toml::Table, at: &mut Vec<String>, unknown: &mut Vec<String>) {
    for (key, value) in table {
        let known = known_at(at);
        if !known.contains(&"*") && !known.contains(&key.as_str()) {
            let path = [at.join("."), key.clone()].join(".");
            let hint = suggest::nearest(key, known.iter().copied()).map_or_else(
                || format!("known here are {}", known.join(", ")),
                |near| format!("did you mean {near:?}?"),
            );
            unknown.push(format!(
                "{}: is no known key; {hint}",
                path.trim_start_matches('.')
            ));
            continue;
        }
        if let toml::Value::Table(inner) = value {
            at.push(key.clone());
            // A table where a plain value belongs is left to the typed reading.
            if !known_at(at).is_empty() {
                check(inner, at, unknown);
            }
            at.pop();
        }
    }
}

/// The keys that may stand under `at`.
fn known_at(at: &[String]) -> Vec<&'static str> {
    let mut known: Vec<&str> = KEYS
        .iter()
        .filter_map(|key| {
            let mut words = key.split('.');
            let fits = at
                .iter()
                .all(|here| words.next().is_some_and(|word| word == "*" || word == here));
            fits.then(|| words.next()).flatten()
        })
        .collect();
    known.dedup();
    known
}

#[cfg(test)]
mod tests {
    use gridloom_shared::broker::topology::Size;
    use gridloom_shared::id::ShareName;

    use super::*;

    fn parse(text: &str) -> Result<File, String> {
        File::parse(Path::new("gridloom.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn unknown_keys_are_refused_all_at_once_with_the_nearest_known_one() {
        let text = "nat = \"x\"\n[worker]\nconcurency = 2\n[worker.exec.a]\nprogramm = \"x\"\n[elsewhere]\na = 1";
        let message = parse(text).unwrap_err();
        let lines: Vec<_> = message.lines().collect();
        assert_eq!(lines.len(), 4, "{message}");
        assert!(
            message.contains("worker.concurency: is no known key; did you mean \"concurrency\"?"),
            "{message}"
        );
        assert!(
            message.contains("worker.exec.a.programm: is no known key; did you mean \"program\"?"),
            "{message}"
        );
    }

    #[test]
    fn wrong_values_are_said_with_their_place() {
        let port = parse("listen = \"4222\"").unwrap_err();
        assert!(port.contains("127.0.0.1:4222"), "{port}");
        let message = parse("[worker]\ngrace = \"soon\"").unwrap_err();
        assert!(
            message.contains("line 2") && message.contains("500ms"),
            "{message}"
        );
        assert!(
            parse("[queue]\nreplicas = 9")
                .unwrap_err()
                .contains("queue.replicas")
        );
        for bad in ["a = 0", "a = \"x\"", "\"Tenant A\" = 1"] {
            let message = parse(&format!("[planner.shares]\n{bad}")).unwrap_err();
            assert!(
                message.contains("line 1") || message.contains("line 2"),
                "{message}"
            );
        }
        assert!(parse("nats = { a = 1 }").is_err());
        assert!(parse("namespace = \"*\"").is_err());
    }

    #[test]
    fn line_with_a_password_is_not_shown() {
        for bad in [
            "nats = \"nats://me:hunter2@h\" oops",
            "nats = [\"nats://me:hunter2@h\"]",
            "[worker.databases]\na = { url = \"postgres://me:hunter2@h/db\" }",
            "[worker.databases]\na = \"postgres://me:hunter2@h/db",
            "[worker.exec.x]\nenv = { PGPASSWORD = \"hunter2\", N = 3 }\nprogram = \"a\"",
            "namespace = \"hunter2@x\"",
            "[worker]\nconcurrency = \"hunter2@x\"",
            "[worker.exec]\nx = \"sh --password=hunter2 | cat\"",
            "[worker.http]\nx = \"https://me:hunter2@h\"",
            "[worker.http.x]\norigin = \"https://h\"\nsecrets = { token = \"hunter2\", n = 3 }",
            "[worker.http.x]\norigin = \"https://h\"\nsecrets = \"hunter2\"",
        ] {
            let message = parse(bad).unwrap_err();
            assert!(
                message.contains("line ") && !message.contains("hunter2"),
                "{message}"
            );
        }
    }

    #[test]
    fn every_stream_may_be_given_a_size() {
        let lines = Kept::ALL.map(|kept| format!("{} = \"8MiB\"", kept.as_str()));
        let text = format!("[streams.max_bytes]\n{}", lines.join("\n"));
        let sizes = parse(&text).unwrap().streams.sizes().unwrap();
        for kept in Kept::ALL {
            assert_eq!(sizes.named(kept), Some(Size::Bytes(8 << 20)), "{kept:?}");
        }
        for (bad, words) in [
            (
                "ledger = \"8\"",
                "streams.max_bytes.ledger: \"8\" must be at least 4MiB",
            ),
            ("ledger = \"8 elephants\"", "must be a size"),
            ("ledger = 8", "line 2"),
            ("leger = \"8MiB\"", "did you mean \"ledger\"?"),
        ] {
            let message = parse(&format!("[streams.max_bytes]\n{bad}")).unwrap_err();
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn command_may_be_a_line() {
        let file = parse("[worker.exec]\nx = \"./x.sh --to 'my file'\"").unwrap();
        assert_eq!(file.worker.exec["x"].args, ["--to", "my file"]);
        for (bad, words) in [
            ("x = \"a | b\"", "shell"),
            ("x = 3", "PROGRAM ARGS"),
            ("x = { args = [] }", "program"),
            ("x = { program = \"a\", grace = \"6m\" }", "5m"),
        ] {
            let message = parse(&format!("[worker.exec]\n{bad}")).unwrap_err();
            assert!(
                message.contains("line 2") && message.contains(words),
                "{message}"
            );
        }
    }

    #[test]
    fn whole_file_is_read() {
        let file = parse(
            "nats = \"nats://a\"\nnamespace = \"x\"\nlisten = \"0.0.0.0:9000\"\nlog = \"debug\"\nlog_format = \"json\"\n\
             [worker]\nname = \"w\"\nqueues = [\"a\", \"b\"]\nconcurrency = 4\ngrace = \"1m\"\n\
             [worker.databases]\nflights = \"sqlite:f.db\"\n\
             [worker.exec.resize]\nprogram = \"./r\"\nargs = [\"-x\"]\nenv = { A = \"1\" }\ndir = \"/tmp\"\ngrace = \"1m\"\n\
             [worker.http.shop]\norigin = \"https://h\"\nca = \"c\"\nsecrets = { a = \"1\" }\nsecret_files = { b = \"f\" }\naddresses = [\"fe80::/10\"]\n\
             [queue]\nack_deadline = \"5s\"\nstorage = \"memory\"\nreplicas = 3\n\
             [planner.shares]\ntenant-a = 2\ntenant-b = 0.5",
        )
        .unwrap();
        let weight = |name| file.planner.shares.weight(&ShareName::new(name).unwrap());
        assert_eq!(
            (weight("tenant-a"), weight("tenant-b"), weight("c")),
            (2.0, 0.5, 1.0)
        );
        assert_eq!(file.worker.exec["resize"].env["A"], "1");
        assert_eq!(file.worker.exec["resize"].grace.as_secs(), 60);
        assert_eq!(file.worker.http["shop"].addresses.len(), 1);
        assert_eq!(file.queue.storage, Some(Storage::Memory));
    }
}
