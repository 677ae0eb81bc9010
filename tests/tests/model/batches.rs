//! Open batches (decision 3), a model beside the main one: a wave has several tiles, of which any number
//! lands before its batch ends.
//!
//! **Modelled.** Two planners; a claim in its steps, which may be left between any two; batches whose
//! messages come one by one, are let in, and are stored; a batch that is ended by a claim, by the broker, or
//! with its planner, after none, some or all of its tiles; one whose answer is lost and that goes on.
//!
//! **Not modelled.** What workers do: a tile is committed and acknowledged in one step. Attempts. A purge.
//! They are the main model's, where a claim is one step and a wave has one tile: here stands why that is
//! allowed.

#[path = "batches/planner.rs"]
mod planner;
#[path = "batches/protocol.rs"]
mod protocol;
#[path = "batches/queue.rs"]
mod queue;
#[path = "batches/real.rs"]
mod real;
#[path = "batches/rules.rs"]
mod rules;

use super::explore::{breaks, finite, holds};
use protocol::{Case, ENDS, FENCED, ONE_COPY, ONE_UNMARKED, UNMARKED_FIRST};
use rules::{Barrier, Cut, Faults, LostAnswer, Rules};

const CALM: Faults = Faults {
    depositions: 0,
    planner_crashes: 0,
    lost_answers: 0,
    broker_crashes: 0,
};

fn case(planners: usize, waves: u8, tiles: u8, faults: Faults) -> Case {
    Case {
        rules: Rules::KEPT,
        planners,
        waves,
        tiles,
        faults,
    }
}

#[test]
fn every_path_of_open_batches_ends() {
    let faults = Faults {
        depositions: 1,
        lost_answers: 1,
        ..CALM
    };
    finite(&case(2, 1, 2, faults));
}

#[test]
fn wave_that_is_cut_off_by_the_next_leaders_claim() {
    let faults = Faults {
        depositions: 1,
        ..CALM
    };
    holds(case(2, 1, 3, faults), 12_965);
}

#[test]
fn two_waves_on_their_way_that_are_cut_off() {
    let faults = Faults {
        depositions: 1,
        ..CALM
    };
    holds(case(2, 2, 2, faults), 196_631);
}

#[test]
fn batch_that_goes_on_while_its_own_leader_has_given_it_up() {
    let faults = Faults {
        depositions: 1,
        lost_answers: 1,
        ..CALM
    };
    holds(case(2, 1, 3, faults), 180_225);
}

#[test]
fn claimant_that_dies_in_its_claim() {
    let faults = Faults {
        depositions: 1,
        planner_crashes: 1,
        ..CALM
    };
    holds(case(2, 1, 2, faults), 17_549);
}

#[test]
fn broker_that_dies_in_the_middle_of_a_batch() {
    let faults = Faults {
        depositions: 1,
        broker_crashes: 1,
        ..CALM
    };
    holds(case(2, 1, 2, faults), 8_827);
}

#[test]
fn real_fold_and_planner_say_the_same_of_every_ledger() {
    for (waves, tiles) in [(1, 3), (2, 2)] {
        real::agrees(waves, tiles);
    }
}

// Rules taken out.

#[test]
fn claim_that_ends_no_open_batch_lets_a_deposed_leaders_tiles_land() {
    let rules = Rules {
        barrier: Barrier::Missing,
        ..Rules::KEPT
    };
    let faults = Faults {
        depositions: 1,
        ..CALM
    };
    let case = Case {
        rules,
        ..case(2, 1, 2, faults)
    };
    breaks(case, FENCED);
    breaks(case, UNMARKED_FIRST);
    breaks(case, ONE_COPY);
}

#[test]
fn message_that_is_just_being_stored_opens_its_batch_again() {
    let rules = Rules {
        barrier: Barrier::Once,
        ..Rules::KEPT
    };
    let faults = Faults {
        depositions: 1,
        ..CALM
    };
    let case = Case {
        rules,
        ..case(2, 1, 2, faults)
    };
    breaks(case, FENCED);
}

#[test]
fn claimant_that_wakes_late_switches_open_batches_on_within_anothers_claim() {
    let rules = Rules {
        barrier: Barrier::Twice,
        ..Rules::KEPT
    };
    let faults = Faults {
        depositions: 1,
        lost_answers: 1,
        ..CALM
    };
    let case = Case {
        rules,
        ..case(2, 1, 3, faults)
    };
    breaks(case, FENCED);
}

#[test]
fn batch_that_was_cut_off_and_is_sent_again_as_it_was_has_two_unmarked_copies() {
    let rules = Rules {
        cut: Cut::AsItWas,
        ..Rules::KEPT
    };
    let faults = Faults {
        broker_crashes: 1,
        ..CALM
    };
    let case = Case {
        rules,
        ..case(1, 1, 2, faults)
    };
    breaks(case, ONE_UNMARKED);
}

#[test]
fn part_of_a_wave_that_is_taken_for_the_whole_loses_the_rest() {
    let rules = Rules {
        cut: Cut::Ignored,
        ..Rules::KEPT
    };
    let faults = Faults {
        broker_crashes: 1,
        ..CALM
    };
    let case = Case {
        rules,
        ..case(1, 1, 2, faults)
    };
    breaks(case, ENDS);
}

#[test]
fn refill_before_the_register_is_claimed_meets_the_batch_that_goes_on() {
    let rules = Rules {
        answer: LostAnswer::RefillAtOnce,
        ..Rules::KEPT
    };
    let faults = Faults {
        lost_answers: 1,
        ..CALM
    };
    let case = Case {
        rules,
        ..case(1, 1, 2, faults)
    };
    breaks(case, UNMARKED_FIRST);
}
