//! What waits on the submit stream, and why: nobody takes it, or its queue has as many open runs as it may.

use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::subjects::{ConsumerName, LEADER_KEY};
use gridloom_shared::broker::topology::Standing;
use gridloom_shared::chain;
use gridloom_shared::count::counted;
use gridloom_shared::id::QueueName;
use tokio::time::Instant;

use super::LOOK_AT_BROKER;
use super::chart::Chart;
use super::lines::{self, Line};
use crate::leader;

/// Within this time a leader takes some of what waits, or makes its consumer again.
const TAKEN_WITHIN: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(100);
/// What another check says more of.
const NOBODY: &str = "see what stands under leadership: whoever leads takes them";

/// Looks; `leader` is who leads.
pub(super) async fn look(broker: &Broker, leader: Option<&str>, chart: &mut Chart) {
    let submit = broker.subjects().submit();
    let full = full(broker).await;
    let waiting = match broker.info(&submit).await {
        Ok(state) => counted(state.messages, "submission"),
        Err(error) => {
            return chart.bad(
                Line::unread("submissions"),
                chain(&error).to_string(),
                LOOK_AT_BROKER,
            );
        }
    };
    let standing = match broker.standing(&submit, &ConsumerName::planner()).await {
        Ok(standing) => standing,
        Err(error) => {
            return chart.bad(
                Line::unread("submissions"),
                chain(&error).to_string(),
                LOOK_AT_BROKER,
            );
        }
    };
    if !full.is_empty() {
        let names: Vec<&str> = full.iter().map(QueueName::as_str).collect();
        let names = names.join(", ");
        let found =
            format!("{waiting} waiting: as many runs are open as one queue may have on {names}");
        let advice = "they are opened as runs end: more workers there, fewer runs (gridloom cancel), or a larger planner.open_runs";
        return chart.note(lines::QUEUE_CLOSED, found, advice);
    }
    let stuck = standing.is_none_or(|state| state.waiting == 0 && state.pending > 0);
    if !stuck || leader.is_some() && is_taken(broker, standing).await {
        return chart.ok("submissions", format!("{waiting} waiting"));
    }
    let found = match standing {
        Some(_) => format!("{waiting} waiting, nobody takes them"),
        None => "the planner's consumer is not there".to_owned(),
    };
    let advice = match leader {
        Some(name) => format!("{name} leads and should: its log says what keeps it"),
        None => NOBODY.to_owned(),
    };
    chart.bad(lines::SUBMISSIONS_STUCK, found, advice);
}

/// Whether the consumer is there soon, and goes on or is waited at.
async fn is_taken(broker: &Broker, before: Option<Standing>) -> bool {
    let delivered = before.map_or(0, |state| state.delivered);
    let until = Instant::now() + TAKEN_WITHIN;
    while Instant::now() < until {
        tokio::time::sleep(LOOK).await;
        let submit = broker.subjects().submit();
        let standing = broker.standing(&submit, &ConsumerName::planner()).await;
        if let Ok(Some(now)) = standing
            && (now.waiting > 0 || now.pending == 0 || now.delivered > delivered)
        {
            return true;
        }
    }
    false
}

/// The queues that open no runs, as the leader says.
async fn full(broker: &Broker) -> Vec<QueueName> {
    // Whether anybody leads is another's check.
    let Ok(place) = broker.state().place_of(LEADER_KEY).await else {
        return Vec::new();
    };
    let lease = place.value().and_then(|value| leader::parse(value).ok());
    lease
        .filter(|lease| !lease.free)
        .map(|lease| lease.full)
        .unwrap_or_default()
}
