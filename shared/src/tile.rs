//! What one queue message carries: a slice and a run of consecutive pages, and under which wave.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::id::{Fence, Nonce, RunId};
use crate::wire::{self, Versions, Wire, WireError};

mod cell;
mod plain;

pub use cell::CellError;

/// What kind of work a tile is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TileKind {
    /// Cells of the grid.
    #[default]
    Page,
    /// A question to the handler: which pages does this slice have? Its "page" is the number of the
    /// question, from 0 for each slice.
    Probe,
}

/// One value of the key that bounds pages.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Key {
    /// An integer key.
    Int(i64),
    /// A text key, at most [`KEY_MAX`] bytes.
    Text(String),
}

pub use crate::limits::KEY_MAX;

/// The first and the last key of a page, both inside it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bounds(pub Key, pub Key);

impl Bounds {
    /// About what they take in a record, in bytes: never less than they do.
    pub fn cost(&self) -> usize {
        1 + self.0.cost() + self.1.cost()
    }
}

impl Key {
    /// As [`Bounds::cost`].
    pub fn cost(&self) -> usize {
        match self {
            Key::Int(_) => 9,
            Key::Text(text) => text.len() + 5,
        }
    }
}

/// A tile's place: which wave issued it, and where in that wave it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TileRef {
    /// Number of the wave in its run, from 0.
    pub wave: u32,
    /// Place in the wave, from 0.
    pub index: u32,
}

/// One shard, or one question of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell {
    /// What kind of work.
    pub kind: TileKind,
    /// Row of the grid.
    pub slice: u32,
    /// Page, or number of the question.
    pub page: u32,
}

/// One queue message. All its shards carry the same attempt number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tile {
    /// What kind of work.
    #[serde(default, skip_serializing_if = "is_default")]
    pub kind: TileKind,
    /// The run.
    pub run: RunId,
    /// The run's nonce, from its `opened` record.
    pub nonce: Nonce,
    /// Number of the wave in its run, from 0.
    pub wave: u32,
    /// Place in the wave, from 0.
    pub index: u32,
    /// Row of the grid.
    pub slice: u32,
    /// First page (for a probe: the number of the question).
    pub first: u32,
    /// How many pages; at least 1.
    pub pages: u32,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Ledger sequence of the wave.
    pub fence: Fence,
    /// Ledger sequence up to which the wave's decider had read.
    pub folded: u64,
    /// Ledger sequence of the run's `opened` record, where the frozen job stands.
    pub opened: u64,
    /// Whether this message is a refill, so that another of the same tile may have been delivered.
    #[serde(default, skip_serializing_if = "is_default")]
    pub again: bool,
    /// The pages' bounds, one a page; empty where pages are counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<Bounds>,
    /// For a probe: the cursor that the slice's previous probe returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Key>,
    /// The run's `opened` record, as it stands in the ledger. In the tiles of a small run's first wave:
    /// so its first shards wait for one round trip less. Left out elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Bytes>,
}

impl Wire for Tile {
    fn to_bytes(&self, space: &mut BytesMut) -> Bytes {
        let by_hand = Versions::own().writes == plain::VERSION;
        match by_hand.then(|| plain::encode_plain(self, space)).flatten() {
            Some(()) => space.split().freeze(),
            None => wire::encode_any(self, space),
        }
    }

    fn from_bytes(bytes: &[u8]) -> Result<Tile, WireError> {
        Tile::read(bytes, None)
    }
}

impl Tile {
    /// The tile inside `bytes`, as [`wire::decode`] reads it. One of run `like` shares that id: most
    /// tiles are of the same run as the one before.
    ///
    /// # Errors
    /// When the bytes are none of a tile.
    pub fn read(bytes: &[u8], like: Option<&RunId>) -> Result<Tile, WireError> {
        plain::decode_plain(bytes, like).map_or_else(|| wire::decode_any(bytes), Ok)
    }

    /// The tile's place.
    pub fn place(&self) -> TileRef {
        TileRef {
            wave: self.wave,
            index: self.index,
        }
    }

    /// The pages as a half-open range.
    pub fn range(&self) -> Range<u64> {
        u64::from(self.first)..u64::from(self.first) + u64::from(self.pages)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile() -> Tile {
        Tile {
            kind: TileKind::Page,
            run: RunId::new("sum_s_7").unwrap(),
            nonce: Nonce(9),
            wave: 1,
            index: 2,
            slice: 3,
            first: 4,
            pages: 5,
            attempt: 1,
            fence: Fence(600),
            folded: 599,
            opened: 598,
            again: false,
            bounds: Vec::new(),
            after: None,
            frozen: None,
        }
    }

    #[test]
    fn golden_bytes_of_a_tile() {
        let bytes = wire::encode(&tile());
        assert_eq!(bytes.escape_ascii().to_string(), GOLDEN);
        assert_eq!(wire::decode::<Tile>(&bytes), Ok(tile()));
    }

    const GOLDEN: &str = r"\x82\xa1v\x01\xa4body\x8b\xa3run\xa7sum_s_7\xa5nonce\t\xa4wave\x01\xa5index\x02\xa5slice\x03\xa5first\x04\xa5pages\x05\xa7attempt\x01\xa5fence\xcd\x02X\xa6folded\xcd\x02W\xa6opened\xcd\x02V";

    #[test]
    fn bounds_and_refill_mark_survive_the_wire() {
        let mut full = tile();
        full.again = true;
        full.kind = TileKind::Probe;
        full.bounds = vec![Bounds(Key::Int(-1), Key::Text("z".into()))];
        full.after = Some(Key::Int(i64::MAX));
        full.frozen = Some(Bytes::from_static(b"\0record"));
        assert_eq!(wire::decode::<Tile>(&wire::encode(&full)), Ok(full));
    }
}
