//! From what handlers said to records of the ledger. Pure.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`tally`] | which pages of a tile share an entry |
//! | [`outbox`] | when the outcomes of a run go out, and how many in one record |

pub(crate) mod outbox;
pub(crate) mod tally;

use gridloom_shared::ledger::outcomes::{Entry, Status};

/// About what an entry costs in a record, in bytes: never less than it does.
pub(crate) fn cost(entry: &Entry) -> usize {
    let error = match &entry.status {
        Status::Done => 0,
        Status::Failed(failed) => failed.error.len() + 12,
    };
    let columns: usize = entry
        .columns
        .iter()
        .map(|column| column.name.len() + 16 + column.runs.len() * 15)
        .sum();
    let results: usize = entry.results.iter().map(|result| result.len() + 2).sum();
    40 + error + columns + results
}
