//! Whether somebody leads, what of the keys makes no sense, and what was lost or set aside lately.

use std::time::Duration;

use gridloom_planner::leader::{self, LeaseValue};
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::kv::Place;
use gridloom_shared::broker::subjects::LEADER_KEY;
use gridloom_shared::chain;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::reads;
use gridloom_shared::submission::Unreadable;
use tokio::time::Instant;

use super::chart::Chart;
use crate::output::{counted, spoken};

/// A leader rewrites its lease each second; whoever does not for so long does not lead.
const SILENT: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(100);
/// What was set aside before this is no news.
const LATELY: Duration = Duration::from_secs(24 * 3_600);
/// Records of it that are looked at.
const RECORDS: u64 = 1_000;
/// Of these so many are shown.
const SHOWN: usize = 5;

pub(super) async fn look(broker: &Broker, chart: &mut Chart) {
    look_at_leadership(broker, chart).await;
    look_at_numbers(broker, chart).await;
    look_at_jobs(broker, chart).await;
    look_at_losses(broker, chart).await;
}

async fn look_at_leadership(broker: &Broker, chart: &mut Chart) {
    let bucket = broker.state();
    let first = match bucket.place_of(LEADER_KEY).await {
        Ok(place) => place,
        Err(error) => return chart.bad("leadership", chain(&error).to_string(), ""),
    };
    let until = Instant::now() + SILENT;
    while Instant::now() < until {
        tokio::time::sleep(LOOK).await;
        if let Ok(place) = bucket.place_of(LEADER_KEY).await
            && place.revision() != first.revision()
            && let Ok(lease) = lease(&place)
            && !lease.free
        {
            let term = broker.term_holder().await;
            let term = term.ok().flatten().map(|holder| holder.term);
            if term != Some(lease.term) {
                continue; // it has not taken over yet
            }
            let found = format!("{} leads, term {}", lease.name, lease.term.0);
            return chart.ok("leadership", found);
        }
    }
    let found = match lease(&first) {
        Ok(lease) if lease.free => "nobody leads: the last leader gave it up".to_owned(),
        Ok(lease) => format!("nobody leads: {} is silent", lease.name),
        Err(why) => format!(
            "nobody leads: the key {LEADER_KEY} of {} {why}",
            bucket.name()
        ),
    };
    let advice = "start gridloom planner: it takes the lease, whatever stands there";
    chart.bad("leadership", found, advice);
}

fn lease(place: &Place) -> Result<LeaseValue, String> {
    match place.value() {
        Some(value) => leader::parse(value).map_err(|why| format!("is {why}")),
        None if place.is_deleted() => Err("was deleted".to_owned()),
        None => Err("was never written".to_owned()),
    }
}

/// Numbers of consumers, and floors: whoever needs one that is none overwrites it.
async fn look_at_numbers(broker: &Broker, chart: &mut Chart) {
    let subjects = broker.subjects();
    for filter in [subjects.all_consumers(), subjects.all_floors()] {
        let Ok(entries) = broker.state().entries(filter).await else {
            continue;
        };
        for entry in entries {
            let text = entry.value.as_deref().map(std::str::from_utf8);
            let number = text.and_then(|text| text.ok()?.parse::<u64>().ok());
            if number.is_none() {
                let found = format!("{} of bucket state holds no number", entry.key);
                let advice = "the next worker that attaches to its lane writes it anew";
                chart.note("numbers", found, advice);
            }
        }
    }
}

async fn look_at_jobs(broker: &Broker, chart: &mut Chart) {
    let Ok(jobs) = reads::jobs::list(broker).await else {
        return;
    };
    for job in jobs {
        if let Err(error) = job.spec {
            let found = format!("the definition of job {} is {}", job.name, chain(&error));
            chart.bad("jobs", found, "apply it again: gridloom job apply FILE");
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
        return chart.note("set aside", "what is on record cannot be read", "");
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
            "set aside",
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
        chart.note("set aside", format!("{more} in the last 24 hours"), advice);
    }
}
