//! What planners have seen and nobody may have heard: runs that were lost, dead shards that were purged
//! unseen, and a broker's clock that jumped.

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::subjects::{LEADER_KEY, UNSEEN_KEY};
use gridloom_shared::chain;
use gridloom_shared::count::counted;
use gridloom_shared::reads;

use super::LOOK_AT_BROKER;
use super::chart::Chart;
use super::lines::{self, Line};
use super::staff::named;
use crate::broker_clock::spoken;
use crate::leader::{self, LeaseValue};

/// Runs that are named.
const NAMED: usize = 5;

pub(super) async fn look(broker: &Broker, chart: &mut Chart) {
    // Whether anybody leads is another's check.
    if let Ok(place) = broker.state().place_of(LEADER_KEY).await
        && let Some(Ok(lease)) = place.value().map(|value| leader::parse(value))
        && !lease.free
    {
        look_at_jump(&lease, chart);
        look_at_runs_set_aside(&lease, chart);
        look_at_newer_runs(&lease, chart);
    }
    look_at_lost_runs(broker, chart).await;
    look_at_unseen(broker, chart).await;
}

/// Dead shards that went before anybody had seen them.
async fn look_at_unseen(broker: &Broker, chart: &mut Chart) {
    let unseen = match reads::dead::unseen(broker).await {
        Ok(Some(unseen)) => unseen,
        Ok(None) => return,
        Err(error) => {
            return chart.bad(
                Line::unread("dead shards"),
                chain(&error).to_string(),
                LOOK_AT_BROKER,
            );
        }
    };
    let text = format!(
        "{} of {} purged before anybody retried or dropped them, the last of run {} at {}",
        counted(unseen.shards, "dead shard"),
        counted(unseen.runs, "run"),
        unseen.last,
        unseen.at
    );
    let advice = format!(
        "look at gridloom dead list more often, or keep more (retention.dead, retention.most_dead); then forget this: nats kv del {}-state {UNSEEN_KEY}",
        broker.subjects().namespace()
    );
    chart.note(lines::DEAD_UNSEEN, text, advice);
}

/// Whether the leader goes by the broker's clock.
fn look_at_jump(lease: &LeaseValue, chart: &mut Chart) {
    let Some(by_ms) = lease.clock_jump_ms else {
        return;
    };
    chart.bad(
        lines::CLOCK_JUMPED,
        format!(
            "{}: retries, holds and retention wait until it was steady for 10 s",
            spoken(by_ms)
        ),
        "set the clock of the broker's machines by NTP; nothing else is to be done",
    );
}

/// Runs that stand still because somebody wrote nonsense on their plans.
fn look_at_runs_set_aside(lease: &LeaseValue, chart: &mut Chart) {
    let aside = &lease.set_aside;
    for run in &aside.some {
        chart.bad(
            lines::RUN_SET_ASIDE,
            format!("run {run}: its plan makes no sense, so nothing more of it is planned"),
            format!(
                "see what stands there: gridloom show {run}; find who writes to its ledger; then gridloom cancel {run}, and gridloom retry {run} runs what is left"
            ),
        );
    }
    let more = aside.count.saturating_sub(aside.some.len() as u64);
    if more > 0 {
        let advice = "the planner's log names each: set aside";
        chart.bad(lines::RUN_SET_ASIDE, format!("and {more} more"), advice);
    }
}

/// Runs that wait for a planner of a newer build.
fn look_at_newer_runs(lease: &LeaseValue, chart: &mut Chart) {
    let newer = &lease.newer;
    if newer.count > 0 {
        let some: Vec<&str> = newer.some.iter().map(|run| run.as_str()).collect();
        let found = format!(
            "of {} a newer build wrote some records, and those that are open wait: {}",
            counted(newer.count, "run"),
            named(some)
        );
        let advice = format!(
            "upgrade {}, which leads: whoever reads them goes on where they stand (docs/UPGRADING.md)",
            lease.name
        );
        chart.bad(lines::RUNS_NEWER, found, advice);
    }
}

async fn look_at_lost_runs(broker: &Broker, chart: &mut Chart) {
    let lost = match reads::lost::list(broker).await {
        Ok(lost) => lost,
        Err(error) => {
            return chart.bad(
                Line::unread("lost runs"),
                chain(&error).to_string(),
                LOOK_AT_BROKER,
            );
        }
    };
    let more = lost.len().saturating_sub(NAMED);
    for run in lost.iter().take(NAMED) {
        let text = format!("run {} at {}: {}", run.run, run.at, run.why);
        let advice = format!(
            "see who removes records of the ledger; submit it again; then forget it: nats kv del {}-state lost.{}",
            broker.subjects().namespace(),
            run.run
        );
        chart.bad(lines::RUN_LOST, text, advice);
    }
    if more > 0 {
        let text = format!("and {more} more");
        chart.bad(
            lines::RUN_LOST,
            text,
            "nats kv ls shows their keys, lost.RUN",
        );
    }
}
