//! What a probe's answer changes: pages are known that no wave has issued.

use super::{Cell, Fold};
use crate::ledger::record::Probed;
use crate::tile::TileKind;

impl Fold {
    pub(super) fn probed(&mut self, probed: &Probed) {
        let cell = Cell {
            kind: TileKind::Probe,
            slice: probed.slice,
            page: probed.probe,
        };
        let page = u64::from(probed.probe);
        let opened = self.opening.as_ref().map_or(0, |opening| opening.sequence);
        let slice = self.slices.get_mut(probed.slice as usize);
        let Some(slice) =
            slice.filter(|slice| slice.probes.issued.contains(page) && probed.fence.0 > opened)
        else {
            self.counts.unexpected += 1;
            return;
        };
        if slice.probes.done.contains(page) {
            return;
        }
        slice.probes.done.insert(page..page + 1);
        slice.found = slice.found.saturating_add(probed.pages.len() as u32);
        slice.ready.extend(probed.pages.iter().cloned());
        slice.cursor.clone_from(&probed.cursor);
        if probed.cursor.is_none() {
            slice.end = Some(slice.found);
            if !slice.counted && slice.next_page == slice.found {
                slice.counted = true;
                self.slices_issued += 1;
            }
        }
        self.forgive(cell);
        self.settle(probed.tile, page..page + 1);
    }
}
