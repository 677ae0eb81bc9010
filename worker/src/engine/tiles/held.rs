//! What the engine knows of a tile that was delivered to it and is not settled yet.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use gridloom_shared::broker::Subject;
use gridloom_shared::clock::{Boot, UnixMs};
use gridloom_shared::id::Fence;
use gridloom_shared::ledger::record::Reason;
use gridloom_shared::tile::{Tile, TileRef};

use crate::lease::{Action, Event, Lease};
use crate::shard::{End, Hold};
use crate::takeover::reading::Left;

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
    /// When it was put on the queue, by the broker's clock.
    pub(in crate::engine) stored_at: UnixMs,
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
pub(super) struct Isolation {
    /// The pages that are left, one after the other, each after a confirmed `started` record.
    pub(super) pages: VecDeque<u64>,
    /// Whether nothing else may run in this worker meanwhile.
    pub(super) alone: bool,
}

pub(in crate::engine) struct Held {
    tile: Arc<Tile>,
    lane: usize,
    receipt: Receipt,
    /// Other messages that carry the same tile: refills.
    copies: Vec<Receipt>,
    pub(super) lease: Lease,
    /// When this holding of it began.
    since: Boot,
    pub(super) hold: Option<Arc<Hold>>,
    generation: u64,
    phase: Phase,
    /// Why it may not be the first delivery; `None`: certainly first.
    reason: Option<Reason>,
    /// Whether another's takeover was heard while ours was on its way.
    suspect: bool,
    /// What a takeover left of it; `None`: all.
    left: Option<Vec<Range<u64>>>,
    /// How it is run once a holder of it may have died of it.
    pub(super) careful: Option<Isolation>,
    /// Records about it that are not confirmed yet.
    parts: u32,
    /// Since when it waits for a slot: more tiles came than there are.
    pub(super) surplus: Option<Boot>,
    /// Whether pages are left, to be handed back once its outcomes are confirmed.
    unfinished: bool,
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

    /// It was delivered again, by a pull that was sent at `pulled`: by the message whose lease it is of, or by
    /// another one with the same tile, whose lease counts for nothing.
    pub(in crate::engine) fn adopt(&mut self, receipt: &Receipt, pulled: Boot, now: Boot) {
        if self.receipt.stream_seq == receipt.stream_seq {
            self.receipt = receipt.clone();
            self.hear(Event::Adopted { pulled }, now);
        } else {
            self.copies
                .retain(|copy| copy.stream_seq != receipt.stream_seq);
            self.copies.push(receipt.clone());
        }
    }

    pub(in crate::engine) fn tile(&self) -> &Arc<Tile> {
        &self.tile
    }

    /// The lane that it came on.
    pub(in crate::engine) fn lane(&self) -> usize {
        self.lane
    }

    /// When this holding of it began.
    pub(in crate::engine) fn since(&self) -> Boot {
        self.since
    }

    /// Why it may not be the first delivery; `None`: certainly first.
    pub(in crate::engine) fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// The message that its lease is of.
    pub(in crate::engine) fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Other messages that carry it.
    pub(in crate::engine) fn copies(&self) -> &[Receipt] {
        &self.copies
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

/// What a takeover left of it.
impl Held {
    /// Another's takeover was heard while ours is on its way.
    pub(in crate::engine) fn suspect(&mut self) {
        self.suspect = true;
    }

    /// Whether one was, since this was asked last.
    pub(in crate::engine) fn take_suspicion(&mut self) -> bool {
        std::mem::take(&mut self.suspect)
    }

    /// Our takeover was read: so much of it is left, to be run with care where a holder may have died of it.
    pub(in crate::engine) fn reduce(&mut self, left: &Left) {
        let whole = left.pages.len() == u64::from(self.tile.pages);
        self.left = (!whole).then(|| left.pages.iter().collect());
        self.careful = (left.crashes > 0).then(|| Isolation {
            pages: left.pages.iter().flatten().collect(),
            alone: left.isolated,
        });
    }

    /// A holder that was thought to be dead may have said that it lives: it need not be alone then.
    pub(in crate::engine) fn reconsider(&mut self, isolated: bool) {
        if let Some(careful) = &mut self.careful {
            careful.alone &= isolated;
        }
    }

    /// Whether its pages are announced one by one.
    pub(in crate::engine) fn is_careful(&self) -> bool {
        self.careful.is_some()
    }

    /// Whether a page is still to be announced.
    pub(in crate::engine) fn has_more(&self) -> bool {
        let careful = self.careful.as_ref();
        careful.is_some_and(|careful| !careful.pages.is_empty())
    }

    /// The page to be announced next.
    pub(in crate::engine) fn next_page(&mut self) -> Option<u64> {
        self.careful.as_mut()?.pages.pop_front()
    }

    /// A page is to be announced once more.
    pub(in crate::engine) fn announce_again(&mut self, page: u64) {
        if let Some(careful) = &mut self.careful {
            careful.pages.push_front(page);
        }
    }

    /// This page alone is to be run next.
    pub(in crate::engine) fn narrow(&mut self, page: u64) {
        self.left = Some(std::iter::once(page..page + 1).collect());
    }
}

/// Its execution, and what is said of that.
impl Held {
    /// Its handler gets it, as long as `hold` says. Returns what of it is to be run; `None`: all.
    pub(in crate::engine) fn begin(&mut self, hold: Arc<Hold>) -> Option<Vec<Range<u64>>> {
        self.hold = Some(hold);
        self.left.take()
    }

    /// Whether its handler has begun, or has it no more; `None` where no handler was given it.
    pub(in crate::engine) fn has_begun(&self) -> Option<bool> {
        self.hold.as_ref().map(|hold| hold.has_begun())
    }

    /// Its handler is to end.
    pub(in crate::engine) fn end(&self, why: End) {
        if let Some(hold) = &self.hold {
            hold.end(why);
        }
    }

    /// Whether pages are left when it ends, to be handed back once its outcomes are confirmed.
    pub(in crate::engine) fn leave(&mut self, unfinished: bool) {
        self.unfinished = unfinished;
    }

    pub(in crate::engine) fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// So many records more are to be confirmed.
    pub(in crate::engine) fn await_records(&mut self, records: u32) {
        self.parts += records;
    }

    /// The record that was to be confirmed becomes so many.
    pub(in crate::engine) fn await_instead(&mut self, records: u32) {
        self.parts = records;
    }

    /// One was confirmed.
    pub(in crate::engine) fn confirmed(&mut self) {
        self.parts = self.parts.saturating_sub(1);
    }

    /// Whether all that was said of it is confirmed.
    pub(in crate::engine) fn is_settled(&self) -> bool {
        self.parts == 0
    }
}
