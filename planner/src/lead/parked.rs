//! Runs whose tiles found no room on the queue, or would look for it while another run does. Pure.
//!
//! What each of them would do is dear: the queue is listed, workers are asked, and the broker refuses. Of small runs
//! thousands may wait. So one tries again, and once it has found room, or has given up for now, a few others follow.

use std::collections::BTreeSet;
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::id::RunId;

/// So many go on at once.
const FEW: usize = 32;
/// How long after each other. A refusal is known within that, unless the broker has much to do.
const AFTER: Duration = Duration::from_millis(100);

/// The runs that wait.
#[derive(Debug)]
pub(super) struct Parked {
    runs: BTreeSet<RunId>,
    since: Boot,
}

impl Parked {
    /// None.
    pub(super) fn new(now: Boot) -> Parked {
        Parked {
            runs: BTreeSet::new(),
            since: now,
        }
    }

    /// A run waits.
    pub(super) fn add(&mut self, run: RunId) {
        self.runs.insert(run);
    }

    /// Whether a run does.
    pub(super) fn contains(&self, run: &RunId) -> bool {
        self.runs.contains(run)
    }

    /// It is over.
    pub(super) fn remove(&mut self, run: &RunId) {
        self.runs.remove(run);
    }

    /// Those that may go on now.
    pub(super) fn due(&mut self, now: Boot) -> Vec<RunId> {
        if self.runs.is_empty() || now.since(self.since) < AFTER {
            return Vec::new();
        }
        self.since = now;
        let few = (0..FEW).map_while(|_| self.runs.pop_first());
        few.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_go_on_at_once_and_all_of_them_in_the_end() {
        let at = |ms| Boot(Duration::from_millis(ms));
        let mut parked = Parked::new(at(0));
        let run = |n: u32| RunId::new(format!("a_s_{n}")).unwrap();
        (0..40).for_each(|n| parked.add(run(n)));
        parked.remove(&run(7));
        assert!(parked.contains(&run(8)) && !parked.contains(&run(7)));
        assert!(parked.due(at(99)).is_empty());
        assert_eq!(parked.due(at(100)).len(), FEW);
        assert!(parked.due(at(199)).is_empty());
        assert_eq!(parked.due(at(200)).len(), 39 - FEW);
        assert!(parked.due(at(900)).is_empty());
    }
}
