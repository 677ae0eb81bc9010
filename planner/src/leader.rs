//! Who leads, and until when (docs/PROTOCOL.md §7).
//!
//! The lease is one value under compare-and-swap, without expiry on the broker. Nothing here is a
//! matter of safety: a leader that is deposed and does not know it is fenced by the term register.
//! [`keeper`] reads and writes it.
//!
//! | state | lease seen unchanged for 3 s, free or missing | own write confirmed | own write refused | 2.5 s since the last confirmed send | told to step down | the loop stands still |
//! |-------|-----------------------------------------------|---------------------|-------------------|-------------------------------------|-------------------|-----------------------|
//! | standby (*) | take it, with the next term | leads | standby | - | - | takes nothing |
//! | leads | - | leads on | standby | standby | standby | gives it up; standby |
//!
//! (*) A standby whose build reads what the holder says that it cannot read takes the lease at once: of what a newer
//! build wrote an older leader decides nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::{QueueName, RunId, Session, Term};
use gridloom_shared::limits::{LEASE_QUEUES_MAX, LEASE_RUNS_MAX};
use gridloom_shared::wire::Versions;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::book::Book;

mod keeper;

pub(crate) use keeper::keep;

/// How often the holder rewrites the lease.
const REWRITE: Duration = Duration::from_secs(1);
/// How long after the send of its last confirmed rewrite a holder may believe that it leads.
const LASTS: Duration = Duration::from_millis(2_500);
/// How long a standby sees no new revision before it takes the lease.
const PATIENCE: Duration = Duration::from_secs(3);

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
    /// By how many milliseconds the holder saw the broker's clock jump, while it does not go by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_jump_ms: Option<i64>,
    /// Runs of which the holder plans nothing more.
    #[serde(default, skip_serializing_if = "SetAside::is_empty")]
    pub set_aside: SetAside,
    /// Queues that open no runs, since as many are open there as may be: some of them where they are many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub full: Vec<QueueName>,
    /// Runs that wait for a planner of a newer build, if they are not over.
    #[serde(default, skip_serializing_if = "SetAside::is_empty")]
    pub newer: SetAside,
    /// The version of records that the holder has met and cannot read: whoever reads it is to lead instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<u64>,
}

/// What a holder has to tell of its runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// See [`LeaseValue::set_aside`].
    pub set_aside: SetAside,
    /// See [`LeaseValue::full`].
    pub full: Vec<QueueName>,
    /// See [`LeaseValue::newer`].
    pub newer: SetAside,
}

impl Told {
    /// Of the open runs that stand still, and the queues that are full.
    pub fn of(book: &Book, full: &BTreeSet<QueueName>) -> Told {
        Told {
            set_aside: SetAside::of(book.aside()),
            full: full.iter().take(LEASE_QUEUES_MAX).cloned().collect(),
            newer: SetAside::of_both(book.newer(), book.unread()),
        }
    }
}

/// Open runs of which nothing more is planned, for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// How many there are.
    pub count: u64,
    /// Some of them.
    pub some: Vec<RunId>,
}

impl SetAside {
    /// The runs `all`, the first of them by name.
    pub fn of(all: &BTreeSet<RunId>) -> SetAside {
        SetAside {
            count: all.len() as u64,
            some: all.iter().take(LEASE_RUNS_MAX).cloned().collect(),
        }
    }

    fn of_both(one: &BTreeSet<RunId>, other: &BTreeSet<RunId>) -> SetAside {
        SetAside {
            count: (one.len() + other.len()) as u64,
            some: one
                .iter()
                .chain(other)
                .take(LEASE_RUNS_MAX)
                .cloned()
                .collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }
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

    /// The lease was read. `value` is `None` where it was never written, was deleted or makes no sense:
    /// then it is anybody's.
    pub fn read(&mut self, revision: u64, value: Option<&LeaseValue>, now: Boot) {
        if self
            .seen
            .as_ref()
            .is_none_or(|seen| seen.revision != revision)
        {
            let term = value.map_or(Term(0), |value| value.term);
            let lacks = value.and_then(|value| value.lacks);
            let reads = u64::from(Versions::own().reads);
            let free = value.is_none_or(|value| value.free) || lacks.is_some_and(|it| it <= reads);
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
            term: seen.term.max(self.above).next(),
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
pub struct Validity(Arc<Known>);

/// In milliseconds of the boot clock.
#[derive(Debug, Default)]
struct Known {
    until_ms: AtomicU64,
    looked_ms: AtomicU64,
}

impl Validity {
    fn note(&self, lease: &Lease) {
        let until = lease
            .held
            .as_ref()
            .map_or(Duration::ZERO, |held| (held.sent + LASTS).0);
        self.0.until_ms.store(in_ms(until), Ordering::Relaxed);
    }

    fn looked(&self, now: Boot) {
        self.0.looked_ms.store(in_ms(now.0), Ordering::Relaxed);
    }

    /// Whether it may believe so at `now`.
    pub fn holds(&self, now: Boot) -> bool {
        now.0 < Duration::from_millis(self.0.until_ms.load(Ordering::Relaxed))
    }

    /// When the keeper last knew how it is with the lease: one that is silent for seconds keeps nothing.
    pub fn looked_at(&self) -> Boot {
        Boot(Duration::from_millis(
            self.0.looked_ms.load(Ordering::Relaxed),
        ))
    }
}

/// Until when the loop of this process may be silent: who leads and plans nothing keeps others from planning.
#[derive(Clone, Debug, Default)]
pub struct Silence(Arc<AtomicU64>);

impl Silence {
    /// The loop goes round at `now`, and will again within `longest`.
    pub fn until(&self, now: Boot, longest: Duration) {
        self.0.store(in_ms((now + longest).0), Ordering::Relaxed);
    }

    /// Whether the loop is silent for longer at `now` than it said; also before its first round.
    pub fn is_over(&self, now: Boot) -> bool {
        in_ms(now.0) >= self.0.load(Ordering::Relaxed)
    }
}

fn in_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(0)
}

/// A change of leadership, as the service hears it.
#[derive(Debug, PartialEq, Eq)]
pub enum Leadership {
    /// This process leads from now on.
    Leads(Term),
    /// It does not lead any more, for this reason.
    Lost(&'static str),
}

/// What the service tells the keeper of the lease.
#[derive(Debug)]
pub enum Notice {
    /// The broker refused the term: somebody else leads, with this term or a higher one.
    StepDown(Term),
    /// What the leadership was built on is another: give it up, and take it as if for the first time.
    Afresh,
    /// The service stops: give the lease up, then answer.
    GiveUp(oneshot::Sender<()>),
}

/// The lease in `bytes`, or why it is none.
///
/// # Errors
/// Why it is none.
pub fn parse(bytes: &[u8]) -> Result<LeaseValue, String> {
    let value: LeaseValue =
        serde_json::from_slice(bytes).map_err(|error| format!("no lease: {}", chain(&error)))?;
    if value.term.is_possible() {
        Ok(value)
    } else {
        Err(format!("no leadership can have term {}", value.term.0))
    }
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
            clock_jump_ms: None,
            set_aside: SetAside::default(),
            full: Vec::new(),
            newer: SetAside::default(),
            lacks: None,
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
    fn lease_that_says_nonsense_is_nobody_s_and_no_term_overflows() {
        let text = |term: u64| {
            let value = serde_json::json!(held_by_other(term, false));
            value.to_string()
        };
        assert_eq!(parse(text(7).as_bytes()), Ok(held_by_other(7, false)));
        assert!(parse(text(u64::MAX).as_bytes()).is_err());
        for bad in ["", "{", "null", "{\"term\": 7}"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        let mut lease = Lease::new();
        lease.outranked(Term(u64::MAX));
        lease.read(3, None, at(0));
        assert!(lease.due(at(0)).is_some());
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
    fn standby_that_reads_what_the_holder_cannot_takes_the_lease_and_another_does_not() {
        let reads = u64::from(Versions::own().reads);
        for (lacks, taken) in [(reads, true), (reads + 1, false)] {
            let value = LeaseValue {
                lacks: Some(lacks),
                ..held_by_other(4, false)
            };
            let mut lease = Lease::new();
            lease.read(7, Some(&value), at(0));
            assert_eq!(lease.due(at(0)).is_some(), taken, "{lacks}");
        }
    }

    #[test]
    fn loop_is_silent_before_its_first_round_and_when_it_has_not_come_back_in_time() {
        let silence = Silence::default();
        assert!(silence.is_over(at(5)));
        silence.until(at(5), Duration::from_secs(10));
        assert!(!silence.is_over(at(10_004)));
        assert!(silence.is_over(at(10_005)));
        silence.until(at(10_005), Duration::from_secs(10));
        assert!(!silence.is_over(at(10_005)));
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
