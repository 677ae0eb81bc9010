//! What people give to a job and its data, against real databases: numbers arrive as they were written, and
//! what the documentation shows does what it says.

#![expect(
    clippy::unwrap_used,
    reason = "what the tests share is test code as well"
)]

#[path = "data/documented.rs"]
mod documented;
#[path = "data/keys.rs"]
mod keys;
#[path = "data/kinds.rs"]
mod kinds;
#[path = "data/numbers.rs"]
mod numbers;
#[path = "data/stores.rs"]
mod stores;
