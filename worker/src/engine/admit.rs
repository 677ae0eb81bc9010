//! A held tile's way to its handler and back: the run's frozen job, the handler, the start, and what
//! came out.

use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::broker::log::ReadError;
use gridloom_shared::ledger::outcomes::Failed;
use gridloom_shared::ledger::record::{Author, Opened, PROBE_PAGES_MAX};
use gridloom_shared::limits::PROBE_BYTES_MAX;
use gridloom_shared::tile::{Bounds, KEY_MAX, Key};

use super::held::{Holding, Phase, TileKey};
use super::runs::{Context, Registered, Return};
use super::{Engine, Signal, errand, meters};
use crate::crew::{Finished, Job};
use crate::failure::Failure;
use crate::handler::ProbedPages;
use crate::lease::Loss;
use crate::outcomes::tally::Tally;
use crate::shard::{End, Hold, RunContext, TileContext};

/// How long to wait before a read that failed is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// Tiles that are remembered as handed back by this worker. Forgetting one is harmless.
const GIVEN_BACK_MAX: usize = 10_000;

impl Engine {
    /// Reads the run's first record.
    pub(super) fn load(&mut self, opened: u64, after: Duration) {
        let Some(run) = self.runs.get(opened) else {
            return;
        };
        let subject = self
            .broker
            .subjects()
            .ledger_of(&run.queue, &run.id, Author::Plan);
        let loading = errand::load(self.broker.clone(), subject, opened);
        self.errands.push(Box::pin(async move {
            errand::pause(after).await;
            loading.await
        }));
    }

    pub(super) fn loaded(&mut self, opened: u64, result: Result<Option<Box<Opened>>, ReadError>) {
        let Some(run) = self.runs.get_mut(opened) else {
            return;
        };
        let found = match result {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(run = %run.id, %error, "cannot read the run's first record");
                return self.load(opened, RETRY);
            }
        };
        run.certain = true;
        self.learn(opened, found);
    }

    /// The run's first record was read, or a tile brought it along.
    pub(super) fn learn(&mut self, opened: u64, found: Option<Box<Opened>>) {
        let Some(run) = self.runs.get_mut(opened) else {
            return;
        };
        let waiting = std::mem::take(&mut run.waiting);
        match found {
            Some(found) if found.job.queue == run.queue => {
                let handler = self
                    .settings
                    .handlers
                    .get(&found.job.handler)
                    .map(|handler| Registered {
                        handler: Arc::clone(handler),
                        pace: Arc::default(),
                        duration: meters::duration_of(&found.job.handler),
                    });
                let context = RunContext {
                    run: run.id.clone(),
                    nonce: found.nonce,
                    job: found.job,
                };
                run.context = Context::Known(Arc::new(context), handler);
                waiting.into_iter().for_each(|key| self.admit(key));
            }
            Some(_) | None => {
                run.context = Context::Unknown;
                for key in waiting {
                    self.refuse_tile(
                        key,
                        format!("no run of this queue was opened at ledger sequence {opened}, or it is over and was purged"),
                    );
                }
                self.runs.forget(opened);
            }
        }
    }

    fn refuse_tile(&mut self, key: TileKey, reason: String) {
        if let Some(held) = self.release(key) {
            self.refuse_held(&held, reason);
        }
    }

    /// The tile's job is known: is it really of that run, and who runs it?
    pub(super) fn admit(&mut self, key: TileKey) {
        let Some(run) = self.runs.get_mut(key.opened) else {
            return;
        };
        let Context::Known(context, handler) = &run.context else {
            return;
        };
        let Some(held) = self
            .tiles
            .get_mut(&key)
            .filter(|held| held.phase == Phase::Context)
        else {
            return;
        };
        if held.tile.nonce != context.nonce && !run.certain {
            // Some tile carried another run's record along: the ledger knows.
            run.context = Context::Reading;
            run.waiting.push(key);
            return self.load(key.opened, Duration::ZERO);
        }
        if held.tile.nonce != context.nonce || held.tile.slice >= context.job.grid.slices {
            return self.refuse_tile(
                key,
                "its nonce or slice is not of the run that it names".into(),
            );
        }
        if handler.is_none() {
            let until = self.now
                + pause(
                    self.queues[held.queue].ack_deadline,
                    self.session.0 ^ held.generation,
                );
            tracing::warn!(handler = %context.job.handler, run = %run.id, "no such handler here: handing the tile back");
            held.phase = Phase::Paused(until);
            self.occupied = self.occupied.saturating_sub(1);
            self.paused += 1;
            return;
        }
        match held.reason {
            None => self.ready(key),
            Some(reason) => {
                held.phase = Phase::Claiming;
                run.claims.push((reason, held.holding()));
                self.mark_dirty(key.opened);
            }
        }
    }

    /// The tile may start, if anything may now.
    pub(super) fn ready(&mut self, key: TileKey) {
        if self.draining.is_some() {
            return self.hand_back(key);
        }
        let open = self.link.is_open() && !self.zombies.contains_key(&key);
        let Some(held) = self.tiles.get_mut(&key) else {
            return;
        };
        held.phase = Phase::Blocked;
        if !open {
            return;
        }
        if !held.lease.is_held(self.now) {
            return self.lose(key, Loss::Expired);
        }
        let careful = held.careful.as_ref().map(|careful| careful.alone);
        if !self.has_turn(key, careful == Some(true)) {
            self.in_line.push(key);
        } else if careful.is_some() {
            self.announce_next(key);
        } else {
            self.start(key);
        }
    }

    /// Hands the tile, or what is left of it, to its handler.
    pub(super) fn start(&mut self, key: TileKey) {
        let Some(held) = self.tiles.get_mut(&key) else {
            return;
        };
        let Some(fence) = held.lease.fence() else {
            return;
        };
        let Some(Context::Known(run, Some(registered))) =
            self.runs.get(key.opened).map(|run| &run.context)
        else {
            return;
        };
        let hold = Arc::new(Hold::new(held.lease.end()));
        let tile = TileContext {
            run: Arc::clone(run),
            tile: Arc::clone(&held.tile),
            fence,
            hold: Arc::clone(&hold),
        };
        held.hold = Some(hold);
        held.phase = Phase::Running;
        self.running += 1;
        self.outgoing.push(Job {
            key: held.holding(),
            tile: Arc::new(tile),
            handler: Arc::clone(&registered.handler),
            pace: Arc::clone(&registered.pace),
            duration: registered.duration.clone(),
            left: held.left.take(),
        });
    }

    /// A handler has finished, or was stopped.
    pub(super) fn finish(&mut self, finished: Finished<Holding>) {
        let Holding {
            tile: key,
            generation,
        } = finished.key;
        self.running = self.running.saturating_sub(1);
        self.occupied = self.occupied.saturating_sub(1);
        self.meters.done.increment(finished.done);
        self.meters.failed.increment(finished.failed);
        if self.zombies.get(&key) == Some(&generation) {
            self.zombies.remove(&key);
            if self
                .tiles
                .get(&key)
                .is_some_and(|held| held.phase == Phase::Blocked)
            {
                self.ready(key);
            }
            return;
        }
        let Some(held) = self
            .tiles
            .get_mut(&key)
            .filter(|held| held.generation == generation)
        else {
            return;
        };
        let Some(run) = self.runs.get_mut(key.opened) else {
            return;
        };
        let more = held
            .careful
            .as_ref()
            .is_some_and(|careful| !careful.pages.is_empty());
        let goes_on = more && !finished.stopped && self.draining.is_none();
        if goes_on {
            self.occupied += 1;
        } else {
            held.phase = Phase::Reporting;
            held.unfinished = finished.stopped || more;
            self.unacked += 1;
        }
        let mut entries = finished.entries;
        match finished.probed.map(checked) {
            Some(Ok(answer)) => {
                held.parts += 1;
                run.answers.push((finished.key, answer));
            }
            Some(Err(failure)) => {
                let mut tally =
                    Tally::new(&held.tile, held.lease.fence().unwrap_or(held.tile.fence));
                tally.failed(held.tile.first, failed(failure));
                entries = tally.into_entries();
            }
            None => {}
        }
        if !entries.is_empty() {
            held.parts += run.outbox.add(finished.key, entries);
        }
        if goes_on {
            self.announce_next(key);
        } else if held.parts == 0 {
            return self.settle(key);
        }
        self.mark_dirty(key.opened);
    }

    /// Everything about the tile stands in the ledger: it is acknowledged, or what is left of it is
    /// handed back.
    pub(super) fn settle(&mut self, key: TileKey) {
        if self.tiles.get(&key).is_some_and(|held| held.unfinished) {
            return self.hand_back(key);
        }
        let Some(held) = self.release(key) else {
            return;
        };
        // Past the end of the lease it is another's to acknowledge.
        if held.lease.is_held(self.now) {
            self.signals.push_back(Signal::Ack(held.receipt.reply));
            let copies = held.copies.into_iter();
            self.signals
                .extend(copies.map(|copy| Signal::Ack(copy.reply)));
        }
    }

    /// Gives a tile back that is held and not finished: recorded first, then NAKed.
    pub(super) fn hand_back(&mut self, key: TileKey) {
        if self.is_cancelled(key) {
            self.release(key);
            return;
        }
        let Some(held) = self.release(key) else {
            return;
        };
        let Some(run) = self.runs.get_mut(key.opened) else {
            return;
        };
        if self.given_back.len() >= GIVEN_BACK_MAX {
            self.given_back.clear();
        }
        self.given_back.insert(key, held.receipt.delivered + 1);
        let receipts = if held.lease.is_held(self.now) {
            held.receipts()
        } else {
            Vec::new()
        };
        run.returns.push(Return {
            place: key.place,
            receipts,
        });
        self.mark_dirty(key.opened);
    }

    /// Forgets a tile that was not started, as if it had never come.
    pub(super) fn drop_unstarted(&mut self, key: TileKey) {
        if let Some(held) = self.release(key) {
            tracing::debug!(run = %held.tile.run, ?key.place, "dropped unstarted");
        }
    }

    /// The lease has ended before the tile: nothing is said about it any more, save that.
    pub(super) fn lose(&mut self, key: TileKey, loss: Loss) {
        let Some(held) = self.release(key) else {
            return;
        };
        meters::count_lost(loss);
        tracing::warn!(run = %held.tile.run, slice = held.tile.slice, first = held.tile.first, why = loss.text(), "lease lost");
        if held.phase == Phase::Running {
            self.zombies.insert(key, held.generation);
        }
        if let Some(hold) = &held.hold {
            hold.end(End::LeaseLost);
        }
        if held.phase.is_started()
            && !self.is_cancelled(key)
            && let Some(run) = self.runs.get_mut(key.opened)
        {
            run.returns.push(Return {
                place: key.place,
                receipts: Vec::new(),
            });
            self.mark_dirty(key.opened);
        }
    }

    /// Takes a tile out of the table and out of every count; its handler may still run, in its slot.
    pub(super) fn release(&mut self, key: TileKey) -> Option<super::Held> {
        let held = self.tiles.remove(&key)?;
        match held.phase {
            Phase::Running => {}
            Phase::Paused(_) => self.paused = self.paused.saturating_sub(1),
            Phase::Reporting => self.unacked = self.unacked.saturating_sub(1),
            Phase::Context | Phase::Claiming | Phase::Blocked | Phase::Starting => {
                self.occupied = self.occupied.saturating_sub(1)
            }
        }
        if let Some(run) = self.runs.get_mut(key.opened) {
            run.held = run.held.saturating_sub(1);
        }
        Some(held)
    }

    pub(super) fn mark_dirty(&mut self, opened: u64) {
        if let Some(run) = self.runs.get_mut(opened)
            && !run.dirty
        {
            run.dirty = true;
            self.dirty.push(opened);
        }
    }
}

/// How long a tile without its handler is kept: long enough that it does not spin between workers, and
/// never the same, since a worker whose pulls and returns keep step gets its own tiles back for ever.
fn pause(ack_deadline: Duration, seed: u64) -> Duration {
    let share = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as f64 / f64::from(u32::MAX);
    (ack_deadline / 6).mul_f64(1.0 + share)
}

/// Whether the ledger has room for the answer to a probe.
fn checked(answer: ProbedPages) -> Result<ProbedPages, Failure> {
    if answer.pages.len() > PROBE_PAGES_MAX {
        let found = answer.pages.len();
        let text = format!(
            "the probe returned {found} pages, {PROBE_PAGES_MAX} are the most: return the rest by a cursor"
        );
        return Err(Failure::permanent(text));
    }
    let cost: usize = answer.pages.iter().map(Bounds::cost).sum();
    if cost > PROBE_BYTES_MAX {
        let text = format!(
            "the probe returned {} pages with {cost} bytes of keys, {PROBE_BYTES_MAX} are the most: return the rest by a cursor",
            answer.pages.len()
        );
        return Err(Failure::permanent(text));
    }
    let keys = answer
        .pages
        .iter()
        .flat_map(|page| [&page.0, &page.1])
        .chain(&answer.cursor);
    match keys.filter_map(length).max() {
        Some(longest) if longest > KEY_MAX => Err(Failure::permanent(format!(
            "the probe returned a key of {longest} bytes, {KEY_MAX} are the most"
        ))),
        Some(_) | None => Ok(answer),
    }
}

fn length(key: &Key) -> Option<usize> {
    match key {
        Key::Int(_) => None,
        Key::Text(text) => Some(text.len()),
    }
}

pub(super) fn failed(failure: Failure) -> Failed {
    failure.into_failed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_to_a_probe_whose_record_would_not_fit_into_a_message_is_refused() {
        let answer = |pages: usize, key: usize| ProbedPages {
            pages: vec![Bounds(Key::Text("k".repeat(key)), Key::Text("k".repeat(key))); pages],
            cursor: Some(Key::Text("k".repeat(key))),
        };
        let most = PROBE_BYTES_MAX / Bounds::cost(&answer(1, KEY_MAX).pages[0]);
        assert!(checked(answer(most, KEY_MAX)).is_ok());
        assert!(checked(answer(most + 1, KEY_MAX)).is_err());
        assert!(checked(answer(PROBE_PAGES_MAX, 80)).is_ok());
        assert!(checked(answer(PROBE_PAGES_MAX + 1, 1)).is_err());
    }
}
