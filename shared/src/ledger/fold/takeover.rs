//! What a takeover changes: the tile's fence, and what is suspected of its pages.

use super::Fold;
use crate::clock::UnixMs;
use crate::id::Fence;
use crate::ledger::crash;
use crate::ledger::record::{Reason, Takeover};
use crate::tile::{TileKind, TileRef};

impl Fold {
    pub(super) fn take_over(&mut self, at: UnixMs, fence: Fence, takeover: &Takeover) {
        if !self.sessions.is_new(takeover.session, takeover.number) {
            return;
        }
        for place in &takeover.tiles {
            if let Some(tile) = self.open.get_mut(place) {
                tile.fence = fence;
                // What lay on the queue when the broker or its consumer was new is claimed with care: mostly nobody
                // had it.
                if tile.kind == TileKind::Page && takeover.reason != Reason::Floor {
                    self.counts.taken_over += tile.left.len();
                }
                if takeover.reason == Reason::Count {
                    tile.suspicion.get_or_insert_default();
                }
                let condemned = tile.suspicion.as_mut().and_then(|suspicion| {
                    suspicion.taken_over(takeover.reason, |page| tile.left.contains(page))
                });
                if let Some(page) = condemned {
                    self.condemn(at, *place, page as u32);
                }
            } else if place.wave >= self.next_wave {
                self.counts.unexpected += 1;
            }
        }
    }

    /// A page of an open tile has killed its third worker.
    fn condemn(&mut self, at: UnixMs, place: TileRef, page: u32) {
        let error = self.errors.id(&crash::verdict());
        self.bury(at, place, u64::from(page)..u64::from(page) + 1, error);
    }
}
