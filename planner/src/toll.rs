//! What runs have cost since it was told last, from the sums that workers announce. Pure.
//!
//! What a worker had spent before this planner first heard of it is nobody's affair: it was charged by
//! another leader, or not at all.

use std::collections::HashMap;
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::id::{RunId, Session};
use gridloom_shared::limits::{COSTS_MAX, TOLLS_MAX, WORKERS_MAX};
use gridloom_shared::presence::{Presence, Toll};

/// A worker that says nothing for so long is forgotten.
const SILENCE: Duration = Duration::from_secs(30);

/// What one run has cost one worker since it was told last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The run.
    pub run: RunId,
    /// Shards.
    pub shards: u64,
    /// Time that slots were busy with them.
    pub busy: Duration,
}

#[derive(Debug)]
struct Told {
    at: Boot,
    sums: HashMap<RunId, (u64, u64)>,
}

/// The sums of all workers.
#[derive(Debug, Default)]
pub struct Tolls {
    workers: HashMap<Session, Told>,
}

impl Tolls {
    /// A worker announced itself. Returns what its runs have cost since it did so last.
    pub fn heard(&mut self, presence: &Presence, now: Boot) -> Vec<Cost> {
        if presence.gone {
            self.workers.remove(&presence.session);
            return Vec::new();
        }
        let known = self.workers.contains_key(&presence.session);
        if !known {
            self.workers.retain(|_, told| now.since(told.at) < SILENCE);
            if self.workers.len() >= WORKERS_MAX {
                return Vec::new();
            }
        }
        let told = self.workers.entry(presence.session).or_insert(Told {
            at: now,
            sums: HashMap::new(),
        });
        told.at = now;
        if told.sums.len() > COSTS_MAX {
            told.sums.clear();
            return Vec::new();
        }
        let tolls = presence.tolls.iter().take(TOLLS_MAX);
        let costs = tolls.filter_map(|toll| told.cost(toll));
        let costs: Vec<Cost> = costs.collect();
        if known { costs } else { Vec::new() }
    }
}

impl Told {
    fn cost(&mut self, toll: &Toll) -> Option<Cost> {
        let sums = (toll.shards, toll.busy_us);
        let before = self.sums.insert(toll.run.clone(), sums).unwrap_or_default();
        // A worker that has forgotten the run meanwhile begins anew.
        let before = if sums.0 < before.0 { (0, 0) } else { before };
        let shards = sums.0 - before.0;
        (shards > 0).then(|| Cost {
            run: toll.run.clone(),
            shards,
            busy: Duration::from_micros(sums.1.saturating_sub(before.1)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up;

    fn presence(tolls: &[(u64, u64)]) -> Presence {
        let tolls = tolls.iter().map(|(shards, busy_us)| Toll {
            run: RunId::new("a_s_1").unwrap(),
            shards: *shards,
            busy_us: *busy_us,
        });
        Presence {
            tolls: tolls.collect(),
            ..made_up::presence(1)
        }
    }

    #[test]
    fn what_was_spent_before_the_first_word_is_nobodys_affair() {
        let mut tolls = Tolls::default();
        let now = Boot(Duration::ZERO);
        let mut heard = |sums: &[(u64, u64)]| {
            let costs = tolls.heard(&presence(sums), now);
            costs
                .iter()
                .map(|cost| (cost.shards, cost.busy.as_micros()))
                .collect::<Vec<_>>()
        };
        assert_eq!(heard(&[(100, 5_000)]), []);
        assert_eq!(heard(&[(130, 6_000)]), [(30, 1_000)]);
        assert_eq!(heard(&[]), []);
        assert_eq!(heard(&[(130, 6_000)]), []);
        // It had forgotten the run.
        assert_eq!(heard(&[(7, 70)]), [(7, 70)]);
    }
    #[test]
    fn workers_beyond_those_that_a_planner_knows_are_not_kept() {
        let mut tolls = Tolls::default();
        let now = Boot(Duration::ZERO);
        for session in 0..WORKERS_MAX as u64 + 5 {
            tolls.heard(&made_up::presence(session), now);
        }
        assert_eq!(tolls.workers.len(), WORKERS_MAX);
        tolls.heard(&made_up::presence(u64::MAX), now + SILENCE);
        assert_eq!(tolls.workers.len(), 1);
    }
}
