//! Dead shards that were purged before anybody had retried them or given them up: counted, logged, and
//! noted in the `state` bucket, where `doctor` reads it.

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::subjects::UNSEEN_KEY;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::reads::dead;

use super::SweepError;
use crate::metrics::DEAD_PURGED;

/// What is not noted yet.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    runs: u64,
    shards: u64,
    last: Option<RunId>,
}

impl Unseen {
    /// A run is gone, and `dead` shards of it with it.
    pub(super) fn count(&mut self, run: &RunId, dead: u64) {
        if dead == 0 {
            return;
        }
        DEAD_PURGED.counter(&[]).increment(dead);
        self.runs += 1;
        self.shards += dead;
        self.last = Some(run.clone());
    }

    /// Says so.
    pub(super) async fn tell(&mut self, broker: &Broker) -> Result<(), SweepError> {
        let Some(run) = &self.last else {
            return Ok(());
        };
        tracing::warn!(
            runs = self.runs,
            shards = self.shards,
            %run,
            "purged dead shards that nobody had retried or given up; retention.dead and retention.most_dead say what is kept"
        );
        let place = broker.state().place_of(UNSEEN_KEY).await?;
        let before = place.value().and_then(|value| dead::Unseen::read(value));
        let noted = dead::Unseen {
            runs: self.runs + before.as_ref().map_or(0, |before| before.runs),
            shards: self.shards + before.as_ref().map_or(0, |before| before.shards),
            last: run.clone(),
            at: UnixMs::now().rfc3339(),
        };
        broker.state().replace(&place, noted.write(), None).await?;
        *self = Unseen::default();
        Ok(())
    }
}
