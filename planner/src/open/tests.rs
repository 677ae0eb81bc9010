use gridloom_shared::id::{JobName, Nonce, Term};
use gridloom_shared::job::parse::{self, Format};

use super::*;

const AT: UnixMs = UnixMs(1_764_482_000_123);

fn opened(at: UnixMs) -> Earlier {
    let job = parse::parse(r#"{"name": "a", "handler": "h"}"#, Format::Json).unwrap();
    let first = Opened {
        nonce: Nonce(1),
        job,
        scheduled_at: at,
        content: 5,
        term: Term(1),
        first: Vec::new(),
        traceparent: None,
        reports: 1,
    };
    Earlier::Opened(9, Box::new(first))
}

fn purged(closed_at: u64) -> Earlier {
    Earlier::Purged(Some(5), Some(UnixMs(closed_at)))
}

/// What is found by a submission without an id of its own, and by one with.
fn found_by(earlier: &Earlier) -> (Opening, Opening) {
    let job = JobName::new("a").unwrap();
    let runs = (
        RunId::from_submission(&job, 7),
        RunId::from_request(&job, "7"),
    );
    let by = |run: &RunId| found(run, earlier, Asked::of(run, 5, AT));
    (by(&runs.0), by(&runs.1))
}

#[test]
fn run_of_a_submission_that_stood_in_the_same_place_before_is_another_s() {
    let (of_a_place, of_a_request) = found_by(&opened(UnixMs(AT.0 - 1)));
    assert!(matches!(of_a_place, Opening::Anothers));
    assert!(matches!(of_a_request, Opening::Exists));
    let (of_a_place, of_a_request) = found_by(&purged(AT.0 - CLOCKS_DIFFER_MS - 1));
    assert!(matches!(of_a_place, Opening::Anothers));
    assert!(matches!(of_a_request, Opening::Purged));
}

#[test]
fn submission_that_is_delivered_again_finds_its_run() {
    let (of_a_place, of_a_request) = found_by(&opened(AT));
    assert!(matches!(of_a_place, Opening::Exists));
    assert!(matches!(of_a_request, Opening::Exists));
    // Closed by the clock of another broker.
    let (of_a_place, _) = found_by(&purged(AT.0 - CLOCKS_DIFFER_MS));
    assert!(matches!(of_a_place, Opening::Purged));
    let (of_a_place, _) = found_by(&Earlier::Purged(None, None));
    assert!(matches!(of_a_place, Opening::Purged));
}
