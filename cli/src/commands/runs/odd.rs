//! What a run says whose commands reported what cannot be read: it succeeded, and its counters lack something.

use gridloom_shared::ledger::summary::RunSummary;

use crate::output::counted;

/// The counter of the exec handler (docs/HANDLERS.md).
const ODD_REPORTS: &str = "odd_reports";

/// What the counter means, and where to look; `None` where there is none.
pub(in crate::commands) fn hint(summary: &RunSummary) -> Option<String> {
    let (_, odd) = summary
        .counters
        .iter()
        .find(|(name, _)| *name == ODD_REPORTS)?;
    let many = counted(u64::try_from(*odd).unwrap_or_default(), "report");
    Some(format!(
        "{ODD_REPORTS}: {many} of its commands cannot be read and {} left out of its rows and counters; the logs of its workers \
         have the first of each shard, and why ('what it reported cannot be read')",
        if *odd == 1 { "is" } else { "are" }
    ))
}
