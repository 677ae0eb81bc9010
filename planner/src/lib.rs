//! The planner: takes submissions, opens runs, issues waves, folds ledgers, closes runs.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`leader`] | who leads, and until when |
//! | [`submit`] | what an ad-hoc message becomes: a run, or a record of why not |
//! | [`open`] | whether a run is opened, by compare-and-swap, or what stands under its id |
//! | [`lead`] | what each event of a leadership changes, and what is to be done (pure) |
//! | [`book`] | the open runs, and what a record changes in them (pure) |
//! | [`run`] | what a run needs next: a wave, its end (pure) |
//! | [`schedule`] | what becomes of each nominal time of a job (pure) |
//! | [`alarms`] | which alarms are to stand for when no planner is left (pure) |
//! | [`prospect`] | what comes of a job's schedule, for people and programs |
//! | [`doctor`] | what is wrong with an installation, and what to do about it |
//! | [`admission`] | which run may issue how much, and why the others may not (pure) |
//! | [`crew`] | which workers were heard lately, with which handlers (pure) |
//! | [`register`] | when the term register is written anew (pure) |
//! | [`orders`] | what becomes of orders by people (pure) |
//! | [`alive`] | whether tasks that are to last still do something |
//! | `pulse`, `faults` | whether what is to last still goes round, and what is wrong with files that may change |
//! | [`census`] | how many records an open run should have (pure) |
//! | [`entry`] | a record of the ledger, as the feeds hand it on |
//! | [`teller`] | how it is answered what somebody asks of a leadership |
//! | [`now`], [`broker_clock`] | what time it is, by which clock |
//! | [`toll`] | what runs have cost since it was told last (pure) |
//! | [`failover`] | who is dead (pure), and what the queue lacks (the refill) |
//! | [`retention`] | what of runs that are over is kept, and for how long (pure) |
//! | [`metrics`] | the metrics that planners record |
//! | [`api`] | what can be seen and ordered over HTTP |
//! | `gzip` | what is sent packed, and to whom |
//! | `console` | the pages by which people see and steer it |
//! | [`service`] | the one loop that takes in events and carries out what was decided |
//!
//! The planner holds no truth of its own: killed at any moment, it goes on from the ledger.

pub mod admission;
pub mod alarms;
pub mod alive;
pub mod api;
pub mod book;
pub mod broker_clock;
pub mod census;
mod console;
pub mod crew;
pub mod doctor;
pub mod entry;
pub mod failover;
mod faults;
mod gzip;
pub mod lead;
pub mod leader;
#[cfg(test)]
mod made_up;
pub mod metrics;
pub mod now;
pub mod open;
pub mod orders;
pub mod prospect;
mod pulse;
pub mod register;
pub mod retention;
pub mod run;
pub mod schedule;
pub mod service;
pub mod submit;
pub mod teller;
pub mod toll;

pub use service::{Ended, Fault, Health, How, Owner, Planner, PlannerOptions, Task};
