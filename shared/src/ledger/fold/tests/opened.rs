//! How the runs of these tests begin.

use super::*;
use crate::id::{HandlerName, QueueName};
use crate::job::{Backoff, GridSpec, JobSpec, LimitsSpec, RetrySpec, SubmitSpec};

/// The first record of a run with these pages.
pub(super) fn opened(pages: PagesSpec) -> Record {
    let job = JobSpec {
        name: JobName::new("sum").unwrap(),
        handler: HandlerName::new("noop").unwrap(),
        queue: QueueName::new("default").unwrap(),
        grid: GridSpec {
            slices: SLICES,
            pages,
            tile: None,
        },
        retry: RetrySpec {
            max_attempts: ATTEMPTS,
            backoff: Backoff {
                initial_ms: 100,
                factor: 1.0,
                max_ms: 100,
                jitter: 0.0,
            },
        },
        limits: LimitsSpec::default(),
        settings: serde_json::json!({}),
        params: serde_json::json!({}),
        submit: SubmitSpec::default(),
    };
    Record::Plan(PlanRecord::Opened(Box::new(Opened {
        nonce: Nonce(1),
        job,
        scheduled_at: UnixMs(0),
        content: 0,
        term: Term(1),
    })))
}
