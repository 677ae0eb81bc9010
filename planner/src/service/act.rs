//! Carries out what a leadership decided: the only place that spawns, and that looks after what it
//! spawned.
//!
//! | room | what is said to the broker |
//! |------|----------------------------|
//! | [`waves`] | waves and refills |
//! | [`queue`] | what the queue holds; the term register |
//! | [`records`] | orders, closings; ledgers of runs that are over |
//! | [`halt`] | the end of what is queued and runs of a cancelled run |
//!
//! A *feed* lasts as long as the leadership: one that ends, however it ends, is a fault of the whole
//! leadership. An *errand* ends by itself; one that panics is as bad, as nobody hears what came of it.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::{Id, JoinSet};

use super::envoy::Envoy;
use super::failover::Workers;
use super::fault::Fault;
use super::feeds;
use crate::lead::action::{Action, Ordered};

mod halt;
mod queue;
mod records;
mod waves;

/// Pause before the broker is asked again for something that it could not do.
const PAUSE: Duration = Duration::from_millis(100);
/// Pause before a full queue is tried again.
const PAUSE_FULL: Duration = Duration::from_secs(1);

/// What a task is for.
#[derive(Clone, Copy, Debug)]
enum Task {
    Feed(&'static str),
    Errand(&'static str),
}

/// A task that ended as it must not.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// A feed ended.
    #[error("feed {0} has ended")]
    Feed(&'static str),
    /// A task panicked.
    #[error("{0} has panicked")]
    Panicked(&'static str),
}

/// The tasks of one leadership. Dropped, they end.
#[derive(Debug)]
pub(super) struct Act {
    envoy: Envoy,
    workers: Workers,
    tasks: JoinSet<()>,
    names: HashMap<Id, Task>,
    fault: Option<Fault>,
}

impl Act {
    pub(super) fn new(envoy: Envoy, workers: Workers, fault: Option<Fault>) -> Act {
        Act {
            fault,
            envoy,
            workers,
            tasks: JoinSet::new(),
            names: HashMap::new(),
        }
    }

    /// Starts a feed: it is to last as long as the leadership.
    pub(super) fn feed(
        &mut self,
        name: &'static str,
        feed: impl Future<Output = ()> + Send + 'static,
    ) {
        let fault = self.fault.take_if(|fault| fault.feed == name);
        let task = match fault {
            Some(fault) => self.tasks.spawn(fault.play(feed)),
            None => self.tasks.spawn(feed),
        };
        self.names.insert(task.id(), Task::Feed(name));
    }

    fn errand(&mut self, name: &'static str, errand: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(errand).id();
        self.names.insert(id, Task::Errand(name));
    }

    /// Begins to carry out what was decided.
    pub(super) fn carry_out(&mut self, ordered: Ordered) {
        let Ordered { action, life } = ordered;
        let envoy = Envoy {
            life,
            ..self.envoy.clone()
        };
        match action {
            Action::Issue(issue) => self.errand("issuing a wave", envoy.issue(issue)),
            Action::List {
                run,
                queue,
                register,
            } => self.errand("listing the queue", envoy.list(run, queue, register)),
            Action::Ask {
                run,
                queue,
                listing,
                register,
            } => {
                let workers = self.workers.clone();
                let asked = envoy.ask(run, queue, listing, register, workers);
                self.errand("asking the workers", asked);
            }
            Action::Refill {
                run,
                lane,
                tiles,
                register,
            } => self.errand("refilling", envoy.refill(run, lane, tiles, register)),
            Action::Recall { run, queue, waves } => {
                self.errand("reading waves again", envoy.recall(run, queue, waves));
            }
            Action::Halt {
                run,
                queue,
                sequence,
                holders,
            } => self.errand("halting a run", envoy.halt(run, queue, sequence, holders)),
            Action::Write(order) => self.errand("writing an order", envoy.order(order)),
            Action::Close {
                run,
                queue,
                closed,
                expected,
            } => self.errand("closing a run", envoy.close(run, queue, closed, expected)),
            Action::Claim(term) => self.errand("claiming the register", envoy.claim(term)),
            Action::Load { run, position } => {
                self.errand("reading a run", envoy.load(run, position));
            }
            Action::Answer { reply, answer } => {
                self.errand("answering an order", envoy.answer(reply, answer));
            }
            Action::Bury { run, why, gone } => {
                self.errand("burying a lost run", envoy.bury(run, why, gone));
            }
            Action::CallWorkers => self.errand("calling the workers", async move {
                feeds::call_workers(&envoy.broker).await;
            }),
        }
    }

    /// Largest record that the broker takes now, in bytes.
    pub(super) fn max_record(&self) -> usize {
        self.envoy.broker.max_record()
    }

    /// Takes away what has ended. What ended as it must not is an error.
    pub(super) fn look_after(&mut self) -> Result<(), Ended> {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            let (id, panicked) = match ended {
                Ok((id, ())) => (id, false),
                Err(error) => (error.id(), error.is_panic()),
            };
            match (self.names.remove(&id), panicked) {
                (Some(Task::Errand(_)), false) | (None, false) => {}
                (Some(Task::Feed(name)), false) => return Err(Ended::Feed(name)),
                (Some(Task::Feed(name) | Task::Errand(name)), true) => {
                    return Err(Ended::Panicked(name));
                }
                (None, true) => return Err(Ended::Panicked("a task")),
            }
        }
        Ok(())
    }
}
