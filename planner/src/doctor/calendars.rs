//! Calendars that make no sense, and jobs that wait for one that is not there.

use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::reads::calendars;
use gridloom_shared::reads::jobs::StoredJob;
use gridloom_shared::turns::Turns;

use super::LOOK_AT_BROKER;
use super::chart::Chart;
use super::lines::{self, Line};

pub(super) async fn look(broker: &Broker, jobs: &[StoredJob], chart: &mut Chart) {
    let stored = match calendars::list(broker).await {
        Ok(stored) => stored,
        Err(error) => {
            return chart.bad(
                Line::unread("calendars"),
                chain(&error).to_string(),
                LOOK_AT_BROKER,
            );
        }
    };
    for calendar in &stored {
        if let Err(error) = &calendar.kept {
            let found = format!("calendar {} is {}", calendar.name, chain(error));
            let advice = "apply it again (gridloom calendar apply FILE), or delete it";
            chart.bad(lines::CALENDAR_UNREADABLE, found, advice);
        }
    }
    let (known, mut turns) = (calendars::sensible(stored), Turns::begin());
    for job in jobs.iter().filter_map(|job| job.spec.as_ref().ok()) {
        turns.pass().await;
        if let Some(waiting) = calendars::waiting(job, &known) {
            chart.bad(lines::CALENDAR_MISSING, waiting, calendars::ADVICE);
        }
    }
}
