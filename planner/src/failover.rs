//! What the queue lacks. Probes of living workers and the periodic refill come on top of this.

pub mod refill;
