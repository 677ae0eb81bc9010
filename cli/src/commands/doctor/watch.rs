//! What planners have seen and nobody may have heard: runs that were lost, and a broker's clock that jumped.

use gridloom_shared::broker::Broker;
use gridloom_shared::reads;

use super::chart::Chart;
use crate::fault::words;

/// Runs that are named.
const NAMED: usize = 5;

pub(super) async fn look(broker: &Broker, chart: &mut Chart) {
    look_at_lost_runs(broker, chart).await;
}

async fn look_at_lost_runs(broker: &Broker, chart: &mut Chart) {
    let lost = match reads::lost::list(broker).await {
        Ok(lost) => lost,
        Err(error) => return chart.bad("lost runs", words(&error.into()), ""),
    };
    let more = lost.len().saturating_sub(NAMED);
    for run in lost.iter().take(NAMED) {
        let text = format!("run {} at {}: {}", run.run, run.at, run.why);
        let advice = format!(
            "see who removes records of the ledger; submit it again; then forget it: nats kv del {}-state lost.{}",
            broker.subjects().namespace(),
            run.run
        );
        chart.bad("lost runs", text, advice);
    }
    if more > 0 {
        let text = format!("and {more} more");
        chart.bad("lost runs", text, "nats kv ls shows their keys, lost.RUN");
    }
}
