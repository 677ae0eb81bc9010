//! The ledger of a job's fires, and what the real planner decides next. Each record that can come about is kept once,
//! under a number, as states have to be small.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use gridloom_planner::schedule::{Definition, Fires, Halt, Over, Runs, World};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId, Term};
use gridloom_shared::limits::CONFIRMED_WITHIN;
use gridloom_shared::schedule::record::{Decision, End, Record};
use gridloom_shared::schedule::{Plan, Spec};
use gridloom_shared::wire::Wire;

use super::rules::{Confirmed, Rules, Unopened};

/// 2026-01-01T00:00:00Z
const BEGIN: u64 = 1_767_225_600_000;
/// Ticks lie so far apart, in milliseconds: each may be a nominal time.
const TICK: u64 = 10_000;
/// So many ticks there are at most.
pub(crate) const TIMES: usize = 5;

/// When a tick is.
fn at(tick: u8) -> UnixMs {
    UnixMs(BEGIN + u64::from(tick) * TICK)
}

/// The tick at `at`.
fn tick(at: UnixMs) -> u8 {
    u8::try_from((at.0 - BEGIN) / TICK).expect("within the case")
}

fn job() -> JobName {
    JobName::new("nightly").expect("a name")
}

/// The runs of the ticks whose bits are set.
fn runs(bits: u8) -> BTreeSet<RunId> {
    let ticks = (0..TIMES as u8).filter(|tick| bits & 1 << tick != 0);
    ticks
        .map(|tick| RunId::from_fire(&job(), at(tick)))
        .collect()
}

fn spec(text: &str) -> Spec {
    let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
    Spec::try_from(value).expect("a schedule")
}

fn plan(record: &Record) -> Option<Plan> {
    let (spec, anchor) = (record.state.spec.as_ref()?, record.state.anchor);
    // One that lies in the past has none.
    Plan::new(spec, job().as_str(), &BTreeMap::new(), anchor).ok()
}

/// Where a ledger ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place(u32);

/// What stands of one nominal time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answers {
    pub(crate) queued: u8,
    pub(crate) last: u8,
    pub(crate) opened: bool,
}

/// A record, and what stands up to it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The ledger before it.
    pub(crate) before: Place,
    pub(crate) record: Record,
    plan: Option<Plan>,
    pub(crate) answers: [Answers; TIMES],
    /// Whether the cursor passed a nominal time without an answer.
    pub(crate) left_out: bool,
    /// Whether it ended as the job was deleted, at any time.
    pub(crate) deleted: bool,
    words: String,
}

impl Entry {
    fn behind(place: Place, record: Record) -> Entry {
        let before = place.entry();
        let before = before.as_deref();
        let mut answers = before.map_or([Answers::default(); TIMES], |before| before.answers);
        let mut words = before.map_or(String::new(), |before| before.words.clone() + ", ");
        words += record.decision.word();
        for span in record.decision.spans() {
            let ticks = tick(span.first)..=tick(span.last);
            assert_eq!(span.count, ticks.len() as u64, "{record:?}");
            for tick in ticks {
                words += &format!(" {tick}");
                let answers = &mut answers[usize::from(tick)];
                match record.decision {
                    Decision::Queued { .. } => answers.queued += 1,
                    _ => answers.last += 1,
                }
                answers.opened |= matches!(record.decision, Decision::Opened { .. });
            }
        }
        let deletes = matches!(
            record.decision,
            Decision::Ended {
                why: End::Deleted,
                ..
            }
        );
        Entry {
            before: place,
            plan: plan(&record),
            left_out: before.is_some_and(|before| before.leaves_out(&record, &answers)),
            deleted: deletes || before.is_some_and(|before| before.deleted),
            answers,
            words,
            record,
        }
    }

    /// Whether the cursor goes past a nominal time of which nothing stands behind `next`.
    fn leaves_out(&self, next: &Record, answers: &[Answers; TIMES]) -> bool {
        let told = |at: UnixMs| {
            let answers = answers[usize::from(tick(at))];
            let carried = next.state.carried.iter().any(|fire| fire.at == at);
            answers.queued + answers.last > 0 || carried
        };
        self.left_out || {
            let mut come = self.to_come().take_while(|at| *at <= next.state.cursor);
            come.any(|at| !told(at))
        }
    }

    /// Nominal times that have no answer yet.
    fn to_come(&self) -> impl Iterator<Item = UnixMs> {
        let state = &self.record.state;
        let plan = self.plan.as_ref();
        let plan = plan.filter(|_| !state.ended && !state.has_enough());
        let times = plan.into_iter();
        times
            .flat_map(|plan| plan.nominals_after(state.cursor))
            .map(|fire| fire.at)
    }

    /// Whether nothing waits, nor has come and is still to be decided.
    pub(crate) fn is_settled(&self, now: u8) -> bool {
        let state = &self.record.state;
        let next = self.plan.as_ref().and_then(|plan| {
            let ends = state.ended || state.has_enough();
            (!ends).then(|| plan.next_after(state.cursor)).flatten()
        });
        let come = next.is_some_and(|next| next.opens_at <= at(now));
        state.queued.is_empty() && state.carried.is_empty() && !come
    }
}

/// What a leader knows besides the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    pub(crate) spec: Option<&'static str>,
    pub(crate) since: u8,
    /// The first tick of the last pause, and the first after it.
    pub(crate) pause: Option<(u8, Option<u8>)>,
    /// Runs that are open, and such that are over.
    pub(crate) open: u8,
    pub(crate) over: u8,
}

/// All that a decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) known: Place,
    pub(crate) view: View,
    pub(crate) now: u8,
    pub(crate) term: u8,
    pub(crate) rules: Rules,
}

/// What the real planner says to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Orders {
    /// The ledger with the record that is to be appended.
    pub(crate) append: Option<Place>,
    /// Runs that are to be opened, and such that are to be cancelled.
    pub(crate) open: u8,
    pub(crate) cancel: u8,
    /// Whether nothing is due for as long as an id is kept, as far as is known.
    pub(crate) rests: bool,
}

/// All that was ever asked and recorded, in any case.
#[derive(Default)]
struct Known {
    entries: Vec<Arc<Entry>>,
    places: HashMap<(Place, Vec<u8>), Place>,
    orders: HashMap<Question, Orders>,
}

fn known() -> MutexGuard<'static, Known> {
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Place {
    /// Nothing stands there.
    pub(crate) const EMPTY: Place = Place(0);

    /// The last record.
    pub(crate) fn entry(self) -> Option<Arc<Entry>> {
        let at = usize::try_from(self.0).ok()?.checked_sub(1)?;
        known().entries.get(at).cloned()
    }

    /// The runs that the last record names as not known to be open.
    pub(crate) fn unopened(self) -> u8 {
        let entry = self.entry();
        let state = entry.as_ref().map(|entry| &entry.record.state);
        let fires = state.into_iter().flat_map(|state| &state.unopened);
        bits(fires.map(|fire| tick(fire.at)))
    }

    /// The ledger with `record` behind it.
    pub(crate) fn with(self, record: Record) -> Place {
        let key = (self, record.to_bytes(&mut bytes::BytesMut::new()).to_vec());
        if let Some(place) = known().places.get(&key) {
            return *place;
        }
        let entry = Arc::new(Entry::behind(self, record));
        let mut known = known();
        let next = Place(known.entries.len() as u32 + 1);
        let place = *known.places.entry(key).or_insert(next);
        if place == next {
            known.entries.push(entry);
        }
        place
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = self.entry();
        write!(
            f,
            "[{}]",
            entry.map_or(String::new(), |entry| entry.words.clone())
        )
    }
}

impl Question {
    /// The answer. What was asked before is remembered.
    pub(crate) fn ask(&self) -> Orders {
        if let Some(orders) = known().orders.get(self) {
            return *orders;
        }
        let orders = self.answer();
        known().orders.insert(*self, orders);
        orders
    }

    fn answer(&self) -> Orders {
        let entry = self.known.entry();
        let state = entry.as_ref().map(|entry| entry.record.state.clone());
        let plan = entry.as_ref().and_then(|entry| entry.plan.clone());
        let fires = Fires::new(job(), state, plan);
        let view = self.view;
        let spec = view.spec.map(spec);
        let halts: Vec<Halt> = view.pause.into_iter().map(halt).collect();
        let runs = Runs {
            open: runs(view.open),
            over: runs(view.over)
                .into_iter()
                .map(|run| (run, Over::default()))
                .collect(),
            ..Runs::default()
        };
        let world = World {
            now: at(self.now),
            term: Term(u64::from(self.term)),
            definition: Definition {
                spec: spec.as_ref(),
                since: at(view.since),
            },
            halts: &halts,
            pause_revision: 0,
            runs: &runs,
            wishes: &[],
        };
        let append = fires.decide(&world).and_then(|record| self.kept(record));
        let soon = world.now + CONFIRMED_WITHIN;
        Orders {
            append: append.map(|record| self.known.with(record)),
            open: bits(fires.to_open(&world).iter().map(|(at, _)| tick(*at))),
            cancel: bits(fires.to_cancel(&world).iter().map(of)),
            rests: fires.wake(&world).is_none_or(|wake| wake > soon),
        }
    }

    /// The record as the rules of the case have it.
    fn kept(&self, mut record: Record) -> Option<Record> {
        // When something was decided is of no consequence.
        record.at = at(0);
        let confirms = record.decision == Decision::Confirmed;
        if self.rules.confirmed == Confirmed::Never && confirms {
            return None;
        }
        if self.rules.unopened == Unopened::Once {
            let Decision::Opened { at, .. } = record.decision else {
                record.state.unopened.clear();
                return Some(record).filter(|_| !confirms);
            };
            record.state.unopened.retain(|fire| fire.at == at);
        }
        Some(record)
    }
}

fn bits(ticks: impl Iterator<Item = u8>) -> u8 {
    ticks.fold(0, |bits, tick| bits | 1 << tick)
}

/// The tick of a run.
fn of(run: &RunId) -> u8 {
    let mut ticks = 0..TIMES as u8;
    let found = ticks.find(|tick| RunId::from_fire(&job(), at(*tick)) == *run);
    found.expect("of a tick")
}

fn halt((from, until): (u8, Option<u8>)) -> Halt {
    Halt {
        frozen: false,
        from: at(from),
        until: until.map(at),
        by: String::new(),
        note: String::new(),
        missed: None,
    }
}
