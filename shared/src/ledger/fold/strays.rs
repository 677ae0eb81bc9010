//! Which open tiles hold pages of which a record tells that names another tile: looked for once a
//! record, however many such entries it has.

use std::collections::HashMap;

use super::Fold;
use crate::tile::{TileKind, TileRef};

/// Where open tiles of each slice begin, in order.
type Starts = HashMap<(TileKind, u32), Vec<(u64, TileRef)>>;

/// The open tiles by their pages, once they are asked for. While it is used no tile is issued.
#[derive(Default)]
pub(super) struct Strays {
    /// With it the length of the longest tile.
    sorted: Option<(Starts, u64)>,
}

impl Strays {
    /// Tiles of the slice that may have pages of `part` left.
    pub(super) fn near(
        &mut self,
        fold: &Fold,
        (kind, slice): (TileKind, u32),
        part: &std::ops::Range<u64>,
    ) -> Vec<TileRef> {
        let (by_slice, longest) = self.sorted.get_or_insert_with(|| sorted(fold));
        let Some(starts) = by_slice.get(&(kind, slice)) else {
            return Vec::new();
        };
        let from = starts.partition_point(|(first, _)| first + *longest <= part.start);
        let near = starts[from..].iter();
        near.take_while(|(first, _)| *first < part.end)
            .map(|(_, place)| *place)
            .collect()
    }
}

fn sorted(fold: &Fold) -> (Starts, u64) {
    let mut by_slice = Starts::new();
    let mut longest = 0;
    for (place, tile) in &fold.open {
        longest = longest.max(u64::from(tile.pages));
        let starts = by_slice.entry((tile.kind, tile.slice)).or_default();
        starts.push((u64::from(tile.first), *place));
    }
    by_slice
        .values_mut()
        .for_each(|starts| starts.sort_unstable());
    (by_slice, longest)
}
