//! The worker SDK of Gridloom: write the code that executes one shard, register it under a name, and
//! run it. Gridloom cuts the data, hands out the shards, notices dead workers and commits each shard
//! exactly once.
//!
//! This program is a whole worker. With `gridloom dev` running beside it, it takes shards at once:
//!
//! ```no_run
//! use gridloom_worker::{Failure, Shard, Worker};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Greet {
//!     #[serde(default)]
//!     greeting: String,
//! }
//!
//! async fn greet(shard: Shard) -> Result<(), Failure> {
//!     let params: Greet = shard.params()?;
//!     for name in ["ada", "grace", "edsger"].into_iter().filter(|name| shard.owns(name)) {
//!         shard.check()?; // stops here when cancelled or when the lease is lost
//!         println!("{} {name}", params.greeting);
//!         shard.rows(1);
//!     }
//!     Ok(())
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), gridloom_worker::RunError> {
//!     Worker::builder()
//!         .nats("nats://127.0.0.1:4222")
//!         .queue("default")
//!         .concurrency(16)
//!         .handler("greet", greet)
//!         .run()
//!         .await
//! }
//! ```
//!
//! A job for it is a file that names the handler, `gridloom job apply greet.toml`, and
//! `gridloom run greet --wait`:
//!
//! ```toml
//! name = "greet"
//! handler = "greet"
//! [grid]
//! slices = 4
//! pages = { count = 1 }
//! [params]
//! greeting = "hello"
//! ```
//!
//! **What a handler must know.** A shard is committed once, but it may be executed more than once:
//! after a failure, and when a worker died or was cut off. Two executions overlap only when a lease was
//! lost; then the older one is stopped ([`Shard::cancelled`], [`Shard::check`]). For effects that must
//! not be repeated use the shard's identity ([`Shard::nonce`], slice, page) as a key, or its
//! [`Shard::fence`]; the built-in `sql` handler does the first within its transaction.
//!
//! **As a service.** `.main().await` instead of `.run().await` takes the settings of the environment that `gridloom
//! worker` takes (`GRIDLOOM_NATS`, `GRIDLOOM_WORKER_QUEUES`, ...; [`Builder::environment`]) and gives the process its exit
//! codes. With the feature `telemetry` it also writes log lines to standard error (`GRIDLOOM_LOG`), and serves `/metrics`,
//! `/live` and `/ready` where [`Builder::listen`] or `GRIDLOOM_LISTEN` says:
//!
//! ```no_run
//! # async fn greet(_: gridloom_worker::Shard) -> Result<(), gridloom_worker::Failure> { Ok(()) }
//! #[tokio::main]
//! async fn main() -> std::process::ExitCode {
//!     gridloom_worker::Worker::builder().queue("default").handler("greet", greet).main().await
//! }
//! ```
//!
//! **Log lines** that a handler writes with `tracing`, and those of libraries below it, say by themselves which shard
//! they are about (`run`, `job`, `slice`, `page`, `attempt`, `worker`); tasks that it spawns do by [`Shard::logged`].
//!
//! **Features.** `tls`, on by default: connections to the broker over TLS; without it (`default-features = false`) a
//! program compiles no C code, and `tls://` is refused with that reason. `nkeys`, on by default: logging in with a
//! credentials file or an nkey. `telemetry`: see above. `otlp`: traces, to the collector that `GRIDLOOM_OTLP_ENDPOINT` or
//! `OTEL_EXPORTER_OTLP_ENDPOINT` names; [`Shard::traceparent`] is where a handler goes on from. The built-in handlers are left out unless asked for: `exec`, `noop`, and `sqlite`,
//! `postgres`, `mysql` for the `sql` handler with that database (`sql`: all three).
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`handler`] | what a handler is |
//! | [`shard`] | what a handler sees of a shard, and may say about it |
//! | [`failure`] | whether another attempt follows |
//! | [`builder`] | how a worker is put together |
//! | [`worker`] | how it is started and stopped, and how it may end |
//! | [`service`] | a worker as a service: environment, logs, endpoints, exit code |
//! | [`trial`] | shards without an engine, to test a handler |
//! | [`handlers`] | the built-in handlers |
//! | [`health`] | whether the worker can work now |
//! | [`metrics`] | the metrics that workers record |
//! | `alarms` | tells of fires and runs that no planner looks after |
//! | `engine` | the loop between broker and handlers |
//! | `crew` | runs the pages of a tile: panics, timeouts, cancellation |
//! | `bridge` | handlers in any language: shards run in child processes |
//! | `guarded` | programs of others below this worker, which do not outlive it |
//! | `lease` | how long a tile may be believed to be held |
//! | `takeover` | whether a delivery is certainly the first; what is left of one that is not |
//! | `slots` | how many tiles to ask for |
//! | `put_off` | for how long tiles of a newer build are put off |
//! | `bells` | whether to wait for the first tile of a lane, where many do |
//! | `outcomes` | from what handlers said to records |
//! | `presence` | what the worker says of itself |
//! | [`stop`] | how it is told to stop |
//! | [`error`] | why there is no worker, or none any more |
//! | `settings` | what the engine needs to know |
//! | `traced` | which attempts are told of, where their run's trace is |
//! | `purged` | which runs handlers may forget |

mod alarms;
mod bells;
mod callbacks;
mod crew;
mod engine;
#[cfg(any(feature = "exec", feature = "bridge"))]
mod guarded;
mod lease;
mod outcomes;
mod presence;
mod purged;
mod put_off;
mod settings;
mod slots;
mod takeover;
mod traced;

#[cfg(feature = "bridge")]
pub mod bridge;
pub mod builder;
pub mod error;
pub mod failure;
pub mod handler;
pub mod handlers;
pub mod health;
pub mod metrics;
pub mod service;
pub mod shard;
pub mod stop;
pub mod trial;
pub mod worker;

pub use builder::Builder;
pub use error::{BuildError, RunError};
pub use failure::Failure;
pub use gridloom_shared::broker::connect::TlsUse;
pub use gridloom_shared::secret::Secret;
#[cfg(feature = "telemetry")]
pub use gridloom_shared::telemetry::traces;
pub use handler::{Handler, ProbedPages};
pub use health::WorkerHealth;
pub use shard::{Page, Probe, Report, Shard};
pub use stop::Stop;
pub use trial::Trial;
pub use worker::Worker;
