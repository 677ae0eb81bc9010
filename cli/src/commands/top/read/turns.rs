//! Whom the leader is asked about next: more runs may be seen that stand still than it is asked about at a time, so they
//! take turns, and what was said of one stays until its next. Pure.

use std::collections::BTreeMap;

use gridloom_shared::id::RunId;
use gridloom_shared::waiting::Waiting;

/// Runs that are asked about at a time.
pub(super) const ASKED: usize = 8;

/// What was said of runs, and when they had their turn.
#[derive(Debug, Default)]
pub(super) struct Turns {
    round: u64,
    said: BTreeMap<RunId, (u64, Vec<Waiting>)>,
}

impl Turns {
    /// Those whose turn it is among the runs that are seen and stand still: the one that is open, then those of which
    /// longest nothing was said. Of all others nothing is remembered.
    pub(super) fn next(&mut self, mut stands: Vec<RunId>, open: Option<&RunId>) -> Vec<RunId> {
        self.round += 1;
        self.said.retain(|run, _| stands.contains(run));
        let last = |run: &RunId| self.said.get(run).map_or(0, |(round, _)| *round);
        stands.sort_by_key(|run| (open != Some(run), last(run)));
        stands.dedup();
        stands.truncate(ASKED);
        stands
    }

    /// What the leader says of those whose turn it was.
    pub(super) fn hear(&mut self, answers: Vec<(RunId, Vec<Waiting>)>) {
        let round = self.round;
        let heard = answers
            .into_iter()
            .map(|(run, waits)| (run, (round, waits)));
        self.said.extend(heard);
    }

    /// What was said of a run last.
    pub(super) fn of(&self, run: &RunId) -> Vec<Waiting> {
        let said = self.said.get(run);
        said.map(|(_, waits)| waits.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(count: u64) -> Vec<RunId> {
        let run = |number| RunId::new(format!("a_s_{number}")).unwrap();
        (1..=count).map(run).collect()
    }

    fn said(turns: &mut Turns, runs: Vec<RunId>) {
        let answers = runs.into_iter().map(|run| (run, vec![Waiting::NoRoom {}]));
        turns.hear(answers.collect());
    }

    #[test]
    fn each_run_that_is_seen_has_its_turn_and_what_was_said_of_it_stays() {
        let (mut turns, all) = (Turns::default(), runs(20));
        for _ in 0..3 {
            let next = turns.next(all.clone(), None);
            assert_eq!(next.len(), ASKED);
            said(&mut turns, next);
        }
        assert!(all.iter().all(|run| turns.of(run) == [Waiting::NoRoom {}]));
    }

    #[test]
    fn run_that_is_open_has_each_turn_and_once() {
        let (mut turns, all) = (Turns::default(), runs(20));
        let open = all[15].clone();
        for _ in 0..4 {
            let seen = [vec![open.clone()], all.clone()].concat();
            let next = turns.next(seen, Some(&open));
            assert_eq!(next[0], open);
            assert_eq!(next.iter().filter(|run| **run == open).count(), 1);
            said(&mut turns, next);
        }
    }

    #[test]
    fn nothing_is_kept_of_a_run_that_goes_on() {
        let (mut turns, all) = (Turns::default(), runs(2));
        let next = turns.next(all.clone(), None);
        said(&mut turns, next);
        turns.next(all[..1].to_vec(), None);
        assert!(turns.of(&all[1]).is_empty());
    }
}
