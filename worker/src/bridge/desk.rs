//! Decides what a child has in hand: which answers count, when a slot is free again, and until when a child that
//! does not stop may live. Pure; `T` is whatever stands for a tile.
//!
//! | a shard is | answered | told to stop | its end without an answer |
//! |------------|----------|--------------|---------------------------|
//! | given | answered: its tile is over with the last one | told, with a limit | the child's death |
//! | told | answered: its limit is gone | told; the earlier limit stays | the child is killed at the limit |
//! | answered | odd | nothing | |

use std::collections::BTreeMap;

use gridloom_shared::clock::Boot;

/// Shards with ids one behind the other, which take one slot.
#[derive(Debug)]
struct InHand<T> {
    tile: T,
    answered: Vec<bool>,
    left: usize,
    /// Whether all of it was told to stop.
    all_told: bool,
    /// Until when which id has to be answered; `None`: all of them.
    limits: Vec<(Boot, Option<u64>)>,
}

/// What a child has in hand.
#[derive(Debug)]
pub(super) struct Desk<T> {
    in_hand: BTreeMap<u64, InHand<T>>,
    /// Answers that belonged to nothing.
    odd: u64,
}

/// An answer that counts.
#[derive(Debug)]
pub(super) struct Counts<'d, T> {
    pub(super) tile: &'d T,
    /// Which of the tile's shards it is of, from 0.
    pub(super) index: usize,
}

impl<T> Default for Desk<T> {
    fn default() -> Self {
        Desk {
            in_hand: BTreeMap::new(),
            odd: 0,
        }
    }
}

impl<T> Desk<T> {
    /// The child has `count` shards more, whose ids begin with `first`.
    pub(super) fn give(&mut self, first: u64, count: usize, tile: T) {
        let in_hand = InHand {
            tile,
            answered: vec![false; count],
            left: count,
            all_told: false,
            limits: Vec::new(),
        };
        self.in_hand.insert(first, in_hand);
    }

    /// The child has answered. `None`: it does not have that shard, or has answered before.
    pub(super) fn answer(&mut self, id: u64) -> Option<Counts<'_, T>> {
        let found = self.in_hand.range_mut(..=id).next_back();
        let open = found.and_then(|(first, in_hand)| {
            let index = usize::try_from(id - first).ok()?;
            let answered = in_hand.answered.get_mut(index)?;
            (!std::mem::replace(answered, true)).then_some((index, in_hand))
        });
        let Some((index, in_hand)) = open else {
            self.odd = self.odd.saturating_add(1);
            return None;
        };
        in_hand.left -= 1;
        in_hand.limits.retain(|(_, of)| *of != Some(id));
        Some(Counts {
            tile: &in_hand.tile,
            index,
        })
    }

    /// Puts away what is answered whole, and says of how many tiles.
    pub(super) fn clear(&mut self) -> usize {
        let before = self.in_hand.len();
        self.in_hand.retain(|_, in_hand| in_hand.left > 0);
        before - self.in_hand.len()
    }

    /// A shard, or with `only` left out all that is left of the tile whose ids begin with `first`, has to end until then. Says which are to be told.
    pub(super) fn stop(&mut self, first: u64, only: Option<u64>, limit: Boot) -> Vec<u64> {
        let Some(in_hand) = self.in_hand.get_mut(&first) else {
            return Vec::new();
        };
        let open = (first..)
            .zip(&in_hand.answered)
            .filter(|(_, answered)| !**answered);
        let told = open
            .map(|(id, _)| id)
            .filter(|id| only.is_none_or(|only| only == *id));
        let told: Vec<u64> = told.collect();
        if told.is_empty() {
            return told;
        }
        in_hand.limits.push((limit, only));
        if in_hand.all_told {
            return Vec::new();
        }
        in_hand.all_told = only.is_none();
        told
    }

    /// When the child has to be killed, if what was told to stop does not.
    pub(super) fn limit(&self) -> Option<Boot> {
        let limits = self.in_hand.values().flat_map(|in_hand| &in_hand.limits);
        limits.map(|(limit, _)| *limit).min()
    }

    /// All that it has.
    pub(super) fn tiles(&self) -> impl Iterator<Item = &T> {
        self.in_hand.values().map(|in_hand| &in_hand.tile)
    }

    /// The tile that a shard is of, and which of its shards it is.
    pub(super) fn find(&self, id: u64) -> Option<(&T, usize)> {
        let (first, in_hand) = self.in_hand.range(..=id).next_back()?;
        let index = usize::try_from(id - first).ok()?;
        (!in_hand.answered.get(index)?).then_some((&in_hand.tile, index))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_hand.is_empty()
    }

    /// How many answers belonged to nothing.
    pub(super) fn odd(&self) -> u64 {
        self.odd
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Boot {
        Boot(Duration::from_secs(seconds))
    }

    fn two() -> Desk<char> {
        let mut desk = Desk::default();
        desk.give(1, 3, 'a');
        desk.give(4, 1, 'b');
        desk
    }

    #[test]
    fn slot_is_free_with_the_last_answer_in_whatever_order_they_come() {
        let mut desk = two();
        let free = [3, 1, 4, 2].map(|id| {
            let counts = desk.answer(id).unwrap();
            (*counts.tile, counts.index, desk.clear())
        });
        assert_eq!(free, [('a', 2, 0), ('a', 0, 0), ('b', 0, 1), ('a', 1, 1)]);
        assert!(desk.is_empty() && desk.odd() == 0);
    }

    #[test]
    fn answers_for_what_it_does_not_have_change_nothing() {
        let mut desk = two();
        assert!(desk.answer(2).is_some());
        for id in [2, 0, 5, u64::MAX] {
            assert!(desk.answer(id).is_none(), "{id}");
        }
        assert_eq!((desk.odd(), desk.clear()), (4, 0));
        assert!(desk.answer(4).is_some() && desk.clear() == 1);
        assert!(desk.answer(4).is_none());
    }

    #[test]
    fn limit_of_a_shard_goes_with_its_answer_and_that_of_a_tile_with_the_last() {
        let mut desk = two();
        assert_eq!(desk.limit(), None);
        assert_eq!(desk.stop(1, Some(2), at(9)), [2]);
        assert_eq!(desk.stop(4, None, at(7)), [4]);
        assert_eq!(desk.limit(), Some(at(7)));
        assert!(desk.answer(4).is_some());
        desk.clear();
        assert_eq!(desk.limit(), Some(at(9)));
        assert!(desk.answer(2).is_some());
        assert_eq!(desk.limit(), None);
        assert_eq!(desk.stop(1, None, at(11)), [1, 3]);
        assert!(desk.answer(1).is_some());
        assert_eq!(desk.limit(), Some(at(11)));
    }

    #[test]
    fn what_was_told_is_not_told_again_and_what_was_answered_not_at_all() {
        let mut desk = two();
        assert!(desk.answer(1).is_some());
        assert_eq!(desk.stop(1, None, at(9)), [2, 3]);
        assert!(desk.stop(1, None, at(5)).is_empty());
        assert_eq!(desk.limit(), Some(at(5)));
        assert!(desk.stop(1, Some(1), at(1)).is_empty() && desk.stop(7, None, at(1)).is_empty());
        assert_eq!(desk.limit(), Some(at(5)));
    }
}
