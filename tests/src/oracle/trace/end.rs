//! Decides which rules hold once a run is over: it was closed, every cell of its grid has an end, and
//! the engine says the same of it.

use gridloom_shared::ledger::fold::Cell;
use gridloom_shared::ledger::summary::RunSummary;
use gridloom_shared::tile::TileKind;

use super::{Breach, Trace};

impl Trace {
    /// Rules that hold once a run is over: it was closed, and every cell of its grid has an end.
    pub fn at_the_end(&self) -> Vec<Breach> {
        let mut breaches = Vec::new();
        let Some((_, opened)) = &self.opened else {
            return vec![Breach::of_run("never opened")];
        };
        if self.closed.is_none() {
            breaches.push(Breach::of_run("not closed"));
        }
        let grid = &opened.job.grid;
        for slice in 0..grid.slices {
            let end = grid
                .pages_of(slice)
                .unwrap_or_else(|| self.found.get(&slice).copied().unwrap_or(0));
            for page in 0..end {
                let cell = Cell {
                    kind: TileKind::Page,
                    slice,
                    page,
                };
                match self.cells.get(&cell) {
                    None if self.is_cancelled() => {}
                    None => breaches.push(Breach::of_cell(cell, "lost: never issued")),
                    Some(_) if self.is_cancelled() => {}
                    Some(trace) if trace.done.is_empty() && !self.is_dead(trace) => {
                        breaches.push(Breach::of_cell(cell, "lost: no outcome"));
                    }
                    Some(_) => {}
                }
            }
            let beyond = Cell {
                kind: TileKind::Page,
                slice,
                page: end,
            };
            let past = Cell {
                kind: TileKind::Page,
                slice,
                page: u32::MAX,
            };
            let outside = self.cells.range(beyond..past).map(|(cell, _)| *cell);
            breaches.extend(outside.map(|cell| Breach::of_cell(cell, "issued outside the grid")));
        }
        breaches
    }

    /// Whether the engine's summary says the same.
    pub fn against(&self, summary: &RunSummary) -> Vec<Breach> {
        let pages = || {
            self.cells
                .iter()
                .filter(|(cell, _)| cell.kind == TileKind::Page)
        };
        let done = pages().filter(|(_, trace)| !trace.done.is_empty()).count() as u64;
        let dead = pages().filter(|(_, trace)| self.is_dead(trace)).count() as u64;
        let planned = pages().count() as u64;
        let shards = &summary.shards;
        if (shards.planned, shards.done, shards.dead) == (planned, done, dead) {
            return Vec::new();
        }
        vec![Breach::of_run(format!(
            "the summary says {shards:?}, the records {planned} planned, {done} done, {dead} dead"
        ))]
    }
}
