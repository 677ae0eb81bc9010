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
        schedule: None,
    };
    Record::Plan(PlanRecord::Opened(Box::new(Opened {
        nonce: Nonce(1),
        job,
        scheduled_at: UnixMs(0),
        content: 0,
        term: Term(1),
    })))
}

#[test]
fn first_record_that_is_read_back_says_when_it_was_stored() {
    let mut fold = Fold::new(RunId::new("sum_s_1").unwrap());
    let opened = opened(PagesSpec::Count { count: 1 });
    let at = |fold: &Fold| fold.opening().map(|opening| (opening.sequence, opening.at));
    // Who wrote it knows only about.
    fold.apply(7, UnixMs(100), &opened);
    fold.apply(7, UnixMs(103), &opened);
    assert_eq!(at(&fold), Some((7, UnixMs(103))));
    fold.apply(6, UnixMs(5), &opened);
    assert_eq!(at(&fold), Some((7, UnixMs(103))));
    assert_eq!((fold.records(), fold.counts().unexpected), (1, 0));
}
