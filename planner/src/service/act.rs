//! Carries out what a leadership decided, each action an errand of it.
//!
//! | room | what is said to the broker |
//! |------|----------------------------|
//! | [`waves`] | waves and refills |
//! | [`queue`] | what the queue holds; the term register |
//! | [`records`] | orders, closings; ledgers of runs that are over |
//! | [`halt`] | the end of what is queued and runs of a cancelled run |

use std::time::Duration;

use gridloom_shared::clock::Boot;

use super::envoy::Envoy;
use super::failover::Workers;
use super::feeds;
use super::task::Task;
use super::tasks::{Ended, Tasks};
use crate::alive::Signs;
use crate::lead::action::{Action, Ordered};

mod halt;
mod queue;
mod records;
mod waves;

/// Pause before the broker is asked again for something that it could not do.
const PAUSE: Duration = Duration::from_millis(100);
/// Pause before a full queue is tried again.
const PAUSE_FULL: Duration = Duration::from_secs(1);

/// What carries it out, and the tasks of the leadership. Dropped, they end.
#[derive(Debug)]
pub(super) struct Act {
    envoy: Envoy,
    workers: Workers,
    tasks: Tasks,
}

impl Act {
    pub(super) fn new(envoy: Envoy, workers: Workers, tasks: Tasks) -> Act {
        Act {
            envoy,
            workers,
            tasks,
        }
    }

    /// Starts a feed: it is to last as long as the leadership, and gives signs of life.
    pub(super) fn feed<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        task: Task,
        feed: impl FnOnce(Signs) -> F,
    ) {
        self.tasks.keep(task, feed);
    }

    fn errand(&mut self, task: Task, errand: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task, errand);
    }

    /// Begins to carry out what was decided.
    pub(super) fn carry_out(&mut self, ordered: Ordered) {
        let Ordered { action, life } = ordered;
        let envoy = Envoy {
            life,
            ..self.envoy.clone()
        };
        match action {
            Action::Issue(issue) => self.errand(Task::Issue, envoy.issue(issue)),
            Action::Begin { runs, register } => {
                self.errand(Task::Issue, envoy.issue_first(runs, register));
            }
            Action::List {
                run,
                queue,
                register,
            } => self.errand(Task::List, envoy.list(run, queue, register)),
            Action::Ask {
                run,
                queue,
                listing,
                register,
            } => {
                let workers = self.workers.clone();
                let asked = envoy.ask(run, queue, listing, register, workers);
                self.errand(Task::Ask, asked);
            }
            Action::Refill {
                run,
                lane,
                tiles,
                register,
            } => self.errand(Task::Refill, envoy.refill(run, lane, tiles, register)),
            Action::Recall { run, queue, waves } => {
                self.errand(Task::Recall, envoy.recall(run, queue, waves));
            }
            Action::Halt {
                run,
                queue,
                sequence,
                holders,
            } => self.errand(Task::Halt, envoy.halt(run, queue, sequence, holders)),
            Action::Write(order) => self.errand(Task::Order, envoy.order(order)),
            Action::Close {
                run,
                queue,
                closed,
                expected,
            } => self.errand(Task::Close, envoy.close(run, queue, closed, expected)),
            Action::Claim(term) => self.errand(Task::Claim, envoy.claim(term)),
            Action::Load { run, position } => {
                self.errand(Task::Load, envoy.load(run, position));
            }
            Action::Answer { reply, answer } => {
                self.errand(Task::Answer, envoy.answer(reply, answer));
            }
            Action::Bury { run, why, gone } => {
                self.errand(Task::Bury, envoy.bury(run, why, gone));
            }
            Action::CallWorkers => self.errand(Task::Call, async move {
                feeds::call_workers(&envoy.broker).await;
            }),
        }
    }

    /// Largest record that the broker takes now, in bytes.
    pub(super) fn max_record(&self) -> usize {
        self.envoy.broker.max_record()
    }

    /// Takes away what has ended. What ended as it must not, or hangs, is an error.
    pub(super) fn look_after(&mut self, now: Boot) -> Result<(), Ended> {
        let is_connected = self.envoy.broker.is_connected();
        self.tasks.look_after(now, is_connected)
    }
}
