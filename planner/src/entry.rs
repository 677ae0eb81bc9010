//! A record of the ledger, as the feeds hand it on: read, and told of where it cannot be.

use gridloom_shared::broker::Subjects;
use gridloom_shared::broker::log;
use gridloom_shared::chain;

pub use gridloom_shared::reads::ledger::Entry;

/// Reads what stands in the ledger. `None` on a subject that is no run's.
pub fn read(subjects: &Subjects, stored: &log::Record) -> Option<Entry> {
    let entry = Entry::read(subjects, stored);
    match entry.as_ref().map(|entry| &entry.record) {
        None => {
            tracing::warn!(subject = %stored.subject, "a record on an unknown subject of the ledger");
        }
        Some(Err(error)) => {
            tracing::warn!(subject = %stored.subject, sequence = stored.seq, error = %chain(&error), "unreadable record");
        }
        Some(Ok(_)) => {}
    }
    entry
}
