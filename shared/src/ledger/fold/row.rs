//! How the pages of one slice stand, as runs of neighbours that stand alike.

use std::ops::Range;

use super::Fold;
use crate::tile::{Cell, TileKind};

/// What is known of the pages of a slice, each as runs in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// How many pages it has, as far as that is known.
    pub pages: u32,
    /// Whether those are all.
    pub all_known: bool,
    /// Those that waves have issued.
    pub issued: Vec<Range<u32>>,
    /// Those with a success.
    pub done: Vec<Range<u32>>,
    /// Those whose attempts are used up, and whether somebody gave them up.
    pub dead: Vec<(Range<u32>, bool)>,
    /// Those that wait for another attempt.
    pub retrying: Vec<Range<u32>>,
}

impl Fold {
    /// How the pages of `slice` stand.
    pub fn row(&self, slice: u32) -> Row {
        let frontier = self.slices.frontier(slice);
        let end = frontier.end();
        let pages = end.unwrap_or_else(|| frontier.next_page());
        let mut row = Row {
            pages,
            all_known: end.is_some(),
            ..Row::default()
        };
        let Some(kept) = self.slices.get(slice) else {
            let done = self
                .slices
                .finished_in(TileKind::Page, slice, &(0..u64::from(pages)));
            if done > 0 {
                row.issued = std::iter::once(0..pages).collect();
                row.done = std::iter::once(0..pages).collect();
            }
            return row;
        };
        let narrow = |run: Range<u64>| run.start as u32..run.end as u32;
        row.issued = kept.pages.issued.iter().map(narrow).collect();
        row.done = kept.pages.done.iter().map(narrow).collect();
        let at = |page| Cell {
            kind: TileKind::Page,
            slice,
            page,
        };
        let dead = self.dead.of_slice(slice);
        row.dead = dead.map(|(pages, grave)| (pages, grave.dropped)).collect();
        let again = self.again.of_slice(slice).map(|(pages, _)| pages);
        row.retrying = again.collect();
        let waiting = self.waiting.cells().range(at(0)..=at(u32::MAX));
        let due = waiting.filter(|(_, failed)| matches!(failed.next, super::Next::Due(_)));
        for (cell, _) in due {
            match row.retrying.last_mut() {
                Some(last) if last.end == cell.page => last.end += 1,
                Some(_) | None => row.retrying.push(cell.page..cell.page + 1),
            }
        }
        row.retrying.sort_by_key(|run| run.start);
        row
    }
}
