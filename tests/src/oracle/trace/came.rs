//! What outcomes change in a trace.

use super::*;

impl Trace {
    pub(super) fn outcome(&mut self, seq: u64, session: Session, entry: &outcomes::Entry) {
        for page in entry.first..entry.first + entry.pages {
            let cell = Cell {
                kind: entry.kind,
                slice: entry.slice,
                page,
            };
            match &entry.status {
                Status::Done => self.done(seq, session, cell, entry.tile, entry.fence),
                Status::Failed(failed) => {
                    self.failed(cell, entry.tile, entry.fence, failed.retry);
                }
            }
        }
    }

    pub(super) fn probed(&mut self, seq: u64, probed: &Probed) {
        let cell = Cell {
            kind: TileKind::Probe,
            slice: probed.slice,
            page: probed.probe,
        };
        if self
            .cells
            .get(&cell)
            .is_some_and(|trace| trace.done.is_empty())
        {
            *self.found.entry(probed.slice).or_default() += probed.pages.len() as u32;
        }
        self.done(seq, probed.session, cell, probed.tile, probed.fence);
    }

    /// A success under a fence that somebody else was given, or of what was never issued, is one
    /// that nobody can explain; a takeover that repeats what stood committed read too little.
    fn done(&mut self, seq: u64, session: Session, cell: Cell, place: TileRef, fence: Fence) {
        let tile = self
            .tiles
            .get(&place)
            .filter(|tile| tile.cells().any(|own| own == cell));
        let (Some(tile), Some(trace)) = (tile, self.cells.get_mut(&cell)) else {
            return self.breach(Breach::of_cell(
                cell,
                format!("success at {seq} of what was never issued"),
            ));
        };
        let taken = tile.takeovers.iter().find(|(taken, _)| *taken == fence);
        let what = if taken.is_some_and(|(_, by)| *by != session) {
            Some("success under another worker's takeover")
        } else if taken.is_none() && fence != tile.fence {
            Some("success under a fence that nobody gave")
        } else if trace.done.iter().any(|(_, earlier, _)| *earlier == fence) {
            Some("succeeded twice under the same fence")
        } else if taken.is_some()
            && trace
                .done
                .first()
                .is_some_and(|(first, ..)| *first < fence.0)
        {
            Some("repeated although it was committed before the takeover")
        } else {
            None
        };
        trace.done.push((seq, fence, session));
        if let Some(what) = what {
            self.breach(Breach::of_cell(
                cell,
                format!("{what}: at {seq}, fence {}", fence.0),
            ));
        }
    }

    fn failed(&mut self, cell: Cell, place: TileRef, fence: Fence, retry: Retry) {
        let most = self.most();
        let tile = self
            .tiles
            .get(&place)
            .filter(|tile| tile.cells().any(|own| own == cell));
        let (Some(tile), Some(trace)) = (tile, self.cells.get_mut(&cell)) else {
            return self.breach(Breach::of_cell(cell, "failure of what was never issued"));
        };
        trace.tried.push(tile.attempt);
        let first = trace
            .failed
            .iter()
            .all(|(attempt, _)| *attempt != tile.attempt);
        if trace.done.is_empty() && first && fence == tile.newest() {
            trace.failed.push((tile.attempt, retry == Retry::Never));
            if matches!(retry, Retry::Hold(_)) {
                trace.most = Some(trace.most.unwrap_or(most).saturating_add(1));
            }
        }
    }
}
