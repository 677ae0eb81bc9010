//! Broker, planner and the worker that logs what it runs, for one part.

use std::path::PathBuf;

use gridloom_cli::output::Output;
use gridloom_shared::broker::Broker;
use serde_json::{Value, json};

use super::worker::{self, Executed};
use crate::engine::Engine;
use crate::stack::{self, Process, QUEUE, Stack};

/// The processes of one part.
pub(super) struct Installation {
    pub(super) stack: Stack,
    pub(super) planner: Process,
    pub(super) engine: Engine,
    log: PathBuf,
    _worker: Process,
}

impl Installation {
    /// With a worker of `slots`.
    pub(super) async fn start(output: &Output, slots: u32) -> anyhow::Result<Installation> {
        let stack = Stack::start(output, "").await?;
        let planner = stack.planner("memory").await?;
        let broker: Broker = stack.connect().await?;
        let log = stack.path("executed");
        let more = [
            "--concurrency".to_owned(),
            slots.to_string(),
            "--log".to_owned(),
            log.display().to_string(),
        ];
        let worker = stack.child_with("log-worker", "log-worker", &more).await?;
        stack::workers_are_there(&broker, 1).await?;
        Ok(Installation {
            engine: Engine::new(broker).await?,
            stack,
            planner,
            log,
            _worker: worker,
        })
    }

    /// What was executed of runs with `tag`.
    pub(super) fn executed(&self, tag: u32) -> anyhow::Result<Vec<Executed>> {
        worker::executed(&self.log, tag)
    }

    /// Ends everything, whatever is under way.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        drop((self.planner, self._worker));
        self.stack.stop().await
    }
}

/// A job of one slice whose shards sleep.
pub(super) fn job(name: &str, shards: u32, limits: &Value) -> Value {
    json!({
        "name": name,
        "handler": worker::HANDLER,
        "queue": QUEUE,
        "grid": { "slices": 1, "pages": { "count": shards } },
        "limits": limits,
        "submit": { "allow": ["params", "grid"] },
    })
}

/// A submission whose shards sleep for `ms` and are logged under `tag`.
pub(super) fn sleeping(tag: u32, ms: u32) -> Value {
    json!({ "params": { "tag": tag, "ms": ms } })
}
