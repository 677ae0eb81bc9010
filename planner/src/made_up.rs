//! What tests make up: a worker's announcement.

use gridloom_shared::clock::UnixMs;
use gridloom_shared::holdings::Packed;
use gridloom_shared::id::{Session, WorkerName};
use gridloom_shared::presence::Presence;

/// Of a worker with four slots that pulls from no queue and has no handler.
pub(crate) fn presence(session: u64) -> Presence {
    Presence {
        worker: WorkerName::new("w").unwrap(),
        session: Session(session),
        queues: Vec::new(),
        handlers: Vec::new(),
        capacity: 4,
        in_flight: 0,
        version: String::new(),
        wire: Default::default(),
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
