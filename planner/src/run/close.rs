//! How a run ends that was not cancelled. Pure, as its parent.

use gridloom_shared::id::Term;
use gridloom_shared::ledger::record::{Closed, EndState};

use super::Run;

impl Run {
    /// The last record of a run of which nothing is left to do.
    pub(super) fn end(&self, term: Term) -> Closed {
        let counts = self.fold.counts();
        if counts.dead + counts.dead_probes == 0 {
            return Closed {
                state: EndState::Succeeded,
                error: None,
                term,
            };
        }
        let error = self.fold.dead().next_back().map_or("", |dead| dead.error);
        let what = match (counts.dead, counts.dead_probes) {
            (dead, 0) => format!("{dead} shards are dead"),
            (0, probes) => {
                format!("{probes} probes are dead, so the pages of their slices are unknown")
            }
            (dead, probes) => format!("{dead} shards and {probes} probes are dead"),
        };
        Closed {
            state: EndState::Failed,
            error: Some(format!("{what}; the last error: {error}")),
            term,
        }
    }
}
