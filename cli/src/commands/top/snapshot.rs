//! What `top` knows of an installation at one moment: what `--json` prints, and what is painted.

use gridloom_shared::id::{JobName, RunId};
use gridloom_shared::ledger::summary::{RunState, RunSummary};
use gridloom_shared::reads::by_hand::WaitingRun;
use gridloom_shared::reads::failures::Failures;
use gridloom_shared::reads::held::HeldShard;
use gridloom_shared::reads::queues::QueueStanding;
use gridloom_shared::reads::workers::WorkerStanding;
use gridloom_shared::waiting::Waiting;
use serde::Serialize;

use super::cells::{Block, Cells};

/// What is shown, and so has to be read more closely.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Runs whose lines are seen.
    pub(super) runs: Vec<RunId>,
    /// Blocks of the grid beside each.
    pub(super) strip: usize,
    /// The run that is open.
    pub(super) detail: Option<RunId>,
    /// Rows and columns of its grid.
    pub(super) grid: (usize, usize),
}

/// What was seen of an installation.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Snapshot {
    /// When, RFC 3339.
    pub(super) at: String,
    /// Which.
    pub(super) namespace: String,
    /// On which broker.
    pub(super) broker: Server,
    /// Planners that answer.
    pub(super) planners: Vec<Planner>,
    /// Pauses that last, that of all jobs first.
    pub(super) pauses: Vec<Pause>,
    /// Jobs with a schedule, as they were at most ten seconds ago.
    #[serde(skip)]
    pub(super) jobs: Vec<JobName>,
    /// Alarms that stand, in words.
    pub(super) alarms: Vec<String>,
    /// Shards that are done a second; `None` before it was looked twice.
    pub(super) shards_per_s: Option<f64>,
    /// Runs that are open, those that are not listed among them.
    pub(super) runs_open: u64,
    /// Queues.
    pub(super) queues: Vec<QueueStanding>,
    /// Open runs, and some that are over.
    pub(super) runs: Vec<Run>,
    /// Runs that were asked for by hand and wait until others of their job are over, the newest first.
    pub(super) waiting: Vec<WaitingRun>,
    /// Workers.
    pub(super) workers: Vec<Worker>,
    /// What has happened since it was looked for the first time, the last first.
    pub(super) events: Vec<Happening>,
    /// What could not be read this time, and why.
    pub(super) unread: Vec<String>,
    /// The run that is looked at closely.
    #[serde(skip)]
    pub(super) detail: Option<Detail>,
}

/// A broker.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Server {
    /// Its address, without a password.
    pub(super) address: String,
    /// Its version.
    pub(super) version: String,
    /// Its cluster, if it is in one.
    pub(super) cluster: Option<String>,
}

/// A planner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Planner {
    /// Its name.
    pub(super) planner: String,
    /// The term under which it leads; `None` for one that stands by.
    pub(super) term: Option<u64>,
    /// Why it cannot work; empty where nothing keeps it from that.
    pub(super) trouble: String,
}

/// A pause that lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Pause {
    /// Of which job; `None`: of all.
    pub(super) job: Option<JobName>,
    /// In words: by whom, since when, why.
    pub(super) words: String,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Run {
    /// In numbers.
    #[serde(flatten)]
    pub(super) summary: RunSummary,
    /// Whether all its shards are known: a probed grid grows.
    pub(super) all_known: bool,
    /// Whether somebody has ended it, and it is not over yet.
    pub(super) cancelling: bool,
    /// Shards that are done a second.
    pub(super) shards_per_s: Option<f64>,
    /// Seconds to its end at that rate.
    pub(super) eta_s: Option<u64>,
    /// What it waits for, where nothing moves.
    pub(super) waits: Vec<Waiting>,
    /// Its grid in one row of blocks; empty where nobody looks.
    #[serde(skip)]
    pub(super) strip: Vec<Block>,
}

impl Run {
    /// Its id.
    pub(super) fn id(&self) -> &RunId {
        &self.summary.run
    }

    /// Whether it is open.
    pub(super) fn is_open(&self) -> bool {
        self.summary.state == RunState::Running
    }

    /// Dead shards and probes that nobody gave up.
    pub(super) fn dead(&self) -> u64 {
        self.summary.shards.dead_kept()
    }

    /// The part of its shards that is done.
    pub(super) fn part(&self) -> f64 {
        self.summary.shards.done as f64 / self.summary.grid.shards.max(1) as f64
    }
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Worker {
    /// As `workers` tells it.
    #[serde(flatten)]
    pub(super) standing: WorkerStanding,
    /// Whether another one has its name.
    pub(super) namesake: bool,
    /// What it holds of the runs that are shown.
    pub(super) holds: Vec<Holds>,
}

/// Tiles that a worker holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Holds {
    /// Of which run.
    pub(super) run: RunId,
    /// How many.
    pub(super) tiles: usize,
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Happening {
    /// When, RFC 3339.
    pub(super) at: String,
    /// What, in words.
    pub(super) what: String,
    /// The run that it is about.
    pub(super) run: Option<RunId>,
    /// Whether somebody should look.
    pub(super) grave: bool,
}

/// A run that is looked at closely.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Detail {
    /// The run.
    pub(super) run: Run,
    /// Its handler.
    pub(super) handler: String,
    /// Its grid.
    pub(super) cells: Cells,
    /// What of it has failed.
    pub(super) failures: Failures,
    /// Shards that are held longest.
    pub(super) held: Vec<HeldShard>,
}
