//! Shows when the first certificate of the broker's servers is over, and what this planner proves itself with, whether it leads
//! or not. Nothing is decided from it.

use std::time::Duration;

use gridloom_shared::broker::Broker;

use crate::alive::Signs;
use crate::metrics;

/// How often they are looked at: one that was renewed is told of no more within a minute.
const LOOK: Duration = Duration::from_secs(15);

/// Looks, for as long as the planner runs.
pub(super) async fn watch(broker: Broker, signs: Signs) {
    loop {
        broker.show_ends();
        let shown = signs.waiting(broker.certificates()).await;
        if let Some(first) = shown.first() {
            let end = first.end.0 as f64 / 1_000.0;
            metrics::CERTIFICATE_END.gauge(&[]).set(end);
        }
        tokio::time::sleep(LOOK).await;
    }
}
