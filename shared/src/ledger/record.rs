//! What may be written to the ledger of a run, and by whom: one subject an author (docs/PROTOCOL.md §1).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::wire::{self, WireError};

mod opened;
pub mod orders;
pub mod retired;
mod takeover;
mod wave;
mod work;

pub use crate::limits::{PROBE_PAGES_MAX, WAVE_TILES_MAX};
pub use opened::Opened;
pub use orders::{Cancelled, Closed, Dropped, EndState, Reopened};
pub use retired::{Forgotten, Retired};
pub use takeover::{Reason, Takeover};
pub use wave::{Again, TileRun, Wave, count};
pub use work::{Probed, WorkRecord};

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
    /// The run is over for good, and is purged.
    Retired(Retired),
    /// Its id is free.
    Forgotten(Forgotten),
}

impl PlanRecord {
    /// The wave that it decides, if it does; `sequence` is its own.
    pub fn wave(&self, sequence: u64) -> Option<Cow<'_, Wave>> {
        match self {
            PlanRecord::Wave(wave) => Some(Cow::Borrowed(wave)),
            PlanRecord::Opened(opened) => opened.wave(sequence).map(Cow::Owned),
            PlanRecord::Closed(_)
            | PlanRecord::Cancelled(_)
            | PlanRecord::Reopened(_)
            | PlanRecord::Dropped(_)
            | PlanRecord::Retired(_)
            | PlanRecord::Forgotten(_) => None,
        }
    }

    /// Dead shards and questions that nobody gave up, of a run whose last planner record this is.
    pub fn dead_left(&self) -> u64 {
        match self {
            PlanRecord::Closed(closed) => closed.dead,
            PlanRecord::Dropped(dropped) => dropped.left,
            PlanRecord::Retired(retired) => retired.dead,
            PlanRecord::Opened(_)
            | PlanRecord::Wave(_)
            | PlanRecord::Cancelled(_)
            | PlanRecord::Reopened(_)
            | PlanRecord::Forgotten(_) => 0,
        }
    }

    /// Whether a run is over whose last planner record this is.
    pub fn is_end(&self) -> bool {
        match self {
            PlanRecord::Closed(_) | PlanRecord::Retired(_) | PlanRecord::Forgotten(_) => true,
            PlanRecord::Dropped(dropped) => dropped.closed,
            PlanRecord::Opened(_)
            | PlanRecord::Wave(_)
            | PlanRecord::Cancelled(_)
            | PlanRecord::Reopened(_) => false,
        }
    }
}

wire::coded!(PlanRecord);
