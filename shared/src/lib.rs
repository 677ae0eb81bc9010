//! The words of Gridloom as types, the wire format, and the only module that speaks to the broker.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`id`] | which names and identifiers are well formed, and how a run's id follows from its source |
//! | [`job`] | what a job file may say |
//! | [`alarm`] | what the broker raises where no planner is left to |
//! | [`lane`] | which tiles go to the same workers |
//! | [`limits`] | all bounds of the protocol and of memory, asserted against each other |
//! | [`exact`] | how what people write becomes values, each number as it was written |
//! | [`grid`] | which cells a run has |
//! | [`tile`] | what one queue message carries |
//! | [`waiting`] | why a run gets no further |
//! | [`wire`] | how a record becomes bytes, and which bytes are refused |
//! | [`ledger`] | what the records of a run mean |
//! | [`command`] | what people order of runs, and how it is answered |
//! | [`address`] | what of an address may be printed |
//! | `openapi` | how all of it is described to programs (feature `openapi`) |
//! | [`callback`] | how a service ends a shard that it has taken on, and by which right |
//! | [`chain()`] | how an error is told, its causes too |
//! | [`clock`] | which clock is read for what |
//! | [`duration`] | how a length of time is written |
//! | `entrance` | how connections of a service's HTTP endpoints come in (feature `entrance`) |
//! | [`environment`] | which settings stand in the environment |
//! | [`secret`] | where a secret stands, and that nobody prints it |
//! | [`shown`] | how text from outside is shown to people |
//! | [`presence`] | what a worker says of itself |
//! | `orders` | what people and programs order (feature `runs`) |
//! | [`planner`] | what a planner says of itself |
//! | [`process`] | what a process is called where nobody names it |
//! | [`holdings`] | what a worker's engine is asked, and how it answers |
//! | [`submission`] | what an ad-hoc job message may say, and how it is answered |
//! | [`trace`] | which trace a run is a part of, and which span of it is which |
//! | [`quick`] | maps whose keys the planner chose |
//! | [`ranges`] | sets of page numbers, kept as runs |
//! | `schedule` | when a job fires by the clock (feature `schedules`) |
//! | [`slicing`] | which slice a key belongs to |
//! | [`count`] | how counts are told to people |
//! | [`suggest`] | which known word somebody may have meant |
//! | [`broker`] | everything said to JetStream |
//! | [`reads`] | what command line, API and console read of an installation |
//! | [`telemetry`] | logs, metrics and the health endpoints |
//! | [`turns`] | when others have their turn while somebody goes through much |
//! | [`metrics`] | the metrics that every service records |

pub mod address;
pub mod alarm;
pub mod broker;
pub mod callback;
mod chain;
pub mod clock;
pub mod command;
pub mod count;
pub mod duration;
#[cfg(feature = "entrance")]
pub mod entrance;
pub mod environment;
pub mod exact;
pub mod grid;
pub mod holdings;
pub mod id;
pub mod job;
pub mod lane;
pub mod ledger;
pub mod limits;
pub mod metrics;
#[cfg(feature = "openapi")]
pub mod openapi;
#[cfg(feature = "runs")]
pub mod orders;
pub mod planner;
pub mod presence;
pub mod process;
pub mod quick;
pub mod ranges;
pub mod reads;
#[cfg(feature = "schedules")]
pub mod schedule;
pub mod secret;
pub mod shown;
pub mod slicing;
pub mod submission;
pub mod suggest;
pub mod telemetry;
pub mod tile;
pub mod trace;
pub mod turns;
pub mod waiting;
pub mod wire;

pub use chain::{Chain, chain};
