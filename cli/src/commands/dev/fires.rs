//! What `dev` tells of schedules: when each job fires next, at the start and when a job is applied. A crowd of them is
//! told in a few lines.

use std::collections::BTreeMap;
use std::time::Duration;

use gridloom_planner::prospect::obstacles::Around;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::kv::{Entry, Watched};
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::job::JobSpec;
use gridloom_shared::wire;
use tokio::time::{Instant, sleep, timeout_at};

use super::super::job::Upcoming;
use crate::output::{Output, counted};

/// So many jobs are told of at once.
const TOLD: usize = 10;
/// Jobs that are applied within so long are told of together.
const TOGETHER: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_secs(1);

/// Tells of them, for ever.
pub(super) async fn tell(output: Output, broker: Broker) {
    loop {
        let mut jobs = broker.jobs().watch_all();
        let mut news = News::default();
        loop {
            let watched = match news.until {
                None => Some(jobs.next().await),
                Some(until) => timeout_at(until, jobs.next()).await.ok(),
            };
            match watched {
                Some(Ok(Watched::Entry(entry))) => news.hear(&entry),
                Some(Ok(Watched::CaughtUp)) => news.is_whole(),
                Some(Err(error)) => {
                    tracing::warn!(error = %chain(&error), "the definitions of jobs cannot be followed");
                    break;
                }
                None => std::mem::take(&mut news.jobs).say(&output, &broker).await,
            }
            if news.jobs.0.is_empty() {
                news.until = None;
            }
        }
        sleep(PAUSE).await;
    }
}

/// Jobs that were applied and not told of yet.
#[derive(Default)]
struct News {
    jobs: Jobs,
    /// Those that were there before are known.
    whole: bool,
    /// When they are told of.
    until: Option<Instant>,
}

/// Those with a schedule.
#[derive(Default)]
struct Jobs(BTreeMap<String, (JobSpec, UnixMs)>);

impl News {
    fn hear(&mut self, entry: &Entry) {
        let job = entry.value.as_deref().map(wire::decode::<JobSpec>);
        match job {
            Some(Ok(job)) if job.schedule.is_some() => {
                self.jobs.0.insert(entry.key.clone(), (job, entry.at))
            }
            // Gone, without a schedule, or nonsense: others tell of that.
            Some(_) | None => self.jobs.0.remove(&entry.key),
        };
        if self.whole && self.until.is_none() {
            self.until = Some(Instant::now() + TOGETHER);
        }
    }

    fn is_whole(&mut self) {
        self.whole = true;
        self.until = Some(Instant::now());
    }
}

impl Jobs {
    async fn say(self, output: &Output, broker: &Broker) {
        let all = self.0.len();
        let around = match Around::look(broker, &[]).await {
            Ok(around) => around,
            Err(error) => {
                let why = chain(&error);
                return output.note(format!("when jobs fire next cannot be said: {why}"));
            }
        };
        let mut told = Vec::new();
        for (job, since) in self.0.values().take(TOLD) {
            match Upcoming::of(broker, (job, *since), &around).await {
                Ok(upcoming) => told.push(upcoming),
                Err(error) => output.note(format!("job {}: {}", job.name, chain(&*error))),
            }
        }
        // The soonest first; those without a time of their own at the end.
        told.sort_by_key(|upcoming| (upcoming.at.is_none(), upcoming.at));
        for upcoming in &told {
            output.say(format!("fires     {upcoming}"));
        }
        if all > TOLD {
            let more = counted((all - TOLD) as u64, "more job");
            output.say(format!(
                "fires     {more} with a schedule: gridloom job next JOB, gridloom job list"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::job::parse::from_value;
    use serde_json::json;

    use super::*;

    fn applied(name: &str, schedule: Option<&str>) -> Entry {
        let mut job = json!({ "name": name, "handler": "noop" });
        if let Some(every) = schedule {
            job["schedule"] = json!({ "every": every });
        }
        Entry {
            key: name.to_owned(),
            value: Some(wire::encode(&from_value(job).unwrap())),
            revision: 1,
            at: UnixMs(0),
        }
    }

    #[test]
    fn jobs_with_a_schedule_are_news_together_and_the_first_ones_at_once() {
        let mut news = News::default();
        news.hear(&applied("a", Some("1h")));
        news.hear(&applied("b", None));
        assert_eq!(news.until, None, "more may be there");
        news.is_whole();
        assert!(news.until.is_some_and(|until| until <= Instant::now()));
        assert_eq!(news.jobs.0.keys().collect::<Vec<_>>(), ["a"]);
        news.hear(&applied("a", None));
        assert!(news.jobs.0.is_empty());
    }
}
