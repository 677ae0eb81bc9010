//! What is known of the slices. Kept are those that waves have begun and not all of whose shards have
//! succeeded: a grid of 65,536 slices costs what is under way of it.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::grid::frontier::Frontier;
use crate::ledger::record::Opened;
use crate::quick::QuickMap;
use crate::ranges::Ranges;
use crate::tile::TileKind;

/// Shards of one slice: those that waves have issued, and those that succeeded.
#[derive(Clone, Debug, Default)]
pub(super) struct Cells {
    pub(super) issued: Ranges,
    pub(super) done: Ranges,
}

/// What is known of one slice.
#[derive(Clone, Debug, Default)]
pub(super) struct Slice {
    pub(super) frontier: Frontier,
    pub(super) pages: Cells,
    pub(super) probes: Cells,
    /// Whether it is counted among the slices that are issued to their ends.
    counted: bool,
}

impl Slice {
    pub(super) fn cells(&self, kind: TileKind) -> &Cells {
        match kind {
            TileKind::Page => &self.pages,
            TileKind::Probe => &self.probes,
        }
    }

    fn is_finished(&self) -> bool {
        let whole = |cells: &Cells, end: u32| cells.done.is_exactly(0..u64::from(end));
        self.counted
            && self.frontier.end().is_some_and(|end| {
                let next = self.frontier.next_page();
                next == end && whole(&self.pages, end)
            })
            && whole(&self.probes, self.frontier.next_probe())
    }
}

/// The slices of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices {
    opened: Option<Arc<Opened>>,
    /// Shards of the grid, where its specification says so.
    shards: Option<u64>,
    live: QuickMap<u32, Slice>,
    /// Slices of which nothing is left to do.
    finished: Ranges,
    /// Pages and questions of those, where the specification does not say them.
    told: QuickMap<u32, (u32, u32)>,
    /// How many slices are issued to their ends.
    issued: u32,
    /// Slices whose end is known because probes told it, and pages that they told of.
    ended: u32,
    found: u64,
}

impl Slices {
    pub(super) fn of(opened: Arc<Opened>) -> Slices {
        Slices {
            shards: opened.job.grid.shards(),
            opened: Some(opened),
            ..Slices::default()
        }
    }

    pub(super) fn count(&self) -> u32 {
        let grid = self.opened.as_ref().map(|opened| &opened.job.grid);
        grid.map_or(0, |grid| grid.slices)
    }

    pub(super) fn issued(&self) -> u32 {
        self.issued
    }

    /// How many are under way, and how many of those that are finished are kept for themselves.
    pub(super) fn kept(&self) -> (usize, usize) {
        (self.live.len(), self.told.len())
    }

    /// Shards, as far as they are known.
    pub(super) fn known(&self) -> u64 {
        self.shards.unwrap_or(self.found)
    }

    /// Whether the end of every slice is known.
    pub(super) fn all_known(&self) -> bool {
        self.shards.is_some() || self.count() > 0 && self.ended >= self.count()
    }

    /// A slice that is under way.
    pub(super) fn get(&self, number: u32) -> Option<&Slice> {
        self.live.get(&number)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Slice> {
        self.live.get_mut(&number)
    }

    fn pages_of(&self, number: u32) -> Option<u32> {
        let grid = self.opened.as_ref().map(|opened| &opened.job.grid);
        grid.and_then(|grid| grid.pages_of(number))
    }

    /// Pages and questions of a slice of which nothing is left to do.
    fn ends_of(&self, number: u32) -> Option<(u32, u32)> {
        self.finished.contains(u64::from(number)).then(|| {
            let told = self.told.get(&number).copied();
            told.unwrap_or_else(|| (self.pages_of(number).unwrap_or(0), 0))
        })
    }

    /// How far a slice is planned.
    pub(super) fn frontier(&self, number: u32) -> Cow<'_, Frontier> {
        if let Some(slice) = self.live.get(&number) {
            return Cow::Borrowed(&slice.frontier);
        }
        Cow::Owned(match self.ends_of(number) {
            Some((pages, probes)) => Frontier::finished(pages, probes),
            None => Frontier::new(self.pages_of(number)),
        })
    }

    /// Cells of `run` that are issued, of a slice that is not under way: all of them have succeeded.
    pub(super) fn finished_in(&self, kind: TileKind, number: u32, run: &Range<u64>) -> u64 {
        let Some((pages, probes)) = self.ends_of(number) else {
            return 0;
        };
        let end = match kind {
            TileKind::Page => u64::from(pages),
            TileKind::Probe => u64::from(probes),
        };
        run.end.min(end).saturating_sub(run.start)
    }

    /// The slice, as one that is under way. `None`: the grid has no such slice.
    pub(super) fn touch(&mut self, number: u32) -> Option<&mut Slice> {
        if number >= self.count() {
            return None;
        }
        if !self.live.contains_key(&number) {
            let slice = match self.ends_of(number) {
                Some((pages, probes)) => self.thawed(number, pages, probes),
                None => Slice {
                    frontier: Frontier::new(self.pages_of(number)),
                    ..Slice::default()
                },
            };
            self.live.insert(number, slice);
        }
        self.live.get_mut(&number)
    }

    fn thawed(&mut self, number: u32, pages: u32, probes: u32) -> Slice {
        self.finished
            .remove(&(u64::from(number)..u64::from(number) + 1));
        self.told.remove(&number);
        let all = |end: u32| Cells {
            issued: Ranges::of(0..u64::from(end)),
            done: Ranges::of(0..u64::from(end)),
        };
        Slice {
            frontier: Frontier::finished(pages, probes),
            pages: all(pages),
            probes: all(probes),
            counted: true,
        }
    }

    /// Counts pages that a probe told of, and whether they were the last.
    pub(super) fn told(&mut self, pages: u64, last: bool) {
        self.found += pages;
        self.ended += u32::from(last);
    }

    /// Called once something of a slice has changed: it may be issued to its end now, or finished.
    pub(super) fn settle(&mut self, number: u32) {
        let Some(slice) = self.live.get_mut(&number) else {
            return;
        };
        let at = &slice.frontier;
        if !slice.counted && at.end() == Some(at.next_page()) {
            slice.counted = true;
            self.issued += 1;
        }
        if slice.is_finished()
            && let Some(slice) = self.live.remove(&number)
        {
            self.finished
                .insert(u64::from(number)..u64::from(number) + 1);
            if self.shards.is_none() {
                let at = &slice.frontier;
                self.told.insert(number, (at.next_page(), at.next_probe()));
            }
        }
    }

    #[cfg(test)]
    pub(super) fn live(&self) -> impl Iterator<Item = &Slice> {
        self.live.values()
    }

    #[cfg(test)]
    pub(super) fn finished(&self) -> (usize, usize) {
        (self.finished.iter().count(), self.told.len())
    }

    #[cfg(test)]
    pub(super) fn done(&self, number: u32) -> Ranges {
        match (self.live.get(&number), self.ends_of(number)) {
            (Some(slice), _) => slice.pages.done.clone(),
            (None, Some((pages, _))) => Ranges::of(0..u64::from(pages)),
            (None, None) => Ranges::default(),
        }
    }
}
