//! Cases by the rules of the protocol: every claim holds in every state.
//!
//! The number beside each is how many states it has.

use super::explore::holds;
use super::rules::Faults;
use super::{CALM, planner_side, queue_side};

#[test]
fn four_deliveries_between_paused_and_crashed_workers() {
    let faults = Faults {
        expiries: 2,
        worker_crashes: 1,
        ..CALM
    };
    holds(queue_side(3, faults), 46_077);
}

#[test]
fn failure_of_a_paused_worker_beside_two_successors() {
    let faults = Faults {
        expiries: 2,
        failures: 1,
        ..CALM
    };
    holds(queue_side(3, faults), 122_760);
}

#[test]
fn broker_that_forgets_its_deliveries() {
    let faults = Faults {
        broker_crashes: 1,
        expiries: 1,
        worker_crashes: 1,
        ..CALM
    };
    holds(queue_side(3, faults), 73_854);
}

#[test]
fn living_worker_that_is_taken_for_dead() {
    let faults = Faults {
        naks: 1,
        expiries: 1,
        failures: 1,
        ..CALM
    };
    holds(queue_side(2, faults), 52_601);
}

#[test]
fn living_worker_taken_for_dead_by_a_broker_that_forgets() {
    let faults = Faults {
        naks: 1,
        broker_crashes: 1,
        worker_crashes: 1,
        ..CALM
    };
    holds(queue_side(3, faults), 34_932);
}

#[test]
fn purged_queue_with_a_retry() {
    let faults = Faults {
        purges: 1,
        expiries: 1,
        failures: 1,
        ..CALM
    };
    holds(queue_side(2, faults), 68_341);
}

#[test]
fn queue_made_again_with_a_retry() {
    let faults = Faults {
        recreations: 1,
        expiries: 1,
        failures: 1,
        ..CALM
    };
    holds(queue_side(2, faults), 63_972);
}

#[test]
fn queue_made_again_beside_a_broker_that_forgets() {
    let faults = Faults {
        recreations: 1,
        broker_crashes: 1,
        expiries: 1,
        ..CALM
    };
    holds(queue_side(2, faults), 43_564);
}

#[test]
fn deposed_planner_that_acts_on_while_an_answer_is_lost() {
    let faults = Faults {
        depositions: 1,
        lost_answers: 1,
        failures: 1,
        ..CALM
    };
    holds(planner_side(2, faults), 54_303);
}

#[test]
fn planners_deposed_and_awake_again() {
    let faults = Faults {
        depositions: 2,
        planner_crashes: 1,
        lost_answers: 1,
        ..CALM
    };
    holds(planner_side(1, faults), 51_880);
}

#[test]
fn deposed_planner_and_a_purged_queue() {
    let faults = Faults {
        depositions: 1,
        purges: 1,
        ..CALM
    };
    holds(planner_side(2, faults), 59_006);
}

#[test]
fn deposed_planner_and_a_queue_made_again() {
    let faults = Faults {
        depositions: 1,
        recreations: 1,
        ..CALM
    };
    holds(planner_side(2, faults), 35_290);
}

#[test]
fn deposed_planner_purged_queue_and_lost_answer() {
    let faults = Faults {
        depositions: 1,
        purges: 1,
        lost_answers: 1,
        ..CALM
    };
    holds(planner_side(1, faults), 64_376);
}

// Larger ones, for a minute of patience: `cargo test -p gridloom-tests --test model -- --ignored`

#[test]
#[ignore = "large"]
fn large_failure_of_a_worker_taken_for_dead() {
    let faults = Faults {
        naks: 1,
        expiries: 1,
        failures: 1,
        ..CALM
    };
    holds(queue_side(3, faults), 188_745);
}

#[test]
#[ignore = "large"]
fn large_deposed_planner_and_a_paused_worker() {
    let faults = Faults {
        depositions: 1,
        expiries: 1,
        failures: 1,
        ..CALM
    };
    holds(planner_side(2, faults), 288_307);
}

#[test]
#[ignore = "large"]
fn large_planners_that_crash_beside_a_purged_queue() {
    let faults = Faults {
        depositions: 1,
        planner_crashes: 1,
        purges: 1,
        lost_answers: 1,
        ..CALM
    };
    holds(planner_side(1, faults), 215_854);
}

#[test]
#[ignore = "large"]
fn large_deposed_planner_purged_queue_and_paused_worker() {
    let faults = Faults {
        depositions: 1,
        purges: 1,
        expiries: 1,
        ..CALM
    };
    holds(planner_side(2, faults), 937_822);
}

#[test]
#[ignore = "large"]
fn large_deposed_planner_purged_queue_and_broker_that_forgets() {
    let faults = Faults {
        depositions: 1,
        purges: 1,
        broker_crashes: 1,
        ..CALM
    };
    holds(planner_side(2, faults), 1_083_642);
}
