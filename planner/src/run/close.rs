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
                dead: 0,
                term,
            };
        }
        let last = self.fold.dead().next_back().map_or("", |dead| dead.error);
        let what = match (counts.dead, counts.dead_probes) {
            (1, 0) => "1 shard is dead".to_owned(),
            (dead, 0) => format!("{dead} shards are dead"),
            (0, 1) => "1 probe is dead, so the pages of its slice are unknown".to_owned(),
            (0, probes) => {
                format!("{probes} probes are dead, so the pages of their slices are unknown")
            }
            (dead, probes) => {
                let s = |count| if count == 1 { "" } else { "s" };
                format!(
                    "{dead} shard{} and {probes} probe{} are dead",
                    s(dead),
                    s(probes)
                )
            }
        };
        Closed {
            state: EndState::Failed,
            error: Some(format!("{what}; the last error: {last}")),
            dead: self.fold.dead_kept(),
            term,
        }
    }
}
