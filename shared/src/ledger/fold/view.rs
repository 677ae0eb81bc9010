//! What a fold says of its run.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cell, Counts, FailedCell, Fold, OpenTile, Opening, Slice};
use crate::clock::UnixMs;
use crate::id::RunId;
use crate::ledger::record::Closed;
use crate::quick::QuickMap;
use crate::tile::TileRef;

impl Fold {
    /// The run.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// Its first record; `None` before that.
    pub fn opening(&self) -> Option<&Opening> {
        self.opening.as_ref()
    }

    /// How and when it was closed.
    pub fn closing(&self) -> Option<&(UnixMs, Closed)> {
        self.closing.as_ref()
    }

    /// Ledger sequence up to which records were taken in.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Ledger sequence of the planner's last record: what its next one expects.
    pub fn last_plan(&self) -> u64 {
        self.last_plan
    }

    /// Number of the wave that may be decided next.
    pub fn next_wave(&self) -> u32 {
        self.next_wave
    }

    /// The slices in order.
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// Tiles with a shard that lacks its outcome.
    pub fn open_tiles(&self) -> &QuickMap<TileRef, OpenTile> {
        &self.open
    }

    /// Shards with a counted failure and no success, in order.
    pub fn failed(&self) -> &BTreeMap<Cell, FailedCell> {
        &self.failed
    }

    /// Shards that wait for another attempt, the next due first.
    pub fn retries(&self) -> &BTreeSet<(UnixMs, Cell)> {
        &self.retries
    }

    /// Numbers over the whole run.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Sums of the counters over the shards that count.
    pub fn counters(&self) -> &BTreeMap<String, i128> {
        &self.counters
    }

    /// Until when shards of the run asked for a hold: nothing of its job, or of the resource that the job
    /// names, is to be issued before. A time that has passed holds nothing.
    pub fn hold_until(&self) -> Option<UnixMs> {
        self.hold_until
    }

    /// Whether every cell of the grid has been issued, as far as it can ever be: a slice whose probe
    /// is dead has no more pages.
    pub fn all_issued(&self) -> bool {
        self.opening.is_some()
            && u64::from(self.slices_issued) + self.counts.dead_probes >= self.slices.len() as u64
    }

    /// Whether nothing is left to do or to wait for.
    pub fn complete(&self) -> bool {
        self.all_issued() && self.open.is_empty() && self.retries.is_empty()
    }
}
