//! Whose turn it is to start: as many run at once as there are slots. A tile whose page stands accused of two deaths runs with nothing beside it
//! in this worker (docs/PROTOCOL.md §5): it waits for the others to end, and while it waits or runs, no other
//! starts. Pure.

use super::tiles::{TileKey, Tiles};

#[derive(Debug)]
pub(super) struct Turns {
    slots: u32,
    /// The tile that runs with nothing beside it.
    alone: Option<TileKey>,
    /// Tiles that may start once no tile is to be alone, or once they are.
    in_line: Vec<TileKey>,
}

impl Turns {
    pub(super) fn new(slots: u32) -> Turns {
        Turns {
            slots,
            alone: None,
            in_line: Vec::new(),
        }
    }

    /// Whether no slot is left for another tile: more came than there are.
    pub(super) fn is_full(&self, tiles: &Tiles) -> bool {
        tiles.started() >= self.slots
    }

    /// Whether a tile may start beside what runs. One that may not stands in line.
    pub(super) fn ask(&mut self, key: TileKey, alone: bool, tiles: &Tiles) -> bool {
        let may = match self.alone {
            Some(holder) => holder == key,
            None if alone => tiles.running() == 0 && !tiles.executes_beside(key),
            None => !self.in_line.iter().any(|key| is_alone(*key, tiles)),
        };
        let may = may && !self.is_full(tiles);
        if !may {
            self.in_line.push(key);
        } else if alone {
            self.alone = Some(key);
        }
        may
    }

    /// The tile has to wait although it had its turn.
    pub(super) fn wait(&mut self, key: TileKey) {
        self.in_line.push(key);
    }

    /// Those that stood in line, to ask again: those first that are to be alone.
    pub(super) fn next(&mut self, tiles: &Tiles) -> Vec<TileKey> {
        if let Some(holder) = self.alone {
            let here = tiles.contains(holder) || tiles.is_haunted(holder);
            self.alone = Some(holder).filter(|_| here);
        }
        let others_wait = self
            .alone
            .is_some_and(|holder| !self.in_line.contains(&holder));
        if self.in_line.is_empty() || others_wait {
            return Vec::new();
        }
        let mut waiting = std::mem::take(&mut self.in_line);
        waiting.sort_by_key(|key| !is_alone(*key, tiles));
        waiting
    }
}

fn is_alone(key: TileKey, tiles: &Tiles) -> bool {
    tiles.get(key).is_some_and(super::tiles::Held::is_alone)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gridloom_shared::clock::Boot;
    use gridloom_shared::ranges::Ranges;

    use super::super::tiles::{Phase, tests::taken};
    use super::*;
    use crate::takeover::reading::Left;

    fn careful(tiles: &mut Tiles, index: u32) -> TileKey {
        let key = taken(tiles, index);
        let mut pages = Ranges::default();
        pages.insert(0..1);
        let left = Left {
            pages,
            crashes: 2,
            isolated: true,
        };
        if let Some(held) = tiles.get_mut(key) {
            held.reduce(&left);
        }
        key
    }

    #[test]
    fn tile_beyond_the_slots_starts_when_one_frees() {
        let (mut tiles, mut turns) = (Tiles::new(Boot(Duration::ZERO)), Turns::new(1));
        let (first, second) = (taken(&mut tiles, 0), taken(&mut tiles, 1));
        assert!(turns.ask(first, false, &tiles));
        tiles.enter(first, Phase::Starting);
        assert!(!turns.ask(second, false, &tiles) && turns.is_full(&tiles));
        tiles.enter(first, Phase::Running);
        assert_eq!(turns.next(&tiles), [second]);
        assert!(!turns.ask(second, false, &tiles));
        tiles.enter(first, Phase::Reporting);
        assert_eq!(turns.next(&tiles), [second]);
        assert!(turns.ask(second, false, &tiles));
    }

    #[test]
    fn tile_that_is_to_be_alone_waits_for_all_others_and_all_later_ones_wait_for_it() {
        let (mut tiles, mut turns) = (Tiles::new(Boot(Duration::ZERO)), Turns::new(4));
        let first = taken(&mut tiles, 0);
        assert!(turns.ask(first, false, &tiles));
        tiles.enter(first, Phase::Running);
        let alone = careful(&mut tiles, 1);
        assert!(!turns.ask(alone, true, &tiles));
        let third = taken(&mut tiles, 2);
        assert!(!turns.ask(third, false, &tiles));
        tiles.enter(first, Phase::Reporting);
        assert_eq!(turns.next(&tiles), [alone, third]);
        assert!(turns.ask(alone, true, &tiles));
        tiles.enter(alone, Phase::Running);
        assert!(!turns.ask(third, false, &tiles));
        assert_eq!(turns.next(&tiles), []);
        tiles.release(alone);
        // Its handler still runs.
        assert_eq!(turns.next(&tiles), []);
    }
}
