//! Numbers over a whole run.

use crate::tile::TileKind;

/// Numbers over a whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Shards that waves have issued, each once.
    pub planned: u64,
    /// Shards with a success.
    pub done: u64,
    /// Shards without a success whose attempts are used up.
    pub dead: u64,
    /// Probes that are dead.
    pub dead_probes: u64,
    /// Failed attempts that count.
    pub failures: u64,
    /// Failed attempts that count and asked for a hold: they use up no attempt.
    pub held: u64,
    /// Successes after the first of their shard.
    pub late: u64,
    /// Shards issued again after a failed attempt, each time.
    pub retried: u64,
    /// Shards without an outcome in tiles that were taken over, each time; not those that were claimed with care
    /// because the broker or its consumer was new.
    pub taken_over: u64,
    /// Outcomes and records that were never asked for.
    pub unexpected: u64,
    /// Tiles that waves have issued.
    pub tiles_issued: u64,
    /// Tiles whose every shard has an outcome.
    pub tiles_closed: u64,
}

impl Counts {
    pub(super) fn count_dead(&mut self, kind: TileKind, cells: u64) {
        match kind {
            TileKind::Page => self.dead += cells,
            TileKind::Probe => self.dead_probes += cells,
        }
    }

    pub(super) fn uncount_dead(&mut self, kind: TileKind, cells: u64) {
        match kind {
            TileKind::Page => self.dead = self.dead.saturating_sub(cells),
            TileKind::Probe => self.dead_probes = self.dead_probes.saturating_sub(cells),
        }
    }
}
