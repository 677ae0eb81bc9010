//! Whether a planner can work, for `/ready`: it is connected, and whoever reads the ledger here has
//! heard of it lately. The broker says every few seconds that nothing is new.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::Term;

/// A planner that has heard nothing of the ledger for so long does not work: the broker's own sign that
/// nothing is new comes five times as often.
const SILENCE: Duration = Duration::from_secs(15);

/// When the ledger was last heard of, as leader or standby.
#[derive(Clone, Debug)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// Now.
    pub(super) fn beat(&self) {
        self.0.store(millis(Boot::now()), Ordering::Relaxed);
    }

    fn age(&self, now: Boot) -> Duration {
        let last = self.0.load(Ordering::Relaxed);
        Duration::from_millis(millis(now).saturating_sub(last))
    }
}

fn millis(at: Boot) -> u64 {
    u64::try_from(at.0.as_millis()).unwrap_or(u64::MAX)
}

/// Whether the planner can work.
#[derive(Clone, Debug)]
pub struct Health {
    broker: Broker,
    term: Arc<AtomicU64>,
    pulse: Pulse,
}

impl Health {
    pub(super) fn new(broker: Broker) -> Health {
        let pulse = Pulse(Arc::default());
        pulse.beat();
        Health {
            broker,
            term: Arc::default(),
            pulse,
        }
    }

    pub(super) fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    pub(super) fn leads_under(&self, term: Option<Term>) {
        self.term
            .store(term.map_or(0, |term| term.0), Ordering::Relaxed);
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
        let silent = self.pulse.age(Boot::now());
        if silent > SILENCE {
            return Err(format!(
                "nothing was heard of the ledger for {} s: the planner does not follow it",
                silent.as_secs()
            ));
        }
        Ok(())
    }
}
