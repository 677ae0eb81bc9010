//! A record of the ledger, as the feeds hand it on.

pub use gridloom_shared::reads::ledger::Entry;
