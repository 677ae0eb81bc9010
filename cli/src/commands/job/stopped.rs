//! Tells that nothing is decided of a job's fires any more, as their last record makes no sense.

use crate::context::Context;
use gridloom_shared::reads::fires::Stopped;

/// Says what is the case, and what to do.
pub(super) fn say(context: &Context, stopped: &Stopped) {
    context.output.note(stopped.found());
    context
        .output
        .note(format!("what to do: {}", stopped.advice()));
}
