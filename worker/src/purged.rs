//! Tells the handlers which runs the ledger has purged, so that they forget what they keep for them.

use std::time::Duration;

use gridloom_shared::broker::Broker;
use gridloom_shared::chain;
use gridloom_shared::id::Session;
use gridloom_shared::reads::purged::Purged;

use crate::handler::SharedHandler;

/// Between two rounds; the first comes some minutes after the start.
const EVERY: Duration = Duration::from_secs(3_600);
const FIRST: Duration = Duration::from_secs(60);
/// A run must have been purged for so long: a worker that slept through its end has long since lost its
/// lease, and its databases have ended its sessions.
const AGE: Duration = Duration::from_secs(24 * 3_600);

/// Goes round for as long as it is polled. Handlers work on the runtime of the `crew`.
pub(crate) async fn tell(
    broker: Broker,
    handlers: Vec<SharedHandler>,
    crew: tokio::runtime::Handle,
    session: Session,
) {
    // Not all workers at once.
    let mut pause = FIRST + Duration::from_secs(session.0 % 600);
    let mut purged = Purged::default();
    loop {
        tokio::time::sleep(pause).await;
        pause = EVERY;
        let runs = match purged.more(&broker, AGE).await {
            Ok(runs) if runs.is_empty() => continue,
            Ok(runs) => runs,
            Err(error) => {
                tracing::debug!(error = %chain(&error), "cannot read which runs were purged");
                continue;
            }
        };
        // There may be more.
        pause = Duration::ZERO;
        let handlers = handlers.clone();
        let told = crew.spawn(async move {
            for handler in handlers {
                handler.forget_boxed(&runs).await;
            }
        });
        if told.await.is_err() {
            return;
        }
    }
}
