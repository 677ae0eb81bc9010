//! The pause that a schedule decides itself: finds out how runs ended that nobody told of, and writes the pause over what
//! stood under its key when it was decided.

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::kv::WriteError;
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{RunId, Term};
use gridloom_shared::schedule::pause::{ITSELF, Pause};

use super::super::super::envoy::Envoy;
use super::super::halt;
use super::{Job, SettleError};
use crate::schedule::Halt;

impl Job {
    /// What holds its fires back: a freeze of all, and what stands under the key of its own pause at a revision.
    pub(in super::super) fn hold(
        &mut self,
        freeze: Option<&Halt>,
        (revision, pause): (u64, Option<&Halt>),
    ) {
        if revision >= self.pause.0 {
            self.pause = (revision, pause.cloned());
        }
        let both = [freeze, self.pause.1.as_ref()];
        self.halts = both.into_iter().flatten().cloned().collect();
    }

    /// Finds out how runs ended that are counted, and that an earlier leader saw.
    pub(super) async fn find_ends(&mut self, envoy: &Envoy, term: Term) -> Result<(), SettleError> {
        let Some(world) = self.world(UnixMs::default(), term) else {
            return Ok(());
        };
        for run in self.fires.to_find(&world) {
            self.find(&envoy.broker, run).await?;
        }
        Ok(())
    }

    /// Writes the pause that was decided.
    pub(super) async fn pause_itself(
        &mut self,
        envoy: &Envoy,
        term: Term,
    ) -> Result<(), SettleError> {
        let world = self.world(UnixMs::default(), term);
        let Some(pausing) = world.and_then(|world| self.fires.pausing(&world).cloned()) else {
            return Ok(());
        };
        let runs = pausing.fires.iter();
        let runs = runs.map(|at| RunId::from_fire(&self.name, *at).to_string());
        let runs = runs.collect::<Vec<_>>().join(", ");
        let note = format!(
            "{} runs failed in a row, as many as pause_after_failures says; at last {runs}",
            pausing.failures
        );
        let pause = Pause {
            by: ITSELF.to_owned(),
            note,
            from: Some(pausing.from),
            until: None,
            resumed: None,
        };
        let (bucket, key) = (
            envoy.broker.state(),
            envoy.broker.subjects().pause_key(Some(&self.name)),
        );
        let text = serde_json::to_vec(&pause).unwrap_or_default();
        match bucket.update(&key, text.into(), pausing.revision).await {
            Ok(revision) => {
                tracing::warn!(job = %self.name, note = pause.note, "its schedule pauses itself");
                let halt = Halt {
                    frozen: false,
                    from: pausing.from,
                    until: None,
                    by: pause.by,
                    note: pause.note,
                    missed: None,
                };
                self.stands(revision, Some(halt));
            }
            // It is written already, or people have written something newer.
            Err(WriteError::Conflict { .. }) => {
                self.read_pause(&envoy.broker).await?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Reads what stands under the key of its own pause, which the watch may tell later. Whether that is news.
    pub(super) async fn read_pause(&mut self, broker: &Broker) -> Result<bool, ReadError> {
        let key = broker.subjects().pause_key(Some(&self.name));
        let place = broker.state().place_of(&key).await?;
        let value = place.value().zip(place.at());
        let there = value.and_then(|(value, at)| halt(Some(&self.name), value, at));
        let is_news = place.revision() != self.pause.0;
        self.stands(place.revision(), there);
        Ok(is_news)
    }

    fn stands(&mut self, revision: u64, pause: Option<Halt>) {
        self.halts.retain(|halt| halt.frozen);
        self.halts.extend(pause.clone());
        self.pause = (revision, pause);
    }
}
