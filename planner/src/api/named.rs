//! Which queues jobs and runs name. Those of jobs are known as the jobs change; those of runs, of which there may be hundreds of
//! thousands, are read of the broker and kept for a while, the longer the more that costs. Nothing waits unseen for that: a queue
//! on which a tile lies, or from which a worker pulls, is told of at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::id::QueueName;
use gridloom_shared::reads::ListError;
use gridloom_shared::reads::queues;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::link::Link;
use super::problem::Answer;

/// How long what was read is kept: so many times as long as it took,
const TIMES: u32 = 50;
/// but not shorter than this,
const SHORTEST: Duration = Duration::from_secs(2);
/// and not longer than this.
const LONGEST: Duration = Duration::from_secs(60);

/// The queues of runs, as they were read last.
#[derive(Default)]
pub(super) struct OfRuns(Mutex<Option<Seen>>);

struct Seen {
    queues: Arc<BTreeSet<QueueName>>,
    until: Instant,
}

impl OfRuns {
    /// One at a time reads, and the others wait for it.
    async fn look(&self, broker: &Broker) -> Result<Arc<BTreeSet<QueueName>>, ListError> {
        let mut seen = self.0.lock().await;
        let begun = Instant::now();
        if let Some(seen) = seen.as_ref().filter(|seen| begun < seen.until) {
            return Ok(Arc::clone(&seen.queues));
        }
        let queues = Arc::new(queues::names_of_runs(broker).await?);
        *seen = Some(Seen {
            queues: Arc::clone(&queues),
            until: Instant::now() + kept(begun.elapsed()),
        });
        Ok(queues)
    }
}

fn kept(took: Duration) -> Duration {
    (took * TIMES).clamp(SHORTEST, LONGEST)
}

/// The queues that jobs name now, and those that runs named lately.
pub(super) async fn queues(link: &Link, broker: &Broker) -> Answer<BTreeSet<QueueName>> {
    let mut queues = link.jobs.look(|jobs| jobs.queues()).await?;
    let of_runs = link.of_runs.look(broker).await?;
    queues.extend(of_runs.iter().cloned());
    Ok(queues)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_much_is_read_seldom_and_never_hours_apart() {
        let ms = Duration::from_millis;
        assert_eq!((kept(ms(1)), kept(ms(40))), (SHORTEST, SHORTEST));
        assert_eq!(kept(ms(200)), Duration::from_secs(10));
        assert_eq!(kept(Duration::from_secs(20)), LONGEST);
    }
}
