//! What an engine needs to know.

use std::collections::HashMap;
use std::time::Duration;

use gridloom_shared::broker::Options;
use gridloom_shared::broker::topology::AckDeadline;
use gridloom_shared::id::{HandlerName, QueueName, WorkerName};
use gridloom_shared::lane::Lane;
use gridloom_shared::telemetry::spans::Tracer;

use crate::handler::SharedHandler;
use crate::traced::Telling;

/// What an engine needs to know.
pub(crate) struct Settings {
    pub(crate) options: Options,
    pub(crate) name: WorkerName,
    pub(crate) queues: Vec<QueueName>,
    pub(crate) concurrency: u32,
    pub(crate) ack_deadline: AckDeadline,
    pub(crate) grace: Duration,
    pub(crate) handlers: HashMap<HandlerName, SharedHandler>,
    /// Who is told of traces.
    pub(crate) tracer: Tracer,
}

impl Settings {
    /// Who is told of traces, and as whom.
    pub(crate) fn telling(&self) -> Telling {
        Telling {
            tracer: self.tracer.clone(),
            worker: self.name.as_str().into(),
        }
    }

    /// What it pulls from: each queue for each handler.
    pub(crate) fn lanes(&self) -> Vec<Lane> {
        let of_queue = |queue: &QueueName| {
            let handlers = self.handlers.keys().cloned();
            let lanes = handlers.map(|handler| Lane::new(queue.clone(), handler));
            lanes.collect::<Vec<_>>()
        };
        self.queues.iter().flat_map(of_queue).collect()
    }
}
