//! Starts tiles: when nothing stands in the way, a tile goes to the crew, or its next page is announced
//! first (docs/PROTOCOL.md §5).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gridloom_shared::clock::{Boot, UnixMs};
use gridloom_shared::limits::probe_bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::Engine;
use super::tiles::{Held, Holding, Phase, TileKey};
use crate::crew::{self, Finished, Job};
use crate::lease::Loss;
use crate::shard::{Hold, TileContext};

/// The way to the crew and back.
pub(super) struct Crew {
    /// Tiles to be handed over at the end of the turn.
    outgoing: Vec<Job<Holding>>,
    batches: mpsc::UnboundedSender<Vec<Job<Holding>>>,
    finished: mpsc::UnboundedReceiver<Vec<Finished<Holding>>>,
    /// The way back, for another one that takes batches.
    back: mpsc::WeakUnboundedSender<Vec<Finished<Holding>>>,
    runtime: Handle,
    /// Batches that were handed over, and how many of them were taken up.
    handed: u64,
    taken: Arc<AtomicU64>,
    /// When none was waiting.
    idle: Boot,
}

impl Crew {
    /// Lets the crew begin on `runtime`.
    pub(super) fn start(runtime: &Handle) -> Crew {
        let (batches, received) = mpsc::unbounded_channel();
        let (sent, finished) = mpsc::unbounded_channel();
        let (back, taken) = (sent.downgrade(), Arc::default());
        runtime.spawn(crew::serve(received, Arc::clone(&taken), sent));
        Crew {
            outgoing: Vec::new(),
            batches,
            finished,
            back,
            runtime: runtime.clone(),
            handed: 0,
            taken,
            idle: Boot::now(),
        }
    }

    /// Lets another task take batches from now on: a handler blocks the thread of the one that did.
    pub(super) fn replace(&mut self, now: Boot) {
        let Some(back) = self.back.upgrade() else {
            return;
        };
        let (batches, received) = mpsc::unbounded_channel();
        self.taken = Arc::default();
        self.runtime
            .spawn(crew::serve(received, Arc::clone(&self.taken), back));
        // An empty batch shows whether there is a thread for it.
        self.handed = u64::from(batches.send(Vec::new()).is_ok());
        self.batches = batches;
        self.idle = now;
    }

    /// Whether a batch has waited for so long that no thread can be left for it.
    pub(super) fn is_stuck(&mut self, now: Boot, patience: Duration) -> bool {
        if self.taken.load(Ordering::Relaxed) >= self.handed {
            self.idle = now;
        }
        now.since(self.idle) >= patience
    }

    /// Waits for tiles whose handlers have ended; `false` when the crew is gone.
    pub(super) async fn next(
        &mut self,
        ended: &mut Vec<Vec<Finished<Holding>>>,
        most: usize,
    ) -> bool {
        self.finished.recv_many(ended, most).await > 0
    }

    /// Hands over what was started.
    pub(super) fn hand_over(&mut self) {
        if self.outgoing.is_empty() {
            return;
        }
        let next = Vec::with_capacity(self.outgoing.len());
        self.handed += 1;
        // The crew's end is noticed by the loop.
        let _ = self
            .batches
            .send(std::mem::replace(&mut self.outgoing, next));
    }
}

impl Engine {
    /// The tile may start, if anything may now.
    pub(super) fn ready(&mut self, key: TileKey) {
        if self.draining.is_some() {
            return self.hand_back(key);
        }
        let open = self.link.is_open() && !self.tiles.is_haunted(key);
        let Some(held) = self.tiles.enter(key, Phase::Blocked) else {
            return;
        };
        if !open {
            return;
        }
        if !held.is_held(self.now) {
            return self.lose(key, Loss::Expired);
        }
        let (careful, alone) = (held.is_careful(), held.is_alone());
        if !self.turns.ask(key, alone, &self.tiles) {
            if self.turns.is_full(&self.tiles) {
                self.tiles.note_surplus(key, self.now);
            }
            return;
        }
        if careful {
            self.announce_next(key);
        } else {
            self.start(key);
        }
    }

    /// Lets those start that stood in line, as far as they may now.
    pub(super) fn let_in(&mut self) {
        if !self.link.is_open() {
            return;
        }
        for key in self.turns.next(&self.tiles) {
            let held = self.tiles.get(key);
            if held.is_some_and(|held| held.phase() == Phase::Blocked) {
                self.ready(key);
            }
        }
    }

    /// Hands the tile, or what is left of it, to its handler.
    fn start(&mut self, key: TileKey) {
        let run = self.runs.get(key.opened);
        let Some((run, registered)) = run.and_then(super::runs::Run::job) else {
            return self.refuse_tile(key, "its run is over and was purged".to_owned());
        };
        let Some(held) = self.tiles.get(key) else {
            return;
        };
        let Some(fence) = held.own_fence() else {
            return;
        };
        let hold = Arc::new(Hold::new(held.lease_end(), self.now));
        self.tiles.note_start(self.now);
        let Some(held) = self.tiles.enter(key, Phase::Running) else {
            return;
        };
        let tile = TileContext {
            run: Arc::clone(run),
            tile: Arc::clone(held.tile()),
            fence,
            taken: held.reason(),
            hold: Arc::clone(&hold),
            answer_max: probe_bytes(self.broker.max_record()),
            page: held.tile().first.into(),
        };
        let receipt = held.receipt();
        if receipt.delivered == 1 && !held.is_careful() {
            let wait_ms = UnixMs::now().0.saturating_sub(receipt.stored_at.0);
            registered.meters.waited(Duration::from_millis(wait_ms));
        }
        let left = held.begin(hold);
        self.crew.outgoing.push(Job {
            key: held.holding(),
            tile: Arc::new(tile),
            handler: Arc::clone(&registered.handler),
            pace: Arc::clone(&registered.pace),
            meters: Arc::clone(&registered.meters),
            left,
        });
    }

    /// Announces the tile's next page.
    pub(super) fn announce_next(&mut self, key: TileKey) {
        let held = self.tiles.get_mut(key);
        let Some(page) = held.and_then(Held::next_page) else {
            return;
        };
        if let Some(held) = self.tiles.enter(key, Phase::Starting) {
            self.ledger.announce(held.holding(), page);
        }
    }

    /// The ledger says that `page` is about to be executed: now it may be.
    pub(super) fn announced(&mut self, holding: Holding, page: u64) {
        let key = holding.tile;
        if !self.tiles.is_held(holding, self.now) {
            if self.tiles.of(holding).is_some() {
                self.lose(key, Loss::Expired);
            }
            return;
        }
        let Some(held) = self.tiles.get_mut(key) else {
            return;
        };
        if held.phase() != Phase::Starting {
            return;
        }
        if !self.link.is_open() {
            // Announced again once the takeovers that were missed are read.
            held.announce_again(page);
            self.tiles.enter(key, Phase::Blocked);
            return self.turns.wait(key);
        }
        if self.draining.is_some() {
            held.leave(true);
            let settled = held.is_settled();
            self.tiles.enter(key, Phase::Reporting);
            if settled {
                self.settle(key);
            }
            return;
        }
        held.narrow(page);
        self.start(key);
    }
}
