//! Orders by people, beside the main model, with the real fold, the real `Run` and the real judging of
//! orders: whatever leads, only what they decide is written.
//!
//! **Modelled.** A run of two pages, each issued by a wave of its own, whose attempts may fail (then the page
//! is dead); two leaders, of which either may be deposed and act on, or crash; planner records under
//! compare-and-swap, whose answers may be lost; a cancel and a retry, given at any time, and again under
//! their number until they are answered.
//!
//! **Not modelled.** The queue: tiles are reported while they are open, also after the run was cancelled or
//! closed. What workers do to stop. `dropped`, and runs that abort themselves.

#[path = "orders/leader.rs"]
mod leader;
#[path = "orders/ledger.rs"]
mod ledger;
#[path = "orders/protocol.rs"]
mod protocol;
#[path = "orders/rules.rs"]
mod rules;

use gridloom_shared::command::Verb;

use super::explore::{breaks, finite, holds};
use protocol::{CANCELLED, Case, NO_WAVE, ONCE};
use rules::{Faults, Number, Rules, Writing};

const CALM: Faults = Faults {
    depositions: 0,
    planner_crashes: 0,
    lost_answers: 0,
    failures: 0,
};

fn case(leaders: usize, orders: &'static [Verb], faults: Faults) -> Case {
    Case {
        rules: Rules::KEPT,
        leaders,
        orders,
        faults,
    }
}

#[test]
fn every_path_of_orders_ends() {
    let faults = Faults {
        lost_answers: 1,
        failures: 1,
        ..CALM
    };
    finite(&case(1, &[Verb::Cancel, Verb::Retry], faults));
}

#[test]
fn cancel_that_races_the_last_outcome_and_a_change_of_leader() {
    let faults = Faults {
        depositions: 1,
        ..CALM
    };
    holds(case(2, &[Verb::Cancel], faults), 80_005);
}

#[test]
fn cancel_whose_answer_is_lost() {
    let faults = Faults {
        lost_answers: 2,
        planner_crashes: 1,
        ..CALM
    };
    holds(case(1, &[Verb::Cancel], faults), 7_103);
}

#[test]
fn retry_whose_answer_is_lost_counts_once() {
    let faults = Faults {
        lost_answers: 2,
        planner_crashes: 1,
        failures: 2,
        ..CALM
    };
    holds(case(1, &[Verb::Retry], faults), 36_347);
}

#[test]
#[ignore = "large"]
fn large_retry_of_a_deposed_leader() {
    let faults = Faults {
        depositions: 1,
        failures: 1,
        ..CALM
    };
    holds(case(2, &[Verb::Retry], faults), 139_424);
}

#[test]
fn cancel_and_retry() {
    let faults = Faults {
        failures: 1,
        planner_crashes: 1,
        ..CALM
    };
    holds(case(1, &[Verb::Cancel, Verb::Retry], faults), 29_510);
}

#[test]
#[ignore = "large"]
fn large_retry_whose_answer_is_lost_to_a_deposed_leader() {
    let faults = Faults {
        depositions: 1,
        lost_answers: 1,
        failures: 1,
        ..CALM
    };
    holds(case(2, &[Verb::Retry], faults), 531_793);
}

#[test]
#[ignore = "large"]
fn large_cancel_and_retry_beside_a_deposed_leader() {
    let faults = Faults {
        depositions: 1,
        ..CALM
    };
    holds(case(2, &[Verb::Cancel, Verb::Retry], faults), 477_176);
}

#[test]
#[ignore = "large"]
fn large_cancel_whose_answer_is_lost_to_a_deposed_leader() {
    let faults = Faults {
        depositions: 1,
        lost_answers: 1,
        ..CALM
    };
    holds(case(2, &[Verb::Cancel], faults), 303_393);
}

// Rules taken out.

#[test]
fn order_without_compare_and_swap_cancels_a_run_that_is_over() {
    let rules = Rules {
        writing: Writing::OrdersAppended,
        ..Rules::KEPT
    };
    let faults = Faults {
        depositions: 1,
        ..CALM
    };
    let case = Case {
        rules,
        ..case(2, &[Verb::Cancel], faults)
    };
    breaks(case, CANCELLED);
}

#[test]
fn wave_without_compare_and_swap_is_issued_behind_a_cancel() {
    let rules = Rules {
        writing: Writing::WavesAppended,
        ..Rules::KEPT
    };
    let faults = Faults {
        depositions: 1,
        ..CALM
    };
    let case = Case {
        rules,
        ..case(2, &[Verb::Cancel], faults)
    };
    breaks(case, NO_WAVE);
}

#[test]
fn retry_without_its_number_counts_twice() {
    let rules = Rules {
        number: Number::New,
        ..Rules::KEPT
    };
    let faults = Faults {
        lost_answers: 1,
        failures: 2,
        ..CALM
    };
    let case = Case {
        rules,
        ..case(1, &[Verb::Retry], faults)
    };
    breaks(case, ONCE);
}
