//! What workers report of attempts.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::{Fence, Session};
use crate::tile::{Bounds, Key, TileRef};
use crate::wire;

/// What a worker reports. `session` and `number` tell a repeated append from a new one: it counts
/// once, at its first position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkRecord {
    /// Outcomes of attempts, packed (see [`crate::ledger::outcomes`]).
    Outcomes {
        /// The author.
        session: Session,
        /// The author's number of this record.
        number: u64,
        /// The packed block.
        block: Bytes,
    },
    /// A probe's success: the pages that it found.
    Probed(Probed),
    /// A shard is about to be executed alone, after its tile was taken over (docs/PROTOCOL.md §5).
    Started {
        /// The author.
        session: Session,
        /// The author's number of this record.
        number: u64,
        /// The tile.
        tile: TileRef,
        /// The page.
        page: u32,
        /// The fence under which it is held.
        fence: Fence,
    },
    /// Tiles were handed back, or lost alive, without an outcome.
    Returned {
        /// The author.
        session: Session,
        /// The author's number of this record.
        number: u64,
        /// The tiles.
        tiles: Vec<TileRef>,
    },
}

impl WorkRecord {
    /// Who wrote it, and the author's number of it.
    pub fn signature(&self) -> (Session, u64) {
        match self {
            WorkRecord::Outcomes {
                session, number, ..
            }
            | WorkRecord::Started {
                session, number, ..
            }
            | WorkRecord::Returned {
                session, number, ..
            }
            | WorkRecord::Probed(Probed {
                session, number, ..
            }) => (*session, *number),
        }
    }
}

/// The pages that a probe found, in key order, after those that earlier probes of the slice found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    /// The author.
    pub session: Session,
    /// The author's number of this record.
    pub number: u64,
    /// The probe's tile.
    pub tile: TileRef,
    /// The fence under which it was held.
    pub fence: Fence,
    /// The slice.
    pub slice: u32,
    /// Number of the question, from 0.
    pub probe: u32,
    /// At most [`PROBE_PAGES_MAX`](crate::limits::PROBE_PAGES_MAX) pages.
    pub pages: Vec<Bounds>,
    /// Where the next probe goes on; `None`: the slice is known to its end.
    pub cursor: Option<Key>,
}

wire::reported!(WorkRecord);
