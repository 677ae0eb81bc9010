//! What every command has at hand: the settings, where to print, and the way to the broker.

use std::time::Duration;

use gridloom_shared::broker::{Broker, Options};

use crate::config::Config;
use crate::output::Output;

/// How long a command waits for the broker.
const WAIT: Duration = Duration::from_secs(3);

/// What every command has at hand.
#[derive(Clone, Debug)]
pub struct Context {
    /// Settings.
    pub config: Config,
    /// Where to print.
    pub output: Output,
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

    /// A connection for a command that asks and ends.
    ///
    /// # Errors
    /// When the broker cannot be reached, or will not do.
    pub async fn ask(&self) -> anyhow::Result<Broker> {
        let mut options = self.config.options("gridloom-cli", WAIT)?;
        options.refused_at_once = true;
        self.connect_with(options).await
    }
}

/// Who gives the order, as their system calls them.
pub(crate) fn who() -> String {
    let names = ["USER", "LOGNAME"].into_iter();
    let mut found = names.filter_map(|name| std::env::var(name).ok());
    found
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "somebody".to_owned())
}
