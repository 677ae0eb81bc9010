//! Tiles that a newer build issued, or of whose run one wrote what is needed here: they are put off, for a worker of
//! that build. Nothing is said of them, and nothing of their lane is pulled for a moment, so that who can read them comes
//! first ([`crate::put_off`] decides for how long).
//!
//! Put off, not handed back: at once they would come to whoever pulls first, this worker perhaps, and what stands behind
//! them would never come.

use std::time::Duration;

use gridloom_shared::broker::Subject;

use super::tiles::TileKey;
use super::{Engine, admit};
use crate::health::Part;
use crate::metrics;

impl Engine {
    /// A message of a lane that this build cannot read, delivered so many times.
    pub(super) fn put_off(&mut self, lane: usize, reply: Subject, epoch: u64, delivered: u64) {
        let pause = self.meet_newer(lane, delivered);
        self.signals.nak_for(reply, epoch, pause);
    }

    /// A tile that is held and cannot be run here: of its run a newer build wrote something that decides about it.
    pub(super) fn put_off_held(&mut self, key: TileKey) {
        let Some(held) = self.release(key) else {
            return;
        };
        let delivered = held.receipt().delivered;
        self.tiles.note_given_back(key, delivered);
        let pause = self.meet_newer(held.lane(), delivered);
        if held.is_held(self.now) {
            for receipt in held.receipts() {
                self.signals.nak_for(receipt.reply, receipt.epoch, pause);
            }
        }
    }

    /// For how long the tile is put off, never the same: a worker whose pulls and put-off tiles keep step gets these back for
    /// ever.
    fn meet_newer(&mut self, lane: usize, delivered: u64) -> Duration {
        metrics::TILES_NEWER.counter(&[]).increment(1);
        let off = self.lanes.get_mut(lane).newer().met(delivered, self.now);
        let name = self.lanes.get(lane).lane().clone();
        let why = format!(
            "lane {name} has tiles that a newer build issued: they wait for a worker of that build; upgrade this one"
        );
        self.health.trouble(Part::Newer(name), why);
        admit::pause(off * 6, self.now.0.as_nanos() as u64)
    }

    /// A tile of the lane can be read.
    pub(super) fn reads_again(&mut self, lane: usize) {
        if self.lanes.get_mut(lane).newer().is_over(self.now) {
            let name = self.lanes.get(lane).lane().clone();
            self.health.fine(&Part::Newer(name));
        }
    }
}
