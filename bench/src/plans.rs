//! Counts what planners write, for measurements of many runs at once.

use std::time::Duration;

use anyhow::{Context, bail};
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::subjects::Author;
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::ledger::record::{EndState, PlanRecord};
use gridloom_shared::wire;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How long nothing may change.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs of one queue so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) opened: u64,
    pub(crate) succeeded: u64,
    pub(crate) ended_otherwise: u64,
    /// The one that ended last.
    pub(crate) last: Option<RunId>,
}

/// Listens to what planners write about one queue.
#[derive(Debug)]
pub(crate) struct Plans {
    seen: watch::Receiver<Seen>,
    /// Whether runs are to fail.
    may_fail: bool,
    task: tokio::task::JoinHandle<()>,
}

impl Plans {
    /// Begins to count.
    pub(crate) async fn listen(broker: &Broker, queue: &QueueName) -> anyhow::Result<Plans> {
        let subjects = broker.subjects().clone();
        let mut heard = broker.subscribe(subjects.ledgers_by(Author::Plan)).await?;
        let (sender, seen) = watch::channel(Seen::default());
        let queue = queue.clone();
        let task = tokio::spawn(async move {
            while let Some(message) = heard.next().await {
                let Some((of, run, _)) = subjects.parse_ledger(&message.subject) else {
                    continue;
                };
                if of != queue {
                    continue;
                }
                let record = wire::decode::<PlanRecord>(&message.payload);
                sender.send_if_modified(|seen| match record {
                    Ok(PlanRecord::Opened(_)) => {
                        seen.opened += 1;
                        true
                    }
                    Ok(PlanRecord::Closed(closed)) => {
                        match closed.state {
                            EndState::Succeeded => seen.succeeded += 1,
                            EndState::Failed | EndState::Cancelled => seen.ended_otherwise += 1,
                        }
                        seen.last = Some(run);
                        true
                    }
                    Ok(_) | Err(_) => false,
                });
            }
        });
        Ok(Plans {
            seen,
            may_fail: false,
            task,
        })
    }

    /// As [`Plans::listen`], where runs are to fail.
    pub(crate) async fn listen_to_failures(
        broker: &Broker,
        queue: &QueueName,
    ) -> anyhow::Result<Plans> {
        let mut plans = Plans::listen(broker, queue).await?;
        plans.may_fail = true;
        Ok(plans)
    }

    /// How many runs were opened.
    pub(crate) fn opened(&self) -> u64 {
        self.seen.borrow().opened
    }

    /// The run that ended last.
    pub(crate) fn last(&self) -> Option<RunId> {
        self.seen.borrow().last.clone()
    }

    /// Waits until `enough`.
    pub(crate) async fn until(&mut self, enough: impl Fn(&Seen) -> bool) -> anyhow::Result<()> {
        loop {
            let seen = self.seen.borrow_and_update().clone();
            if !self.may_fail && seen.ended_otherwise > 0 {
                bail!("{} runs did not succeed", seen.ended_otherwise);
            }
            if enough(&seen) {
                return Ok(());
            }
            timeout(PATIENCE, self.seen.changed())
                .await
                .with_context(|| format!("hear more within {PATIENCE:?} than {seen:?}"))??;
        }
    }
}

impl Drop for Plans {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until somebody issues a wave of a run.
pub(crate) async fn first_wave(
    broker: &Broker,
    queue: &QueueName,
    run: &RunId,
    patience: Duration,
) -> anyhow::Result<()> {
    let subjects = broker.subjects();
    let plan = subjects.ledger_of(queue, run, Author::Plan);
    let give_up = Instant::now() + patience;
    loop {
        let last = broker.last_of_leader(&subjects.ledger(), &plan).await;
        if let Ok(Some(last)) = last
            && let Ok(record) = wire::decode::<PlanRecord>(&last.payload)
            && (record.wave(last.seq).is_some() || !matches!(record, PlanRecord::Opened(_)))
        {
            return Ok(());
        }
        if Instant::now() > give_up {
            bail!("nobody issues a wave of run {run} within {patience:?}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
