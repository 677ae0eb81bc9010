//! How far one slice is planned, and what comes next: the next page, the end, the cursor.

use std::collections::VecDeque;

use crate::limits::{self, READY_MAX, RECORD_MAX, WAVE_TILES_MAX};
use crate::tile::{Bounds, Key, TileKind};

/// How far one slice is planned. Of a slice of which nothing was issued it is what its grid says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    next_page: u32,
    end: Option<u32>,
    next_probe: u32,
    answered: u32,
    found: u32,
    ready: VecDeque<Bounds>,
    cursor: Option<Key>,
}

impl Frontier {
    /// Nothing is issued of a slice with `end` pages; `None`: probes tell.
    pub fn new(end: Option<u32>) -> Frontier {
        Frontier {
            end,
            ..Frontier::default()
        }
    }

    /// All `end` pages and `probes` questions of a slice are issued, and each question is answered.
    pub(crate) fn finished(end: u32, probes: u32) -> Frontier {
        Frontier {
            next_page: end,
            end: Some(end),
            next_probe: probes,
            answered: probes,
            found: end,
            ..Frontier::default()
        }
    }

    /// First page that no wave has issued.
    pub fn next_page(&self) -> u32 {
        self.next_page
    }

    /// Number of pages, once it is known.
    pub fn end(&self) -> Option<u32> {
        self.end
    }

    /// Questions that waves have asked.
    pub(crate) fn next_probe(&self) -> u32 {
        self.next_probe
    }

    /// Bounds of pages that a probe found and no wave has issued; the first is that of `next_page`.
    pub fn ready(&self) -> &VecDeque<Bounds> {
        &self.ready
    }

    /// Whether waves have issued all pages.
    pub fn is_issued(&self) -> bool {
        self.end.is_some_and(|end| self.next_page >= end)
    }

    /// The question to ask next, with its cursor: only while none is open and the end is unknown.
    pub fn question(&self) -> Option<(u32, Option<Key>)> {
        let answered = self.answered == self.next_probe;
        (self.end.is_none() && answered).then(|| (self.next_probe, self.cursor.clone()))
    }

    /// A wave has issued the `pages` up to `end` for the first time.
    pub(crate) fn issued(&mut self, pages: u64, end: u32) {
        let found = self.ready.len().min(pages as usize);
        self.ready.drain(..found);
        self.next_page = self.next_page.max(end);
    }

    /// A wave has asked the questions up to `end` for the first time.
    pub(crate) fn asked(&mut self, end: u32) {
        self.next_probe = self.next_probe.max(end);
    }

    /// A question was answered for the first time.
    pub(crate) fn answered(&mut self, pages: &[Bounds], cursor: Option<&Key>) {
        self.answered += 1;
        self.found = self.found.saturating_add(pages.len() as u32);
        self.ready.extend(pages.iter().cloned());
        self.cursor = cursor.cloned();
        if cursor.is_none() {
            self.end = Some(self.found);
        }
    }
}

/// Tiles of one slice to be issued for the first time: `tiles` of `pages` consecutive pages each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Pages, or a question.
    pub kind: TileKind,
    /// First page, or number of the question.
    pub first: u32,
    /// Pages of each tile.
    pub pages: u32,
    /// How many tiles.
    pub tiles: u32,
    /// Bounds of each page in order; empty where pages are counted.
    pub bounds: Vec<Bounds>,
    /// For a question: the cursor of the one before.
    pub after: Option<Key>,
}

/// What a wave has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Tiles.
    pub tiles: usize,
    /// Bytes.
    pub bytes: usize,
    /// Bytes of the bounds of one tile of several pages.
    pub tile_bounds: usize,
    /// Pages that probes may find and no wave has issued yet.
    pub ready: usize,
}

impl Room {
    /// Whether nothing more goes into the wave.
    pub fn is_full(&self) -> bool {
        self.tiles == 0 || self.bytes == 0
    }

    /// What a wave has room for whose record may have `record` bytes.
    pub fn in_record(record: usize) -> Room {
        Room {
            tiles: WAVE_TILES_MAX,
            bytes: limits::wave_bytes(record),
            tile_bounds: limits::tile_bounds(record),
            ready: READY_MAX,
        }
    }

    /// Takes what a run of `tiles` needs whose bounds and cursor have `keys` bytes.
    pub fn take(&mut self, tiles: usize, keys: usize) {
        self.tiles = self.tiles.saturating_sub(tiles);
        self.bytes = self.bytes.saturating_sub(limits::tile_run_bytes(keys));
    }
}

impl Default for Room {
    fn default() -> Room {
        Room::in_record(RECORD_MAX)
    }
}

/// What is next of a slice whose end is known from the start: whole tiles of `pages`, then one of what
/// is left.
pub(super) fn known(at: &Frontier, pages: u32, room: &mut Room, issue: &mut dyn FnMut(Piece)) {
    let Some(end) = at.end else { return };
    let piece = |first, pages, tiles| Piece {
        kind: TileKind::Page,
        first,
        pages,
        tiles,
        bounds: Vec::new(),
        after: None,
    };
    let first = at.next_page.min(end);
    let most = u32::try_from(room.tiles).unwrap_or(u32::MAX);
    let whole = ((end - first) / pages).min(most);
    if whole > 0 && !room.is_full() {
        room.take(whole as usize, 0);
        issue(piece(first, pages, whole));
    }
    let rest = end - first - whole * pages;
    if !room.is_full() && rest > 0 && rest < pages {
        room.take(1, 0);
        issue(piece(first + whole * pages, rest, 1));
    }
}

/// What is next of a slice whose pages probes tell: tiles of the pages that were found, a part of a tile
/// only at the end of the slice; then the next question, unless much was found already.
pub(super) fn probed(at: &Frontier, pages: u32, room: &mut Room, issue: &mut dyn FnMut(Piece)) {
    room.ready = room.ready.saturating_sub(at.ready.len());
    let mut taken = 0;
    while !room.is_full() && taken < at.ready.len() {
        let left = at.ready.len() - taken;
        let mut count = left.min(pages as usize);
        if count < pages as usize && at.end.is_none() {
            break;
        }
        let mut bounds: Vec<Bounds> = at.ready.range(taken..taken + count).cloned().collect();
        while cost(&bounds) > room.tile_bounds && count > 1 {
            count /= 2;
            bounds.truncate(count);
        }
        room.take(1, cost(&bounds));
        issue(Piece {
            kind: TileKind::Page,
            first: at.next_page + taken as u32,
            pages: count as u32,
            tiles: 1,
            bounds,
            after: None,
        });
        taken += count;
    }
    if room.ready > 0
        && !room.is_full()
        && let Some((question, after)) = at.question()
    {
        room.take(1, after.as_ref().map_or(0, Key::cost));
        issue(Piece {
            kind: TileKind::Probe,
            first: question,
            pages: 1,
            tiles: 1,
            bounds: Vec::new(),
            after,
        });
    }
}

fn cost(bounds: &[Bounds]) -> usize {
    bounds.iter().map(Bounds::cost).sum()
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::counted::Counted;
    use super::super::probed::Probed;
    use super::*;

    fn pieces(
        mode: &dyn Mode,
        at: &Frontier,
        pages: u32,
        room: &mut Room,
    ) -> Vec<(TileKind, u32, u32, u32)> {
        let mut pieces = Vec::new();
        mode.next(at, pages, room, &mut |piece| {
            pieces.push((piece.kind, piece.first, piece.pages, piece.tiles));
        });
        pieces
    }

    fn bounds(n: i64) -> Bounds {
        Bounds(Key::Int(n), Key::Int(n))
    }

    #[test]
    fn counted_slice_ends_in_a_tile_of_what_is_left() {
        let mode = Counted { count: 10 };
        let mut at = Frontier::new(mode.pages_of(0));
        let page = TileKind::Page;
        let mut room = Room {
            tiles: 2,
            ..Room::default()
        };
        assert_eq!(pieces(&mode, &at, 4, &mut room), [(page, 0, 4, 2)]);
        assert!(room.is_full());
        at.issued(8, 8);
        let mut room = Room::default();
        assert_eq!(pieces(&mode, &at, 4, &mut room), [(page, 8, 2, 1)]);
        at.issued(2, 10);
        assert!(at.is_issued());
        assert_eq!(pieces(&mode, &at, 4, &mut room), []);
    }

    #[test]
    fn probed_slice_asks_one_question_at_a_time_and_waits_for_whole_tiles_until_its_end() {
        let (page, probe) = (TileKind::Page, TileKind::Probe);
        let mut at = Frontier::new(Probed.pages_of(0));
        assert_eq!(
            pieces(&Probed, &at, 2, &mut Room::default()),
            [(probe, 0, 1, 1)]
        );
        at.asked(1);
        assert_eq!(pieces(&Probed, &at, 2, &mut Room::default()), []);
        at.answered(&[bounds(1), bounds(2), bounds(3)], Some(&Key::Int(3)));
        assert_eq!(
            pieces(&Probed, &at, 2, &mut Room::default()),
            [(page, 0, 2, 1), (probe, 1, 1, 1)]
        );
        let mut room = Room {
            ready: 3,
            ..Room::default()
        };
        assert_eq!(
            pieces(&Probed, &at, 2, &mut room),
            [(page, 0, 2, 1)],
            "much was found already"
        );
        at.issued(2, 2);
        at.asked(2);
        at.answered(&[], None);
        assert_eq!((at.end(), at.is_issued()), (Some(3), false));
        assert_eq!(
            pieces(&Probed, &at, 2, &mut Room::default()),
            [(page, 2, 1, 1)]
        );
    }
}
