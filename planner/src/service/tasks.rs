//! The tasks of a service and of each of its leaderships: the only place of the planner that spawns. Each task
//! has a name here, and none ends or panics unseen: whoever owns it asks in each round of the loop.
//!
//! One that is to last and hangs ([`crate::alive`]) has come to its end, too.
//!
//! | task | who owns it | what its end is |
//! |------|-------------|-----------------|
//! | of the service | the process | the end of the process |
//! | of a leadership (a *feed*) | the leadership | the end of the leadership |
//! | an errand of a leadership | the leadership | nothing, unless it panics: nobody heard what came of it |

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use gridloom_shared::clock::Boot;
use tokio::task::{AbortHandle, Id, JoinHandle, JoinSet};
use tracing::{Instrument, Span};

use super::fault::Fault;
use super::task::{Owner, Task};
use crate::alive::{Life, Look, Signs};

/// A task that ended as it must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It was to last.
    #[error("{0} has ended")]
    Ended(Task),
    /// It panicked.
    #[error("{0} has panicked")]
    Panicked(Task),
    /// It is there, and does nothing any more.
    #[error("{0} hangs")]
    Hangs(Task),
}

/// The tasks of one owner. Dropped, they end.
#[derive(Debug)]
pub(super) struct Tasks(Arc<Mutex<Running>>);

/// Where tasks of a leadership send errands. Does not keep them running.
#[derive(Clone, Debug)]
pub(super) struct Errands(Weak<Mutex<Running>>);

#[derive(Debug)]
struct Running {
    set: JoinSet<()>,
    tasks: HashMap<Id, Task>,
    /// Of those that are to last.
    lives: HashMap<Id, Life>,
    look: Look,
    fault: Option<Fault>,
    /// What its lines of the log are about.
    span: Span,
}

impl Tasks {
    /// None yet. Of an errand that is to have a `fault`, one more is sent, at once.
    pub(super) fn new(fault: Option<Fault>) -> Tasks {
        let mut running = Running {
            set: JoinSet::new(),
            tasks: HashMap::new(),
            lives: HashMap::new(),
            look: Look::begin(Boot::now()),
            fault,
            span: Span::none(),
        };
        if let Some(Fault { task, .. }) = running.fault
            && task.owner() == Owner::Errand
        {
            running.spawn(task, std::future::pending());
        }
        Tasks(Arc::new(Mutex::new(running)))
    }

    /// Lets what its tasks say in the log stand in this span.
    pub(super) fn within(self, span: Span) -> Tasks {
        lock(&self.0).span = span;
        self
    }

    /// Starts one that ends by itself.
    pub(super) fn spawn(
        &mut self,
        task: Task,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        lock(&self.0).spawn(task, future)
    }

    /// Starts one that is to last, and gives signs of life.
    pub(super) fn keep<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        task: Task,
        lasting: impl FnOnce(Signs) -> F,
    ) -> AbortHandle {
        let signs = Signs::default();
        let mut running = lock(&self.0);
        let handle = running.spawn(task, lasting(signs.clone()));
        running.lives.insert(handle.id(), Life::of(signs));
        handle
    }

    /// For tasks that send errands of their own.
    pub(super) fn errands(&self) -> Errands {
        Errands(Arc::downgrade(&self.0))
    }

    /// Takes away what has ended. What ended as it must not is an error, or hangs; one that was told to end is
    /// none. Nobody hangs who waits for a broker that is not there.
    pub(super) fn look_after(&mut self, now: Boot, is_connected: bool) -> Result<(), Ended> {
        let mut running = lock(&self.0);
        while let Some(ended) = running.set.try_join_next_with_id() {
            let (id, panicked) = match ended {
                Ok((id, ())) => (id, false),
                Err(error) if error.is_panic() => (error.id(), true),
                Err(error) => {
                    running.tasks.remove(&error.id());
                    running.lives.remove(&error.id());
                    continue;
                }
            };
            match running.tasks.remove(&id) {
                Some(task) if panicked => return Err(Ended::Panicked(task)),
                Some(task) if task.owner() != Owner::Errand => return Err(Ended::Ended(task)),
                Some(_) | None => {}
            }
        }
        let passed = running.look.at(now, !is_connected);
        running
            .hangs(passed)
            .map_or(Ok(()), |task| Err(Ended::Hangs(task)))
    }

    /// Ends all of them, and waits until they have.
    pub(super) async fn stop(self) {
        let mut set = std::mem::take(&mut lock(&self.0).set);
        set.shutdown().await;
    }
}

impl Errands {
    /// Sends one. Nothing is sent for a leadership that is over.
    pub(super) fn send(&self, task: Task, errand: impl Future<Output = ()> + Send + 'static) {
        if let Some(running) = self.0.upgrade() {
            lock(&running).spawn(task, errand);
        }
    }
}

impl Running {
    /// One that gave no sign of life for too long.
    fn hangs(&mut self, passed: Duration) -> Option<Task> {
        let hanging = self
            .lives
            .iter_mut()
            .find_map(|(id, life)| life.hangs(passed).then_some(id))?;
        self.tasks.get(hanging).copied()
    }

    fn spawn(
        &mut self,
        task: Task,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let future = future.instrument(self.span.clone());
        let handle = match self.fault.take_if(|fault| fault.task == task) {
            Some(fault) => self.set.spawn(async move {
                fault.play(future).await;
            }),
            None => self.set.spawn(future),
        };
        self.tasks.insert(handle.id(), task);
        handle
    }
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a thread that has nothing to do with the loop: it may be busy as long as it likes.
pub(crate) fn spawn_thread(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(run)
}

/// Starts the loop itself.
pub(super) fn spawn_loop(
    fault: Option<Fault>,
    run: impl Future<Output = Result<(), Ended>> + Send + 'static,
) -> JoinHandle<Result<(), Ended>> {
    tokio::spawn(async move {
        match fault {
            Some(fault) => {
                let ended = fault.play(run).await;
                ended.unwrap_or(Err(Ended::Ended(Task::Loop)))
            }
            None => run.await,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn looked(tasks: &mut Tasks) -> Ended {
        loop {
            match tasks.look_after(Boot::now(), true) {
                Err(ended) => return ended,
                Ok(()) => tokio::task::yield_now().await,
            }
        }
    }

    #[tokio::test]
    async fn task_that_ends_or_panics_is_named_and_one_that_was_told_to_end_is_not() {
        let mut tasks = Tasks::new(None);
        tasks.spawn(Task::Standby, std::future::pending()).abort();
        tasks.errands().send(Task::Death, async {});
        tasks.spawn(Task::Ledger, async {});
        assert_eq!(looked(&mut tasks).await, Ended::Ended(Task::Ledger));
        tasks
            .errands()
            .send(Task::Death, async { panic!("on purpose") });
        assert_eq!(looked(&mut tasks).await, Ended::Panicked(Task::Death));
    }

    #[tokio::test]
    async fn task_that_gives_no_sign_of_life_hangs_unless_the_broker_is_away() {
        let mut tasks = Tasks::new(None);
        tasks.keep(Task::Queue, |_signs| std::future::pending());
        tasks.keep(Task::Orders, |signs| async move {
            loop {
                signs.give();
                tokio::task::yield_now().await;
            }
        });
        let mut now = Boot::now();
        let mut seconds = |tasks: &mut Tasks, is_connected| {
            now = now + Duration::from_secs(1);
            tasks.look_after(now, is_connected)
        };
        for _ in 0..100 {
            assert_eq!(seconds(&mut tasks, false), Ok(()));
        }
        let mut passed = 0;
        let ended = loop {
            tokio::task::yield_now().await;
            passed += 1;
            if let Err(ended) = seconds(&mut tasks, true) {
                break ended;
            }
        };
        assert_eq!((ended, passed), (Ended::Hangs(Task::Queue), 30));
    }

    #[tokio::test]
    async fn nothing_is_sent_for_a_leadership_that_is_over() {
        let tasks = Tasks::new(None);
        let errands = tasks.errands();
        drop(tasks);
        let (told, heard) = tokio::sync::oneshot::channel::<()>();
        errands.send(Task::Death, async move {
            let _ = told.send(());
        });
        assert!(heard.await.is_err());
    }
}
