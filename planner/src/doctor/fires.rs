//! Whether schedules fire: jobs of which nothing is decided any more, and pauses that last.

use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::count::counted;
use gridloom_shared::reads::fires::stopped;
use gridloom_shared::reads::pauses;
use gridloom_shared::schedule::pause::ITSELF;

use super::LOOK_AT_BROKER;
use super::chart::Chart;
use super::lines::{self, Line};

/// Of these so many are shown.
const SHOWN: usize = 5;

pub(super) async fn look(broker: &Broker, chart: &mut Chart) {
    let stopped = match stopped::find(broker, None).await {
        Ok(stopped) => stopped,
        Err(error) => {
            return chart.bad(
                Line::unread("schedules"),
                chain(&error).to_string(),
                LOOK_AT_BROKER,
            );
        }
    };
    for job in stopped.iter().take(SHOWN) {
        chart.bad(lines::SCHEDULE_STOPPED, job.found(), job.advice());
    }
    if stopped.len() > SHOWN {
        let more = counted((stopped.len() - SHOWN) as u64, "more job");
        chart.bad(lines::SCHEDULE_STOPPED, format!("so it is with {more}"), "");
    }
    if let Ok(pauses) = pauses::list(broker).await {
        for paused in pauses.iter().filter(|paused| paused.job.is_none()) {
            let found = format!(
                "all are paused by {} since {}: {}",
                paused.pause.by,
                paused.since().to_the_second(),
                paused.pause.note
            );
            chart.note(
                lines::ALL_PAUSED,
                found,
                "gridloom job resume --all ends it",
            );
        }
        let itself = pauses.iter().filter(|paused| paused.pause.by == ITSELF);
        let itself: Vec<_> = itself
            .filter_map(|paused| Some((paused.job.as_ref()?, paused)))
            .collect();
        for (job, paused) in itself.iter().take(SHOWN) {
            let found = format!(
                "job {job} has paused itself since {}: {}",
                paused.since().to_the_second(),
                paused.pause.note
            );
            let advice = format!("mend what fails, then gridloom job resume {job}");
            chart.note(lines::PAUSED_ITSELF, found, advice);
        }
        if itself.len() > SHOWN {
            let more = counted((itself.len() - SHOWN) as u64, "more job");
            chart.note(
                lines::PAUSED_ITSELF,
                format!("and so have {more}"),
                "gridloom job list names them",
            );
        }
    }
    if stopped.is_empty() {
        chart.ok("schedules", "what is on record of their fires makes sense");
    }
}
