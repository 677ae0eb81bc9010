//! What becomes of a run that people ask for, by hand or by a backfill, while another run of its job is open.

use serde::{Deserialize, Serialize};

/// An overlap policy of what people ask for: the words of a schedule's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByHand {
    /// It is refused.
    Skip,
    /// It waits, and a later one takes its place.
    QueueOne,
    /// It waits behind those that wait already.
    QueueAll,
    /// The open run is cancelled, and it begins after that.
    CancelRunning,
    /// It begins beside the open run.
    #[default]
    Allow,
}

impl ByHand {
    /// All of them, each with its word.
    pub const ALL: [(&'static str, ByHand); 5] = [
        ("skip", ByHand::Skip),
        ("queue_one", ByHand::QueueOne),
        ("queue_all", ByHand::QueueAll),
        ("cancel_running", ByHand::CancelRunning),
        ("allow", ByHand::Allow),
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            ByHand::Skip => "skip",
            ByHand::QueueOne => "queue_one",
            ByHand::QueueAll => "queue_all",
            ByHand::CancelRunning => "cancel_running",
            ByHand::Allow => "allow",
        }
    }

    /// The policy of that word.
    pub fn of(word: &str) -> Option<ByHand> {
        let mut all = ByHand::ALL.into_iter();
        all.find_map(|(known, policy)| (known == word).then_some(policy))
    }
}
