//! What the engine knows of a tile that was delivered to it and is not settled yet.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use gridloom_shared::broker::Subject;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::Fence;
use gridloom_shared::ledger::record::Reason;
use gridloom_shared::tile::{Tile, TileRef};

use crate::lease::{Action, Event, Lease};
use crate::shard::Hold;

/// Names a tile: the ledger sequence of its run's `opened` record, and its place in a wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::engine) struct TileKey {
    pub(in crate::engine) opened: u64,
    pub(in crate::engine) place: TileRef,
}

impl TileKey {
    pub(in crate::engine) fn of(tile: &Tile) -> TileKey {
        TileKey {
            opened: tile.opened,
            place: tile.place(),
        }
    }
}

/// One holding of a tile. A tile that was lost and came back is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::engine) struct Holding {
    pub(in crate::engine) tile: TileKey,
    pub(in crate::engine) generation: u64,
}

/// A queue message that carries the tile.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Receipt {
    pub(in crate::engine) reply: Subject,
    /// The connection that pulled it: a NAK may only go there.
    pub(in crate::engine) epoch: u64,
    pub(in crate::engine) stream_seq: u64,
    /// The consumer's delivery count.
    pub(in crate::engine) delivered: u64,
}

/// How far a held tile has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Phase {
    /// Its run's frozen job is being read.
    Context,
    /// Its takeover is being written, or the ledger read up to it.
    Claiming,
    /// It may not start now: disconnected, no slot is free for it, an earlier execution here has not
    /// ended yet, or a tile that is to be alone runs or waits.
    Blocked,
    /// The record that announces its next page is on its way.
    Starting,
    /// It cannot start here for long: it is handed back at this moment.
    Paused(Boot),
    /// Its handler has it.
    Running,
    /// Its outcomes are on their way to the ledger.
    Reporting,
}

impl Phase {
    /// Whether the handler has or had it, or the ledger says so.
    pub(in crate::engine) fn is_started(self) -> bool {
        matches!(self, Phase::Starting | Phase::Running | Phase::Reporting)
    }

    /// Whether its handler has it, or is about to.
    pub(in crate::engine) fn is_executing(self) -> bool {
        matches!(self, Phase::Starting | Phase::Running)
    }
}

/// How a tile is run that was taken over because its holder may have crashed (docs/PROTOCOL.md §5).
#[derive(Debug)]
pub(in crate::engine) struct Isolation {
    /// The pages that are left, one after the other, each after a confirmed `started` record.
    pub(in crate::engine) pages: VecDeque<u64>,
    /// Whether nothing else may run in this worker meanwhile.
    pub(in crate::engine) alone: bool,
}

pub(in crate::engine) struct Held {
    pub(in crate::engine) tile: Arc<Tile>,
    pub(in crate::engine) lane: usize,
    pub(in crate::engine) receipt: Receipt,
    /// Other messages that carry the same tile: refills.
    pub(in crate::engine) copies: Vec<Receipt>,
    pub(super) lease: Lease,
    /// When this holding of it began.
    pub(in crate::engine) since: Boot,
    pub(in crate::engine) hold: Option<Arc<Hold>>,
    generation: u64,
    phase: Phase,
    /// Why it may not be the first delivery; `None`: certainly first.
    pub(in crate::engine) reason: Option<Reason>,
    /// Whether another's takeover was heard while ours was on its way.
    pub(in crate::engine) suspect: bool,
    /// What a takeover left of it; `None`: all.
    pub(in crate::engine) left: Option<Vec<Range<u64>>>,
    /// How it is run once a holder of it may have died of it.
    pub(in crate::engine) careful: Option<Isolation>,
    /// Records about it that are not confirmed yet.
    pub(in crate::engine) parts: u32,
    /// Since when it waits for a slot: more tiles came than there are.
    pub(in crate::engine) surplus: Option<Boot>,
    /// Whether pages are left, to be handed back once its outcomes are confirmed.
    pub(in crate::engine) unfinished: bool,
}

impl Held {
    /// A tile that was delivered and of which nothing is known yet.
    pub(super) fn new(
        tile: Arc<Tile>,
        lane: usize,
        receipt: Receipt,
        lease: Lease,
        reason: Option<Reason>,
        generation: u64,
        since: Boot,
    ) -> Held {
        Held {
            tile,
            lane,
            receipt,
            copies: Vec::new(),
            lease,
            since,
            hold: None,
            generation,
            phase: Phase::Context,
            reason,
            suspect: false,
            left: None,
            careful: None,
            parts: 0,
            surplus: None,
            unfinished: false,
        }
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
    }

    pub(in crate::engine) fn phase(&self) -> Phase {
        self.phase
    }

    pub(in crate::engine) fn generation(&self) -> u64 {
        self.generation
    }

    pub(in crate::engine) fn key(&self) -> TileKey {
        TileKey::of(&self.tile)
    }

    /// Under which fence it is held; its wave's while a takeover of ours is on its way.
    pub(in crate::engine) fn fence(&self) -> Fence {
        self.lease.fence().unwrap_or(self.tile.fence)
    }

    /// Under which fence it is held; `None` while a takeover of ours is on its way.
    pub(in crate::engine) fn own_fence(&self) -> Option<Fence> {
        self.lease.fence()
    }

    /// Whether its lease has not ended at `now`.
    pub(in crate::engine) fn is_held(&self, now: Boot) -> bool {
        self.lease.is_held(now)
    }

    /// When its lease ends, unless it is renewed.
    pub(in crate::engine) fn lease_end(&self) -> Boot {
        self.lease.end()
    }

    /// Our takeover of it is being written.
    pub(in crate::engine) fn claim(&mut self) {
        self.lease.claim();
    }

    /// Our takeover of it stands in the ledger.
    pub(in crate::engine) fn confirm(&mut self, fence: Fence) {
        self.lease.confirm(fence);
    }

    /// Something was heard of its lease: what is to be done. A handler that runs it goes by the new end.
    pub(in crate::engine) fn hear(&mut self, event: Event, now: Boot) -> Option<Action> {
        let action = self.lease.step(event, now);
        if let Some(hold) = &self.hold {
            hold.prolong(self.lease.end());
        }
        action
    }

    /// The message that carries it was delivered again, by a pull that was sent at `pulled`.
    pub(in crate::engine) fn adopt(&mut self, receipt: &Receipt, pulled: Boot, now: Boot) {
        self.receipt = receipt.clone();
        self.hear(Event::Adopted { pulled }, now);
    }

    /// Whether it is to run with nothing beside it.
    pub(in crate::engine) fn is_alone(&self) -> bool {
        self.careful.as_ref().is_some_and(|careful| careful.alone)
    }

    pub(in crate::engine) fn holding(&self) -> Holding {
        Holding {
            tile: self.key(),
            generation: self.generation,
        }
    }

    /// All messages that carry it.
    pub(in crate::engine) fn receipts(self) -> Vec<Receipt> {
        let mut all = self.copies;
        all.push(self.receipt);
        all
    }
}
