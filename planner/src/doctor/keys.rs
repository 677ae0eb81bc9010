//! What of the keys makes no sense, and what was lost or set aside lately.

use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::count::counted;
use gridloom_shared::duration::spoken;
use gridloom_shared::reads::jobs::StoredJob;
use gridloom_shared::submission::Unreadable;

use super::LOOK_AT_BROKER;
use super::chart::Chart;
use super::lines::{self, Line};

/// What was set aside before this is no news.
const LATELY: Duration = Duration::from_secs(24 * 3_600);
/// Records of it that are looked at.
const RECORDS: u64 = 1_000;
/// Of these so many are shown.
const SHOWN: usize = 5;

pub(super) async fn look(broker: &Broker, jobs: &[StoredJob], chart: &mut Chart) {
    look_at_numbers(broker, chart).await;
    look_at_jobs(jobs, chart);
    look_at_losses(broker, chart).await;
}

/// Numbers of consumers, and floors: whoever needs one that is none overwrites it.
async fn look_at_numbers(broker: &Broker, chart: &mut Chart) {
    let subjects = broker.subjects();
    let mut odd = Vec::new();
    for filter in [subjects.all_consumers(), subjects.all_floors()] {
        let Ok(entries) = broker.state().entries(filter).await else {
            continue;
        };
        let is_none = |value: Option<&[u8]>| {
            let text = value.map(std::str::from_utf8);
            text.and_then(|text| text.ok()?.parse::<u64>().ok())
                .is_none()
        };
        let none = entries
            .into_iter()
            .filter(|entry| is_none(entry.value.as_deref()));
        odd.extend(none.map(|entry| entry.key));
    }
    for key in odd.iter().take(SHOWN) {
        let found = format!("{key} of bucket state holds no number");
        let advice = "the next worker that attaches to its lane writes it anew";
        chart.note(lines::NUMBER_ODD, found, advice);
    }
    if odd.len() > SHOWN {
        let more = counted((odd.len() - SHOWN) as u64, "more key");
        chart.note(
            lines::NUMBER_ODD,
            format!("{more} of bucket state hold none"),
            "",
        );
    }
}

fn look_at_jobs(jobs: &[StoredJob], chart: &mut Chart) {
    for job in jobs {
        if let Err(error) = &job.spec {
            let found = format!("the definition of job {} is {}", job.name, chain(error));
            let advice = match error.is_newer() {
                true => {
                    "what fires or is submitted of it waits: upgrade the planners (docs/UPGRADING.md); it is not lost"
                }
                false => "apply it again: gridloom job apply FILE",
            };
            chart.bad(lines::JOB_UNREADABLE, found, advice);
        }
    }
}

/// What was replaced, made again or refused lately; refused submissions are their senders' business.
async fn look_at_losses(broker: &Broker, chart: &mut Chart) {
    let subjects = broker.subjects();
    let history = subjects.history();
    let Ok(state) = broker.info(&history).await else {
        return;
    };
    let from = state.last_seq.saturating_sub(RECORDS) + 1;
    let read = broker.read(&history, subjects.unreadable(), from, Some(state.last_seq));
    let Ok(records) = read.await else {
        return chart.note(
            Line::unread("set aside"),
            "what is on record cannot be read",
            LOOK_AT_BROKER,
        );
    };
    let now = UnixMs::now();
    let lately: Vec<Unreadable> = records
        .iter()
        .filter(|record| now < record.at + LATELY)
        .filter_map(|record| serde_json::from_slice(&record.payload).ok())
        .filter(|lost: &Unreadable| subjects.parse_submit(&lost.subject).is_none())
        .collect();
    if lately.is_empty() {
        return chart.ok("set aside", "nothing in the last 24 hours");
    }
    for lost in lately.iter().rev().take(SHOWN) {
        let age = spoken(Duration::from_millis(now.0.saturating_sub(lost.at.0)));
        chart.note(
            lines::SET_ASIDE,
            format!("{age} ago, {}: {}", lost.subject, lost.reason),
            "",
        );
    }
    if lately.len() > SHOWN {
        let more = counted((lately.len() - SHOWN) as u64, "older one");
        let advice = format!(
            "they stand on {} of stream {history}",
            subjects.unreadable()
        );
        chart.note(
            lines::SET_ASIDE,
            format!("{more} in the last 24 hours"),
            advice,
        );
    }
}
