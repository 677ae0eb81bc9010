//! Which jobs fire next, as the leader has armed their alarms: one for each that has a fire to come. It is read of the
//! broker when somebody asks, and kept for a while; the more it costs, the longer.
//!
//! What it says of a job is the earliest that its next fire may open: of one that fires every few seconds an alarm may
//! be about a fire that has passed. It must not be told as it stands.

use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::alarm::{Alarm, Watched};
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::reads::alarms;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// So many are kept, the soonest.
const KEPT: usize = 1_000;
/// How long what was read is kept: so many times as long as it took,
const TIMES: u32 = 20;
/// but not shorter than this,
const SHORTEST: Duration = Duration::from_secs(2);
/// and not longer than this.
const LONGEST: Duration = Duration::from_secs(60);

/// The next fire of a job, as it was armed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Soon {
    /// When it opens, at the earliest.
    pub(super) due: UnixMs,
    pub(super) job: JobName,
    /// Its nominal time.
    pub(super) scheduled_at: UnixMs,
}

/// What was read last.
#[derive(Default)]
pub(super) struct Armed(Mutex<Option<Seen>>);

struct Seen {
    soonest: Arc<[Soon]>,
    until: Instant,
}

impl Armed {
    /// The soonest of all, in order. One at a time reads, and the others wait for it.
    pub(super) async fn look(&self, broker: &Broker) -> Result<Arc<[Soon]>, ReadError> {
        let mut seen = self.0.lock().await;
        let begun = Instant::now();
        if let Some(seen) = seen.as_ref().filter(|seen| begun < seen.until) {
            return Ok(Arc::clone(&seen.soonest));
        }
        let soonest = soonest(alarms::armed(broker).await?);
        let took = begun.elapsed();
        *seen = Some(Seen {
            soonest: Arc::clone(&soonest),
            until: Instant::now() + (took * TIMES).clamp(SHORTEST, LONGEST),
        });
        Ok(soonest)
    }
}

fn soonest(alarms: Vec<Alarm>) -> Arc<[Soon]> {
    let fires = alarms.into_iter().filter_map(|alarm| match alarm.watched {
        Watched::Fire(job) => Some(Soon {
            due: alarm.due,
            job,
            scheduled_at: alarm.scheduled_at,
        }),
        Watched::Run(_) => None,
    });
    let mut fires: Vec<Soon> = fires.collect();
    fires.sort_unstable();
    fires.truncate(KEPT);
    fires.into()
}

#[cfg(test)]
mod tests {
    use gridloom_shared::id::RunId;

    use super::*;

    #[test]
    fn soonest_are_kept_and_ends_of_runs_are_no_fires() {
        let alarm = |watched, due| Alarm {
            watched,
            scheduled_at: UnixMs(due),
            due: UnixMs(due),
            at: UnixMs(due + 40_000),
        };
        let fire = |n: u64| {
            let job = JobName::new(format!("job-{n}")).unwrap();
            alarm(Watched::Fire(job), 5_000 - n)
        };
        let run = RunId::new("a_s_1").unwrap();
        let all = (0..2_000).map(fire).chain([alarm(Watched::Run(run), 1)]);
        let kept = soonest(all.collect());
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept[0].job.as_str(), "job-1999");
        assert!(kept.is_sorted());
    }
}
