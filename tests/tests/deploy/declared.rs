//! How a process that a file of deploy/ declares is started here: with the arguments and variables that stand there, at
//! other places. What a health check asks is asked with the same variables.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use gridloom_shared::environment;
use gridloom_tests::process::{Gridloom, Process};
use gridloom_tests::wait::eventually;

/// Time until a service can work.
const READY_WITHIN: Duration = Duration::from_secs(40);

/// A process as a file declares it.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    /// What the file calls it.
    pub(super) name: String,
    /// What follows the command.
    pub(super) args: Vec<String>,
    /// Its variables.
    pub(super) env: BTreeMap<String, String>,
}

impl Declared {
    /// The same at other places: each text on the left is replaced by what stands on its right.
    pub(super) fn at(&self, places: &[(String, String)]) -> Declared {
        let moved = |text: &String| {
            let text = text.clone();
            let places = places.iter();
            places.fold(text, |text, (from, to)| text.replace(from, to))
        };
        Declared {
            name: self.name.clone(),
            args: self.args.iter().map(moved).collect(),
            env: self
                .env
                .iter()
                .map(|(name, value)| (name.clone(), moved(value)))
                .collect(),
        }
    }

    /// Fails when a variable is none that the command knows.
    pub(super) fn is_known(&self) -> anyhow::Result<()> {
        let names = self.env.keys().map(Into::into);
        let unknown = environment::unknown(names);
        ensure!(
            unknown.is_empty(),
            "{}: {unknown:?} are no settings",
            self.name
        );
        Ok(())
    }

    /// A command with the same variables.
    pub(super) fn command(&self, args: &[&str]) -> anyhow::Result<Gridloom> {
        let command = Gridloom::new(args.iter().copied())?;
        let env = self.env.iter();
        Ok(env.fold(command, |command, (name, value)| command.env(name, value)))
    }

    /// Starts it.
    pub(super) async fn start(&self) -> anyhow::Result<Process> {
        self.is_known()?;
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        self.command(&args)?.start().await
    }

    /// Waits until it says that it can work, asked as a health check does.
    pub(super) async fn ready(&self, process: &mut Process) -> anyhow::Result<()> {
        let ready = async || {
            ensure!(
                process.is_running()?,
                "{} ended: {}",
                self.name,
                process.stderr()
            );
            let asked = self.command(&["health"])?.start().await?;
            Ok(asked.finish(READY_WITHIN).await?.code == 0)
        };
        let waited = eventually(READY_WITHIN, "it can work", ready).await;
        waited.map_err(|error| error.context(format!("{}: {}", self.name, process.stderr())))
    }
}

/// Lines of a file of variables, as systemd and Docker read them: those that are set, and those that are put aside by
/// a `#`.
pub(super) fn variables(text: &str) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let pair = |line: &str| {
        let (name, value) = line.split_once('=')?;
        let is_name = name.starts_with("GRIDLOOM_") && !name.contains(' ');
        is_name.then(|| (name.to_owned(), value.to_owned()))
    };
    let set = text.lines().filter_map(pair).collect();
    let aside = text.lines().filter_map(|line| line.strip_prefix('#'));
    (set, aside.filter_map(pair).collect())
}
