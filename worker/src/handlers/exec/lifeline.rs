//! What a command's guard is told while it runs: each renewal of the lease, and that its time is over.

use std::convert::Infallible;
use std::time::Duration;

use gridloom_shared::clock::Boot;

use crate::guarded::Lifeline;
use crate::shard::Shard;

/// How often is looked whether the lease was renewed: a tenth of what is left of it, within these.
const RENEW_MIN: Duration = Duration::from_millis(20);
const RENEW_MAX: Duration = Duration::from_secs(1);

/// Tells of each renewal of the lease, and when the attempt is out of time: then the command gets
/// SIGTERM, and `grace` later SIGKILL.
pub(super) async fn keep(
    lifeline: &mut Lifeline,
    shard: &Shard,
    mut until: Boot,
    grace: Duration,
) -> Infallible {
    let mut over = false;
    loop {
        let pause = (shard.lease_remaining() / 10).clamp(RENEW_MIN, RENEW_MAX);
        let said = tokio::select! {
            () = tokio::time::sleep(pause) => {
                let renewed = shard.lease_end();
                if renewed <= until {
                    continue;
                }
                until = renewed;
                lifeline.renew(until).await
            }
            () = shard.cancelled(), if !over => {
                over = true;
                lifeline.stop(grace).await
            }
        };
        if said.is_err() {
            return std::future::pending().await;
        }
    }
}
