//! Who is dead, and what the queue lacks. The shell around these is `service/failover.rs`.

pub mod pace;
pub mod probe;
pub mod refill;
pub mod roster;
