//! What people order of runs: requests to the leader and its answers, and what the leader tells the
//! workers of it. All on plain NATS; what counts stands in the ledger before it is answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{HandlerName, QueueName, RunId, Session};
#[cfg(feature = "runs")]
use crate::ledger::fold::Chosen;
use crate::waiting::Waiting;

/// What is ordered. Also the last token of the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// End the run: nothing more is issued, what is queued or runs is stopped.
    Cancel,
    /// Give dead shards further attempts; the run goes on.
    Retry,
    /// Give dead shards up: they are listed no more.
    Drop,
    /// Say what the run waits for. Changes nothing.
    Explain,
}

impl Verb {
    /// The last token of the subject.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Cancel => "cancel",
            Verb::Retry => "retry",
            Verb::Drop => "drop",
            Verb::Explain => "explain",
        }
    }
}

/// One request. The same number is the same request, however often it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Random; an answer may be lost, and the request sent again.
    pub request: u64,
    /// What is ordered.
    pub verb: Verb,
    /// Of which run.
    pub run: RunId,
    /// Only shards of this slice; `None`: all. Without meaning for [`Verb::Cancel`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<u32>,
    /// Only this page of the slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// Only dead shards whose last error holds this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_like: Option<String>,
}

#[cfg(feature = "runs")]
impl Command {
    /// The dead shards that are meant.
    pub fn chosen(&self) -> Chosen {
        self.verb
            .chosen(self.slice, self.page, self.error_like.as_deref())
    }
}

#[cfg(feature = "runs")]
impl Verb {
    /// The dead shards that are meant where these are named. Those that were given up are retried only where
    /// their slice is.
    pub fn chosen(self, slice: Option<u32>, page: Option<u32>, error_like: Option<&str>) -> Chosen {
        Chosen {
            slice,
            page,
            error_like: error_like.map(str::to_owned),
            given_up: self == Verb::Retry && slice.is_some(),
        }
    }
}

/// What the leader says, once its record is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It stands in the ledger.
    Done {
        /// Dead shards that it concerns.
        shards: u64,
    },
    /// There was nothing to do: it was done before, or no shard is meant.
    Nothing {
        /// Why.
        reason: String,
    },
    /// It cannot be done as the run stands.
    Refused {
        /// Why.
        reason: String,
    },
    /// What the run waits for, the first reason first; nothing for one that is being served, or is not
    /// open.
    Waits {
        /// The reasons.
        waits: Vec<Waiting>,
    },
    /// No such run, or no such shard, or a request that cannot be understood.
    Misuse {
        /// What is wrong, and how to mend it.
        reason: String,
    },
}

/// What the leader tells all workers. Loss of it is harmless: what is left of a cancelled run is
/// folded as always, and the leader says it again until all have answered; crowds are counted again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Broadcast {
    /// Stop everything of the run. To be answered with [`Halted`].
    Cancelled {
        /// The run.
        run: RunId,
        /// Ledger sequence of the planner's last record of it.
        sequence: u64,
    },
    /// The run goes on.
    Reopened {
        /// The run.
        run: RunId,
        /// Ledger sequence of the record.
        sequence: u64,
    },
    /// So many workers of a queue have a slot free for each of these handlers: more than need to wait for
    /// the first tile of its lane.
    Crowd {
        /// The queue.
        queue: QueueName,
        /// Workers, by handler; at most [`crate::limits::WORKER_HANDLERS_MAX`].
        free: BTreeMap<HandlerName, u32>,
    },
    /// The stream of the queues was gone, and is there again: who waits for it need not wait any longer.
    QueueMade {},
}

impl Broadcast {
    /// The run that it is about.
    pub fn run(&self) -> Option<&str> {
        match self {
            Broadcast::Cancelled { run, .. } | Broadcast::Reopened { run, .. } => {
                Some(run.as_str())
            }
            Broadcast::Crowd { .. } | Broadcast::QueueMade {} => None,
        }
    }
}

/// A worker's answer: nothing of the run runs here any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halted {
    /// The worker.
    pub session: Session,
}

crate::wire::spoken!(Command, Answer, Broadcast, Halted);

#[cfg(all(test, feature = "runs"))]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_up_is_meant_by_a_retry_that_names_its_slice_and_by_nothing_else() {
        let meant = |verb: Verb, slice| verb.chosen(slice, None, None).given_up;
        assert!(meant(Verb::Retry, Some(1)));
        assert!(!meant(Verb::Retry, None));
        assert!(!meant(Verb::Drop, Some(1)));
    }
}
