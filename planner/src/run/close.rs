//! How a run ends that was not cancelled. Pure, as its parent.

use gridloom_shared::count::{counted, counted_as};
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
        let what = dead(counts.dead, counts.dead_probes);
        Closed {
            state: EndState::Failed,
            error: Some(format!("{what}; the last error: {last}")),
            dead: self.fold.dead_kept(),
            term,
        }
    }
}

/// What is dead, as people read it.
fn dead(shards: u64, probes: u64) -> String {
    match (shards, probes) {
        (shards, 0) => counted_as(shards, "shard is dead", "shards are dead"),
        (0, probes) => counted_as(
            probes,
            "probe is dead, so the pages of its slice are unknown",
            "probes are dead, so the pages of their slices are unknown",
        ),
        (shards, probes) => {
            let (shards, probes) = (counted(shards, "shard"), counted(probes, "probe"));
            format!("{shards} and {probes} are dead")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dead_is_counted_as_everywhere() {
        assert_eq!(dead(1, 0), "1 shard is dead");
        assert_eq!(dead(1_000, 0), "1,000 shards are dead");
        assert!(dead(0, 1).starts_with("1 probe is dead, so the pages of its slice"));
        assert!(dead(0, 1_200).starts_with("1,200 probes are dead, so the pages of their slices"));
        assert_eq!(dead(1_000, 1), "1,000 shards and 1 probe are dead");
    }
}
