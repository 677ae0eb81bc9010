//! What waits on the submit stream, and why: nobody takes it, or its queue has as many open runs as it may.

use gridloom_planner::leader;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::subjects::{ConsumerName, LEADER_KEY};
use gridloom_shared::chain;
use gridloom_shared::id::QueueName;

use super::chart::Chart;
use crate::output::counted;

pub(super) async fn look(broker: &Broker, chart: &mut Chart) {
    let submit = broker.subjects().submit();
    let full = full(broker).await;
    let waiting = match broker.info(&submit).await {
        Ok(state) => counted(state.messages, "submission"),
        Err(error) => return chart.bad("submissions", chain(&error).to_string(), ""),
    };
    match broker.standing(&submit, &ConsumerName::planner()).await {
        Ok(_) if !full.is_empty() => {
            let names: Vec<&str> = full.iter().map(QueueName::as_str).collect();
            let names = names.join(", ");
            let found = format!(
                "{waiting} waiting: as many runs are open as one queue may have on {names}"
            );
            let advice = "they are opened as runs end: start workers there, cancel runs, or raise planner.open_runs";
            chart.note("submissions", found, advice);
        }
        Ok(Some(state)) if state.waiting == 0 && state.pending > 0 => {
            let found = format!("{waiting} waiting, nobody takes them");
            chart.bad("submissions", found, "start gridloom planner");
        }
        Ok(Some(_)) => chart.ok("submissions", format!("{waiting} waiting")),
        Ok(None) => chart.bad(
            "submissions",
            "the planner's consumer is not there",
            "start gridloom planner: it makes it",
        ),
        Err(error) => chart.bad("submissions", chain(&error).to_string(), ""),
    }
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
