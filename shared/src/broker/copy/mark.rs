//! Who puts a backup back: one at a time. A stream marks that what is there is not whole, and says who makes it so: while
//! that one lives it says so again and again. One that says nothing any more has died, and the next one takes its place.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::REPLICAS;
use crate::broker::api::{ApiError, code};
use crate::broker::connect::Broker;
use crate::broker::subjects::api;
use crate::chain;
use crate::id::Nonce;

/// Where it stands who does it.
const BY: &str = "gridloom-restored-by";
/// How often it is said again.
const BEAT: Duration = Duration::from_secs(2);
/// Whoever is silent for so long is gone.
const SILENT: Duration = Duration::from_secs(8);

/// The mark, of who puts a backup back.
#[derive(Debug)]
pub struct Mark {
    broker: Broker,
    replicas: u64,
    holder: Nonce,
    beat: u64,
}

#[derive(Deserialize)]
struct Info {
    config: Config,
    #[serde(default)]
    created: String,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    metadata: Map<String, Value>,
}

impl Broker {
    /// Marks that a backup is being put back, with so many copies of what marks it: a broker that cannot keep as many says
    /// so here, before anything else is there. `None`: somebody else does that just now.
    ///
    /// # Errors
    /// When the broker does not take it.
    pub async fn begin_restoring(&self, replicas: u64) -> Result<Option<Mark>, ApiError> {
        let mark = Mark {
            broker: self.clone(),
            replicas,
            holder: Nonce::random(),
            beat: 0,
        };
        if mark.create().await? {
            return Ok(Some(mark));
        }
        let before = self.marked_by().await?;
        sleep(SILENT).await;
        if before.is_some() && self.marked_by().await? != before {
            return Ok(None);
        }
        self.remove_stream(&self.subjects().restoring()).await?;
        Ok(mark.create().await?.then_some(mark))
    }

    /// Since when a backup is put back that is not whole yet, as the broker writes it; `None`: what is there is whole.
    ///
    /// # Errors
    /// When the broker does not say.
    pub async fn restoring_since(&self) -> Result<Option<String>, ApiError> {
        Ok(self.unfinished().await?.map(|info| info.created))
    }

    /// What it says; `None`: there is none, or it is of an earlier build, which says nothing.
    async fn marked_by(&self) -> Result<Option<String>, ApiError> {
        let info = self.unfinished().await?;
        let by = info.as_ref().and_then(|info| info.config.metadata.get(BY));
        Ok(by.and_then(Value::as_str).map(str::to_owned))
    }

    async fn unfinished(&self) -> Result<Option<Info>, ApiError> {
        let restoring = self.subjects().restoring();
        match self.api::<Info>(api::stream_info(&restoring), &()).await {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.is_stream_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Mark {
    fn said(&self) -> String {
        format!("{} {}", self.holder.0, self.beat)
    }

    fn config(&self) -> Value {
        let subjects = self.broker.subjects();
        json!({
            "name": subjects.restoring().as_str(),
            "subjects": [subjects.restoring_mark()],
            "storage": "file",
            REPLICAS: self.replicas,
            "metadata": { BY: self.said() },
        })
    }

    /// Makes it. `false`: another one is there.
    async fn create(&self) -> Result<bool, ApiError> {
        let create = api::stream_create(&self.broker.subjects().restoring());
        match self.broker.api::<Value>(create, &self.config()).await {
            Ok(_) => Ok(true),
            Err(error) if error.err_code() == Some(code::STREAM_EXISTS) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Says again and again that it is held. Ends when another one has taken it.
    pub async fn hold(mut self) {
        loop {
            sleep(BEAT).await;
            let own = format!("{} ", self.holder.0);
            let said = self.broker.marked_by().await;
            if said.is_ok_and(|by| by.is_some_and(|by| !by.starts_with(&own))) {
                return;
            }
            self.beat += 1;
            let update = api::stream_update(&self.broker.subjects().restoring());
            if let Err(error) = self.broker.api::<Value>(update, &self.config()).await {
                tracing::debug!(error = %chain(&error), "the mark is not renewed");
            }
        }
    }
}
