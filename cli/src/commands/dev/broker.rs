//! The broker of `dev`: started on the port that every command tries first, and started again on the same port and store
//! when it ends while it is needed, whoever ended it. A broker that does not stay is given up.

use std::time::Duration;

use anyhow::Context as _;
use gridloom_shared::chain;
use tokio::time::{Instant, sleep};

use crate::args::Dev;
use crate::context::Context;
use crate::embedded::{self, EmbeddedServer, Search};
use crate::fault::Misuse;
use crate::output::Output;

/// The port that every command tries where none is named.
const PORT: u16 = 4222;
/// Starts in a row that come to nothing before it is given up.
const TRIES: u32 = 5;
/// A broker that has lived for so long has come to something.
const LIVED: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// Starts it.
pub(super) async fn start(context: &Context, flags: &Dev) -> anyhow::Result<EmbeddedServer> {
    let say = |line: &str| context.output.note(line);
    // Looked for once, and told of once, also where a second port is tried.
    let own = std::env::current_exe().context("find the running program")?;
    let binary = Search::from_env().find(&own, &say).await;
    let binary = binary.map_err(embedded::Error::from)?;
    let options = |port| embedded::Options {
        port,
        binary: Some(binary.clone()),
        store: flags.store.clone(),
        jetstream_config: embedded::SYNC_ALWAYS.to_owned(),
        ..embedded::Options::default()
    };
    let port = match flags.port {
        None => Some(PORT),
        // As everywhere: whichever is free.
        Some(0) => None,
        Some(port) => Some(port),
    };
    match (EmbeddedServer::start(options(port), &say).await, flags.port) {
        (Err(embedded::Error::PortInUse(port)), None) => {
            context.output.note(format!(
                "port {port} is in use (another broker?): taking a free one"
            ));
            Ok(EmbeddedServer::start(options(None), &say).await?)
        }
        (Err(error @ (embedded::Error::PortInUse(_) | embedded::Error::StoreInUse(_))), _) => {
            Err(Misuse::error(chain(&error).to_string()))
        }
        (started, _) => Ok(started?),
    }
}

/// How often it was started again in a row.
#[derive(Debug)]
pub(super) struct Keeper {
    output: Output,
    tries: u32,
    since: Instant,
}

impl Keeper {
    pub(super) fn new(output: Output) -> Keeper {
        Keeper {
            output,
            tries: 0,
            since: Instant::now(),
        }
    }

    /// Returns once it ended and will not be started again. Safe to cancel where it is stopped then.
    ///
    /// # Errors
    /// Always, with its last words.
    pub(super) async fn keep(&mut self, server: &mut EmbeddedServer) -> anyhow::Result<()> {
        loop {
            let code = server.ended().await?;
            let ended = match code {
                129.. => format!("the broker was ended by signal {}", code - 128),
                code => format!("the broker ended with exit code {code}"),
            };
            self.again(server, &ended).await?;
        }
    }

    async fn again(&mut self, server: &mut EmbeddedServer, ended: &str) -> anyhow::Result<()> {
        if self.since.elapsed() >= LIVED {
            self.tries = 0;
        }
        loop {
            if self.tries == TRIES {
                anyhow::bail!(
                    "{ended}, and was started again {TRIES} times before; its last words:\n{}",
                    server.log_tail()
                );
            }
            self.tries += 1;
            self.output.note(format!(
                "{ended}: starting it again on port {} with its store (try {} of {TRIES})",
                server.port(),
                self.tries
            ));
            self.since = Instant::now();
            match server.restart().await {
                Ok(()) => {
                    self.output
                        .note(format!("the broker is there again at {}", server.url()));
                    return Ok(());
                }
                Err(error) if self.tries == TRIES => return Err(error.into()),
                Err(error) => self
                    .output
                    .note(format!("start the broker again: {}", chain(&error))),
            }
            sleep(PAUSE).await;
        }
    }
}
