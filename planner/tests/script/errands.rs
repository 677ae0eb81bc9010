//! What a leadership has begun and is not done with: the shell's tasks, as a script sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gridloom_planner::book::Life;
use gridloom_planner::failover::refill::Listing;
use gridloom_planner::lead::action::{Action, Begun, Issue, Order, Ordered};
use gridloom_shared::broker::term::Register;
use gridloom_shared::id::{Fence, QueueName, RunId, Term};
use gridloom_shared::ledger::record::Closed;
use gridloom_shared::tile::Tile;

use super::Told;

/// A record that is to be written to a run's ledger.
pub(super) enum Write {
    Issue(Issue),
    Order(Order),
    Close {
        queue: QueueName,
        closed: Closed,
        expected: u64,
    },
}

/// A wave that stands in the ledger and is on its way to the queue.
pub(super) struct Wave {
    pub(super) issue: Issue,
    pub(super) fence: Fence,
}

/// A comparison of the queue with the ledger.
pub(super) enum Comparison {
    List(Register),
    Ask(Listing, Register),
    Refill(QueueName, Vec<Tile>, Register),
}

#[derive(Default)]
pub(super) struct Errands {
    pub(super) writes: BTreeMap<RunId, Write>,
    pub(super) waves: Vec<Wave>,
    pub(super) comparisons: BTreeMap<RunId, Comparison>,
    pub(super) halts: BTreeSet<RunId>,
    /// Ledger sequences of the waves that are read again.
    pub(super) recalls: BTreeMap<RunId, BTreeSet<u64>>,
    pub(super) loads: BTreeSet<RunId>,
    pub(super) claim: Option<Term>,
    /// In which of their lives runs are that something is under way for; `None`: they are over.
    pub(super) lives: BTreeMap<RunId, Option<Life>>,
    /// What was begun for runs in an earlier life.
    pub(super) earlier: Option<Box<Errands>>,
}

/// As a wave that was decided in the record that opened its run.
fn issue_of(begun: Begun, register: Register) -> Issue {
    Issue {
        run: begun.run,
        lane: begun.lane,
        nonce: begun.nonce,
        opened: begun.sequence,
        wave: Arc::new(begun.wave),
        frozen: begun.frozen,
        traceparent: begun.traceparent,
        expected: 0,
        register,
    }
}

impl Errands {
    /// Begins what an action orders. `Err` when the same is under way already.
    pub(super) fn begin(&mut self, ordered: Ordered) -> Told<()> {
        let Ordered { action, life } = ordered;
        if let Some(run) = action.run() {
            self.live(run, life);
        }
        let (what, twice) = match action {
            Action::Issue(issue) => {
                let run = issue.run.clone();
                let old = self.writes.insert(run, Write::Issue(issue));
                ("a record", old.is_some())
            }
            Action::Begin { runs, register } => {
                for begun in runs {
                    self.live(&begun.run, begun.life);
                    let fence = Fence(begun.sequence);
                    let issue = issue_of(begun, register);
                    self.waves.push(Wave { issue, fence });
                }
                return Ok(());
            }
            Action::Write(order) => {
                let run = order.run.clone();
                let old = self.writes.insert(run, Write::Order(order));
                ("a record", old.is_some())
            }
            Action::Close {
                run,
                queue,
                closed,
                expected,
            } => {
                let close = Write::Close {
                    queue,
                    closed,
                    expected,
                };
                ("a record", self.writes.insert(run, close).is_some())
            }
            Action::List { run, register, .. } => self.compare(run, Comparison::List(register)),
            Action::Ask {
                run,
                listing,
                register,
                ..
            } => self.compare(run, Comparison::Ask(listing, register)),
            Action::Refill {
                run,
                lane,
                tiles,
                register,
            } => self.compare(run, Comparison::Refill(lane.queue, tiles, register)),
            Action::Recall { run, waves, .. } => {
                ("a recall", self.recalls.insert(run, waves).is_some())
            }
            Action::Halt { run, .. } => ("a halt", !self.halts.insert(run)),
            Action::Load { run, .. } => ("a reading", !self.loads.insert(run)),
            Action::Claim(term) => ("a claim", self.claim.replace(term).is_some()),
            Action::Answer { .. } | Action::Bury { .. } | Action::CallWorkers => return Ok(()),
        };
        if twice {
            Err(format!("{what} is under way already"))
        } else {
            Ok(())
        }
    }

    /// A run is in this life: what was begun for it in an earlier one is set apart.
    fn live(&mut self, run: &RunId, life: Option<Life>) {
        let before = self.lives.insert(run.clone(), life);
        let Some(before) = before.filter(|before| *before != life) else {
            return;
        };
        let earlier = self.earlier.get_or_insert_default();
        earlier.lives.insert(run.clone(), before);
        earlier.writes.extend(self.writes.remove_entry(run));
        let comparison = self.comparisons.remove_entry(run);
        earlier.comparisons.extend(comparison);
        earlier.recalls.extend(self.recalls.remove_entry(run));
        earlier.halts.extend(self.halts.take(run));
        let waves = &mut self.waves;
        let waves = waves.extract_if(.., |wave| wave.issue.run == *run);
        earlier.waves.extend(waves);
    }

    fn compare(&mut self, run: RunId, comparison: Comparison) -> (&'static str, bool) {
        (
            "a comparison",
            self.comparisons.insert(run, comparison).is_some(),
        )
    }

    /// Whether something is under way for a run.
    pub(super) fn concern(&self, run: &RunId) -> bool {
        self.writes.contains_key(run)
            || self.waves.iter().any(|wave| wave.issue.run == *run)
            || self.comparisons.contains_key(run)
            || self.halts.contains(run)
            || self.recalls.contains_key(run)
    }

    /// Whether nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
            && self.waves.is_empty()
            && self.comparisons.is_empty()
            && self.halts.is_empty()
            && self.recalls.is_empty()
            && self.loads.is_empty()
            && self.claim.is_none()
    }
}
