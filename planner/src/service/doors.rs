//! Which queues take new runs. A queue with as many open runs as it may have takes none: its
//! submissions stay on the stream, and those of other queues go on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::broker::log::ReadError;
use gridloom_shared::broker::topology::consumers;
use gridloom_shared::broker::{Broker, topology::TopologyError};
use gridloom_shared::id::{JobName, QueueName};
use gridloom_shared::job::JobSpec;
use gridloom_shared::wire;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often it is looked for jobs that are new, while doors are closed.
const LOOK: Duration = Duration::from_secs(5);

type Closed = Arc<BTreeSet<QueueName>>;

/// Says which doors are closed.
#[derive(Debug)]
pub(super) struct Keeper(watch::Sender<Closed>);

/// Hears which doors are closed.
#[derive(Clone, Debug)]
pub(super) struct Doors(watch::Receiver<Closed>);

/// Why a change could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum DoorError {
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// All doors are open.
pub(super) fn open() -> (Keeper, Doors) {
    let (keeper, doors) = watch::channel(Closed::default());
    (Keeper(keeper), Doors(doors))
}

impl Keeper {
    /// These are closed, and no others.
    pub(super) fn close(&self, full: &BTreeSet<QueueName>) {
        if **self.0.borrow() == *full {
            return;
        }
        for queue in self.0.borrow().difference(full) {
            tracing::info!(%queue, "opens runs again");
        }
        for queue in full.difference(&self.0.borrow()) {
            tracing::warn!(%queue, "as many runs are open as one queue may have: its submissions wait until some are over");
        }
        self.0.send_replace(Arc::new(full.clone()));
    }
}

impl Doors {
    /// Whether a queue takes no new runs.
    pub(super) fn is_closed(&self, queue: &QueueName) -> bool {
        self.0.borrow().contains(queue)
    }
}

/// What the planner's consumer of the submit stream was told to take.
#[derive(Debug)]
pub(super) struct Taken {
    doors: Doors,
    closed: Closed,
    jobs: Option<Vec<JobName>>,
    looked: Instant,
}

impl Taken {
    /// It takes everything.
    pub(super) fn everything(doors: Doors) -> Taken {
        Taken {
            doors,
            closed: Closed::default(),
            jobs: None,
            looked: Instant::now(),
        }
    }

    /// Has it leave out what is for closed doors. `false` when that is everything.
    pub(super) async fn follow(&mut self, broker: &Broker) -> Result<bool, DoorError> {
        let closed = self.doors.0.borrow().clone();
        let changed = closed != self.closed;
        if changed || !closed.is_empty() && self.looked.elapsed() >= LOOK {
            let jobs = match closed.is_empty() {
                true => None,
                false => Some(jobs_of_others(broker, &closed).await?),
            };
            if jobs != self.jobs && jobs.as_ref().is_none_or(|jobs| !jobs.is_empty()) {
                consumers::take_only(broker, jobs.as_deref()).await?;
            }
            (self.closed, self.jobs, self.looked) = (closed, jobs, Instant::now());
        }
        Ok(self.jobs.as_ref().is_none_or(|jobs| !jobs.is_empty()))
    }
}

/// The jobs of all queues but the closed ones.
async fn jobs_of_others(
    broker: &Broker,
    closed: &BTreeSet<QueueName>,
) -> Result<Vec<JobName>, ReadError> {
    let entries = broker.jobs().entries(">").await?;
    let jobs = entries.iter().filter_map(|entry| {
        let job: JobSpec = wire::decode(entry.value.as_deref()?).ok()?;
        (!closed.contains(&job.queue)).then_some(job.name)
    });
    Ok(jobs.collect())
}
