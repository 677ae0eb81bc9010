//! What every command has at hand: the settings, where to print, and the way to the broker.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gridloom_shared::broker::newer::Newer;
use gridloom_shared::broker::topology::{self, TopologyError};
use gridloom_shared::broker::{Broker, Options};
use gridloom_shared::chain;

use crate::config::Config;
use crate::fault::Misuse;
use crate::output::Output;

/// How long a command waits for the broker.
const WAIT: Duration = Duration::from_secs(3);
/// How long it looks whether a restore is unfinished.
const LOOK: Duration = Duration::from_secs(1);

/// What every command has at hand.
#[derive(Clone, Debug)]
pub struct Context {
    /// Settings.
    pub config: Config,
    /// Where to print.
    pub output: Output,
    /// What a command asked, if it is one that asks and ends.
    pub asked: Asked,
}

/// The broker that was asked first.
#[derive(Clone, Debug, Default)]
pub struct Asked(Arc<OnceLock<Broker>>);

impl Asked {
    /// What was met there that a newer build wrote: so what the command says is not whole.
    pub fn newer(&self) -> Option<Newer> {
        self.0.get()?.newer()
    }
}

impl Context {
    /// A connection to the broker.
    ///
    /// # Errors
    /// When it cannot be reached within `wait`, or will not do; or the settings of the way to it contradict each other.
    pub async fn connect(&self, name: &str, wait: Duration) -> anyhow::Result<Broker> {
        self.connect_with(self.config.options(name, wait)?).await
    }

    async fn connect_with(&self, options: Options) -> anyhow::Result<Broker> {
        let connected = Broker::connect(&options).await;
        connected.map_err(|error| self.config.at_broker(error.into()))
    }

    /// A connection for a command that asks an installation and ends.
    ///
    /// # Errors
    /// When the broker cannot be reached, or will not do; or what is there is half of a backup.
    pub async fn ask(&self) -> anyhow::Result<Broker> {
        let broker = self.ask_whatever_is_there().await?;
        if let Some(unfinished @ TopologyError::Restoring { .. }) = not_whole(&broker).await {
            return Err(Misuse::error(chain(&unfinished).to_string()));
        }
        // Who may not ask that, or is not answered, is told so of what the command asks.
        Ok(broker)
    }

    /// A connection for a command that asks and ends, and needs no installation.
    ///
    /// # Errors
    /// When the broker cannot be reached, or will not do.
    pub async fn ask_whatever_is_there(&self) -> anyhow::Result<Broker> {
        let mut options = self.config.options("gridloom-cli", WAIT)?;
        options.refused_at_once = true;
        let broker = self.connect_with(options).await?;
        let _ = self.asked.0.set(broker.clone());
        Ok(broker)
    }
}

/// Why what is there may be half of a backup. Nothing where that is not answered soon.
pub(crate) async fn not_whole(broker: &Broker) -> Option<TopologyError> {
    let whole = tokio::time::timeout(LOOK, topology::is_whole(broker)).await;
    whole.ok()?.err()
}

/// Who gives the order, as their system calls them; where it says no name, as in a container, by their number.
pub(crate) fn who() -> String {
    let names = ["USER", "LOGNAME"].into_iter();
    let mut found = names.filter_map(|name| std::env::var(name).ok());
    found
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}
