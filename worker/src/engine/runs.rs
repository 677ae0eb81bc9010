//! The runs whose tiles this worker holds or held lately: their frozen jobs, read once, who waits for
//! them, and how far their takeovers are read. Bounded: runs without tiles go, the longest unused first.
//! Pure: who reads the ledger is told what to read.

use std::collections::HashMap;
use std::sync::Arc;

use gridloom_shared::id::{HandlerName, JobName, Nonce, QueueName, RunId};
use gridloom_shared::lane::Lane;
use gridloom_shared::ledger::record::Opened;
use gridloom_shared::limits::{IDLE_RUNS_MAX, LABELS_MAX, TOLLS_MAX};
use gridloom_shared::presence::Toll;
use gridloom_shared::quick::QuickMap;
use gridloom_shared::wire;

use super::tiles::TileKey;
use crate::callbacks::Callbacks;
use crate::crew::meters::JobMeters;
use crate::crew::pace::Pace;
use crate::handler::SharedHandler;
use crate::shard::RunContext;
use crate::traced::{RunTrace, Telling};

/// The handlers of this worker.
pub(super) type Handlers = HashMap<HandlerName, SharedHandler>;

/// A handler and its metrics.
#[derive(Clone)]
pub(super) struct Registered {
    pub(super) handler: SharedHandler,
    pub(super) pace: Arc<Pace>,
    pub(super) meters: Arc<JobMeters>,
}

pub(super) struct Run {
    id: RunId,
    lane: Lane,
    /// Its frozen job, and who runs it here.
    job: Option<(Arc<RunContext>, Registered)>,
    /// The newest version in which is reported of it; the first one while its first record is not known.
    reports: u16,
    certainty: Certainty,
    /// Whether its first record is being read.
    reading: bool,
    /// Tiles that wait for the context.
    waiting: Vec<TileKey>,
    /// Tiles held.
    held: u32,
    /// Up to which ledger sequence its takeovers were read.
    takeovers_read: u64,
    looking: bool,
    used: u64,
    /// Shards that were told of.
    told: u64,
}

/// How certain a run's job is. What the ledger said may be so no more: after a power failure it can lack its last records,
/// and another run's stands in their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Certainty {
    /// A tile brought it along.
    Told,
    /// It was read from the ledger.
    Read,
    /// And again, as a tile said something else.
    ReadAgain,
}

/// What is next for a tile that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Its job is known.
    Admit,
    /// It waits for its run's first record, which is being read.
    Wait,
    /// The same, and the record is to be read now.
    Read,
}

/// Why a tile is not one of the run that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stranger {
    /// The record that it names is another run's.
    Known,
    /// The same, as far as is known; the record is to be read now.
    Read,
    /// The record is being read. Until then nothing is said of the tile.
    Unknown,
}

impl Run {
    pub(super) fn id(&self) -> &RunId {
        &self.id
    }

    pub(super) fn queue(&self) -> &QueueName {
        &self.lane.queue
    }

    /// Its frozen job and who runs it here, if that is known.
    pub(super) fn job(&self) -> Option<(&Arc<RunContext>, &Registered)> {
        let (context, handler) = self.job.as_ref()?;
        Some((context, handler))
    }

    /// See [`Opened::reports`].
    pub(super) fn reports(&self) -> u16 {
        self.reports
    }

    pub(super) fn takeovers_read(&self) -> u64 {
        self.takeovers_read
    }

    /// Its takeovers are read up to there.
    pub(super) fn note_takeovers(&mut self, up_to: u64) {
        self.takeovers_read = self.takeovers_read.max(up_to);
    }

    /// Whether its takeovers are being read.
    pub(super) fn is_looking(&self) -> bool {
        self.looking
    }

    pub(super) fn set_looking(&mut self, looking: bool) {
        self.looking = looking;
    }

    fn is_idle(&self) -> bool {
        self.held == 0 && !self.reading
    }

    /// Whether a tile with this nonce may be judged by what is known.
    fn knows(&self, nonce: Nonce) -> bool {
        let known = self.job.as_ref();
        known.is_some_and(|(context, _)| self.is_sure() || context.nonce == nonce)
    }

    /// Whether whatever says something else is wrong.
    fn is_sure(&self) -> bool {
        self.job.is_some() && self.certainty == Certainty::ReadAgain
    }

    /// Whether its first record is to be read, by whoever asks first.
    fn read(&mut self) -> bool {
        !std::mem::replace(&mut self.reading, true)
    }

    /// Takes in its frozen job. `false`: it is not one of this lane.
    fn know(
        &mut self,
        found: Opened,
        handlers: &Handlers,
        (meters, telling, callbacks): (&mut Metered, &Telling, &Arc<Callbacks>),
    ) -> bool {
        if Lane::of(&found.job) != self.lane {
            return false;
        }
        let Some(handler) = handlers.get(&self.lane.handler) else {
            return false;
        };
        let handler = Registered {
            handler: Arc::clone(handler),
            pace: Arc::default(),
            meters: meters.of(&found.job.name, &self.lane.handler),
        };
        self.reports = found.reports;
        let trace = RunTrace::of(&found, telling);
        let context = RunContext {
            run: self.id.clone(),
            nonce: found.nonce,
            job: found.job,
            trace,
            worker: Arc::clone(&telling.worker),
            kept: Arc::default(),
            callbacks: Arc::clone(callbacks),
        };
        self.job = Some((Arc::new(context), handler));
        true
    }
}

/// The metrics of jobs, with the handler that each had last.
#[derive(Default)]
struct Metered(HashMap<JobName, (HandlerName, Arc<JobMeters>)>);

impl Metered {
    fn of(&mut self, job: &JobName, handler: &HandlerName) -> Arc<JobMeters> {
        if let Some((of, meters)) = self.0.get(job)
            && of == handler
        {
            return Arc::clone(meters);
        }
        // Those that are not asked for any more go; the others come back.
        if self.0.len() >= LABELS_MAX {
            self.0.clear();
        }
        let meters = Arc::new(JobMeters::of(job.as_str(), handler.as_str()));
        let known = (handler.clone(), Arc::clone(&meters));
        self.0.insert(job.clone(), known);
        meters
    }
}

/// All of them, by the ledger sequence of their `opened` record.
pub(super) struct Runs {
    runs: QuickMap<u64, Run>,
    by_id: HashMap<RunId, u64>,
    clock: u64,
    /// With more than these it is looked for some to forget.
    crowd: usize,
    metered: Metered,
    /// Who is told of traces.
    telling: Telling,
    /// Who awaits a callback.
    callbacks: Arc<Callbacks>,
}

impl Runs {
    pub(super) fn new(telling: Telling, callbacks: Callbacks) -> Runs {
        Runs {
            runs: QuickMap::default(),
            by_id: HashMap::new(),
            clock: 0,
            crowd: IDLE_RUNS_MAX,
            metered: Metered::default(),
            telling,
            callbacks: Arc::new(callbacks),
        }
    }

    pub(super) fn callbacks(&self) -> &Callbacks {
        &self.callbacks
    }

    pub(super) fn get(&self, opened: u64) -> Option<&Run> {
        self.runs.get(&opened)
    }

    pub(super) fn get_mut(&mut self, opened: u64) -> Option<&mut Run> {
        self.runs.get_mut(&opened)
    }

    pub(super) fn opened_of(&self, run: &RunId) -> Option<u64> {
        self.by_id.get(run).copied()
    }

    /// What runs have cost, those that have grown since the last call.
    pub(super) fn tolls(&mut self) -> Vec<Toll> {
        let grown = self.runs.values_mut().filter_map(|run| {
            let (_, registered) = run.job.as_ref()?;
            let (shards, busy_us) = registered.pace.sums();
            (shards > std::mem::replace(&mut run.told, shards)).then(|| Toll {
                run: run.id.clone(),
                shards,
                busy_us,
            })
        });
        grown.take(TOLLS_MAX).collect()
    }

    /// Whether no tile waits for anything about any run.
    pub(super) fn are_idle(&self) -> bool {
        self.runs.values().all(Run::is_idle)
    }

    /// The run whose `opened` record stands at `opened` is wanted. `false` when it is new.
    pub(super) fn touch(&mut self, opened: u64, id: &RunId, lane: &Lane) -> bool {
        self.clock += 1;
        if let Some(run) = self.runs.get_mut(&opened) {
            run.used = self.clock;
            return true;
        }
        self.by_id.insert(id.clone(), opened);
        let run = Run {
            id: id.clone(),
            lane: lane.clone(),
            job: None,
            reports: wire::FIRST,
            certainty: Certainty::Told,
            reading: false,
            waiting: Vec::new(),
            held: 0,
            takeovers_read: 0,
            looking: false,
            used: self.clock,
            told: 0,
        };
        self.runs.insert(opened, run);
        false
    }

    /// The runs to be forgotten where too many are known: those longest unused, of those of which `idle` says
    /// that nothing is left to be written. Never the one that was touched last, whose tile is just coming: the youngest
    /// are kept.
    pub(super) fn surplus(&mut self, idle: impl Fn(u64) -> bool) -> Vec<u64> {
        if self.runs.len() <= self.crowd {
            return Vec::new();
        }
        let unused = self.runs.iter();
        let unused = unused.filter(|(_, run)| run.is_idle());
        let unused = unused.filter(|(opened, _)| idle(**opened));
        let mut unused: Vec<(u64, u64)> = unused.map(|(opened, run)| (run.used, *opened)).collect();
        unused.sort_unstable();
        // Half of them, so that they are not looked through for each run that comes.
        let kept = IDLE_RUNS_MAX / 2;
        let surplus = unused.len().saturating_sub(kept);
        self.crowd = self.runs.len() - surplus + kept;
        unused.truncate(surplus);
        unused.into_iter().map(|(_, opened)| opened).collect()
    }

    /// Forgets a run that is over, or turned out to be none. Whether it is gone.
    pub(super) fn forget(&mut self, opened: u64) -> bool {
        if !self.runs.get(&opened).is_some_and(Run::is_idle) {
            return false;
        }
        if let Some(run) = self.runs.remove(&opened)
            && self.by_id.get(&run.id) == Some(&opened)
        {
            self.by_id.remove(&run.id);
        }
        true
    }
}

/// A tile's way to its run's job.
impl Runs {
    /// Whether a tile that names the run is none of it.
    pub(super) fn stranger(&mut self, opened: u64, id: &RunId, lane: &Lane) -> Option<Stranger> {
        let run = self.runs.get_mut(&opened)?;
        if run.id == *id && run.lane == *lane {
            return None;
        }
        Some(if run.is_sure() {
            Stranger::Known
        } else if run.read() {
            Stranger::Read
        } else {
            Stranger::Unknown
        })
    }

    /// A tile of the run came, with this nonce and perhaps with the run's first record. It is to be
    /// admitted now, or when [`Runs::learn`] names it: once.
    pub(super) fn came(
        &mut self,
        key: TileKey,
        nonce: Nonce,
        carried: impl FnOnce() -> Option<Box<Opened>>,
        handlers: &Handlers,
    ) -> Next {
        let Some(run) = self.runs.get_mut(&key.opened) else {
            return Next::Wait;
        };
        run.held += 1;
        if run.job.is_none()
            && !run.reading
            && let Some(found) = carried().filter(|found| found.nonce == nonce)
        {
            let told = (&mut self.metered, &self.telling, &self.callbacks);
            run.know(*found, handlers, told);
        }
        if run.knows(nonce) {
            return Next::Admit;
        }
        run.waiting.push(key);
        if run.read() { Next::Read } else { Next::Wait }
    }

    /// A tile of the run has gone.
    pub(super) fn went(&mut self, opened: u64) {
        if let Some(run) = self.runs.get_mut(&opened) {
            run.held = run.held.saturating_sub(1);
        }
    }

    /// The run's first record was read; `None`: there is none. Returns the tiles that waited for it,
    /// and whether they are of that run.
    pub(super) fn learn(
        &mut self,
        opened: u64,
        found: Option<Box<Opened>>,
        handlers: &Handlers,
    ) -> (Vec<TileKey>, bool) {
        let Some(run) = self.runs.get_mut(&opened) else {
            return (Vec::new(), false);
        };
        let told = (&mut self.metered, &self.telling, &self.callbacks);
        run.reading = false;
        let known = found.is_some_and(|found| run.know(*found, handlers, told));
        run.certainty = match (known, run.certainty) {
            (true, Certainty::Told) => Certainty::Read,
            (true, Certainty::Read | Certainty::ReadAgain) => Certainty::ReadAgain,
            (false, _) => Certainty::Told,
        };
        if !known {
            run.job = None;
        }
        (std::mem::take(&mut run.waiting), known)
    }

    /// The connection is another one: the broker may have lost what was read.
    pub(super) fn doubt(&mut self) {
        for run in self.runs.values_mut() {
            run.certainty = run.certainty.min(Certainty::Read);
        }
    }
}

#[cfg(test)]
mod tests;
