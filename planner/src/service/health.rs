//! Whether a planner can work, for `/ready`: it is connected, its loop goes round, and whoever reads the ledger
//! here (the leader's feed, or a standby that has folded it) has heard of it lately.
//!
//! A planner that takes the leadership over is not ready once that takes longer than [`ROUND`]: it does not act
//! yet, and its loop stands still meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::Term;
use gridloom_shared::telemetry::Health as _;

use super::error::TakeError;
use super::odd::Odd;
use crate::faults::Faults;
use crate::pulse::Pulse;

/// A loop that has not gone round for so long stands still: it does so forty times a second.
const ROUND: Duration = Duration::from_secs(5);
/// A planner that has heard nothing of the ledger for so long does not follow it: the broker says every two
/// seconds that nothing is new, and a tail that hears nothing for six attaches itself again.
const SILENCE: Duration = Duration::from_secs(8);

/// Whether the planner can work.
#[derive(Clone, Debug)]
pub struct Health {
    broker: Broker,
    term: Arc<AtomicU64>,
    rounds: Pulse,
    ledger: Pulse,
    /// Why the leadership could not be taken the last time; empty once it was.
    untaken: Arc<Mutex<String>>,
    odd: Odd,
    /// What the API finds wrong with its files, where there is one.
    files: Arc<OnceLock<Faults>>,
}

impl Health {
    pub(super) fn new(broker: Broker) -> Health {
        Health {
            broker,
            term: Arc::default(),
            rounds: Pulse::default(),
            ledger: Pulse::default(),
            untaken: Arc::default(),
            odd: Odd::default(),
            files: Arc::default(),
        }
    }

    /// For whoever reads what workers write.
    pub(super) fn odd(&self) -> Odd {
        self.odd.clone()
    }

    /// The leadership could not be taken.
    pub(super) fn failed_to_take(&self, error: &TakeError) {
        let why = format!("failed to take the leadership: {}", chain(error));
        *self.untaken.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// It was taken.
    pub(super) fn took(&self) {
        let mut untaken = self.untaken.lock().unwrap_or_else(PoisonError::into_inner);
        untaken.clear();
    }

    /// What keeps it from working, or kept it from leading when it should have: empty if nothing does.
    pub(super) fn trouble(&self) -> String {
        if let Err(why) = self.ready() {
            return why;
        }
        if let Some(what) = self.broker.refused() {
            return format!("the broker refuses it something: {what}");
        }
        let untaken = self.untaken.lock().unwrap_or_else(PoisonError::into_inner);
        match self.broker.newer() {
            Some(newer) if untaken.is_empty() => newer.told(),
            _ => untaken.clone(),
        }
    }

    /// The API tells of its files by that.
    pub(crate) fn hears_of(&self, files: Faults) {
        let _ = self.files.set(files);
    }

    /// What is wrong with files of the API's: empty if nothing is.
    pub(super) fn files(&self) -> String {
        self.files.get().map(Faults::told).unwrap_or_default()
    }

    /// For whoever reads the ledger.
    pub(super) fn ledger(&self) -> Pulse {
        self.ledger.clone()
    }

    /// The loop has gone round, under `term` if this planner leads.
    pub(super) fn round(&self, term: Option<Term>) {
        self.term
            .store(term.map_or(0, |term| term.0), Ordering::Relaxed);
        self.rounds.beat();
    }

    /// The loop is gone.
    pub(super) fn over(&self) {
        self.term.store(0, Ordering::Relaxed);
        self.rounds.still();
    }

    /// The term under which this planner leads; `None` for a standby.
    pub fn leads(&self) -> Option<Term> {
        let term = self.term.load(Ordering::Relaxed);
        (term > 0).then_some(Term(term))
    }
}

impl gridloom_shared::telemetry::Health for Health {
    fn ready(&self) -> Result<(), String> {
        if !self.broker.is_connected() {
            return Err("the broker is not connected".into());
        }
        let now = Boot::now();
        judge(self.rounds.age(now), self.ledger.age(now))
    }
}

/// What the ages of both pulses say.
fn judge(rounds: Option<Duration>, ledger: Option<Duration>) -> Result<(), String> {
    match (rounds, ledger) {
        (None, _) => Err("the planner's loop does not run".into()),
        (Some(age), _) if age > ROUND => Err(format!(
            "the planner's loop has not gone round for {} s: it hangs, or takes the leadership over",
            age.as_secs()
        )),
        (_, None) => Err("the ledger is not read yet".into()),
        (_, Some(age)) if age > SILENCE => Err(format!(
            "nothing was heard of the ledger for {} s: the planner does not follow it",
            age.as_secs()
        )),
        (Some(_), Some(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_go_round_is_not_ready_whatever_is_heard_of_the_ledger() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert!(judge(seconds(5), seconds(8)).is_ok());
        assert!(judge(seconds(6), seconds(0)).is_err());
        assert!(judge(None, seconds(0)).is_err());
        assert!(judge(seconds(0), seconds(9)).is_err());
        assert!(judge(seconds(0), None).is_err());
    }
}
