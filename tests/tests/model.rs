//! The protocol of claim, commit and acknowledge, model-checked with `stateright`: every order in
//! which the steps of one shard's workers, planners and broker can follow each other, within a number
//! of faults. `docs/TESTING.md` shows the cases, their sizes, and what each missing rule leads to.
//!
//! **Modelled.** The ledger as its records; the queue with stream sequences, delivery counts, leases,
//! the floor and the term register, which forgets its deliveries, is purged, or is made again; up to
//! three workers, which may stop between any two steps (between delivery and reading, between a
//! check and what follows it), crash, be taken for dead while they live, adopt a tile that they hold,
//! hear of a takeover or miss it; takeovers and their reading; failures and further attempts as later
//! waves; two planners, either of which may be deposed and act on with what it knows, crash, or lose
//! the answer to a batch that lands later or never; waves under compare-and-swap; the refill.
//!
//! **Not modelled.** Time: a lease ends when a fault says so, and a retry is due at once. Several shards
//! a tile: they are independent. Lost answers to a worker's append (it is repeated with its number and
//! counts once). `dead`: a case always allows one attempt more than may fail. The question who holds a
//! tile before it is refilled: here a refill may come at any moment. Probes.
//!
//! **Modelled beside it.** Waves of several tiles, which land in part, and the steps of a claim:
//! `batches.rs`. `started` and `returned` records, and condemned shards: `crash.rs`. Cancelling, retrying,
//! closing: `orders.rs`. Purging runs that are over, and forgetting their ids: `retention.rs`. Fires: `fires.rs`.
//!
//! **Mirrored or real.** The model's own fold is compared with `gridloom_shared::ledger::fold` on every
//! ledger of a case (`real.rs`). The signs of a first delivery and the reading of a takeover mirror
//! `worker/src/takeover.rs` and its `reading.rs`, which are private to that crate.
//!
//! **Smaller.** Workers that did the same are interchangeable, and stream sequences count only by their
//! order: states are stored with both made alike. A refill that would find the tile is left out.
//!
//! **Liveness.** Every action comes nearer to the end or uses up a fault, so no path comes back to a
//! state that it has been in: `every_path_of_the_model_ends` searches for one. So every run ends in a
//! state without actions, and "committed in the end" is that each of those is committed.
//! (`stateright`'s own `eventually` may pass over a path that joins another.)
//!
//! **An acknowledgement** stands on a success, on a counted failure, or on a failure of the
//! acknowledging worker itself that did not count since it had been taken over: it cannot know. The
//! tile is off the queue then and the shard is not lost, as the periodic refill brings it back.

#[path = "model/batches.rs"]
mod batches;
#[path = "model/broken.rs"]
mod broken;
#[path = "model/claims.rs"]
mod claims;
#[path = "model/crash.rs"]
mod crash;
#[path = "model/explore.rs"]
mod explore;
#[path = "model/fires.rs"]
mod fires;
#[path = "model/kept.rs"]
mod kept;
#[path = "model/ledger.rs"]
mod ledger;
#[path = "model/orders.rs"]
mod orders;
#[path = "model/planner.rs"]
mod planner;
#[path = "model/protocol.rs"]
mod protocol;
#[path = "model/queue.rs"]
mod queue;
#[path = "model/real.rs"]
mod real;
#[path = "model/retention.rs"]
mod retention;
#[path = "model/rules.rs"]
mod rules;
#[path = "model/worker.rs"]
mod worker;

use protocol::Case;
use rules::{Faults, Rules};

/// Nothing goes wrong.
const CALM: Faults = Faults {
    expiries: 0,
    naks: 0,
    worker_crashes: 0,
    broker_crashes: 0,
    purges: 0,
    recreations: 0,
    depositions: 0,
    planner_crashes: 0,
    lost_answers: 0,
    failures: 0,
};

/// One planner and `workers` workers, by the protocol.
fn queue_side(workers: usize, faults: Faults) -> Case {
    Case {
        rules: Rules::KEPT,
        workers,
        planners: 1,
        faults,
    }
}

/// Two planners and `workers` workers, by the protocol.
fn planner_side(workers: usize, faults: Faults) -> Case {
    Case {
        planners: 2,
        ..queue_side(workers, faults)
    }
}

#[test]
fn every_path_of_the_model_ends() {
    let queue = Faults {
        expiries: 1,
        naks: 1,
        broker_crashes: 1,
        ..CALM
    };
    explore::finite(&queue_side(2, queue));
    let planners = Faults {
        depositions: 1,
        purges: 1,
        lost_answers: 1,
        ..CALM
    };
    explore::finite(&planner_side(1, planners));
}

#[test]
fn real_fold_says_the_same_of_every_ledger() {
    let faults = Faults {
        expiries: 1,
        naks: 1,
        failures: 1,
        ..CALM
    };
    let ledgers = real::agrees(&queue_side(2, faults));
    assert!(ledgers > 500, "{ledgers} ledgers");
}
