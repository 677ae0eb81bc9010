//! What a probe's answer changes: pages are known that no wave has issued.

use super::Fold;
use crate::ledger::record::Probed;
use crate::tile::TileKind;

impl Fold {
    pub(super) fn probed(&mut self, probed: &Probed) {
        let page = u64::from(probed.probe)..u64::from(probed.probe) + 1;
        let opened = self.opening.as_ref().map_or(0, |opening| opening.sequence);
        let number = probed.slice;
        let Some(slice) = self.slices.get_mut(number) else {
            // Of a finished slice every question was answered: this is one of those answers again.
            let known = self.slices.finished_in(TileKind::Probe, number, &page);
            self.counts.unexpected += u64::from(known == 0 || probed.fence.0 < opened);
            return;
        };
        if !slice.probes.issued.covers(&page) || probed.fence.0 < opened {
            self.counts.unexpected += 1;
            return;
        }
        if slice.probes.done.covers(&page) {
            return;
        }
        slice.probes.done.insert(page.clone());
        slice
            .frontier
            .answered(&probed.pages, probed.cursor.as_ref());
        let (found, last) = (probed.pages.len() as u64, probed.cursor.is_none());
        self.slices.told(found, last);
        self.forgive(TileKind::Probe, number, page.clone());
        self.settle(probed.tile, page);
        self.slices.settle(number);
    }
}
