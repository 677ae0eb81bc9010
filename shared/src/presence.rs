//! What a worker says of itself: on plain NATS every second and whenever asked, and in the
//! `workers` bucket while it is registered.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::holdings::Packed;
use crate::id::{HandlerName, QueueName, RunId, Session, WorkerName};
use crate::limits::{
    CONCURRENCY_MAX, KNOWN_BYTES_MAX, KNOWN_MAX, NAMED_MAX, PRESENCE_MAX, TOLLS_MAX, TROUBLE_MAX,
    VERSION_TEXT_MAX, WORKER_HANDLERS_MAX, WORKER_LANES_MAX, WORKER_QUEUES_MAX,
};
use crate::wire::{self, Versions};

/// One worker's announcement. Loss of one is harmless: a second follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// The worker, as people see it.
    pub worker: WorkerName,
    /// Its life.
    pub session: Session,
    /// The queues that it pulls from.
    pub queues: Vec<QueueName>,
    /// The handlers that it has.
    pub handlers: Vec<HandlerName>,
    /// Tiles that it runs at once.
    pub capacity: u32,
    /// Tiles that it runs now.
    pub in_flight: u32,
    /// Version of its build.
    pub version: String,
    /// Which versions of records it reads and writes.
    #[serde(default, skip_serializing_if = "Versions::is_first")]
    pub wire: Versions,
    /// When it started.
    pub started_at: UnixMs,
    /// When it said this, by its own clock.
    pub at: UnixMs,
    /// Whether it is on its way out and takes no more work.
    pub stopping: bool,
    /// Whether this is its last word: it holds nothing any more, and nobody need look after it.
    #[serde(default)]
    pub gone: bool,
    /// Stream sequences of messages that it held a moment ago, as many as fit. Incomplete and late:
    /// only a hint for the time in which others do not answer (docs/PROTOCOL.md §6).
    #[serde(default, skip_serializing_if = "Packed::is_empty")]
    pub named: Packed,
    /// What runs have cost it since it knows them, those that have grown since it said so last: at
    /// most [`TOLLS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolls: Vec<Toll>,
    /// The ack deadlines that it goes by, in milliseconds: one for each of its queues, in their order. Empty
    /// before it knows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ack_deadlines_ms: Vec<u64>,
    /// What of its configuration jobs may name, as `sql/main`: a job that names what this worker has not fails
    /// here. Of very many only some; see [`Presence::knows_of`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub knows: Vec<String>,
    /// What keeps it or its handlers from working, in words for people: a database that cannot be reached, a
    /// permission that it lacks.
    /// Empty where nothing does; at most [`TROUBLE_MAX`] bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trouble: String,
}

/// What one run has cost a worker, from the first of its tiles there on. Sums, so that a message may
/// be lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toll {
    /// The run.
    pub run: RunId,
    /// Shards that were executed, whatever came out.
    pub shards: u64,
    /// Time that slots were busy with them, in microseconds.
    pub busy_us: u64,
}

crate::wire::spoken!(Presence);

/// Why an announcement is none that a worker makes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PresenceError {
    /// It has too many bytes to be looked at.
    #[error("it has {0} bytes")]
    Large(usize),
    /// It is no announcement.
    #[error(transparent)]
    Wire(#[from] wire::WireError),
    /// No worker says so much.
    #[error("it names {count} {what}, {most} at most")]
    Many {
        /// Of what.
        what: &'static str,
        /// So many.
        count: usize,
        /// What a worker can have.
        most: usize,
    },
}

impl Presence {
    /// Whether it pulls from the queue and has the handler.
    pub fn serves(&self, queue: &QueueName, handler: &HandlerName) -> bool {
        self.queues.contains(queue) && self.handlers.contains(handler)
    }

    /// Of `all` names what an announcement has room for: the first in order, so that workers with the same
    /// names say the same.
    pub fn knows_of(all: impl IntoIterator<Item = String>) -> Vec<String> {
        let all: BTreeSet<String> = all.into_iter().collect();
        let mut room = KNOWN_BYTES_MAX;
        let fits = |name: &String| {
            room = room.saturating_sub(name.len());
            room > 0
        };
        all.into_iter().take(KNOWN_MAX).take_while(fits).collect()
    }

    /// The announcement in `bytes`. Anybody who may publish one may say anything: who keeps it, keeps what
    /// a worker can be, and nothing else.
    ///
    /// # Errors
    /// When it is none, or says what no worker can have.
    pub fn read(bytes: &[u8]) -> Result<Presence, PresenceError> {
        if bytes.len() > PRESENCE_MAX {
            return Err(PresenceError::Large(bytes.len()));
        }
        let presence: Presence = wire::decode(bytes)?;
        let counts = [
            ("queues", presence.queues.len(), WORKER_QUEUES_MAX),
            ("handlers", presence.handlers.len(), WORKER_HANDLERS_MAX),
            (
                "lanes, each of its queues for each of its handlers",
                presence.queues.len() * presence.handlers.len(),
                WORKER_LANES_MAX,
            ),
            (
                "slots",
                presence.capacity as usize,
                CONCURRENCY_MAX as usize,
            ),
            (
                "bytes of its version",
                presence.version.len(),
                VERSION_TEXT_MAX,
            ),
            ("bytes of what it holds", presence.named.bytes(), NAMED_MAX),
            ("costs of runs", presence.tolls.len(), TOLLS_MAX),
            ("bytes of trouble", presence.trouble.len(), TROUBLE_MAX),
            (
                "ack deadlines",
                presence.ack_deadlines_ms.len(),
                WORKER_QUEUES_MAX,
            ),
            ("things that it knows", presence.knows.len(), KNOWN_MAX),
            (
                "bytes of what it knows",
                presence.knows.iter().map(String::len).sum(),
                KNOWN_BYTES_MAX,
            ),
        ];
        match counts.into_iter().find(|(_, count, most)| count > most) {
            Some((what, count, most)) => Err(PresenceError::Many { what, count, most }),
            None => Ok(presence),
        }
    }
}

/// Of a worker with four slots that pulls from no queue and has no handler, for tests.
#[cfg(test)]
pub(crate) fn made_up() -> Presence {
    Presence {
        worker: WorkerName::new("w").unwrap(),
        session: Session(1),
        queues: Vec::new(),
        handlers: Vec::new(),
        capacity: 4,
        in_flight: 0,
        version: String::new(),
        wire: Versions::default(),
        started_at: UnixMs(0),
        at: UnixMs(0),
        stopping: false,
        gone: false,
        named: Packed::default(),
        tolls: Vec::new(),
        ack_deadlines_ms: Vec::new(),
        knows: Vec::new(),
        trouble: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence() -> Presence {
        Presence {
            queues: vec![QueueName::new("images").unwrap()],
            version: "0.1.0".into(),
            ..made_up()
        }
    }

    #[test]
    fn worker_of_many_databases_announces_those_that_have_room() {
        let names = |count: usize| (0..count).map(|n| format!("sql/{}-{n:05}", "d".repeat(90)));
        assert_eq!(Presence::knows_of(names(3)).len(), 3);
        let most = presence_that_knows(Presence::knows_of(names(1_000)));
        assert!(most.knows.len() > 10);
        assert_eq!(Presence::read(&wire::encode(&most)), Ok(most));
    }

    fn presence_that_knows(knows: Vec<String>) -> Presence {
        Presence {
            knows,
            ..presence()
        }
    }

    #[test]
    fn announcement_of_what_no_worker_has_is_none() {
        assert_eq!(Presence::read(&wire::encode(&presence())), Ok(presence()));
        let refused = |change: fn(&mut Presence)| {
            let mut presence = presence();
            change(&mut presence);
            Presence::read(&wire::encode(&presence)).is_err()
        };
        assert!(refused(|presence| presence.capacity = u32::MAX));
        assert!(refused(|presence| presence.version = "v".repeat(1_000)));
        assert!(refused(
            |presence| presence.trouble = "t".repeat(TROUBLE_MAX + 1)
        ));
        assert!(refused(|presence| {
            let name = |n| QueueName::new(format!("q{n}")).unwrap();
            presence.queues = (0..=WORKER_QUEUES_MAX).map(name).collect();
        }));
        assert!(refused(|presence| {
            let name = |n| HandlerName::new(format!("h{n}")).unwrap();
            presence.handlers = (0..=WORKER_LANES_MAX).map(name).collect();
        }));
        assert!(refused(|presence| {
            presence.ack_deadlines_ms = vec![1; WORKER_QUEUES_MAX + 1];
        }));
        assert!(refused(|presence| {
            presence.knows = vec!["k".repeat(KNOWN_BYTES_MAX + 1)];
        }));
        assert!(Presence::read(&[0; PRESENCE_MAX + 1]).is_err());
        assert!(Presence::read(b"nonsense").is_err());
    }
}
