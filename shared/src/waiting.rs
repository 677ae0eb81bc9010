//! Why a run gets no further, as the leader's flow control says it: for `show`, `run --wait` and
//! programs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::count::{counted_as, grouped};
use crate::id::{HandlerName, JobName, QueueName};
use crate::job::Rate;

/// What a run waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Waiting {
    /// No worker pulls from its queue.
    NoWorker {
        /// The queue.
        queue: QueueName,
    },
    /// Workers pull from its queue, and none of them has its handler.
    NoHandler {
        /// The queue.
        queue: QueueName,
        /// The handler.
        handler: HandlerName,
    },
    /// The workers of its queue that have its handler have enough before them.
    QueueFull {
        /// The queue.
        queue: QueueName,
        /// The handler.
        handler: HandlerName,
        /// Tiles that are issued, lack an outcome, and lie before these workers: those of other handlers
        /// too, by the part of them that these workers may run.
        outstanding: u64,
    },
    /// All that is issued of it lies on its queue, and the workers that have its handler are busy with other things. The
    /// leader does not know that, and never says it: whoever asks finds it out ([`crate::reads`]).
    Queued {
        /// The queue.
        queue: QueueName,
        /// The handler.
        handler: HandlerName,
        /// Its tiles there.
        tiles: u64,
        /// Tiles of other runs there, for the same handler: those that workers hold, too.
        others: u64,
        /// Tiles that these workers run at once: so many they run.
        slots: u64,
    },
    /// The stream of the queues holds as much as it may: tiles are put on it as others leave it.
    NoRoom {},
    /// As many tiles of its job as `limits.concurrency` permits are open.
    Concurrency {
        /// The job.
        job: JobName,
        /// The limit.
        limit: u32,
    },
    /// The rate of its job is used up for the moment.
    Rate {
        /// The job.
        job: JobName,
        /// The limit.
        limit: Rate,
    },
    /// A shard asked that its job, or a resource that several jobs use, be left alone for a while.
    Hold {
        /// The job or the resource.
        what: String,
        /// Until when, by the broker's clock; RFC 3339 in JSON.
        #[serde(with = "crate::clock::in_json")]
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
        until: UnixMs,
    },
    /// Runs that are more urgent, or have waited for longer, go first.
    Behind {
        /// The queue.
        queue: QueueName,
    },
    /// Its plan makes no sense: nothing more of it is planned, and it can be cancelled.
    Aside {
        /// What stands there.
        why: String,
    },
    /// Shards that failed wait for their next attempt.
    Retry {
        /// How many.
        shards: u64,
        /// When the first of them is due, by the broker's clock; RFC 3339 in JSON.
        #[serde(with = "crate::clock::in_json")]
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
        due: UnixMs,
    },
    /// What is left of it has been issued and lacks an outcome.
    Shards {
        /// How many tiles.
        tiles: u64,
    },
}

impl Waiting {
    /// Whether it says that the run is at work, and not that it is in want of something.
    pub fn is_at_work(&self) -> bool {
        matches!(self, Waiting::Shards { .. } | Waiting::Retry { .. })
    }

    /// Whether two runs of which this is said wait for the same: how much of it lies where changes all the time.
    pub fn is_like(&self, other: &Waiting) -> bool {
        use Waiting::{QueueFull, Queued, Retry, Shards};
        match (self, other) {
            (
                QueueFull { queue, handler, .. } | Queued { queue, handler, .. },
                QueueFull {
                    queue: of,
                    handler: wanted,
                    ..
                }
                | Queued {
                    queue: of,
                    handler: wanted,
                    ..
                },
            ) => (queue, handler) == (of, wanted) && self.is_of_the_kind_of(other),
            (Retry { .. } | Shards { .. }, _) => self.is_of_the_kind_of(other),
            _ => self == other,
        }
    }

    fn is_of_the_kind_of(&self, other: &Waiting) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Waiting::NoWorker { queue } => write!(f, "no worker pulls from queue {queue}"),
            Waiting::NoHandler { queue, handler } => {
                write!(f, "no worker of queue {queue} has handler {handler}")
            }
            Waiting::QueueFull {
                queue,
                handler,
                outstanding,
            } => write!(
                f,
                "queue {queue} is full for handler {handler}: {} before its workers",
                counted_as(*outstanding, "tile lies", "tiles lie")
            ),
            Waiting::Queued {
                queue,
                handler,
                tiles,
                others,
                slots,
            } => {
                let beside = match others {
                    0 => String::new(),
                    others => format!(", beside {} of other runs", grouped(*others)),
                };
                let slots = match slots {
                    1 => "the one slot of the workers that have it is taken".to_owned(),
                    slots => format!(
                        "all {} slots of the workers that have it are taken",
                        grouped(*slots)
                    ),
                };
                write!(
                    f,
                    "none of it has begun: {} in queue {queue}{beside}, for handler {handler}, and {slots}",
                    counted_as(*tiles, "tile of it lies", "tiles of it lie"),
                )
            }
            Waiting::NoRoom {} => {
                f.write_str("the queue has no room: it holds as much as it may (streams.max_bytes)")
            }
            Waiting::Concurrency { job, limit } => write!(
                f,
                "limits.concurrency = {limit} of job {job}: so many tiles are open"
            ),
            Waiting::Rate { job, limit } => write!(f, "limits.rate = \"{limit}\" of job {job}"),
            Waiting::Hold { what, until } => {
                write!(f, "{what} is on hold until {}", until.rfc3339())
            }
            Waiting::Behind { queue } => {
                write!(f, "runs of a higher priority go first on queue {queue}")
            }
            Waiting::Aside { why } => write!(f, "it is set aside: {why}"),
            Waiting::Retry { shards, due } => write!(
                f,
                "{} for the next attempt, from {} on",
                counted_as(*shards, "failed shard waits", "failed shards wait"),
                due.rfc3339()
            ),
            Waiting::Shards { tiles } => write!(
                f,
                "{} issued and not done yet",
                counted_as(*tiles, "tile is", "tiles are")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Answer;
    use crate::wire;

    #[test]
    fn runs_wait_for_the_same_whatever_lies_there_by_now_and_not_for_what_only_looks_alike() {
        let (queue, handler) = (QueueName::new("images"), HandlerName::new("resize"));
        let (queue, handler) = (queue.unwrap(), handler.unwrap());
        let full = |outstanding| Waiting::QueueFull {
            queue: queue.clone(),
            handler: handler.clone(),
            outstanding,
        };
        let queued = Waiting::Queued {
            queue: queue.clone(),
            handler: handler.clone(),
            tiles: 1,
            others: 0,
            slots: 1,
        };
        let behind = Waiting::Behind {
            queue: queue.clone(),
        };
        let nobody = |queue: &str| Waiting::NoWorker {
            queue: QueueName::new(queue).unwrap(),
        };
        assert!(full(1).is_like(&full(9)));
        assert!(!full(1).is_like(&queued) && !queued.is_like(&full(1)));
        assert!(nobody("images").is_like(&nobody("images")));
        assert!(!nobody("images").is_like(&nobody("reports")));
        assert!(!nobody("images").is_like(&behind));
        let shards = |tiles| Waiting::Shards { tiles };
        assert!(shards(1).is_like(&shards(2)) && !shards(1).is_like(&behind));
        assert!(shards(1).is_at_work() && !full(1).is_at_work());
    }

    #[test]
    fn moments_are_texts_in_json_and_come_over_the_wire_as_they_are() {
        let hold = Waiting::Hold {
            what: "a".to_owned(),
            until: UnixMs(1_357_016_400_000),
        };
        let retry = Waiting::Retry {
            shards: 1,
            due: UnixMs(1_357_016_400_050),
        };
        let json = serde_json::json!([hold, retry]);
        assert_eq!(json[0]["until"], "2013-01-01T05:00:00.000Z");
        assert_eq!(json[1]["due"], "2013-01-01T05:00:00.050Z");
        let queued = |tiles, others, slots| {
            let (queue, handler) = (QueueName::new("images"), HandlerName::new("resize"));
            let (queue, handler) = (queue.unwrap(), handler.unwrap());
            let queued = Waiting::Queued {
                queue,
                handler,
                tiles,
                others,
                slots,
            };
            queued.to_string()
        };
        assert_eq!(
            queued(1_200, 64, 8),
            "none of it has begun: 1,200 tiles of it lie in queue images, beside 64 of other runs, for handler resize, and all 8 slots of the workers that have it are taken"
        );
        assert_eq!(
            queued(1, 0, 1),
            "none of it has begun: 1 tile of it lies in queue images, for handler resize, and the one slot of the workers that have it is taken"
        );
        let many = Waiting::Shards { tiles: 1_200 }.to_string();
        assert_eq!(many, "1,200 tiles are issued and not done yet");
        let answer = Answer::Waits {
            waits: vec![hold, retry],
        };
        assert_eq!(wire::decode(&wire::encode(&answer)), Ok(answer));
    }
}
