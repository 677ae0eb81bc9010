//! Many jobs with schedules, and what came of their fires.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt};
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::subjects::Author;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::job::{JobSpec, parse};
use gridloom_shared::ledger::record::PlanRecord;
use gridloom_shared::schedule::{Plan, Spec};
use gridloom_shared::wire;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::stack;

/// Definitions that are on their way to the broker at once.
const AT_ONCE: usize = 512;
/// How long nothing may change that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A run that was opened by a schedule.
pub(super) struct Opening {
    pub(super) job: String,
    pub(super) nominal: UnixMs,
    /// By the broker's stamp.
    pub(super) at: UnixMs,
}

/// A job of one no-op shard that fires by `schedule`.
pub(super) fn job(
    name: &str,
    queue: &str,
    priority: u8,
    schedule: &Value,
) -> anyhow::Result<JobSpec> {
    Ok(parse::from_value(json!({
        "name": name,
        "handler": "noop",
        "queue": queue,
        "grid": { "slices": 1, "pages": { "count": 1 } },
        "limits": { "priority": priority },
        "schedule": schedule,
    }))?)
}

/// Defines them, many at once.
pub(super) async fn apply(broker: &Broker, jobs: &[JobSpec]) -> anyhow::Result<()> {
    // The planner may have to make the bucket first.
    let first = jobs.first().context("no jobs")?;
    stack::define(broker, first).await?;
    let bucket = broker.jobs();
    let puts = jobs[1..].iter().map(|job| {
        let bucket = &bucket;
        async move {
            bucket
                .put(job.name.as_str(), wire::encode(job))
                .await
                .map(|_| ())
        }
    });
    let puts = futures_util::stream::iter(puts).buffer_unordered(AT_ONCE);
    puts.try_collect::<()>().await?;
    Ok(())
}

/// Waits until so many decisions about fires are on record.
pub(super) async fn decisions(broker: &Broker, wanted: u64) -> anyhow::Result<()> {
    let history = broker.subjects().history();
    let (mut before, mut since) = (0, Instant::now());
    loop {
        let there = broker.info(&history).await.map_or(0, |info| info.messages);
        if there >= wanted {
            return Ok(());
        }
        if there > before {
            (before, since) = (there, Instant::now());
        }
        let waited = since.elapsed();
        ensure!(
            waited < PATIENCE,
            "{there} of {wanted} decisions after {waited:?} without another"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The runs whose first record stands behind the sequence `after`.
pub(super) async fn openings(broker: &Broker, after: u64) -> anyhow::Result<Vec<Opening>> {
    let subjects = broker.subjects();
    let ledger = subjects.ledger();
    let last = broker.info(&ledger).await?.last_seq;
    let plans = subjects.ledgers_by(Author::Plan);
    let mut openings = Vec::new();
    for record in broker.read(&ledger, plans, after + 1, Some(last)).await? {
        let Some((_, run, _)) = subjects.parse_ledger(&record.subject) else {
            continue;
        };
        if let PlanRecord::Opened(opened) = wire::decode(&record.payload)? {
            openings.push(Opening {
                job: run.job().to_owned(),
                nominal: opened.scheduled_at,
                at: record.at,
            });
        }
    }
    Ok(openings)
}

/// When each fire is to open whose opening is in `from..until`: by job and nominal time.
pub(super) fn expected(
    jobs: &[JobSpec],
    (from, until): (UnixMs, UnixMs),
) -> anyhow::Result<BTreeMap<(String, UnixMs), UnixMs>> {
    let mut all = BTreeMap::new();
    for job in jobs {
        let spec = Spec::try_from(job.schedule.clone().context("a schedule")?)?;
        let plan = Plan::new(&spec, job.name.as_str(), &BTreeMap::new(), UnixMs(0))?;
        let fires = plan.nominals_after(UnixMs(0));
        let fires = fires.skip_while(|fire| fire.opens_at < from);
        for fire in fires.take_while(|fire| fire.opens_at < until) {
            all.insert((job.name.to_string(), fire.at), fire.opens_at);
        }
    }
    Ok(all)
}

/// By how many milliseconds each expected fire was late, in ascending order. None may be missing, early, or there twice.
pub(super) fn lateness(
    expected: &BTreeMap<(String, UnixMs), UnixMs>,
    openings: &[Opening],
) -> anyhow::Result<Vec<f64>> {
    let mut late = BTreeMap::new();
    for opening in openings {
        let fire = (opening.job.clone(), opening.nominal);
        let Some(opens_at) = expected.get(&fire) else {
            continue;
        };
        // The stamp was rounded down.
        let by = (opening.at.0 + 1).checked_sub(opens_at.0);
        let by = by.with_context(|| format!("{fire:?} was early"))?;
        ensure!(
            late.insert(fire, by as f64).is_none(),
            "a fire has two runs"
        );
    }
    let (all, found) = (expected.len(), late.len());
    ensure!(found == all, "{found} of {all} fires have a run");
    let mut late: Vec<f64> = late.into_values().collect();
    late.sort_by(f64::total_cmp);
    Ok(late)
}

/// Sleeps until `at`.
pub(super) async fn until(at: UnixMs) {
    let left = at.0.saturating_sub(UnixMs::now().0);
    tokio::time::sleep(Duration::from_millis(left)).await;
}

/// The first whole second that is at least so far away.
pub(super) fn second_in(at_least: Duration) -> UnixMs {
    let at = UnixMs::now() + at_least;
    UnixMs(at.0.div_ceil(1_000) * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(job: &str, nominal: u64, at: u64) -> Opening {
        Opening {
            job: job.into(),
            nominal: UnixMs(nominal),
            at: UnixMs(at),
        }
    }

    #[test]
    fn fire_without_a_run_or_with_two_is_no_measurement() {
        let expected = BTreeMap::from([(("a".to_owned(), UnixMs(1_000)), UnixMs(1_250))]);
        let found = |openings: &[Opening]| lateness(&expected, openings).ok();
        let other = opening("a", 2_000, 2_250);
        assert_eq!(found(&[opening("a", 1_000, 1_252), other]), Some(vec![3.0]));
        assert_eq!(found(&[]), None);
        let twice = [opening("a", 1_000, 1_252), opening("a", 1_000, 1_253)];
        assert_eq!(found(&twice), None);
        assert_eq!(found(&[opening("a", 1_000, 1_200)]), None, "early");
    }

    #[test]
    fn fires_are_expected_when_they_open() {
        let schedule = json!({ "every": "10s", "start": "1970-01-02T00:00:00Z", "spread": "10s" });
        let jobs: Vec<JobSpec> = (0..50)
            .map(|number| job(&format!("j{number}"), "q", 5, &schedule).unwrap())
            .collect();
        let day = 86_400_000;
        let all = expected(&jobs, (UnixMs(day + 20_000), UnixMs(day + 40_000))).unwrap();
        assert_eq!(all.len(), 100);
        assert!(
            all.iter()
                .all(|((_, at), opens)| at <= opens && at.0 + 10_000 > opens.0)
        );
        let at_once = all
            .values()
            .collect::<std::collections::BTreeSet<_>>()
            .len();
        assert!(at_once > 90, "{at_once}");
    }
}
