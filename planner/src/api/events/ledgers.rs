//! The runs that somebody is told of: one tail of the ledger for all of them, and one fold of each, whoever reads it.
//!
//! A run that is asked for is read from its beginning while the tail goes on: what comes meanwhile is kept, and taken in
//! behind what was read. One that cannot be told of is looked at again when something of it is written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered};
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::{FollowError, Followed, Record, Start};
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::summary::RunSummary;
use gridloom_shared::reads::changes::{Cells, Changes};
use gridloom_shared::reads::grid::{self, Grid, Window};
use gridloom_shared::reads::ledger::Entry;
use gridloom_shared::reads::{RunError, runs};
use serde::Serialize;
use tokio::time::Instant;

use super::super::problem::{Answer, Kind, Problem, Told};
use super::frame;
use super::topic::Topic;

/// Runs that are followed at once.
const RUNS_MAX: usize = 64;
/// So many bytes of their folds, about; one alone may be larger.
const MEMORY: usize = 256 << 20;
/// Ledgers that are read from their beginning at once.
const READ_AT_ONCE: usize = 4;
/// Records that are kept of a run while it is read; with more it is read anew.
const KEPT_MAX: usize = 50_000;
/// Before a run is asked for again where the broker did not answer.
const AGAIN: Duration = Duration::from_secs(2);
/// Bytes of a run's counters in an event, about.
const SUMMARY: usize = 16 << 10;

type Read = (RunId, Result<Changes, RunError>);

/// The runs that are followed.
pub(super) struct Ledgers<'a> {
    broker: &'a Broker,
    tail: Option<BoxStream<'a, Result<Followed, FollowError>>>,
    /// The last record of any run that was heard.
    position: u64,
    runs: BTreeMap<RunId, OfRun>,
    to_read: VecDeque<RunId>,
    reading: FuturesUnordered<BoxFuture<'a, Read>>,
}

/// What came.
pub(super) enum Heard {
    /// A record, or nothing new.
    Record,
    /// A run can be told of now, or cannot.
    Run,
}

struct OfRun {
    state: State,
    /// When somebody wanted it last.
    wanted: Instant,
    /// Whether somebody was told why it cannot be told of.
    told_why: bool,
    /// Whether all who read it are to be told all of it.
    is_due: bool,
    /// All of it, as it was told since others were told last.
    all: Option<Bytes>,
}

enum State {
    /// It is being read; what came meanwhile.
    Reading(Vec<Entry>),
    Ready(Box<Changes>),
    /// Why it cannot be told of, and when to look again by oneself.
    Untold(Problem, Option<Instant>),
}

#[derive(Serialize)]
struct Whole {
    at: u64,
    run: RunSummary,
    grid: Grid,
}

#[derive(Serialize)]
struct Partly {
    at: u64,
    run: RunSummary,
    cells: Cells,
}

#[derive(Serialize)]
struct Untold<'p> {
    problem: Told<'p>,
}

impl<'a> Ledgers<'a> {
    pub(super) fn new(broker: &'a Broker) -> Ledgers<'a> {
        Ledgers {
            broker,
            tail: None,
            position: 0,
            runs: BTreeMap::new(),
            to_read: VecDeque::new(),
            reading: FuturesUnordered::new(),
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn is_idle(&self) -> bool {
        self.tail.is_none()
    }

    /// Follows a run from now on. `true`: the tail has begun with it.
    pub(super) async fn want(&mut self, run: &RunId) -> Answer<bool> {
        let begins = self.tail.is_none();
        if begins {
            let ledger = self.broker.subjects().ledger();
            let end = self.broker.info(&ledger).await?.last_seq;
            let (all, start) = (
                self.broker.subjects().all_ledgers(),
                Start::Sequence(end + 1),
            );
            self.position = end;
            self.tail = Some(
                self.broker
                    .follow(&ledger, all, start)
                    .into_stream()
                    .boxed(),
            );
        }
        let now = Instant::now();
        if let Some(of_run) = self.runs.get_mut(run) {
            of_run.wanted = now;
            return Ok(begins);
        }
        if self.runs.len() >= RUNS_MAX {
            let detail = format!("{RUNS_MAX} runs are followed here already; ask again soon");
            return Err(Problem::new(Kind::Unavailable, detail));
        }
        let of_run = OfRun {
            state: State::Reading(Vec::new()),
            wanted: now,
            told_why: false,
            is_due: false,
            all: None,
        };
        self.runs.insert(run.clone(), of_run);
        self.to_read.push_back(run.clone());
        self.read_next();
        Ok(begins)
    }

    fn read_next(&mut self) {
        while self.reading.len() < READ_AT_ONCE {
            let Some(run) = self.to_read.pop_front() else {
                return;
            };
            let broker = self.broker;
            self.reading.push(Box::pin(async move {
                let read = runs::changes(broker, &run).await;
                (run, read)
            }));
        }
    }

    /// What comes next; it was taken in. May be dropped and called again.
    ///
    /// # Errors
    /// When the ledger was lost or rolled back: nothing of what is known holds any more.
    pub(super) async fn next(&mut self) -> Result<Heard, FollowError> {
        let heard = async {
            match &mut self.tail {
                Some(tail) => tail.next().await,
                None => pending().await,
            }
        };
        let read = async {
            match self.reading.is_empty() {
                true => pending().await,
                false => self.reading.next().await,
            }
        };
        tokio::select! {
            heard = heard => match heard {
                Some(Ok(Followed::Record(record))) => self.hear(&record),
                Some(Err(error @ FollowError::Rewound { .. })) => return Err(error),
                // It goes on where it was.
                Some(Ok(Followed::CaughtUp | Followed::Quiet) | Err(FollowError::Unavailable { .. })) | None => {}
            },
            read = read => {
                if let Some((run, came)) = read {
                    self.was_read(&run, came);
                    self.read_next();
                }
                return Ok(Heard::Run);
            }
        }
        Ok(Heard::Record)
    }

    fn hear(&mut self, record: &Record) {
        self.position = self.position.max(record.seq);
        let broker = self.broker;
        let Some((_, run, _)) = broker.subjects().parse_ledger(&record.subject) else {
            return;
        };
        let Some(of_run) = self.runs.get_mut(&run) else {
            return;
        };
        let Some(entry) = Entry::read(broker, record) else {
            return;
        };
        match &mut of_run.state {
            State::Reading(kept) if kept.len() > KEPT_MAX => {}
            State::Reading(kept) => kept.push(entry),
            State::Ready(changes) => {
                changes.take(&entry);
                if changes.fold().retired().is_some() {
                    let purged = RunError::Purged { run };
                    of_run.is_untold(Problem::from(purged), None);
                }
            }
            State::Untold(..) => {
                of_run.state = State::Reading(Vec::from([entry]));
                self.to_read.push_back(run);
                self.read_next();
            }
        }
    }

    fn was_read(&mut self, run: &RunId, came: Result<Changes, RunError>) {
        let memory: usize = self.runs.values().map(OfRun::memory).sum();
        let Some(of_run) = self.runs.get_mut(run) else {
            return;
        };
        let State::Reading(kept) = &mut of_run.state else {
            return;
        };
        let kept = std::mem::take(kept);
        match came {
            _ if kept.len() > KEPT_MAX => self.to_read.push_back(run.clone()),
            Ok(changes) if memory > 0 && memory + changes.fold().memory() > MEMORY => {
                let detail = "the runs that are followed here take as much memory as they may; ask again later";
                let again = Instant::now() + 10 * AGAIN;
                of_run.is_untold(Problem::new(Kind::Unavailable, detail), Some(again));
            }
            Ok(mut changes) => {
                kept.iter().for_each(|entry| changes.take(entry));
                of_run.is_ready(changes);
            }
            Err(error) => {
                let again = (!error.is_of_the_run()).then(|| Instant::now() + AGAIN);
                of_run.is_untold(Problem::from(error), again);
            }
        }
    }

    /// Lets go what nobody has wanted since `before`, and looks again at what could not be told of.
    pub(super) fn keep(&mut self, wanted: &BTreeSet<Topic>, (now, before): (Instant, Instant)) {
        self.runs.retain(|run, of_run| {
            of_run.all = None;
            if wanted.contains(&Topic::Run(run.clone())) {
                of_run.wanted = now;
            }
            // What is being read stays: whoever wanted it anew meanwhile would have what the old reading found, and not what came since.
            of_run.wanted >= before || matches!(of_run.state, State::Reading(_))
        });
        if self.runs.is_empty() {
            self.tail = None;
            self.to_read.clear();
            self.reading.clear();
        }
        for (run, of_run) in &mut self.runs {
            if let State::Untold(_, Some(again)) = &of_run.state
                && *again <= now
            {
                of_run.state = State::Reading(Vec::new());
                self.to_read.push_back(run.clone());
            }
        }
        self.read_next();
    }

    /// Whether it is known what can be told of the run.
    pub(super) fn is_known(&self, run: &RunId) -> bool {
        let of_run = self.runs.get(run);
        of_run.is_none_or(|of_run| !matches!(of_run.state, State::Reading(_)))
    }

    /// Whether changes of the run can be told to somebody who was told up to there.
    pub(super) fn reaches_back_to(&self, run: &RunId, since: u64) -> bool {
        let of_run = self.runs.get(run);
        of_run.is_some_and(|of_run| match &of_run.state {
            State::Ready(changes) => changes.reaches_back_to(since),
            State::Reading(_) | State::Untold(..) => false,
        })
    }

    /// What is to be told to all who read the run and were told up to `since`, if anything.
    pub(super) fn news(&mut self, run: &RunId, since: u64) -> Option<Bytes> {
        let of_run = self.runs.get_mut(run)?;
        match std::mem::take(&mut of_run.is_due) {
            true => Some(of_run.all(run)),
            false => of_run.changed(run, since),
        }
    }

    /// What is to be told to somebody who comes back.
    pub(super) fn missed(&mut self, run: &RunId, since: u64) -> Option<Bytes> {
        self.runs.get_mut(run)?.changed(run, since)
    }

    /// All that there is to tell of the run, as it stands, or stood when others were told last.
    pub(super) fn all(&mut self, run: &RunId) -> Option<Bytes> {
        Some(self.runs.get_mut(run)?.all(run))
    }
}

impl OfRun {
    fn memory(&self) -> usize {
        match &self.state {
            State::Ready(changes) => changes.fold().memory(),
            State::Reading(_) | State::Untold(..) => 0,
        }
    }

    fn is_ready(&mut self, changes: Changes) {
        self.state = State::Ready(Box::new(changes));
        self.is_due = std::mem::take(&mut self.told_why);
        self.all = None;
    }

    fn is_untold(&mut self, problem: Problem, again: Option<Instant>) {
        self.state = State::Untold(problem, again);
        self.is_due = true;
        self.all = None;
    }

    fn changed(&mut self, run: &RunId, since: u64) -> Option<Bytes> {
        let State::Ready(changes) = &mut self.state else {
            return None;
        };
        if !changes.is_changed_since(since) {
            return None;
        }
        let Some(cells) = changes.since(since) else {
            return Some(self.all(run));
        };
        let fold = changes.fold();
        let partly = Partly {
            at: fold.position(),
            run: summary(changes)?,
            cells,
        };
        Some(frame::line(&Topic::Run(run.clone()), &partly))
    }

    fn all(&mut self, run: &RunId) -> Bytes {
        if let Some(all) = &self.all {
            return all.clone();
        }
        let topic = Topic::Run(run.clone());
        let why = |problem: &Problem| frame::line(&topic, &untold(problem));
        let line = match &self.state {
            State::Ready(changes) => match summary(changes) {
                Some(run) => frame::line(&topic, &whole(changes, run)),
                None => why(&RunError::Headless { run: run.clone() }.into()),
            },
            State::Reading(_) => {
                self.told_why = true;
                let detail = "its ledger is long, and still being read";
                return why(&Problem::new(Kind::Unavailable, detail));
            }
            State::Untold(problem, _) => {
                self.told_why = true;
                why(problem)
            }
        };
        self.all = Some(line.clone());
        line
    }
}

fn untold(problem: &Problem) -> Untold<'_> {
    Untold {
        problem: problem.told(),
    }
}

fn summary(changes: &Changes) -> Option<RunSummary> {
    let mut summary = RunSummary::of(changes.fold())?;
    summary.fit(SUMMARY);
    Some(summary)
}

fn whole(changes: &Changes, run: RunSummary) -> Whole {
    let all = Window {
        slices: 0..u32::MAX,
        pages: 0..u32::MAX,
    };
    Whole {
        at: changes.fold().position(),
        run,
        grid: grid::of(changes.fold(), &all),
    }
}
