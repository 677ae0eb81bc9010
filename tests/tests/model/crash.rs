//! Crashes (docs/PROTOCOL.md §5): which page is held to have killed its worker. Beside the main model, with the
//! real `Suspicion`.
//!
//! **Modelled.** Up to two tiles of up to two pages, of which one may kill whoever executes it; workers, each
//! with a slot for each tile, which start anew when they die; announcements, outcomes and `returned`, each of
//! which lands later than what it tells, or never; running alone; leases that end under a frozen worker or
//! one that is cut off; restarts of the broker that keep its counts, or roll them back.
//!
//! **Not modelled.** Attempts that fail. Tiles handed back by a worker that stops. What is said about a tile
//! after its run was cancelled. A worker that hears of a takeover may do so at any time, also after a reconnect.
//!
//! **The limit.** Nobody can tell a worker that says nothing from a dead one: a page is condemned by the fourth
//! worker that announced it and was silent until the next had taken it over, whatever the cause.

#[path = "crash/protocol.rs"]
mod protocol;
#[path = "crash/real.rs"]
mod real;
#[path = "crash/rules.rs"]
mod rules;
#[path = "crash/tile.rs"]
mod tile;
#[path = "crash/worker.rs"]
mod worker;

use super::explore::{breaks, finite, holds};
use protocol::{Case, INNOCENT, KILLS};
use rules::{Accusing, Announcing, Faults, Rules, Second, Sign};

const CALM: Faults = Faults {
    freezes: 0,
    worker_crashes: 0,
    broker_restarts: 0,
    power_cuts: 0,
    refills: 0,
};

/// The first kill is before anything is announced, four more condemn.
const KILLS_MAX: u8 = 5;

/// Pages of which none is poison.
fn harmless(pages: [u8; 2], faults: Faults) -> Case {
    Case {
        rules: Rules::KEPT,
        workers: 2,
        pages,
        poison: false,
        kills: 0,
        faults,
    }
}

/// The first page is poison, and may kill `more` workers than it does where nothing else goes wrong.
fn poisoned(pages: [u8; 2], faults: Faults, more: u8) -> Case {
    Case {
        poison: true,
        kills: KILLS_MAX + more,
        ..harmless(pages, faults)
    }
}

#[test]
fn every_path_ends_and_the_real_fold_says_the_same() {
    let faults = Faults {
        freezes: 1,
        broker_restarts: 1,
        ..CALM
    };
    let case = poisoned([2, 0], faults, 2);
    let histories = real::agrees(&case, finite(&case));
    assert!(histories > 500, "{histories} histories");
}

#[test]
fn poison_is_condemned_by_the_fifth_worker_that_it_kills_and_its_neighbour_in_the_tile_is_not() {
    holds(poisoned([2, 1], CALM, 0), 7_197);
}

#[test]
fn neighbour_in_the_same_worker_is_not_condemned() {
    holds(poisoned([1, 1], CALM, 0), 5_549);
}

#[test]
#[ignore = "large"]
fn large_neighbour_of_a_poison_in_workers_of_which_one_is_frozen() {
    let faults = Faults { freezes: 1, ..CALM };
    holds(poisoned([1, 1], faults, 1), 490_993);
}

#[test]
fn frozen_worker_condemns_nobody_and_spares_no_poison() {
    let faults = Faults { freezes: 2, ..CALM };
    let case = Case {
        workers: 3,
        ..poisoned([2, 0], faults, 2)
    };
    holds(case, 60_731);
}

#[test]
fn workers_that_are_cut_off_one_after_the_other_condemn_nobody() {
    let faults = Faults { freezes: 3, ..CALM };
    holds(harmless([1, 0], faults), 12_054);
}

#[test]
fn broker_restarts_condemn_nobody_and_spare_no_poison() {
    let faults = Faults {
        broker_restarts: 2,
        ..CALM
    };
    holds(poisoned([2, 0], faults, 2), 5_976);
}

#[test]
fn power_cuts_condemn_nobody() {
    let faults = Faults {
        power_cuts: 5,
        ..CALM
    };
    holds(harmless([2, 0], faults), 100);
}

#[test]
fn refill_condemns_nobody_and_spares_no_poison() {
    let faults = Faults { refills: 1, ..CALM };
    holds(poisoned([2, 0], faults, 2), 1_436);
}

#[test]
fn killed_worker_and_frozen_one_condemn_nobody() {
    let faults = Faults {
        freezes: 1,
        worker_crashes: 2,
        ..CALM
    };
    holds(harmless([2, 0], faults), 11_995);
}

// Rules taken out.

#[test]
fn floor_that_accuses_lets_power_cuts_condemn_an_innocent_page() {
    let rules = Rules {
        accusing: Accusing::CountAndFloor,
        ..Rules::KEPT
    };
    let faults = Faults {
        power_cuts: 5,
        ..CALM
    };
    let case = Case {
        rules,
        ..harmless([1, 0], faults)
    };
    breaks(case, INNOCENT);
}

#[test]
fn floor_that_wins_over_the_count_spares_a_poison_from_before_a_restart() {
    let rules = Rules {
        sign: Sign::FloorWins,
        ..Rules::KEPT
    };
    let faults = Faults {
        broker_restarts: 1,
        ..CALM
    };
    let case = Case {
        rules,
        ..poisoned([1, 0], faults, 1)
    };
    breaks(case, KILLS);
}

#[test]
fn page_that_is_not_announced_before_it_is_executed_kills_for_ever() {
    let rules = Rules {
        announcing: Announcing::Never,
        ..Rules::KEPT
    };
    let case = Case {
        rules,
        ..poisoned([1, 0], CALM, 0)
    };
    breaks(case, KILLS);
}

#[test]
fn tile_that_is_not_run_alone_is_condemned_with_the_poison_beside_it() {
    let rules = Rules {
        second: Second::BesideOthers,
        ..Rules::KEPT
    };
    let case = Case {
        rules,
        ..poisoned([1, 1], CALM, 0)
    };
    breaks(case, INNOCENT);
}

#[test]
fn four_workers_that_were_killed_or_are_silent_condemn_an_innocent_page() {
    let faults = Faults {
        freezes: 1,
        worker_crashes: 4,
        ..CALM
    };
    breaks(harmless([1, 0], faults), INNOCENT);
}
