//! What the engine knows of a tile that was delivered to it and is not settled yet.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use gridloom_shared::broker::Subject;
use gridloom_shared::clock::Boot;
use gridloom_shared::ledger::record::Reason;
use gridloom_shared::tile::{Tile, TileRef};

use crate::lease::Lease;
use crate::shard::Hold;

/// Names a tile: the ledger sequence of its run's `opened` record, and its place in a wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TileKey {
    pub(super) opened: u64,
    pub(super) place: TileRef,
}

impl TileKey {
    pub(super) fn of(tile: &Tile) -> TileKey {
        TileKey {
            opened: tile.opened,
            place: tile.place(),
        }
    }
}

/// One holding of a tile. A tile that was lost and came back is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Holding {
    pub(super) tile: TileKey,
    pub(super) generation: u64,
}

/// A queue message that carries the tile.
#[derive(Clone, Debug)]
pub(super) struct Receipt {
    pub(super) reply: Subject,
    /// The connection that pulled it: a NAK may only go there.
    pub(super) epoch: u64,
    pub(super) stream_seq: u64,
    /// The consumer's delivery count.
    pub(super) delivered: u64,
}

/// How far a held tile has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its run's frozen job is being read.
    Context,
    /// Its takeover is being written, or the ledger read up to it.
    Claiming,
    /// Nothing may start now: disconnected, an earlier execution here has not ended yet, or a tile
    /// that is to be alone runs or waits.
    Blocked,
    /// The record that announces its next page is on its way.
    Starting,
    /// No such handler here: it is handed back at this moment.
    Paused(Boot),
    /// Its handler has it.
    Running,
    /// Its outcomes are on their way to the ledger.
    Reporting,
}

impl Phase {
    /// Whether the handler has or had it, or the ledger says so.
    pub(super) fn is_started(self) -> bool {
        matches!(self, Phase::Starting | Phase::Running | Phase::Reporting)
    }
}

/// How a tile is run that was taken over because its holder may have crashed (docs/PROTOCOL.md §5).
#[derive(Debug)]
pub(super) struct Careful {
    /// The pages that are left, one after the other, each after a confirmed `started` record.
    pub(super) pages: VecDeque<u64>,
    /// Whether nothing else may run in this worker meanwhile.
    pub(super) alone: bool,
}

pub(super) struct Held {
    pub(super) tile: Arc<Tile>,
    pub(super) queue: usize,
    pub(super) receipt: Receipt,
    /// Other messages that carry the same tile: refills.
    pub(super) copies: Vec<Receipt>,
    pub(super) lease: Lease,
    pub(super) hold: Option<Arc<Hold>>,
    pub(super) generation: u64,
    pub(super) phase: Phase,
    /// Why it may not be the first delivery; `None`: certainly first.
    pub(super) reason: Option<Reason>,
    /// Whether another's takeover was heard while ours was on its way.
    pub(super) suspect: bool,
    /// What a takeover left of it; `None`: all.
    pub(super) left: Option<Vec<Range<u64>>>,
    /// How it is run once a holder of it may have died of it.
    pub(super) careful: Option<Careful>,
    /// Records about it that are not confirmed yet.
    pub(super) parts: u32,
    /// Whether pages are left, to be handed back once its outcomes are confirmed.
    pub(super) unfinished: bool,
}

impl Held {
    pub(super) fn holding(&self) -> Holding {
        Holding {
            tile: TileKey::of(&self.tile),
            generation: self.generation,
        }
    }

    /// All messages that carry it.
    pub(super) fn receipts(self) -> Vec<Receipt> {
        let mut all = self.copies;
        all.push(self.receipt);
        all
    }
}
