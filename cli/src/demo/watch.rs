//! How the demo's run is followed to its end, and when one of the workers is killed on the way.
//!
//! What is shown is read from the run's ledger: it is committed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::{FollowError, Followed, Record as Stored, Start};
use gridloom_shared::id::{RunId, Session};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::Record;
use gridloom_shared::ledger::summary::RunSummary;
use gridloom_shared::reads::ledger::Entry;
use gridloom_shared::reads::workers;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::output::{Story, grouped};

use super::stack::Stack;

/// How often the picture changes, and how often to look whether all processes live.
const FRAME: Duration = Duration::from_millis(100);
/// Part of the shards after which a worker is killed, in percent.
const KILL_AT: u64 = 40;
/// A run that stands still for so long will not end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Workers are asked for their names at most this often.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A run on its way.
struct Watch<'a> {
    broker: &'a Broker,
    fold: Fold,
    /// Shards that each session committed first.
    done: BTreeMap<Session, u64>,
    names: BTreeMap<Session, String>,
    asked: Option<Instant>,
    killed: bool,
    moved: (Instant, u64),
}

/// What a run came to.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) summary: RunSummary,
    /// Shards that each worker committed.
    pub(super) workers: BTreeMap<String, u64>,
    /// Whether a worker was killed on the way.
    pub(super) killed: bool,
}

/// Follows `run` to its end, and kills a worker midway.
pub(super) async fn to_the_end(
    broker: &Broker,
    run: &RunId,
    stack: &mut Stack,
    story: &mut Story,
) -> anyhow::Result<Ended> {
    let subjects = broker.subjects();
    let mut ledger = broker.follow(
        &subjects.ledger(),
        subjects.ledger_of_run_anywhere(run),
        Start::Sequence(1),
    );
    let mut watch = Watch::new(broker, run);
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            followed = ledger.next() => match followed {
                Ok(Followed::Record(record)) => watch.take(&record),
                Ok(Followed::CaughtUp | Followed::Quiet) => {}
                // The stack brings the broker back.
                Err(FollowError::Unavailable { .. }) => {}
                Err(error @ FollowError::Rewound { .. }) => return Err(error.into()),
            },
            _ = frames.tick() => watch.frame(stack, story).await?,
        }
        if watch.fold.closing().is_some()
            && let Some(summary) = RunSummary::of(&watch.fold)
        {
            watch.ask_names().await;
            story.progressed();
            return Ok(Ended {
                summary,
                workers: watch.by_worker(),
                killed: watch.killed,
            });
        }
        if !watch.killed && watch.percent().is_some_and(|percent| percent >= KILL_AT) {
            watch.killed = true;
            watch.kill(stack, story).await?;
        }
    }
}

impl<'a> Watch<'a> {
    fn new(broker: &'a Broker, run: &RunId) -> Watch<'a> {
        Watch {
            broker,
            fold: Fold::new(run.clone()),
            done: BTreeMap::new(),
            names: BTreeMap::new(),
            asked: None,
            killed: false,
            moved: (Instant::now(), 0),
        }
    }

    fn take(&mut self, stored: &Stored) {
        let Some(entry) = Entry::read(self.broker, stored) else {
            return;
        };
        let before = self.fold.counts().done;
        entry.fold_into(&mut self.fold);
        let counted = self.fold.counts().done - before;
        if let Ok(Record::Work(work)) = &entry.record
            && counted > 0
        {
            *self.done.entry(work.signature().0).or_default() += counted;
        }
    }

    /// Shards of the run, once every slice has told its pages.
    fn total(&self) -> Option<u64> {
        let fold = &self.fold;
        fold.all_known().then(|| fold.known_shards())
    }

    fn percent(&self) -> Option<u64> {
        let total = self.total().filter(|total| *total > 0)?;
        Some(self.fold.counts().done * 100 / total)
    }

    async fn kill(&self, stack: &mut Stack, story: &Story) -> anyhow::Result<()> {
        let percent = self.percent().unwrap_or(0);
        match stack.crash_worker().await? {
            Some((name, pid)) => story.alarm(
                "KILL",
                &format!(
                    "{name} pid {pid} got SIGKILL at {percent} %; the planner misses it and gives \
                     its tiles to the others"
                ),
            ),
            None => story.alarm("KILL", "there is no worker left to kill"),
        }
        Ok(())
    }

    async fn frame(&mut self, stack: &mut Stack, story: &mut Story) -> anyhow::Result<()> {
        stack.tend(story).await?;
        self.ask_names().await;
        if self.moved.1 != self.fold.position() {
            self.moved = (Instant::now(), self.fold.position());
        } else if self.moved.0.elapsed() > PATIENCE {
            bail!(
                "bring run {} to its end: nothing has happened for {} s",
                self.fold.run(),
                PATIENCE.as_secs()
            );
        }
        let document = self.document();
        let done = (self.fold.counts().done, self.total());
        story.progress(self.fold.run().job(), done, &self.words(), &document);
        Ok(())
    }

    /// Learns the names of workers that are known by their records only.
    async fn ask_names(&mut self) {
        let known = self
            .done
            .keys()
            .all(|session| self.names.contains_key(session));
        if known && self.asked.is_some() || self.asked.is_some_and(|at| at.elapsed() < ASK_EVERY) {
            return;
        }
        self.asked = Some(Instant::now());
        // Who does not answer is shown by its session.
        let workers = workers::roll_call(self.broker).await.unwrap_or_default();
        self.names.extend(
            workers
                .into_iter()
                .map(|worker| (worker.session, worker.worker.to_string())),
        );
    }

    fn by_worker(&self) -> BTreeMap<String, u64> {
        let mut by_worker: BTreeMap<String, u64> =
            self.names.values().map(|name| (name.clone(), 0)).collect();
        for (session, done) in &self.done {
            let name = self
                .names
                .get(session)
                .cloned()
                .unwrap_or_else(|| format!("session {session}"));
            *by_worker.entry(name).or_default() += done;
        }
        by_worker
    }

    fn words(&self) -> String {
        let mut words: Vec<_> = self
            .by_worker()
            .iter()
            .map(|(name, done)| format!("{name} {}", grouped(*done)))
            .collect();
        let taken_over = self.fold.counts().taken_over;
        if taken_over > 0 {
            words.push(format!("taken over {}", grouped(taken_over)));
        }
        words.join(", ")
    }

    fn document(&self) -> Value {
        json!({
            "phase": "run",
            "run": self.fold.run(),
            "done": self.fold.counts().done,
            "shards": self.total(),
            "workers": self.by_worker(),
        })
    }
}
