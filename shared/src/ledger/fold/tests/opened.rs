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
        first: Vec::new(),
        traceparent: None,
        reports: 1,
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

/// The first record of a run whose tiles go with it.
fn opened_with(first: Vec<TileRun>) -> Record {
    match opened(PagesSpec::Count { count: 2 }) {
        Record::Plan(PlanRecord::Opened(opened)) => {
            Record::Plan(PlanRecord::Opened(Box::new(Opened { first, ..*opened })))
        }
        other => other,
    }
}

#[test]
fn run_that_begins_with_its_first_record_goes_on_with_the_wave_after_it() {
    let mut fold = Fold::new(RunId::new("sum_s_1").unwrap());
    fold.apply(7, UnixMs(1), &opened_with(vec![tiles(0, 0, 1, 2, 1)]));
    assert_eq!((fold.next_wave(), fold.last_plan()), (1, 7));
    assert_eq!((fold.counts().planned, fold.open_tiles().len()), (2, 2));
    let first = TileRef { wave: 0, index: 1 };
    let tile = fold.open_tiles().get(&first).unwrap();
    assert_eq!(tile.fence, Fence(7));
    let again = tile.again(first, fold.run(), fold.opening().unwrap());
    assert_eq!((again.folded, again.fence, again.opened), (6, Fence(7), 7));
    // Outcomes under the record's own fence count, those of a run before it do not.
    let done = |fence| [entry((0, 1), fence, 0, 1, 1, Status::Done)];
    fold.apply(8, UnixMs(2), &outcome(1, 1, &done(6)));
    assert_eq!((fold.counts().done, fold.counts().unexpected), (0, 1));
    fold.apply(9, UnixMs(3), &outcome(1, 2, &done(7)));
    assert_eq!((fold.counts().done, fold.open_tiles().len()), (1, 1));
}
