//! Who leads, and until when (docs/PROTOCOL.md §7).
//!
//! The lease is one value under compare-and-swap, without expiry on the broker. Nothing here is a
//! matter of safety: a leader that is deposed and does not know it is fenced by the term register.
//!
//! | state | lease seen unchanged for 3 s, free or missing | own write confirmed | own write refused | 2.5 s since the last confirmed send | told to step down |
//! |-------|-----------------------------------------------|---------------------|-------------------|-------------------------------------|-------------------|
//! | standby | take it, with the next term | leads | standby | - | - |
//! | leads | - | leads on | standby | standby | standby |

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::kv::Entry;
use gridloom_shared::broker::subjects::LEADER_KEY;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::{Session, Term};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::broker_clock::BrokerClock;

/// How often the holder rewrites the lease.
const REWRITE: Duration = Duration::from_secs(1);
/// How long after the send of its last confirmed rewrite a holder may believe that it leads.
const LASTS: Duration = Duration::from_millis(2_500);
/// How long a standby sees no new revision before it takes the lease.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a standby looks.
const LOOK: Duration = Duration::from_millis(250);
/// How long the holder waits for its own rewrite to be read back, for the broker's stamp on it: not so
/// long that the next one is late.
const READ_BACK: Duration = Duration::from_millis(500);

/// What the lease says, as JSON in the `state` bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseValue {
    /// Who holds it; a random number of the holder's process.
    pub holder: Session,
    /// The holder as people see it.
    pub name: String,
    /// The holder's term.
    pub term: Term,
    /// Whether the holder gave it up.
    pub free: bool,
}

/// A write of the lease that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// The term to write.
    pub term: Term,
    /// The revision to expect; 0: none.
    pub expected: u64,
}

/// What one process knows of the lease. Pure.
#[derive(Debug)]
pub struct Lease {
    seen: Option<Seen>,
    held: Option<Held>,
    above: Term,
}

#[derive(Debug)]
struct Seen {
    revision: u64,
    term: Term,
    free: bool,
    since: Boot,
}

#[derive(Debug)]
struct Held {
    term: Term,
    revision: u64,
    sent: Boot,
}

impl Lease {
    /// Nothing is known yet.
    pub fn new() -> Lease {
        Lease {
            seen: None,
            held: None,
            above: Term(0),
        }
    }

    /// The lease was read. `value` is `None` where it was never written or makes no sense.
    pub fn read(&mut self, revision: u64, value: Option<&LeaseValue>, now: Boot) {
        if self
            .seen
            .as_ref()
            .is_none_or(|seen| seen.revision != revision)
        {
            let term = value.map_or(Term(0), |value| value.term);
            let free = value.is_none_or(|value| value.free);
            self.seen = Some(Seen {
                revision,
                term,
                free,
                since: now,
            });
        }
    }

    /// The write that is due now.
    pub fn due(&self, now: Boot) -> Option<Write> {
        if let Some(held) = &self.held {
            let due = now.since(held.sent) >= REWRITE;
            return due.then_some(Write {
                term: held.term,
                expected: held.revision,
            });
        }
        let seen = self.seen.as_ref()?;
        let open = seen.free || now.since(seen.since) >= PATIENCE;
        open.then_some(Write {
            term: Term(seen.term.max(self.above).0 + 1),
            expected: seen.revision,
        })
    }

    /// A write that was sent at `sent` is in place.
    pub fn confirmed(&mut self, term: Term, revision: u64, sent: Boot) {
        self.held = Some(Held {
            term,
            revision,
            sent,
        });
        self.seen = Some(Seen {
            revision,
            term,
            free: false,
            since: sent,
        });
    }

    /// Leads no more: a write was refused, or the broker refused the term.
    pub fn lose(&mut self) {
        self.held = None;
        self.seen = None;
    }

    /// Somebody wrote this term into the register: the next to take has to be higher.
    pub fn outranked(&mut self, term: Term) {
        self.above = self.above.max(term);
        self.lose();
    }

    /// The term under which this process leads at `now`.
    pub fn term(&self, now: Boot) -> Option<Term> {
        let held = self.held.as_ref()?;
        (now.since(held.sent) < LASTS).then_some(held.term)
    }
}

impl Default for Lease {
    fn default() -> Self {
        Lease::new()
    }
}

/// Until when a process may believe that it leads, for its tasks.
#[derive(Clone, Debug, Default)]
pub struct Validity(Arc<AtomicU64>);

impl Validity {
    fn note(&self, lease: &Lease) {
        let until = lease
            .held
            .as_ref()
            .map_or(Duration::ZERO, |held| (held.sent + LASTS).0);
        let until = u64::try_from(until.as_millis()).unwrap_or(0);
        self.0.store(until, Ordering::Relaxed);
    }

    /// Whether it may believe so at `now`.
    pub fn holds(&self, now: Boot) -> bool {
        now.0 < Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// A change of leadership, as the service hears it.
#[derive(Debug, PartialEq, Eq)]
pub enum Leadership {
    /// This process leads from now on.
    Leads(Term),
    /// It does not lead any more.
    Lost,
}

/// What the service tells the keeper of the lease.
#[derive(Debug)]
pub enum Order {
    /// The broker refused the term: somebody else leads, with this term or a higher one.
    StepDown(Term),
    /// The service stops: give the lease up, then answer.
    GiveUp(oneshot::Sender<()>),
}

/// Keeps the lease for one process until it is told to give it up.
pub(crate) async fn keep(
    broker: Broker,
    name: String,
    changes: mpsc::Sender<Leadership>,
    mut orders: mpsc::Receiver<Order>,
    validity: Validity,
    clock: BrokerClock,
) {
    let holder = Session::random();
    let bucket = broker.state();
    let value = |term: Term, free: bool| -> Bytes {
        let value = LeaseValue {
            holder,
            name: name.clone(),
            term,
            free,
        };
        serde_json::json!(value).to_string().into()
    };
    let mut lease = Lease::new();
    let mut leading: Option<Term> = None;
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let order = tokio::select! {
            order = orders.recv() => Some(order),
            _ = ticks.tick() => None,
        };
        match order {
            None => {}
            Some(Some(Order::StepDown(term))) => lease.outranked(term),
            Some(Some(Order::GiveUp(answer))) => {
                if let (Some(_), Some(held)) = (lease.term(Boot::now()), &lease.held) {
                    let free = value(held.term, true);
                    if let Err(error) = bucket.update(LEADER_KEY, free, held.revision).await {
                        tracing::debug!(%error, "the lease of the leadership was not given up");
                    }
                }
                let _ = answer.send(());
                return;
            }
            Some(None) => return,
        }
        if lease.held.is_none() {
            match bucket.get_of_leader(LEADER_KEY).await {
                Ok(entry) => {
                    let read = entry.as_ref().and_then(read_value);
                    let revision = entry.map_or(0, |entry| entry.revision);
                    lease.read(revision, read.as_ref(), Boot::now());
                }
                Err(error) => tracing::debug!(%error, "failed to read the lease of the leadership"),
            }
        }
        let mut written = None;
        if let Some(write) = lease.due(Boot::now()) {
            let sent = Boot::now();
            match bucket
                .update(LEADER_KEY, value(write.term, false), write.expected)
                .await
            {
                Ok(revision) => {
                    lease.confirmed(write.term, revision, sent);
                    written = Some((revision, Boot::now()));
                }
                Err(error) if error.is_conflict() => lease.lose(),
                Err(error) => {
                    tracing::warn!(%error, "failed to rewrite the lease of the leadership")
                }
            }
        }
        let term = lease.term(Boot::now());
        if term.is_none() && lease.held.is_some() {
            lease.lose();
        }
        validity.note(&lease);
        if term != leading {
            leading = term;
            let change = term.map_or(Leadership::Lost, Leadership::Leads);
            if changes.send(change).await.is_err() {
                return;
            }
        }
        if let Some((revision, seen)) = written {
            let read = timeout(READ_BACK, bucket.get_of_leader(LEADER_KEY)).await;
            if let Ok(Ok(Some(entry))) = read
                && entry.revision == revision
            {
                clock.set(entry.at, seen);
            }
        }
    }
}

fn read_value(entry: &Entry) -> Option<LeaseValue> {
    serde_json::from_slice(entry.value.as_ref()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Boot {
        Boot(Duration::from_millis(ms))
    }

    fn held_by_other(term: u64, free: bool) -> LeaseValue {
        LeaseValue {
            holder: Session(9),
            name: "other".into(),
            term: Term(term),
            free,
        }
    }

    #[test]
    fn missing_or_free_lease_is_taken_at_once_with_the_next_term() {
        let mut lease = Lease::new();
        assert_eq!(lease.due(at(0)), None);
        lease.read(0, None, at(0));
        assert_eq!(
            lease.due(at(0)),
            Some(Write {
                term: Term(1),
                expected: 0
            })
        );
        lease.read(7, Some(&held_by_other(4, true)), at(1));
        assert_eq!(
            lease.due(at(1)),
            Some(Write {
                term: Term(5),
                expected: 7
            })
        );
    }

    #[test]
    fn standby_waits_until_the_holder_was_silent_for_three_seconds_of_its_own_clock() {
        let mut lease = Lease::new();
        for (ms, revision) in [(0, 7), (1_000, 8), (2_000, 9), (4_900, 9)] {
            lease.read(revision, Some(&held_by_other(4, false)), at(ms));
            assert_eq!(lease.due(at(ms)), None, "{ms}");
        }
        assert_eq!(
            lease.due(at(5_000)),
            Some(Write {
                term: Term(5),
                expected: 9
            })
        );
    }

    #[test]
    fn holder_leads_until_two_and_a_half_seconds_after_its_last_confirmed_send() {
        let mut lease = Lease::new();
        lease.confirmed(Term(5), 10, at(0));
        assert_eq!(lease.due(at(999)), None);
        assert_eq!(
            lease.due(at(1_000)),
            Some(Write {
                term: Term(5),
                expected: 10
            })
        );
        assert_eq!(lease.term(at(2_499)), Some(Term(5)));
        assert_eq!(lease.term(at(2_500)), None);
        lease.lose();
        assert_eq!(lease.due(at(9_999)), None);
    }
}
