//! The built-in handlers. Each is there with its feature; a worker of one's own needs none.
//!
//! | room | what it does | feature |
//! |------|--------------|---------|
//! | `exec` | runs commands that the worker's configuration names | `exec` |
//! | `http` | asks services that the worker's configuration names | `http` |
//! | `lacking` | what becomes of a shard whose job names what this worker does not have | `exec`, `http`, `sql` |
//! | `noop` | nothing, slowly or wrongly if asked: for trying things out | `noop` |
//! | `sql` | runs SQL statements, each shard's effect exactly once | `sqlite`, `postgres`, `mysql`, or `sql` for all |
//! | `task` | what is told to others about a shard | `exec`, `http` |

#[cfg(feature = "exec")]
pub mod exec;
#[cfg(feature = "http")]
pub mod http;
#[cfg(any(
    feature = "exec",
    feature = "http",
    feature = "sqlite",
    feature = "postgres",
    feature = "mysql"
))]
mod lacking;
#[cfg(feature = "noop")]
pub mod noop;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub mod sql;
#[cfg(any(feature = "exec", feature = "http"))]
mod task;

#[cfg(test)]
mod documented;
