//! One job with a schedule: its definition, what was recorded of its fires, and its runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::broker::api::ApiError;
use gridloom_shared::broker::kv::WriteError;
use gridloom_shared::broker::log::{AppendError, ReadError};
use gridloom_shared::broker::plain::RequestError;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{JobName, RunId, Term};
use gridloom_shared::job::Priority;
use gridloom_shared::ledger::record::EndState;
use gridloom_shared::schedule::Calendars;
use gridloom_shared::schedule::record::{Decision, Record, State};

use super::super::envoy::Envoy;
use super::meter;
use super::roll::{Fact, Roll};
use crate::alarms::Needs;
use crate::metrics::FIRE_LATENESS;
use crate::open::OpenError;
use crate::schedule::{Definition, Fires, Halt, Over, Runs, World};

mod asked;
mod backfills;
mod caught_up;
mod complaints;
mod defined;
mod failures;
mod meaning;
mod runs;
mod stopped;
mod write;

use asked::Requests;
use backfills::Backfills;
pub(super) use defined::Defined;

/// Records of one job before others have their turn.
const RECORDS: usize = 8;
/// It is to be looked at as soon as it is known what time it is.
const AT_ONCE: UnixMs = UnixMs(0);
/// So long it is not said that a run is open, where nothing else is said: fires that are due go first.
const CALM: Duration = Duration::from_secs(5);
/// When something that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// When a last record that makes no sense is looked for again: somebody may have removed it.
const MENDED: Duration = Duration::from_secs(5);
/// How long the answer to an order or an opening is waited for.
const ANSWERED: Duration = Duration::from_secs(5);

/// A job that has or had a schedule.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) name: JobName,
    defined: Defined,
    /// Revision of that.
    revision: u64,
    fires: Fires,
    /// Sequence of the last record of its fires: what the next one expects. 0: there is none.
    sequence: u64,
    runs: Runs,
    backfills: Backfills,
    requests: Requests,
    /// What holds its fires back.
    halts: Vec<Halt>,
    /// What stands under the key of its own pause, and the revision of that.
    pause: (u64, Option<Halt>),
    /// Its last record is to stand above this sequence.
    above: u64,
    /// The calendars that its schedule may name.
    calendars: Arc<Calendars>,
    /// Runs that were told to end, for a fire that waits for that.
    cancelled: BTreeSet<RunId>,
    /// Why its fires wait, as it was told.
    trouble: Option<String>,
    /// A later leadership writes its records.
    aside: bool,
    /// Why its last record makes no sense, if it makes none.
    stopped: Option<String>,
    /// Another's record was read: what its writer knew is heard before anything else is done.
    behind: bool,
    /// This planner leads, and says what makes no sense: those that stand by would say the same.
    leads: bool,
}

/// Why a job was not settled: it is tried again.
#[derive(Debug, thiserror::Error)]
enum SettleError {
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Forget(#[from] ApiError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the run is not open yet")]
    Slow(#[from] tokio::time::error::Elapsed),
    #[error("cancel the run that is open")]
    Cancel(#[from] RequestError),
    #[error("cancel the run that is open: {0}")]
    Refused(String),
    #[error("its queue has as many open runs as it may have")]
    Full,
    #[error(
        "a newer build kept what run {0} was asked for with: it waits for a planner of that build"
    )]
    Newer(RunId),
}

impl Job {
    /// One of which nothing is known.
    pub(super) fn new(name: JobName) -> Job {
        Job {
            defined: Defined::Unseen,
            revision: 0,
            fires: Fires::new(name.clone(), None, None),
            sequence: 0,
            runs: Runs::default(),
            backfills: Backfills::default(),
            requests: Requests::default(),
            halts: Vec::new(),
            pause: (0, None),
            above: 0,
            calendars: Arc::default(),
            cancelled: BTreeSet::new(),
            trouble: None,
            aside: false,
            stopped: None,
            behind: false,
            leads: false,
            name,
        }
    }

    /// `last` is the last record of its fires, at `sequence`.
    pub(super) fn read(&mut self, sequence: u64, last: Record) {
        let plan = self.plan(&last.state);
        self.fires = Fires::new(self.name.clone(), Some(last.state), plan);
        self.sequence = sequence;
    }

    /// What stands at a revision of its key; the watch may come later than who has read it.
    pub(super) fn define(&mut self, defined: Defined, revision: u64) {
        if revision >= self.revision {
            let is_news = revision > self.revision;
            (self.defined, self.revision) = (defined, revision);
            self.requests.changed(&self.defined);
            if is_news {
                self.complain_of_definition();
            }
        }
    }

    /// Which of several jobs goes first.
    pub(super) fn urgency(&self) -> Priority {
        match &self.defined {
            Defined::There(job, ..) => job.limits.priority,
            Defined::Unseen | Defined::Nonsense(_) | Defined::Gone(_) => Priority::default(),
        }
    }

    /// When its next fire opens, as far as is known without its definition.
    pub(super) fn expected(&self) -> Option<UnixMs> {
        self.fires.expected()
    }

    /// Whether its definition was not seen yet.
    pub(super) fn is_unseen(&self) -> bool {
        matches!(self.defined, Defined::Unseen)
    }

    /// Its definition is to be read again.
    pub(super) fn unsee(&mut self) {
        self.defined = Defined::Unseen;
        self.revision = 0;
    }

    /// All definitions were seen.
    pub(super) fn is_known(&mut self, now: UnixMs) {
        if self.is_unseen() {
            self.defined = Defined::Gone(now);
            self.requests.changed(&self.defined);
        }
    }

    /// Whether that is news: mostly the run was opened here.
    pub(super) fn hear(&mut self, fact: Fact) -> bool {
        match fact {
            Fact::Open(run) => self.is_open(run),
            Fact::Over(run, at, end) => {
                self.over(run, Some(at), end);
                true
            }
        }
    }

    fn is_open(&mut self, run: RunId) -> bool {
        if self.backfills.is_open(&run) {
            return true;
        }
        let was_over = self.runs.over.remove(&run).is_some();
        self.runs.open.insert(run) || was_over
    }

    fn over(&mut self, run: RunId, at: Option<UnixMs>, end: Option<EndState>) {
        if self.backfills.is_over(&run, end) {
            return;
        }
        self.runs.open.remove(&run);
        self.cancelled.remove(&run);
        self.runs.last_end = self.runs.last_end.max(at);
        let mut known = BTreeSet::new();
        if let Some(state) = self.fires.state() {
            known.extend(state.unopened.iter().map(|fire| fire.run.clone()));
            let awaited = state.awaited.iter();
            known.extend(awaited.map(|at| RunId::from_fire(&self.name, *at)));
        }
        self.runs.over.retain(|run, _| known.contains(run));
        if known.contains(&run) {
            self.runs.over.insert(run, Over { at, end });
        }
    }

    /// Why its fires wait; said once.
    fn say(&mut self, trouble: Option<String>) {
        if let Some(error) = trouble.as_ref().filter(|_| self.trouble != trouble) {
            tracing::warn!(job = %self.name, error, "its fires wait");
        }
        self.trouble = trouble;
    }

    /// Records and carries out what is due, a few records at once: other jobs wait meanwhile. Returns when it is to be
    /// looked at again.
    pub(super) async fn settle(
        &mut self,
        envoy: &Envoy,
        term: Term,
        roll: &Roll,
    ) -> Option<UnixMs> {
        let settled = match self.stopped {
            Some(_) => self.mend(&envoy.broker, roll, term).await,
            None => self.try_settle(envoy, term, roll).await,
        };
        self.repeat(envoy, roll, term).await;
        if std::mem::take(&mut self.behind) {
            // Whatever failed is tried again with what is heard then.
            return Some(AT_ONCE);
        }
        let filled = self.fill(envoy, term).await;
        let Some(now) = envoy.clock.now() else {
            return Some(AT_ONCE);
        };
        match settled.and_then(|again| Ok((again, filled?))) {
            Ok((again, filled)) => {
                let missing = self.fires.waits_for();
                self.say(missing.map(|name| format!("there is no calendar {name}")));
                if self.stopped.is_some() {
                    return filled.into_iter().chain([now + MENDED]).min();
                }
                let wake = match again {
                    Some(again) => Some(again),
                    None => self.fires.wake(&self.world(now, term)?),
                };
                wake.into_iter().chain(filled).min()
            }
            Err(error) => {
                self.say(Some(chain(&error).to_string()));
                Some(now + AGAIN)
            }
        }
    }

    /// When it is to be looked at again, where it is not by its schedule: there may be more to record.
    async fn try_settle(
        &mut self,
        envoy: &Envoy,
        term: Term,
        roll: &Roll,
    ) -> Result<Option<UnixMs>, SettleError> {
        let mut carried_out = Ok(());
        for recorded in 0..RECORDS {
            // What cannot be opened or cancelled for now must not keep others from being decided in time.
            if carried_out.is_ok() {
                carried_out = self.carry_out(envoy, term).await;
            }
            let Some(now) = envoy.clock.now() else {
                return carried_out.map(|()| None);
            };
            let decided = self
                .world(now, term)
                .and_then(|world| self.fires.decide(&world));
            let Some(record) = decided else {
                return carried_out.map(|()| None);
            };
            if record.decision == Decision::Confirmed && recorded > 0 {
                return carried_out.map(|()| Some(now + CALM));
            }
            // Who applies a job that is paused from the start writes the pause before the definition, and two watches tell
            // of them: no schedule begins before its pause is known, if it has one.
            let begins = record.decision == Decision::Adopted;
            if begins && self.read_pause(&envoy.broker).await? {
                continue;
            }
            self.append(&envoy.broker, roll, term, record).await?;
            if self.behind {
                // What was told meanwhile is heard before the next round.
                return carried_out.map(|()| Some(now));
            }
        }
        carried_out.map(|()| Some(envoy.clock.now().unwrap_or(AT_ONCE)))
    }

    async fn carry_out(&mut self, envoy: &Envoy, term: Term) -> Result<(), SettleError> {
        self.pause_itself(envoy, term).await?;
        self.find_ends(envoy, term).await?;
        self.cancel(envoy, term).await?;
        let opened = self.open(envoy, term).await;
        self.settle_asked(envoy).await?;
        opened
    }

    /// What decisions depend on; `None` while they cannot be made.
    fn world(&self, now: UnixMs, term: Term) -> Option<World<'_>> {
        let definition = match &self.defined {
            Defined::Unseen | Defined::Nonsense(_) => return None,
            Defined::Gone(since) => Definition {
                spec: None,
                since: *since,
            },
            Defined::There(_, spec, since) => Definition {
                spec: spec.as_deref(),
                since: *since,
            },
        };
        (!self.aside && self.stopped.is_none()).then_some(World {
            now,
            term,
            definition,
            halts: &self.halts,
            pause_revision: self.pause.0,
            runs: &self.runs,
            wishes: &self.requests.wishes,
        })
    }

    /// What is to be watched of it; `None` where it is not known.
    pub(super) fn needs(&self, now: UnixMs, term: Term) -> Option<Needs> {
        Some(self.fires.needs(&self.world(now, term)?))
    }

    /// When its next fire opens that has not come; `None` also where that is not known.
    pub(super) fn next_opening(&self, now: UnixMs, term: Term) -> Option<UnixMs> {
        self.fires.next_opening(&self.world(now, term)?)
    }

    /// The plan is made anew only where the schedule is another.
    fn recorded(&mut self, record: Record) {
        let after = &record.state;
        let is_the_same =
            |before: &State| before.spec == after.spec && before.anchor == after.anchor;
        if self.fires.state().is_some_and(is_the_same) {
            self.fires.went_on(record);
        } else {
            let plan = self.plan(&record.state);
            self.fires.recorded(record, plan);
        }
    }

    fn tell(&self, record: &Record) {
        let (decision, job) = (record.decision.word(), self.name.as_str());
        for span in record.decision.spans() {
            meter::count(&self.name, decision, span.count);
            let scheduled_at = span.first.rfc3339();
            tracing::info!(job, scheduled_at, count = span.count, decision, "fire");
        }
        if let Decision::Opened { at, held: None, .. } = record.decision {
            let late = Duration::from_millis(record.at.0.saturating_sub(at.0));
            FIRE_LATENESS.histogram(&[]).record(late.as_secs_f64());
        }
    }
}
