//! Keeps the lease for one process, and reads from the broker's stamps on it what time it is.

use std::time::Duration;

use bytes::Bytes;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::kv::{Bucket, Place};
use gridloom_shared::broker::subjects::LEADER_KEY;
use gridloom_shared::chain;
use gridloom_shared::clock::{Boot, UnixMs};
use gridloom_shared::id::{Session, Term};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::{Leadership, Lease, LeaseValue, Notice, Silence, Told, Validity, Write, parse};
use crate::alive::Signs;
use crate::broker_clock::{BrokerClock, spoken};
use crate::metrics;

/// How often a standby looks.
const LOOK: Duration = Duration::from_millis(250);
/// How long the holder waits for its own rewrite to be read back, for the broker's stamp on it: not so
/// long that the next one is late.
const READ_BACK: Duration = Duration::from_millis(500);

/// Keeps the lease for one process until it is told to give it up, or nobody listens. Whoever started it
/// has to watch it: without a keeper nobody of this process ever leads, and nobody says so.
pub(crate) async fn keep(
    (broker, name): (Broker, String),
    changes: mpsc::Sender<Leadership>,
    mut orders: mpsc::Receiver<Notice>,
    (validity, silence): (Validity, Silence),
    clock: BrokerClock,
    told: watch::Receiver<Told>,
    signs: Signs,
) {
    let mut keeper = Keeper {
        bucket: broker.state(),
        broker,
        holder: Session::random(),
        name,
        lease: Lease::new(),
        found: None,
        last: None,
        leading: None,
        why: "",
        changes,
        validity,
        silence,
        clock,
        told,
    };
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        signs.give();
        let order = tokio::select! {
            order = orders.recv() => Some(order),
            _ = ticks.tick() => None,
        };
        match order {
            None => {}
            Some(Some(Notice::StepDown(term))) => {
                keeper.why = "another planner has a higher term";
                keeper.lease.outranked(term);
            }
            Some(Some(Notice::Afresh)) => {
                keeper.give_up().await;
                keeper.why = "what it was built on is another";
                keeper.lease.lose();
            }
            Some(Some(Notice::GiveUp(answer))) => {
                keeper.give_up().await;
                let _ = answer.send(());
                return;
            }
            Some(None) => return,
        }
        if !keeper.look().await {
            return;
        }
    }
}

/// What stands in the place of the lease.
struct Found {
    place: Place,
    /// Why that is no lease.
    nonsense: Option<String>,
}

/// A write of the lease that is in place.
struct Written {
    revision: u64,
    sent: Boot,
    /// When its answer was there.
    seen: Boot,
}

struct Keeper {
    bucket: Bucket,
    broker: Broker,
    holder: Session,
    name: String,
    lease: Lease,
    /// As it was read last; of no use once this process holds the lease.
    found: Option<Found>,
    /// The revision that stood there at the last look, and when that was asked or written.
    last: Option<(u64, Boot)>,
    leading: Option<Term>,
    /// Why it was lost last.
    why: &'static str,
    changes: mpsc::Sender<Leadership>,
    validity: Validity,
    /// Of the loop, which plans.
    silence: Silence,
    clock: BrokerClock,
    /// What this process tells of its runs while it leads.
    told: watch::Receiver<Told>,
}

impl Keeper {
    /// Reads the lease or writes it, as is due, and tells of a change. `false` once nobody listens.
    async fn look(&mut self) -> bool {
        let known = self.lease.held.is_some() || self.read().await;
        let now = Boot::now();
        let written = if self.silence.is_over(now) {
            self.give_way().await;
            None
        } else if let Some(write) = self.lease.due(now) {
            self.write(write).await
        } else {
            None
        };
        let now = Boot::now();
        let term = self.lease.term(now);
        if term.is_none() && self.lease.held.is_some() {
            self.why = "the lease was not renewed in time";
            self.lease.lose();
        }
        self.validity.note(&self.lease);
        self.show(known, term);
        if known {
            self.validity.looked(now);
        }
        if term != self.leading {
            self.leading = term;
            if term.is_some() {
                metrics::ELECTIONS.counter(&[]).increment(1);
            }
            let change = term.map_or(Leadership::Lost(self.why), Leadership::Leads);
            if self.changes.send(change).await.is_err() {
                return false;
            }
        }
        if let Some(written) = written {
            self.read_back(written).await;
        }
        true
    }

    async fn read(&mut self) -> bool {
        let asked = Boot::now();
        let place = match self.bucket.place_of(LEADER_KEY).await {
            Ok(place) => place,
            Err(error) => {
                tracing::debug!(error = %chain(&error), "failed to read the lease of the leadership");
                return false;
            }
        };
        let (value, nonsense) = match place.value().map(|value| parse(value)) {
            Some(Ok(value)) => (Some(value), None),
            Some(Err(reason)) => (None, Some(reason)),
            None => (None, None),
        };
        let (revision, seen) = (place.revision(), Boot::now());
        self.lease.read(revision, value.as_ref(), seen);
        // Another's write came after the look that did not show it.
        if let (Some((before, sent)), Some(at)) = (self.last, place.at())
            && before < revision
        {
            self.stamped(at, sent, seen);
        }
        self.last = Some((revision, asked));
        self.found = Some(Found { place, nonsense });
        true
    }

    async fn write(&mut self, write: Write) -> Option<Written> {
        let sent = Boot::now();
        let value = self.value(write.term, false);
        let found = self.found.as_ref();
        let written = match found.filter(|found| found.place.revision() == write.expected) {
            Some(Found { place, nonsense }) => {
                let nonsense = nonsense.as_deref();
                self.bucket.replace(place, value, nonsense).await
            }
            None => self.bucket.update(LEADER_KEY, value, write.expected).await,
        };
        match written {
            Ok(revision) => {
                self.lease.confirmed(write.term, revision, sent);
                self.last = Some((revision, sent));
                return Some(Written {
                    revision,
                    sent,
                    seen: Boot::now(),
                });
            }
            Err(error) if error.is_conflict() => {
                self.why = "another planner has written the lease";
                self.lease.lose();
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "failed to rewrite the lease of the leadership")
            }
        }
        None
    }

    /// For the broker's stamp on what was just written.
    async fn read_back(&self, written: Written) {
        let read = timeout(READ_BACK, self.bucket.get_of_leader(LEADER_KEY)).await;
        if let Ok(Ok(Some(entry))) = read
            && entry.revision == written.revision
        {
            self.stamped(entry.at, written.sent, written.seen);
        }
    }

    /// The broker has stamped the lease with `at`, between `sent` and `seen`.
    fn stamped(&self, at: UnixMs, sent: Boot, seen: Boot) {
        let before = self.clock.doubt().is_some();
        if let Some(by_ms) = self.clock.set(at, sent, seen) {
            metrics::CLOCK_JUMPS.counter(&[]).increment(1);
            tracing::error!(
                reason = spoken(by_ms),
                "the broker's clock jumped: nothing is due and nothing is removed until it was steady for ten seconds"
            );
        }
        let doubtful = self.clock.doubt().is_some();
        if before && !doubtful {
            tracing::info!("the broker's clock is steady again");
        }
    }

    /// Shows what is known of the leadership, at each look: what is not shown any more goes away.
    fn show(&self, known: bool, term: Option<Term>) {
        let flag = |is: bool| f64::from(u8::from(is));
        let doubtful = self.clock.doubt().is_some();
        let connected = self.broker.is_connected();
        metrics::LEADER.gauge(&[]).set(flag(term.is_some()));
        metrics::TERM
            .gauge(&[])
            .set(term.map_or(0, |term| term.0) as f64);
        metrics::CLOCK_DOUBT.gauge(&[]).set(flag(doubtful));
        let newer = self.broker.newer();
        let (version, times) = newer.map_or((0, 0), |newer| (newer.version, newer.times));
        metrics::RECORDS_NEWER.gauge(&[]).set(version as f64);
        metrics::RECORDS_NEWER_MET.counter(&[]).absolute(times);
        metrics::BROKER_ANSWERS.gauge(&[]).set(flag(known));
        metrics::BROKER_CONNECTED.gauge(&[]).set(flag(connected));
    }

    /// The loop stands still: somebody else is to lead.
    async fn give_way(&mut self) {
        if self.lease.held.is_some() {
            tracing::error!(
                "the planner's loop stands still: the leadership is given up until it goes on"
            );
            self.give_up().await;
            self.why = "its loop stands still";
            self.lease.lose();
        }
    }

    async fn give_up(&self) {
        if let (Some(_), Some(held)) = (self.lease.term(Boot::now()), &self.lease.held) {
            let free = self.value(held.term, true);
            if let Err(error) = self.bucket.update(LEADER_KEY, free, held.revision).await {
                tracing::debug!(error = %chain(&error), "the lease of the leadership was not given up");
            }
        }
    }

    fn value(&self, term: Term, free: bool) -> Bytes {
        let told = self.told.borrow().clone();
        let value = LeaseValue {
            holder: self.holder,
            name: self.name.clone(),
            term,
            free,
            clock_jump_ms: self.clock.doubt().map(|doubt| doubt.by_ms),
            set_aside: told.set_aside,
            full: told.full,
            newer: told.newer,
            lacks: self.broker.newer().map(|newer| newer.version),
        };
        serde_json::json!(value).to_string().into()
    }
}
