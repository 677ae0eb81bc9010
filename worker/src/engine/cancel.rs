//! Stops everything of a run that was cancelled: the leader says so, or the ledger, which is asked
//! after each reconnect for the runs that are held (docs/PROTOCOL.md §10).
//!
//! Of what is stopped nothing more is said: neither an outcome nor that it was handed back. What was
//! already finished is still reported. The leader hears when nothing of the run is left here.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use gridloom_shared::broker::log::ReadError;
use gridloom_shared::broker::{Broker, Message, PublishError, Subject, Subscription};
use gridloom_shared::chain;
use gridloom_shared::command::{Broadcast, Halted};
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::ledger::record::Author;
use gridloom_shared::wire;

use super::standing::Standing;
use super::tiles::{Phase, TileKey};
use super::{Engine, Event, errand};
use crate::shard::End;

/// Cancelled runs that are remembered. Forgetting one is harmless: its tiles left the queue.
const MARKS_MAX: usize = 4_096;
/// Questions that may wait. An older one is asked again by whoever still wants to know.
const QUESTIONS_MAX: usize = 256;
/// How long to wait before a read that failed is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Runs of which nothing may run, and who waits for that.
pub(super) struct Cancelled {
    /// What the leader tells all workers.
    broadcasts: Subscription,
    marks: HashMap<RunId, Mark>,
    questions: Vec<(RunId, Subject)>,
    /// Runs whose last record is being read.
    asking: HashSet<RunId>,
}

/// Why nothing of a run may run.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// The ledger sequence by which that is known.
    sequence: u64,
    /// Whether it was known on an earlier connection: the broker may have lost it since.
    is_old: bool,
}

impl Cancelled {
    pub(super) async fn new(broker: &Broker) -> Result<Cancelled, PublishError> {
        Ok(Cancelled {
            broadcasts: broker.subscribe(broker.subjects().broadcast()).await?,
            marks: HashMap::new(),
            questions: Vec::new(),
            asking: HashSet::new(),
        })
    }

    pub(super) async fn next(&mut self) -> Option<Message> {
        self.broadcasts.next().await
    }

    pub(super) fn contains(&self, run: &RunId) -> bool {
        !self.marks.is_empty() && self.marks.contains_key(run)
    }

    /// The leader asks, again and again, while a handler ignores that it is told to stop.
    fn ask(&mut self, run: RunId, reply: Subject) {
        if self.questions.len() >= QUESTIONS_MAX {
            self.questions.remove(0);
        }
        self.questions.push((run, reply));
    }

    fn mark(&mut self, run: &RunId, sequence: u64) {
        if self.marks.len() >= MARKS_MAX {
            self.marks.clear();
        }
        let known = self.marks.entry(run.clone()).or_default();
        if sequence >= known.sequence {
            let is_old = false;
            *known = Mark { sequence, is_old };
        }
    }

    fn unmark(&mut self, run: &RunId, sequence: u64) {
        if (self.marks.get(run)).is_some_and(|known| known.sequence < sequence) {
            self.marks.remove(run);
        }
    }

    /// The run goes on by the planner's last record, which the ledger has now.
    fn goes_on(&mut self, run: &RunId, sequence: u64) {
        self.unmark(run, sequence);
        if self.marks.get(run).is_some_and(|known| known.is_old) {
            self.marks.remove(run);
        }
    }

    /// The connection is another one.
    fn doubt(&mut self) {
        self.marks
            .values_mut()
            .for_each(|known| known.is_old = true);
    }
}

impl Engine {
    /// The leader told all workers something.
    pub(super) fn hear_leader(&mut self, message: &Message) {
        match wire::decode::<Broadcast>(&message.payload) {
            Ok(Broadcast::Cancelled { run, sequence }) => {
                self.cancel(&run, sequence);
                if let Some(reply) = message.reply.clone() {
                    self.cancelled.ask(run, reply);
                }
            }
            Ok(Broadcast::Reopened { run, sequence }) => self.cancelled.unmark(&run, sequence),
            Ok(Broadcast::Crowd { queue, free }) => self.count_free(&queue, &free),
            Ok(Broadcast::QueueMade {}) => self.queue_made.send_modify(|times| *times += 1),
            Err(error) => {
                tracing::debug!(error = %chain(&error), "the leader said something unknown")
            }
        }
    }

    fn cancel(&mut self, run: &RunId, sequence: u64) {
        self.cancelled.mark(run, sequence);
        self.stop_all_of(run);
    }

    fn stop_all_of(&mut self, run: &RunId) {
        let Some(opened) = self.runs.opened_of(run) else {
            return;
        };
        let (mut started, mut unstarted) = (0, Vec::new());
        for (key, held) in self.tiles.iter().filter(|(key, _)| key.opened == opened) {
            if held.phase() == Phase::Running {
                started += 1;
                held.end(End::Cancelled);
            } else if held.phase() != Phase::Reporting {
                unstarted.push(key);
            }
        }
        if started > 0 || !unstarted.is_empty() {
            let unstarted = unstarted.len();
            tracing::info!(%run, running = started, unstarted, "the run was cancelled: stopping it");
        }
        unstarted
            .into_iter()
            .for_each(|key| self.drop_unstarted(key));
    }

    /// Whether the tile is of a run that was cancelled: then nothing is said about it.
    pub(super) fn is_cancelled(&self, key: TileKey) -> bool {
        self.runs
            .get(key.opened)
            .is_some_and(|run| self.cancelled.contains(run.id()))
    }

    /// Answers the leader for each run of which nothing is left.
    pub(super) fn answer_leader(&mut self) {
        if self.cancelled.questions.is_empty() {
            return;
        }
        let questions = std::mem::take(&mut self.cancelled.questions);
        let (busy, idle): (Vec<_>, Vec<_>) = questions
            .into_iter()
            .partition(|(run, _)| self.has_any_of(run));
        self.cancelled.questions = busy;
        for (run, reply) in idle {
            let (broker, session) = (self.broker.clone(), self.session);
            self.errands.add(async move {
                let answer = wire::encode(&Halted { session });
                if let Err(error) = broker.publish(reply, answer).await {
                    tracing::debug!(%run, error = %chain(&error), "cannot tell that a cancelled run has stopped");
                }
                Event::Answered
            });
        }
    }

    fn has_any_of(&self, run: &RunId) -> bool {
        let Some(opened) = self.runs.opened_of(run) else {
            return false;
        };
        self.ledger.reports(opened) || self.tiles.has_any_of(opened)
    }

    /// After a reconnect: were runs that are held here cancelled meanwhile?
    pub(super) fn ask_about_runs(&mut self) {
        self.cancelled.doubt();
        let mut opened: Vec<u64> = self.tiles.iter().map(|(key, _)| key.opened).collect();
        opened.sort_unstable();
        opened.dedup();
        for opened in opened {
            if let Some(run) = self.runs.get(opened) {
                let (run, queue) = (run.id().clone(), run.queue().clone());
                self.ask_about(&run, &queue, Duration::ZERO);
            }
        }
    }

    /// A tile came of a run that was cancelled: it is dropped, unless the run was reopened.
    pub(super) fn came_of_cancelled(&mut self, run: &RunId, lane: usize) {
        tracing::debug!(%run, "dropped: its run was cancelled");
        let queue = self.lanes.get(lane).lane().queue.clone();
        self.ask_about(run, &queue, Duration::ZERO);
    }

    fn ask_about(&mut self, run: &RunId, queue: &QueueName, after: Duration) {
        if !self.cancelled.asking.insert(run.clone()) {
            return;
        }
        let subject = self.broker.subjects().ledger_of(queue, run, Author::Plan);
        let (broker, run) = (self.broker.clone(), run.clone());
        self.errands.add(async move {
            errand::pause(after).await;
            let result = Standing::read(&broker, &subject).await;
            Event::Stood { run, result }
        });
    }

    pub(super) fn stood(&mut self, run: &RunId, result: Result<Standing, ReadError>) {
        self.cancelled.asking.remove(run);
        match result {
            Ok(Standing::GoesOn(sequence)) => self.cancelled.goes_on(run, sequence),
            Ok(Standing::Cancelled(sequence)) => self.cancel(run, sequence),
            // Should a tile of it be on the queue still, it is to be read and acknowledged.
            Ok(Standing::Failed(sequence)) => {
                if self.holds_any_of(run) {
                    self.cancelled.mark(run, sequence);
                    self.stop_all_of(run);
                } else {
                    self.cancelled.marks.remove(run);
                }
            }
            Err(error) => {
                tracing::debug!(%run, error = %chain(&error), "cannot read whether a run goes on");
                let queue = self.runs.opened_of(run).and_then(|opened| {
                    let run = self.runs.get(opened)?;
                    Some(run.queue().clone())
                });
                if let Some(queue) = queue.filter(|_| self.holds_any_of(run)) {
                    self.ask_about(run, &queue, RETRY);
                }
            }
        }
    }

    fn holds_any_of(&self, run: &RunId) -> bool {
        self.runs
            .opened_of(run)
            .is_some_and(|opened| self.tiles.holds_any_of(opened))
    }
}
