//! Tells that nothing is decided of a job's fires any more, as their last record makes no sense.

use crate::context::Context;
use gridloom_shared::broker::Broker;
use gridloom_shared::id::JobName;
use gridloom_shared::reads::fires::{Stopped, stopped};

/// Tells it where it is so.
pub(super) async fn tell(context: &Context, broker: &Broker, job: &JobName) -> anyhow::Result<()> {
    let found = stopped::find(broker, Some(job)).await?;
    found.iter().for_each(|stopped| say(context, stopped));
    Ok(())
}

/// Says what is the case, and what to do.
pub(super) fn say(context: &Context, stopped: &Stopped) {
    context.output.note(stopped.found());
    context
        .output
        .note(format!("what to do: {}", stopped.advice()));
}
