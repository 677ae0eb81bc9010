//! Handlers that do not end: they block their thread past their limit, or ignore that they are told to stop.
//! Nothing in their own thread can say so, so this one does: the attempt fails as out of time, the rest of
//! the tile is handed back, and the slot counts as lost until the handler ends after all.
//!
//! What waits behind such a handler is handed back as well, and another task takes batches from then on. Where
//! no thread is left for that, no slot is left either.

use std::time::Duration;

use gridloom_shared::clock::Boot;

use super::Engine;
use super::admit::pause;
use super::tiles::{Due, Phase, TileKey};
use crate::crew::blocked;
use crate::failure::Failure;
use crate::health::Part;
use crate::outcomes::tally::Tally;
use crate::shard::{End, Lent};

/// How long a tile may wait for the crew while a slot is lost.
const PATIENCE: Duration = Duration::from_secs(2);

/// How it was when it was last told.
#[derive(Debug)]
pub(super) struct LostSlots {
    left: u32,
    /// Whether the crew has no thread to take anything up.
    stuck: bool,
}

impl LostSlots {
    pub(super) fn new(slots: u32) -> LostSlots {
        LostSlots {
            left: slots,
            stuck: false,
        }
    }

    /// Slots that are left.
    pub(super) fn left(&self) -> u32 {
        self.left
    }

    /// Whether nothing could be started.
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck
    }
}

impl Engine {
    /// Goes after what does not end.
    pub(super) fn look_for_lost(&mut self, due: Due) {
        for (key, lent) in due.overdue {
            self.out_of_time(key, lent);
        }
        for key in due.stubborn {
            self.tell_stubborn(key);
            self.tiles.leave_behind(key);
            self.release(key);
        }
        for key in due.haunted {
            self.cannot_start(key);
        }
        let lost = self.tiles.lost_slots();
        if lost > 0 {
            let late = |since: &Boot| self.now.since(*since) >= PATIENCE;
            let waiting = due.untaken.iter().filter(|(_, since)| late(since));
            let waiting: Vec<TileKey> = waiting.map(|(key, _)| *key).collect();
            if !waiting.is_empty() {
                self.crew.replace(self.now);
            }
            waiting.into_iter().for_each(|key| self.take_away(key));
        }
        // Looked at each time: how long nothing was taken up is known only so.
        let stuck = self.crew.is_stuck(self.now, PATIENCE);
        self.lost.stuck = lost > 0 && stuck;
        self.tell_lost(lost);
    }

    fn tell_stubborn(&self, key: TileKey) {
        if let Some(held) = self.tiles.get(key) {
            let tile = held.tile();
            tracing::warn!(run = %tile.run, slice = tile.slice, page = tile.first, pages = tile.pages, attempt = tile.attempt,
                "the handler ignores that its run was cancelled");
        }
    }

    /// The attempt is out of time, and its handler does not end.
    fn out_of_time(&mut self, key: TileKey, lent: Lent) {
        let Some(held) = self.tiles.get(key) else {
            return;
        };
        if held.phase() != Phase::Running {
            return;
        }
        let Lent {
            page,
            limit,
            entries,
            ..
        } = lent;
        let tile = held.tile();
        tracing::warn!(run = %tile.run, slice = tile.slice, page, attempt = tile.attempt, ?limit,
            "timed out, and its handler blocks its thread: its slot is lost until it ends");
        held.end(End::OutOfTime);
        let mut tally = Tally::new(tile, held.fence());
        tally.put_back(entries);
        tally.failed(page, Failure::retry(blocked(limit)).into_failed());
        let last = u64::from(page) + 1 == u64::from(tile.first) + u64::from(tile.pages);
        let more = if held.is_careful() {
            held.has_more()
        } else {
            !last
        };
        self.meters.ended(0, 1);
        if let Some(held) = self.tiles.leave_behind(key) {
            held.leave(more);
            let records = self.ledger.outcomes(held.holding(), tally.into_entries());
            held.await_records(records);
        }
    }

    /// The crew has not taken the tile up: surely it never does, unless it just did.
    fn take_away(&mut self, key: TileKey) {
        let Some(held) = self.tiles.get(key) else {
            return;
        };
        held.end(End::Stopping);
        if held.has_begun() == Some(false) && self.tiles.enter(key, Phase::Reporting).is_some() {
            self.hand_back(key);
        }
    }

    /// Another worker may have the tile: here it would wait for a handler that does not end.
    fn cannot_start(&mut self, key: TileKey) {
        let Some(held) = self.tiles.get(key) else {
            return;
        };
        let deadline = self.lanes.get(held.lane()).ack_deadline();
        let until = self.now + pause(deadline, self.session.0 ^ held.generation());
        self.tiles.enter(key, Phase::Paused(until));
    }

    fn tell_lost(&mut self, lost: u32) {
        let slots = self.settings.concurrency;
        let left = match self.lost.stuck {
            true => 0,
            false => slots.saturating_sub(lost),
        };
        let before = std::mem::replace(&mut self.lost.left, left);
        if left == before {
            return;
        }
        self.announcer.capacity(left);
        if left < before {
            tracing::warn!(lost, left, "handlers do not end");
        } else {
            tracing::info!(lost, left, "a handler has ended after all");
        }
        if left > 0 {
            self.health.fine(&Part::Slots);
        } else {
            let why = format!(
                "no slot is left ({lost} lost): handlers block their threads, or ignore that they are told to stop"
            );
            self.health.trouble(Part::Slots, why);
        }
    }
}
