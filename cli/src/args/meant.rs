//! What somebody may have meant whose words cannot be read.

use clap::error::{ContextKind, ContextValue};
use gridloom_shared::id::JobName;

/// The job whose name was typed where the id of a run belongs.
pub fn job_for_run(error: &clap::Error) -> Option<JobName> {
    let of = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let argument = of(ContextKind::InvalidArg)?;
    let is_run = argument.trim_matches(['[', ']', '<', '>']) == "RUN";
    JobName::new(of(ContextKind::InvalidValue).filter(|_| is_run)?).ok()
}
