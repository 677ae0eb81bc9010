//! Fires that no planner answered for, and runs that are not over by their deadline: alarms that the broker raised and
//! nobody withdrew.

use gridloom_shared::alarm::{Alarm, Watched};
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::ReadError;
use gridloom_shared::count::counted;
use gridloom_shared::{chain, reads};

use super::LOOK_AT_BROKER;
use super::chart::Chart;
use super::lines::{self, Line};

/// Alarms that are named.
const NAMED: usize = 5;

/// Looks; `leader` is who leads.
pub(super) async fn look(broker: &Broker, leader: Option<&str>, chart: &mut Chart) {
    let raised: Result<Vec<Alarm>, ReadError> = reads::alarms::raised(broker).await;
    let (fires, runs): (Vec<_>, Vec<_>) = match raised {
        Ok(all) => all
            .into_iter()
            .partition(|alarm| matches!(alarm.watched, Watched::Fire(_))),
        Err(error) => {
            return chart.bad(
                Line::unread("late fires"),
                chain(&error).to_string(),
                LOOK_AT_BROKER,
            );
        }
    };
    let advice = match leader {
        Some(name) => format!("{name} leads and should answer for it: its log says what keeps it"),
        None => {
            "see what stands under leadership: whoever leads answers for what was missed at once"
                .to_owned()
        }
    };
    for alarm in fires.iter().take(NAMED) {
        chart.bad(lines::FIRE_LATE, alarm.to_string(), advice.as_str());
    }
    more(chart, lines::FIRE_LATE, "job", fires.len(), &advice);
    let all = "see what keeps them: gridloom show RUN";
    for alarm in runs.iter().take(NAMED) {
        if let Watched::Run(run) = &alarm.watched {
            let advice = format!(
                "see what keeps it: gridloom show {run}; or allow it more (deadline, finish_within of its job)"
            );
            chart.bad(lines::RUN_OVERDUE, alarm.to_string(), advice);
        }
    }
    more(chart, lines::RUN_OVERDUE, "run", runs.len(), all);
}

fn more(chart: &mut Chart, what: Line, of: &str, count: usize, advice: &str) {
    if let Some(more @ 1..) = count.checked_sub(NAMED) {
        chart.bad(
            what,
            format!("and {} more", counted(more as u64, of)),
            advice,
        );
    }
}
