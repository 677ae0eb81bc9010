//! Retention, beside the main model: runs that are over are purged, and their ids are forgotten later, while
//! somebody orders to retry and the same request is made again. The fold, the planner's decisions and the judging
//! of the order are the real ones.
//!
//! **Modelled.** A run of one page that failed and was closed; planners that all act for as long as they live,
//! since none knows that it was deposed, and that may sleep or die between any two steps; the sweep in its
//! steps: look, append `retired`, purge what workers wrote, write the record by which the id is remembered,
//! purge the plan; append `forgotten`, purge the id; purges that arrive late or never; answers that are lost; a
//! retry, which opens the run again; the same request, whose answer takes three reads, and which opens another
//! run under a free id; records of workers that come when the run has gone.
//!
//! **Not modelled.** Ages: what is over may go at once. Tiles on the queue and the summary, which a sweep removes
//! too, below sequences that it had read before it looked. Another content under the same request id. The
//! race for waves and closings of an open run, which `orders.rs` has: here each is one step.
//!
//! **Mirrored.** The sweep and the answer to a request are private to the planner: their steps stand here as in
//! `planner/src/service/sweep.rs` and `planner/src/submit.rs`.

#[path = "retention/leader.rs"]
mod leader;
#[path = "retention/ledger.rs"]
mod ledger;
#[path = "retention/protocol.rs"]
mod protocol;
#[path = "retention/rules.rs"]
mod rules;
#[path = "retention/sweep.rs"]
mod sweep;

use super::explore::{breaks, finite, holds};
use protocol::{Case, ENDS, INTACT, ONE_RUN, REMEMBERED};
use rules::{Bound, Decision, Faults, Memory, Opening, Rules};

const CALM: Faults = Faults {
    planner_crashes: 0,
    lost_answers: 0,
    late_purges: 0,
    strays: 0,
};

/// Somebody orders to retry; ids are remembered.
fn retry(leaders: u8, faults: Faults) -> Case {
    Case {
        rules: Rules::KEPT,
        leaders,
        retry: true,
        request: false,
        forgets: false,
        faults,
    }
}

/// The request is made again; ids are forgotten.
fn request(leaders: u8, faults: Faults) -> Case {
    Case {
        retry: false,
        request: true,
        forgets: true,
        ..retry(leaders, faults)
    }
}

fn late(late_purges: u8) -> Faults {
    Faults {
        late_purges,
        ..CALM
    }
}

#[test]
fn every_path_of_retention_ends() {
    finite(&retry(2, late(1)));
    finite(&request(1, late(1)));
}

#[test]
fn retry_while_two_planners_sweep() {
    let faults = Faults {
        lost_answers: 1,
        planner_crashes: 1,
        ..late(1)
    };
    holds(retry(2, faults), 79_098);
}

#[test]
fn retry_and_request_while_two_planners_sweep() {
    let case = Case {
        request: true,
        ..retry(2, CALM)
    };
    holds(case, 32_082);
}

#[test]
#[ignore = "large"]
fn large_retry_and_request_while_two_planners_sweep_and_a_purge_is_late() {
    let case = Case {
        request: true,
        ..retry(2, late(1))
    };
    holds(case, 187_745);
}

#[test]
#[ignore = "large"]
fn large_request_that_is_made_again_while_two_planners_sweep_and_forget() {
    holds(request(2, CALM), 411_976);
}

#[test]
fn purge_that_comes_when_the_id_was_used_again() {
    holds(request(1, late(2)), 5_855);
}

#[test]
fn planner_that_dies_within_a_sweep_and_does_not_hear_answers() {
    let faults = Faults {
        planner_crashes: 1,
        lost_answers: 1,
        ..CALM
    };
    let case = Case {
        retry: true,
        ..request(1, faults)
    };
    holds(case, 17_836);
}

#[test]
fn worker_that_writes_when_the_run_has_gone() {
    let faults = Faults {
        strays: 1,
        late_purges: 1,
        ..CALM
    };
    holds(request(1, faults), 10_593);
}

// Rules taken out.

#[test]
fn purge_after_a_look_removes_a_run_that_was_reopened_meanwhile() {
    let rules = Rules {
        decision: Decision::Looked,
        ..Rules::KEPT
    };
    let case = Case {
        rules,
        ..retry(2, CALM)
    };
    breaks(case, INTACT);
    breaks(case, ENDS);
}

#[test]
fn retired_without_compare_and_swap_stands_behind_a_confirmed_retry() {
    let rules = Rules {
        decision: Decision::Appended,
        ..Rules::KEPT
    };
    let case = Case {
        rules,
        ..retry(2, CALM)
    };
    breaks(case, INTACT);
    breaks(case, ENDS);
}

#[test]
fn purge_without_its_bound_removes_the_next_run_of_the_id() {
    let rules = Rules {
        bound: Bound::Missing,
        ..Rules::KEPT
    };
    let case = Case {
        rules,
        ..request(1, late(1))
    };
    breaks(case, INTACT);
}

#[test]
fn plan_that_goes_before_its_id_is_remembered_frees_it() {
    let rules = Rules {
        memory: Memory::Last,
        ..Rules::KEPT
    };
    let case = Case {
        rules,
        ..request(1, CALM)
    };
    breaks(case, REMEMBERED);
    breaks(case, ONE_RUN);
}

#[test]
fn first_record_that_expects_an_empty_plan_alone_opens_under_a_remembered_id() {
    let rules = Rules {
        opening: Opening::PlanAlone,
        ..Rules::KEPT
    };
    let case = Case {
        rules,
        ..request(1, CALM)
    };
    breaks(case, ONE_RUN);
}
