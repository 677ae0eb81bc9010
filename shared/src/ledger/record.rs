//! What may be written to the ledger of a run, and by whom: one subject an author (docs/PROTOCOL.md §1).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::id::{Fence, Nonce, Session, Term};
use crate::job::JobSpec;
use crate::ledger::orders::{Cancelled, Dropped, Reopened};
use crate::tile::{Bounds, Key, Tile, TileKind, TileRef};
use crate::wire::{self, WireError};

pub use crate::limits::{PROBE_PAGES_MAX, WAVE_TILES_MAX};

/// Which of a run's three subjects a record stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Author {
    /// The planner's decisions, under compare-and-swap.
    Plan,
    /// What workers report.
    Work,
    /// Takeovers, which every worker hears.
    Takeover,
}

impl Author {
    /// The last token of the subject.
    pub fn as_str(self) -> &'static str {
        match self {
            Author::Plan => "plan",
            Author::Work => "work",
            Author::Takeover => "takeover",
        }
    }

    /// The author whose last token `text` is.
    pub fn parse(text: &str) -> Option<Author> {
        [Author::Plan, Author::Work, Author::Takeover]
            .into_iter()
            .find(|author| author.as_str() == text)
    }
}

/// A record of any of the three subjects.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// From `….plan`.
    Plan(PlanRecord),
    /// From `….work`.
    Work(WorkRecord),
    /// From `….takeover`.
    Takeover(Takeover),
}

impl Record {
    /// Reads the bytes that stood on `author`'s subject.
    pub fn decode(author: Author, bytes: &[u8]) -> Result<Record, WireError> {
        Ok(match author {
            Author::Plan => Record::Plan(wire::decode(bytes)?),
            Author::Work => Record::Work(wire::decode(bytes)?),
            Author::Takeover => Record::Takeover(wire::decode(bytes)?),
        })
    }
}

/// What a planner decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanRecord {
    /// The run exists. Always its first record.
    Opened(Box<Opened>),
    /// Tiles were issued.
    Wave(Wave),
    /// The run is over.
    Closed(Closed),
    /// Nothing more is issued; the run is closed soon.
    Cancelled(Cancelled),
    /// The run goes on, and dead shards have further attempts.
    Reopened(Reopened),
    /// Dead shards were given up.
    Dropped(Dropped),
}

impl PlanRecord {
    /// Whether a run is over whose last planner record this is.
    pub fn is_end(&self) -> bool {
        match self {
            PlanRecord::Closed(_) => true,
            PlanRecord::Dropped(dropped) => dropped.closed,
            PlanRecord::Opened(_)
            | PlanRecord::Wave(_)
            | PlanRecord::Cancelled(_)
            | PlanRecord::Reopened(_) => false,
        }
    }
}

/// The first record of a run: everything about it that never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// Tells this run from an earlier one with the same id that was purged.
    pub nonce: Nonce,
    /// The job as it stood, with the submission's own parameters and grid in it.
    pub job: JobSpec,
    /// The time it was meant for: the submission's arrival, or the fire's scheduled time.
    pub scheduled_at: UnixMs,
    /// Hash of what was submitted; the same run id with another hash is a conflict.
    pub content: u64,
    /// The term of the planner that opened it.
    pub term: Term,
}

/// What the planner issues at once. It holds all that its tiles hold, so a refill needs nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wave {
    /// Number of the wave, from 0 without gaps.
    pub n: u32,
    /// Ledger sequence up to which its decider had read.
    pub folded: u64,
    /// The decider's term.
    pub term: Term,
    /// Its tiles, run-length coded, in the order of their indexes.
    pub tiles: Vec<TileRun>,
}

/// Consecutive tiles of one slice with the same number of pages and the same attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TileRun {
    /// What kind of work.
    #[serde(default)]
    pub kind: TileKind,
    /// Row of the grid.
    pub slice: u32,
    /// First page of the first tile.
    pub first: u32,
    /// Pages of each tile.
    pub pages: u32,
    /// How many tiles.
    pub tiles: u32,
    /// Attempt that all of them carry.
    pub attempt: u32,
    /// Bounds of each page in order; empty where pages are counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<Bounds>,
    /// For a probe: the cursor of the slice's previous probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Key>,
}

impl Wave {
    /// How many tiles it has.
    pub fn len(&self) -> usize {
        self.tiles.iter().map(|run| run.tiles as usize).sum()
    }

    /// Whether it has no tiles. A wave that is written has some.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its tiles as queue messages. `fence` is the wave's own ledger sequence, `opened` that of the
    /// run's first record; `again` marks a refill.
    pub fn expand<'a>(
        &'a self,
        run: &'a crate::id::RunId,
        nonce: Nonce,
        fence: Fence,
        opened: u64,
        again: Again,
    ) -> impl Iterator<Item = Tile> + 'a {
        let cells = self
            .tiles
            .iter()
            .flat_map(|tiles| (0..tiles.tiles).map(move |n| (tiles, n)));
        cells.zip(0_u32..).map(move |((tiles, n), index)| Tile {
            kind: tiles.kind,
            run: run.clone(),
            nonce,
            wave: self.n,
            index,
            slice: tiles.slice,
            first: tiles.first + n * tiles.pages,
            pages: tiles.pages,
            attempt: tiles.attempt,
            fence,
            folded: self.folded,
            opened,
            again: again == Again::Yes,
            bounds: tiles.bounds_of(n).to_vec(),
            after: tiles.after.clone(),
            frozen: None,
        })
    }
}

impl TileRun {
    /// Bounds of the pages of its `n`-th tile; empty where pages are counted.
    pub fn bounds_of(&self, n: u32) -> &[Bounds] {
        let from = n as usize * self.pages as usize;
        self.bounds
            .get(from..from + self.pages as usize)
            .unwrap_or(&[])
    }
}

/// Whether tiles are published for the first time, by the leader that decided them in its own term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// The first publishing.
    No,
    /// A refill, or a predecessor's decision: another copy may have been delivered.
    Yes,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndState {
    /// Every shard is committed.
    Succeeded,
    /// A shard is dead, or the run could not be planned.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// The last record of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    /// How it ended.
    pub state: EndState,
    /// Why, where it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The decider's term.
    pub term: Term,
}

/// What a worker reports. `session` and `number` tell a repeated append from a new one: it counts
/// once, at its first position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkRecord {
    /// Outcomes of attempts, packed (see [`super::outcomes`]).
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
    /// At most [`PROBE_PAGES_MAX`] pages.
    pub pages: Vec<Bounds>,
    /// Where the next probe goes on; `None`: the slice is known to its end.
    pub cursor: Option<Key>,
}

/// Why a worker could not be certain that a delivery was the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// The delivery count was above 1. The only reason that suggests a crash.
    Count,
    /// The message was stored before the broker or its consumer began anew.
    Floor,
    /// The message is a refill.
    Again,
    /// It had been handed back.
    Returned,
}

/// A worker's record that it now holds tiles which another may have held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Takeover {
    /// The author.
    pub session: Session,
    /// The author's number of this record.
    pub number: u64,
    /// The tiles.
    pub tiles: Vec<TileRef>,
    /// Why.
    pub reason: Reason,
}
