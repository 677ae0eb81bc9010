//! A held tile's way to its handler: the run's frozen job, whether the tile is really of that run, and
//! who runs it. A tile comes through [`Engine::admit`] once a trip.

use std::time::Duration;

use gridloom_shared::broker::log::ReadError;
use gridloom_shared::chain;
use gridloom_shared::ledger::record::Author;

use super::Engine;
use super::errand::{self, First};
use super::tiles::{Phase, TileKey};

/// How long to wait before a read that failed is tried again.
const RETRY: Duration = Duration::from_millis(100);

impl Engine {
    /// Reads the run's first record.
    pub(super) fn load(&mut self, opened: u64, after: Duration) {
        let Some(run) = self.runs.get(opened) else {
            return;
        };
        let subjects = self.broker.subjects();
        let subject = subjects.ledger_of(run.queue(), run.id(), Author::Plan);
        let loading = errand::load(self.broker.clone(), subject, opened);
        self.errands.add(async move {
            errand::pause(after).await;
            loading.await
        });
    }

    pub(super) fn loaded(&mut self, opened: u64, result: Result<First, ReadError>) {
        let found = match result {
            Ok(found) => found,
            Err(error) => {
                let run = self.runs.get(opened).map(|run| run.id().as_str());
                tracing::debug!(run, error = %chain(&error), "cannot read a run's first record");
                return self.load(opened, RETRY);
            }
        };
        let is_newer = matches!(found, First::Newer);
        let found = match found {
            First::Record(found) => Some(found),
            First::None | First::Newer => None,
        };
        let (waiting, known) = self.runs.learn(opened, found, &self.settings.handlers);
        if known {
            return waiting.into_iter().for_each(|key| self.admit(key));
        }
        for key in waiting {
            if is_newer {
                self.put_off_held(key);
                continue;
            }
            self.refuse_tile(
                key,
                format!("no run of this lane was opened at ledger sequence {opened}, or it is over and was purged"),
            );
        }
        if self.ledger.is_idle(opened) && self.runs.forget(opened) {
            self.ledger.close(opened);
        }
    }

    pub(super) fn refuse_tile(&mut self, key: TileKey, reason: String) {
        if let Some(held) = self.release(key) {
            self.refuse_held(&held, reason);
        }
    }

    /// The tile's job is known: is it really of that run, and who runs it?
    pub(super) fn admit(&mut self, key: TileKey) {
        let Some(run) = self.runs.get(key.opened) else {
            return;
        };
        let Some((context, _)) = run.job() else {
            return;
        };
        self.ledger.allow(key.opened, run.reports());
        let held = self.tiles.get(key);
        let Some(held) = held.filter(|held| held.phase() == Phase::Context) else {
            return;
        };
        if held.tile().nonce != context.nonce || held.tile().slice >= context.job.grid.slices {
            return self.refuse_tile(
                key,
                "its nonce or slice is not of the run that it names".into(),
            );
        }
        let (lane, reason) = (held.lane(), held.reason());
        self.reads_again(lane);
        let Some(reason) = reason else {
            return self.ready(key);
        };
        if let Some(held) = self.tiles.enter(key, Phase::Claiming) {
            self.ledger.claim(held.holding(), reason);
        }
    }
}

/// How long a tile is kept that cannot be started here: a part of `time`, and never the same, since a
/// worker whose pulls and returns keep step gets its own tiles back for ever.
pub(super) fn pause(time: Duration, seed: u64) -> Duration {
    let share = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as f64 / f64::from(u32::MAX);
    (time / 6).mul_f64(1.0 + share)
}
