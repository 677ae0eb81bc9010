//! Reads a delivery: it is dropped, adopted, held, or recorded as unreadable.
//!
//! A dropped tile is neither acknowledged nor handed back: whoever should have it gets it when the
//! lease of this delivery ends.

use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::broker::pull::Delivery;
use gridloom_shared::broker::{Broker, Subject};
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::job::{PAGES_MAX, TILE_MAX};
use gridloom_shared::ledger::record::Reason;
use gridloom_shared::submission::Unreadable;
use gridloom_shared::tile::{Tile, TileKind};
use gridloom_shared::wire;

use super::Engine;
use super::errand;
use super::lanes::{Came, Feed};
use super::runs::{Next, Stranger};
use super::tiles::{Held, Receipt, TileKey};
use crate::health::Part;
use crate::lease::Lease;
use crate::takeover::{self, Signs};

/// How long to wait before a lane whose pull ended oddly is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Engine {
    pub(super) fn came(&mut self, lane: usize, came: Option<Came>) {
        match came {
            None => {}
            Some(Came::Delivery {
                delivery,
                pulled,
                by_bell,
            }) => {
                self.ring_for(lane, by_bell, delivery.pending);
                self.deliver(lane, delivery, pulled);
            }
            Some(Came::Lost(reason)) => {
                let of = self.lanes.get(lane).lane().clone();
                let why = format!("lane {of}: pull ended early ({reason:?})");
                self.health.trouble(Part::Lane(of), why);
                self.attach(lane, LOOK_AGAIN);
            }
        }
    }

    fn deliver(&mut self, lane: usize, delivery: Delivery, pulled: Boot) {
        if self.draining.is_some() {
            return self.unread(vec![delivery]);
        }
        let epoch = self.broker.connection_epoch();
        if delivery.epoch != epoch || self.link.epoch() != epoch || !self.link.is_open() {
            tracing::debug!(subject = %delivery.subject, sequence = delivery.stream_seq,
                "dropped: delivered to an earlier connection");
            return;
        }
        let tile = match read(&self.broker, self.lanes.get(lane), &delivery) {
            Ok(tile) => tile,
            Err(NoTile::Newer) => {
                return self.put_off(lane, delivery.reply, epoch, delivery.delivered);
            }
            Err(NoTile::Nonsense(reason)) => return self.refuse(&delivery, reason),
        };
        self.lanes.note_run(lane, &tile.run);
        let key = TileKey::of(&tile);
        if self
            .tiles
            .get(key)
            .is_some_and(|held| held.tile().run != tile.run || held.tile().nonce != tile.nonce)
        {
            return self.refuse(&delivery, "it names the place of another run's tile".into());
        }
        if self.cancelled.contains(&tile.run) {
            return self.came_of_cancelled(&tile.run, lane);
        }
        let receipt = Receipt {
            reply: delivery.reply,
            epoch,
            stream_seq: delivery.stream_seq,
            delivered: delivery.delivered,
            stored_at: delivery.stored_at,
        };
        if self.adopt(key, &receipt, pulled) {
            return;
        }
        let from = self.lanes.get(lane);
        let lease = Lease::new(tile.fence, pulled, from.ack_deadline());
        if !lease.is_held(self.now) {
            tracing::debug!(run = %tile.run, slice = tile.slice, page = tile.first, pages = tile.pages,
                attempt = tile.attempt, "dropped: read after its lease had ended");
            return;
        }
        let reason = takeover::reason(Signs {
            count: delivery.delivered,
            again: tile.again,
            sequence: delivery.stream_seq,
            floor: from.floor(epoch),
            returned: self.tiles.was_given_back(key, receipt.delivered),
        });
        if reason.is_none() && self.takeovers.were_heard(&tile.run, tile.place()) {
            tracing::debug!(run = %tile.run, slice = tile.slice, page = tile.first, pages = tile.pages,
                attempt = tile.attempt, "dropped: another worker took it over meanwhile");
            return;
        }
        // Where too many were heard to know that, somebody may have taken it over.
        let forgotten = self.takeovers.may_have_forgotten(pulled);
        let reason = reason.or_else(|| forgotten.then_some(Reason::Floor));
        self.hold(tile, lane, receipt, lease, reason);
    }

    /// Whether the tile is held here already, under a lease that has not ended: then the newer message
    /// stands for the older one.
    fn adopt(&mut self, key: TileKey, receipt: &Receipt, pulled: Boot) -> bool {
        let now = self.now;
        let Some(held) = self.tiles.get_mut(key) else {
            return false;
        };
        if !held.is_held(now) {
            self.lose(key, crate::lease::Loss::Expired);
            return false;
        }
        let tile = held.tile();
        tracing::debug!(run = %tile.run, slice = tile.slice, page = tile.first, pages = tile.pages, attempt = tile.attempt,
            "delivered again to its holder");
        held.adopt(receipt, pulled, now);
        true
    }

    fn hold(
        &mut self,
        tile: Tile,
        lane: usize,
        receipt: Receipt,
        lease: Lease,
        reason: Option<Reason>,
    ) {
        let (opened, name) = (tile.opened, self.lanes.get(lane).lane());
        if !self.runs.touch(opened, &tile.run, name) {
            let subjects = self.broker.subjects();
            self.ledger.open(opened, &tile.run, &name.queue, subjects);
            self.make_room();
        } else if let Some(stranger) = self.runs.stranger(opened, &tile.run, name) {
            return self.meet(stranger, lane, &tile, &receipt);
        }
        let tile = Arc::new(tile);
        let key = self
            .tiles
            .take(Arc::clone(&tile), lane, receipt, lease, reason, self.now);
        // One that cannot be read is read in the ledger, and judged there.
        let carried = || errand::first_record(tile.frozen.as_deref()?).ok()?;
        let handlers = &self.settings.handlers;
        match self.runs.came(key, tile.nonce, carried, handlers) {
            Next::Admit => self.admit(key),
            Next::Wait => {}
            Next::Read => self.load(opened, Duration::ZERO),
        }
    }

    /// A tile names another run's first record.
    fn meet(&mut self, stranger: Stranger, lane: usize, tile: &Tile, receipt: &Receipt) {
        match stranger {
            Stranger::Known => {
                let reason =
                    "it names another run's first record, or its run does not belong on this lane"
                        .to_owned();
                self.refuse_tile_of(lane, tile, receipt, reason);
            }
            Stranger::Read => self.load(tile.opened, Duration::ZERO),
            Stranger::Unknown => {}
        }
    }

    /// Forgets runs that were not used for longest, where there are too many.
    fn make_room(&mut self) {
        for opened in self.runs.surplus(|opened| self.ledger.is_idle(opened)) {
            if self.runs.forget(opened) {
                self.ledger.close(opened);
            }
        }
    }

    /// Records a message that cannot be understood and takes it off the queue.
    fn refuse(&mut self, delivery: &Delivery, reason: String) {
        self.refuse_message(
            &delivery.subject,
            delivery.stream_seq,
            &delivery.payload,
            delivery.reply.clone(),
            reason,
        );
    }

    /// The same for a tile that turned out to be nonsense later.
    pub(super) fn refuse_held(&mut self, held: &Held, reason: String) {
        self.refuse_tile_of(held.lane(), held.tile(), held.receipt(), reason);
    }

    fn refuse_tile_of(&mut self, lane: usize, tile: &Tile, receipt: &Receipt, reason: String) {
        let lane = self.lanes.get(lane).lane();
        let subject = self.broker.subjects().shard(lane, &tile.run);
        let (payload, reply) = (wire::encode(tile), receipt.reply.clone());
        self.refuse_message(&subject, receipt.stream_seq, &payload, reply, reason);
    }

    fn refuse_message(
        &mut self,
        subject: &str,
        sequence: u64,
        payload: &[u8],
        reply: Subject,
        reason: String,
    ) {
        let run = self.broker.subjects().run_in(subject);
        tracing::warn!(
            run,
            subject,
            sequence,
            reason,
            "a tile that cannot be understood"
        );
        let unreadable = Unreadable::new(subject, sequence, reason, payload);
        self.refused += 1;
        let recording = errand::record(self.broker.clone(), unreadable, reply);
        self.errands.add(recording);
    }
}

/// Why a message is no tile that can be run here.
pub(super) enum NoTile {
    /// A newer build issued it.
    Newer,
    /// It makes no sense, for this reason.
    Nonsense(String),
}

/// The tile in a message, or what is wrong with it.
pub(super) fn read(broker: &Broker, feed: &Feed, delivery: &Delivery) -> Result<Tile, NoTile> {
    let tile = match Tile::read(&delivery.payload, feed.last_run()) {
        Ok(tile) => tile,
        Err(error) if error.is_newer() => {
            broker.note_newer(&delivery.subject, &error);
            return Err(NoTile::Newer);
        }
        Err(error) => {
            let reason = format!("as a tile it is {}", chain(&error));
            return Err(NoTile::Nonsense(reason));
        }
    };
    match fault(feed, delivery, &tile) {
        None => Ok(tile),
        Some(reason) => Err(NoTile::Nonsense(reason)),
    }
}

/// What contradicts itself in it.
fn fault(feed: &Feed, delivery: &Delivery, tile: &Tile) -> Option<String> {
    if delivery.subject.strip_prefix(feed.prefix()) != Some(tile.run.as_str()) {
        return Some(format!(
            "it is a tile of run {}, which does not belong on this subject",
            tile.run
        ));
    }
    let end = u64::from(tile.first) + u64::from(tile.pages);
    let pages = tile.pages >= 1 && tile.pages <= TILE_MAX && end <= PAGES_MAX;
    let bounds = tile.bounds.is_empty() || tile.bounds.len() == tile.pages as usize;
    let probe = tile.kind == TileKind::Page || tile.pages == 1 && tile.bounds.is_empty();
    let places = tile.opened > 0 && tile.fence.0 >= tile.opened && tile.folded < tile.fence.0;
    let is_sound = pages && bounds && probe && places && tile.attempt >= 1;
    (!is_sound).then(|| {
        "its numbers contradict each other: pages, bounds, attempt, fence, folded or opened".into()
    })
}
