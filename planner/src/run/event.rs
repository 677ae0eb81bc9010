//! What happens to a run, besides the records of its ledger.

use gridloom_shared::ledger::record::Wave;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Another planner's record is the next: nothing of ours was decided. The run is refilled before
    /// anything else.
    Outrun,
    /// The wave that was to be the next can never be written, for this reason.
    Unwritable(String),
    /// Tiles of it can never be put on the queue, for this reason.
    Unsendable(String),
    /// Our wave stands in the ledger and is being published.
    Decided,
    /// The same of the wave that its first record has issued.
    Begun,
    /// A wave is on the queue.
    Published,
    /// A wave may not be on the queue.
    PublishLost,
    /// The queue may have lost what was on it.
    QueueDoubtful,
    /// Ten seconds have passed since the last look at what is open.
    Looked,
    /// Tiles of it are held of which the queue has no message.
    HeldApart,
    /// What the queue lacks is being published again.
    RefillBegun,
    /// The queue holds what the ledger says.
    Refilled,
    /// It cannot be told whether it does: it is to be compared anew.
    NotCompared,
    /// The queue was emptied of the cancelled run, and its holders have answered or were waited for.
    Halted,
    /// Waves were read again, each with its ledger sequence.
    Recalled(Vec<(u64, Wave)>),
    /// An order is being written.
    OrderBegun,
    /// It stands at this ledger sequence.
    OrderWritten {
        /// Of the order's record.
        sequence: u64,
    },
    /// It was not written.
    OrderFailed,
}
