//! Cases with a rule taken out: the claim that rests on it does not hold any more.
//!
//! `cargo test -p gridloom-tests --test model broken -- --nocapture` shows how it came to that.

use super::explore::breaks;
use super::protocol::Case;
use super::rules::{
    Append, Failure, Faults, First, Floor, LostAnswer, Period, Reading, Refill, Refused, Register,
    Rules, Sequences, Waves,
};
use super::{CALM, claims, planner_side, queue_side};

/// The same case by other rules.
fn under(rules: Rules, case: Case) -> Case {
    Case { rules, ..case }
}

#[test]
fn acknowledging_before_appending_loses_an_outcome() {
    let rules = Rules {
        append: Append::AfterAck,
        ..Rules::KEPT
    };
    breaks(under(rules, queue_side(3, CALM)), claims::ACKNOWLEDGED);
}

#[test]
fn ignoring_the_floor_commits_twice() {
    let rules = Rules {
        floor: Floor::Ignored,
        ..Rules::KEPT
    };
    let faults = Faults {
        broker_crashes: 1,
        ..CALM
    };
    breaks(under(rules, queue_side(3, faults)), claims::ONCE);
}

#[test]
fn trusting_the_delivery_count_commits_twice() {
    let rules = Rules {
        first: First::CountAlone,
        ..Rules::KEPT
    };
    let faults = Faults { purges: 1, ..CALM };
    breaks(under(rules, queue_side(3, faults)), claims::ONCE);
}

#[test]
fn sequences_from_one_let_a_late_acknowledgement_remove_another_tile() {
    let rules = Rules {
        sequences: Sequences::FromOne,
        ..Rules::KEPT
    };
    let faults = Faults {
        recreations: 1,
        failures: 1,
        ..CALM
    };
    breaks(under(rules, queue_side(2, faults)), claims::ACKNOWLEDGED);
}

#[test]
fn sequences_from_one_let_a_deposed_planner_publish() {
    let rules = Rules {
        sequences: Sequences::FromOne,
        ..Rules::KEPT
    };
    let faults = Faults {
        recreations: 1,
        depositions: 1,
        ..CALM
    };
    breaks(
        under(rules, planner_side(1, faults)),
        claims::UNMARKED_FIRST,
    );
}

#[test]
fn without_compare_and_swap_two_waves_issue_one_attempt() {
    let rules = Rules {
        waves: Waves::Appended,
        ..Rules::KEPT
    };
    let faults = Faults {
        depositions: 1,
        ..CALM
    };
    breaks(under(rules, planner_side(1, faults)), claims::ONE_WAVE);
}

#[test]
fn without_the_register_a_deposed_planner_publishes_beside_the_refill() {
    let rules = Rules {
        register: Register::Missing,
        ..Rules::KEPT
    };
    let faults = Faults {
        depositions: 1,
        ..CALM
    };
    breaks(
        under(rules, planner_side(1, faults)),
        claims::UNMARKED_FIRST,
    );
}

#[test]
fn register_rewritten_after_reading_lets_a_tile_be_queued_twice() {
    let rules = Rules {
        register: Register::AfterReading,
        ..Rules::KEPT
    };
    let faults = Faults {
        depositions: 1,
        ..CALM
    };
    breaks(under(rules, planner_side(1, faults)), claims::ONE_COPY);
}

#[test]
fn refilling_before_the_register_is_rewritten_meets_ones_own_late_batch() {
    let rules = Rules {
        answer: LostAnswer::RefillAtOnce,
        ..Rules::KEPT
    };
    let faults = Faults {
        lost_answers: 1,
        ..CALM
    };
    breaks(under(rules, queue_side(1, faults)), claims::UNMARKED_FIRST);
}

#[test]
fn batch_refused_and_sent_again_as_it_was_meets_another_planners_refill() {
    let rules = Rules {
        refused: Refused::AsItWas,
        ..Rules::KEPT
    };
    let faults = Faults {
        depositions: 1,
        purges: 1,
        ..CALM
    };
    breaks(
        under(rules, planner_side(1, faults)),
        claims::UNMARKED_FIRST,
    );
}

#[test]
fn unmarked_refill_is_a_second_first_delivery() {
    let rules = Rules {
        refill: Refill::Unmarked,
        ..Rules::KEPT
    };
    let faults = Faults { purges: 1, ..CALM };
    let case = under(rules, queue_side(3, faults));
    breaks(case, claims::ONE_UNMARKED);
    breaks(case, claims::ONCE);
}

#[test]
fn without_the_periodic_refill_a_purged_run_never_ends() {
    let rules = Rules {
        period: Period::OnChange,
        ..Rules::KEPT
    };
    let faults = Faults { purges: 1, ..CALM };
    breaks(under(rules, queue_side(1, faults)), claims::ENDS);
}

#[test]
fn without_the_periodic_refill_a_zombies_failure_takes_the_tile_with_it() {
    let rules = Rules {
        period: Period::OnChange,
        ..Rules::KEPT
    };
    let faults = Faults {
        expiries: 1,
        worker_crashes: 1,
        failures: 1,
        ..CALM
    };
    breaks(under(rules, queue_side(2, faults)), claims::ENDS);
}

#[test]
fn takeover_that_reads_from_its_wave_misses_a_late_success() {
    let rules = Rules {
        reading: Reading::FromWaveToOwn,
        ..Rules::KEPT
    };
    let faults = Faults {
        expiries: 2,
        failures: 1,
        ..CALM
    };
    breaks(under(rules, queue_side(3, faults)), claims::NOT_REPEATED);
}

#[test]
fn takeover_whose_reading_ends_before_its_own_record_repeats() {
    let rules = Rules {
        reading: Reading::EndsEarly,
        ..Rules::KEPT
    };
    let faults = Faults {
        expiries: 1,
        ..CALM
    };
    breaks(under(rules, queue_side(2, faults)), claims::NOT_REPEATED);
}

#[test]
fn failure_under_an_old_fence_starts_a_retry_beside_the_holder() {
    let rules = Rules {
        failure: Failure::AnyFence,
        ..Rules::KEPT
    };
    let faults = Faults {
        expiries: 1,
        failures: 1,
        ..CALM
    };
    breaks(under(rules, queue_side(3, faults)), claims::NOT_BESIDE);
}
