//! Tiles that a newer build issued, or of whose run one wrote what is needed here: they are put off, for a worker of
//! that build. Nothing is said of them, and nothing of their lane is pulled for a moment, so that who can read them comes
//! first.
//!
//! Put off, not handed back: at once they would come to whoever pulls first, this worker perhaps, and what stands behind
//! them would never come.

use std::time::Duration;

use gridloom_shared::broker::Subject;
use gridloom_shared::clock::Boot;

use super::tiles::TileKey;
use super::{Engine, admit};
use crate::health::Part;
use crate::metrics;

/// When a tile is delivered again that was put off, at the earliest; at the latest after twice that, and never the same: a
/// worker whose pulls and put-off tiles keep step gets these back for ever.
const PUT_OFF: Duration = Duration::from_secs(5);
/// How long nothing of its lane is pulled after one.
const REST: Duration = Duration::from_secs(1);

fn put_off_for(now: Boot) -> Duration {
    admit::pause(PUT_OFF * 6, now.0.as_nanos() as u64)
}

impl Engine {
    /// A message of a lane that this build cannot read.
    pub(super) fn put_off(&mut self, lane: usize, reply: Subject, epoch: u64) {
        metrics::TILES_NEWER.counter(&[]).increment(1);
        self.signals.nak_for(reply, epoch, put_off_for(self.now));
        self.rest(lane);
    }

    /// A tile that is held and cannot be run here: of its run a newer build wrote something that decides about it.
    pub(super) fn put_off_held(&mut self, key: TileKey) {
        let Some(held) = self.release(key) else {
            return;
        };
        metrics::TILES_NEWER.counter(&[]).increment(1);
        let lane = held.lane();
        self.tiles.note_given_back(key, held.receipt().delivered);
        if held.is_held(self.now) {
            for receipt in held.receipts() {
                let pause = put_off_for(self.now);
                self.signals.nak_for(receipt.reply, receipt.epoch, pause);
            }
        }
        self.rest(lane);
    }

    fn rest(&mut self, lane: usize) {
        self.lanes.get_mut(lane).rest(self.now + REST);
        let name = self.lanes.get(lane).lane().clone();
        let why = format!(
            "lane {name} has tiles that a newer build issued: they wait for a worker of that build; upgrade this one"
        );
        self.health.trouble(Part::Newer(name), why);
    }

    /// A tile of the lane can be read.
    pub(super) fn reads_again(&mut self, lane: usize) {
        if self.lanes.get_mut(lane).is_rested(self.now) {
            let name = self.lanes.get(lane).lane().clone();
            self.health.fine(&Part::Newer(name));
        }
    }
}
