//! Which setting counts: flag beats environment, environment beats file, file beats default.
//!
//! Flags and environment come already merged from `args`. A key of the file that is not known is
//! refused with the nearest known one: a setting that is silently ignored is worse than none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gridloom_planner::retention::Retention;
use gridloom_shared::address::Address;
use gridloom_shared::broker::topology::Sizes;
use gridloom_shared::broker::{Options, Settings};
use gridloom_shared::chain;
use gridloom_shared::environment::{self, EnvironmentError};
use gridloom_shared::id::{Namespace, QueueName, WorkerName};
use gridloom_shared::job::Shares;
use gridloom_shared::limits::OPEN_RUNS_MAX;
use gridloom_shared::telemetry::LogFormat;
use gridloom_shared::telemetry::traces::Wanted;
use gridloom_worker::handlers::exec::{ExecCommand, named_commands};
use gridloom_worker::handlers::http::HttpService;

use crate::args::{
    Global, ListenFlag, QueueFlags, RetentionFlags, ShareFlags, StreamFlags, TraceFlags,
    WorkerFlags,
};
use crate::fault::Misuse;
use crate::setting::{self, Given, LogStyle, MaxBytes, Span, Storage};

mod api;
mod child;
mod file;
mod http;

pub use child::Others;
pub use file::File;

/// The file that is read where none is named.
pub const DEFAULT_FILE: &str = "gridloom.toml";
/// The broker where none is named.
pub const DEFAULT_NATS: &str = "nats://127.0.0.1:4222";
/// The installation where none is named.
pub const DEFAULT_NAMESPACE: &str = "gridloom";

/// What every command needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The broker's address.
    pub nats: Address,
    /// Who said it.
    pub nats_from: Whence,
    /// The way to it.
    connection: Settings,
    /// The installation.
    pub namespace: Namespace,
    /// The filter of log lines, if somebody chose one.
    pub log: Option<String>,
    /// How log lines look.
    pub log_format: LogFormat,
    file: File,
    /// Where that stands, if there is one.
    path: Option<PathBuf>,
}

/// Who said a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whence {
    /// The flag.
    Flag,
    /// The environment variable.
    Variable,
    /// The file that the environment names.
    SecretFile,
    /// The configuration file.
    File(PathBuf),
    /// Nobody.
    Default,
    /// This program, of a broker that it started.
    Own,
}

/// For people: what follows "the broker's address".
impl fmt::Display for Whence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whence::Flag => f.write_str("of --nats"),
            Whence::Variable => f.write_str("of GRIDLOOM_NATS"),
            Whence::SecretFile => f.write_str("in the file that GRIDLOOM_NATS_FILE names"),
            Whence::File(path) => write!(f, "in {}", path.display()),
            Whence::Default => f.write_str(
                "that holds where none is named (--nats, GRIDLOOM_NATS, or nats in gridloom.toml)",
            ),
            Whence::Own => f.write_str("of its own broker"),
        }
    }
}

/// A worker's settings.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Its name, if somebody chose one.
    pub name: Option<WorkerName>,
    /// The queues that it works for.
    pub queues: Vec<QueueName>,
    /// Tiles that run at once, if somebody chose.
    pub concurrency: Option<u32>,
    /// Time to finish when told to stop, if somebody chose.
    pub grace: Option<Duration>,
    /// Databases of the sql handler: name to URL.
    pub databases: BTreeMap<String, Address>,
    /// Commands of the exec handler.
    pub exec: BTreeMap<String, ExecCommand>,
    /// Services of the http handler.
    pub http: BTreeMap<String, HttpService>,
}

/// How queues are made and expected to be.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// How long a worker may be silent before its tiles go to another, if somebody chose it: an
    /// existing queue is then changed to it.
    pub ack_deadline: Option<Duration>,
    /// Where the queue is kept.
    pub storage: Option<Storage>,
    /// Copies of each stream.
    pub replicas: u8,
    /// How large streams may become.
    pub sizes: Sizes,
}

impl Config {
    /// The configuration that the flags name, or the one of the working directory.
    ///
    /// # Errors
    /// When a named file is missing, or a file says what cannot be.
    pub fn load(flags: &Global) -> anyhow::Result<Config> {
        let path = flags.config.as_deref();
        let path = path.or_else(|| Some(Path::new(DEFAULT_FILE)).filter(|path| path.exists()));
        let file = path.map_or_else(|| Ok(File::default()), File::read)?;
        let secret = environment::secret_of_file("NATS").map_err(|error| misuse(&error))?;
        let mut config = Config::merge(flags, file)?;
        config.path = path.map(Path::to_owned);
        match (&flags.nats, secret) {
            (Some(given), _) if is_the_variable(given) => config.nats_from = Whence::Variable,
            (Some(_), _) => {}
            (None, Some(secret)) => {
                (config.nats, config.nats_from) = (secret.into(), Whence::SecretFile);
            }
            (None, None) => {
                if let (Some(path), Some(_)) = (path, &config.file.nats.url) {
                    config.nats_from = Whence::File(path.to_owned());
                }
            }
        }
        Ok(config)
    }

    /// The same for a broker that this program has started.
    #[must_use]
    pub fn with_own_broker(&self, url: impl Into<Address>) -> Config {
        Config {
            nats: url.into(),
            nats_from: Whence::Own,
            connection: Settings::default(),
            ..self.clone()
        }
    }

    /// How a client of that name gets to the broker, which has to let it in within `wait` unless a timeout is set.
    ///
    /// # Errors
    /// When what is said of it contradicts itself.
    pub fn options(&self, name: &str, wait: Duration) -> anyhow::Result<Options> {
        let mut options = Options::new(self.nats.clone(), self.namespace.clone(), name);
        options.wait = wait;
        let settings = self.connection.clone();
        let applied = settings.apply(&mut options);
        applied.map_err(|error| Misuse::error(chain(&error).to_string()))?;
        Ok(options)
    }

    fn merge(flags: &Global, file: File) -> anyhow::Result<Config> {
        let nats = flags.nats.clone().or_else(|| file.nats.url.clone());
        let given = flags.connection.settings();
        let given = given.map_err(|error| misuse(&error))?;
        let namespace = flags.namespace.clone().or_else(|| file.namespace.clone());
        let style = flags
            .log_format
            .or(file.log_format)
            .unwrap_or(LogStyle::Text);
        Ok(Config {
            nats_from: match &flags.nats {
                Some(_) => Whence::Flag,
                None => Whence::Default,
            },
            nats: nats.unwrap_or_else(|| DEFAULT_NATS.into()),
            connection: given.over(file.nats.settings.clone()),
            namespace: namespace.map_or_else(|| Namespace::new(DEFAULT_NAMESPACE), Ok)?,
            log: flags
                .log
                .clone()
                .filter(|text| !text.trim().is_empty())
                .or_else(|| file.log.clone()),
            log_format: match style {
                LogStyle::Text => LogFormat::Text,
                LogStyle::Json => LogFormat::Json,
            },
            file,
            path: None,
        })
    }

    /// Why the broker will not do, with who said where it is.
    pub fn at_broker(&self, error: anyhow::Error) -> anyhow::Error {
        match self.nats_from {
            Whence::Own => error,
            _ => error.context(format!("use the broker's address {}", self.nats_from)),
        }
    }

    /// Where a service answers about metrics and health.
    pub fn listen(&self, flag: &ListenFlag) -> SocketAddr {
        let given = flag.listen.or(self.file.listen);
        given.map_or_else(|| ([127, 0, 0, 1], 0).into(), |given| given.0)
    }

    /// Who is told of traces.
    ///
    /// # Errors
    /// When the collector's address is none.
    pub fn traces(&self, flags: &TraceFlags) -> anyhow::Result<Wanted> {
        let given = flags
            .collector
            .as_ref()
            .filter(|text| !text.0.trim().is_empty());
        let given = given.map(|text| text.0.parse()).transpose();
        let given = given.map_err(|fault: String| {
            Misuse::error(format!(
                "read --otlp-endpoint (GRIDLOOM_OTLP_ENDPOINT): {fault}"
            ))
        })?;
        Ok(Wanted {
            collector: given.or_else(|| self.file.otlp.endpoint.clone()),
            share: flags.sample.or(self.file.otlp.sample),
        })
    }

    /// A worker's settings.
    ///
    /// # Errors
    /// When a database, a command or a service is not written as one.
    pub fn worker(&self, flags: &WorkerFlags) -> anyhow::Result<WorkerConfig> {
        let file = &self.file.worker;
        let queues = flags.queues.clone().or_else(|| file.queues.clone());
        let mut databases = file.databases.clone();
        let secret =
            environment::secret_of_file("WORKER_DATABASES").map_err(|error| misuse(&error))?;
        let secret = secret.map(|text| vec![Given(text)]);
        let named = flags.databases.as_ref().or(secret.as_ref());
        databases.extend(given(DATABASES, named, setting::databases)?);
        let mut exec = file.exec.clone();
        exec.extend(given(COMMANDS, flags.exec.as_ref(), |text| {
            named_commands(text).map_err(|error| chain(&error).to_string())
        })?);
        Ok(WorkerConfig {
            name: flags.name.clone().or_else(|| file.name.clone()),
            queues: match queues.filter(|queues| !queues.is_empty()) {
                Some(queues) => queues,
                None => vec![QueueName::new("default")?],
            },
            concurrency: flags.concurrency.or(file.concurrency),
            grace: flags.grace.or(file.grace).map(|span| span.0),
            databases,
            exec,
            http: self.services(flags)?,
        })
    }

    /// What is kept of runs that are over.
    pub fn retention(&self, flags: &RetentionFlags) -> Retention {
        let (file, default) = (&self.file.retention, Retention::default());
        let span = |flag: Option<Span>, file: Option<Span>, default| {
            flag.or(file).map_or(default, |span| span.0)
        };
        Retention {
            runs: span(flags.runs, file.runs, default.runs),
            most: flags.most.or(file.most).unwrap_or(default.most),
            dead: span(flags.dead, file.dead, default.dead),
            most_dead: flags
                .most_dead
                .or(file.most_dead)
                .unwrap_or(default.most_dead),
            ids: span(flags.ids, file.ids, default.ids),
            every: span(flags.every, file.every, default.every),
        }
    }

    /// The weight of each share.
    pub fn shares(&self, flags: &ShareFlags) -> Shares {
        let given = flags.shares.iter().flatten();
        given.fold(self.file.planner.shares.clone(), |shares, share| {
            shares.with(share.0.clone())
        })
    }

    /// Most open runs of one queue.
    pub fn open_runs(&self, flag: Option<NonZeroUsize>) -> usize {
        let given = flag.or(self.file.planner.open_runs);
        given.map_or(OPEN_RUNS_MAX, NonZeroUsize::get)
    }

    /// Copies of each stream, where somebody named a number.
    pub fn replicas(&self, flags: &StreamFlags) -> Option<u8> {
        flags.replicas.or(self.file.queue.replicas)
    }

    /// How queues are made and expected to be.
    pub fn queue(&self, flags: &QueueFlags) -> QueueConfig {
        let file = &self.file.queue;
        // What cannot be was refused when the file was read.
        let sizes = self.file.streams.sizes().unwrap_or_default();
        let given = flags.streams.max_bytes.iter().flatten();
        QueueConfig {
            ack_deadline: flags.ack_deadline.or(file.ack_deadline).map(|span| span.0),
            storage: flags.streams.storage.or(file.storage),
            replicas: flags.streams.replicas.or(file.replicas).unwrap_or(1),
            sizes: given.fold(sizes, |sizes, MaxBytes(kept, size)| {
                sizes.with(*kept, *size)
            }),
        }
    }
}

/// Where databases and commands are given.
const DATABASES: &str = "--database (GRIDLOOM_WORKER_DATABASES, GRIDLOOM_WORKER_DATABASES_FILE)";
const COMMANDS: &str = "--exec (GRIDLOOM_WORKER_EXEC)";

/// What a flag or its variable names, each text by itself. Its faults are told here and not where words are
/// taken from the command line, which would show the text: there may be a password in it.
fn given<T>(
    place: &str,
    texts: Option<&Vec<Given>>,
    read: impl Fn(&str) -> Result<Vec<(String, T)>, String>,
) -> anyhow::Result<Vec<(String, T)>> {
    let mut all: Vec<(String, T)> = Vec::new();
    for text in texts.into_iter().flatten() {
        let named = read(&text.0);
        all.extend(named.map_err(|fault| Misuse::error(format!("read {place}: {fault}")))?);
    }
    let mut names = BTreeSet::new();
    let mut all_names = all.iter().map(|(name, _)| name);
    if let Some(name) = all_names.find(|name| !names.insert(*name)) {
        let fault = format!("{name:?} is there twice: each needs a name of its own");
        return Err(Misuse::error(format!("read {place}: {fault}")));
    }
    Ok(all)
}

/// Whether an address is that of the variable: those of flags and variables come together.
pub fn is_the_variable(nats: &Address) -> bool {
    let variable = std::env::var("GRIDLOOM_NATS").ok();
    variable.is_some_and(|text| text == nats.exact())
}

fn misuse(error: &EnvironmentError) -> anyhow::Error {
    Misuse::error(chain(&error).to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use gridloom_shared::id::ShareName;
    use gridloom_worker::handlers::http::HttpHandler;
    use gridloom_worker::handlers::sql::SqlHandler;

    use super::*;
    use crate::args::{Line, Order};

    fn file(text: &str) -> File {
        File::parse(Path::new("test.toml"), text).unwrap()
    }

    #[test]
    fn flag_beats_file_and_file_beats_default() {
        let file = file(
            "nats = \"nats://file\"\n[worker]\nconcurrency = 3\n[worker.databases]\na = \"sqlite:a\"\nb = \"sqlite:b\"\n\
             [planner.shares]\na = 2\nb = 3",
        );
        let flags = Global {
            nats: Some("nats://flag".into()),
            ..Global::default()
        };
        let config = Config::merge(&flags, file).unwrap();
        assert_eq!(
            (config.nats.exact(), config.namespace.as_str()),
            ("nats://flag", "gridloom")
        );
        let given = Given("b=sqlite:other".into());
        let worker = config
            .worker(&WorkerFlags {
                databases: Some(vec![given]),
                ..WorkerFlags::default()
            })
            .unwrap();
        assert_eq!((worker.concurrency, worker.grace), (Some(3), None));
        assert_eq!(worker.databases["a"].exact(), "sqlite:a");
        assert_eq!(worker.databases["b"].exact(), "sqlite:other");
        let twice = |texts: [&str; 2]| Some(texts.map(|text| Given(text.to_owned())).to_vec());
        for flags in [
            WorkerFlags {
                databases: twice(["a=sqlite:a", "a=sqlite:b"]),
                ..WorkerFlags::default()
            },
            WorkerFlags {
                exec: twice(["a=true", "a=false"]),
                ..WorkerFlags::default()
            },
        ] {
            let fault = config.worker(&flags).unwrap_err().to_string();
            assert!(fault.contains("\"a\" is there twice"), "{fault}");
        }
        assert_eq!(config.queue(&QueueFlags::default()).ack_deadline, None);
        let shares = config.shares(&ShareFlags {
            shares: Some(vec!["b=0.5".parse().unwrap()]),
        });
        let weight = |name| shares.weight(&ShareName::new(name).unwrap());
        assert_eq!((weight("a"), weight("b"), weight("c")), (2.0, 0.5, 1.0));
    }

    #[test]
    fn nothing_that_is_printed_of_a_configuration_has_a_password_in_it() {
        let text = "[nats]\nurl = \"nats://me:hunter2@h\"\npassword = \"hunter2\"\ntoken = \"hunter2\"\n[worker.databases]\na = \"postgres://me:hunter2@h/db\"\n\
                    [worker.exec]\nx = { program = \"sh\", args = [\"--token=hunter2\"], env = { PASSWORD = \"hunter2\" } }\n\
                    [worker.http.s]\norigin = \"https://h\"\nsecrets = { a = \"hunter2\" }";
        let file = file(text);
        let args = [
            "gridloom",
            "worker",
            "--nats",
            "nats://hunter2@h",
            "--database",
            "b=mysql://me:hunter2@h/db",
            "--exec",
            "y=sh --token=hunter2",
        ];
        let line = Line::try_parse_from(args).unwrap();
        let Order::Worker(flags) = &line.order else {
            panic!("another order");
        };
        let config = Config::merge(&line.global, file.clone()).unwrap();
        let by_file = Config::merge(&Global::default(), file.clone()).unwrap();
        let worker = config.worker(&flags.worker).unwrap();
        let options = Options::new(config.nats.clone(), config.namespace.clone(), "test");
        let context = crate::context::Context {
            config: config.clone(),
            output: crate::output::Output::new(crate::output::Form::People),
            asked: crate::context::Asked::default(),
        };
        let exact = worker.databases.iter();
        let exact = exact.map(|(name, url)| (name.clone(), url.exact().to_owned()));
        let sql = SqlHandler::new(exact.collect()).unwrap();
        let http = HttpHandler::new(worker.http.clone()).unwrap();
        for shown in [
            format!("{line:?}"),
            format!("{file:?}"),
            format!("{config:?}"),
            format!("{by_file:?}"),
            format!("{worker:?}"),
            format!("{options:?}"),
            format!("{context:?}"),
            format!("{sql:?}"),
            format!("{http:?}"),
        ] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert!(format!("{config:?}").contains("nats://h"));
    }
}
