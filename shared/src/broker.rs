//! Everything said to JetStream, and nothing about what the messages mean: rooms here move bytes.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`connect`] | which broker is good enough, and what a connection is |
//! | [`plain`] | plain NATS: publish, request, subscribe |
//! | [`api`] | what JetStream's answers and faults mean |
//! | `ask` | asks JetStream one thing |
//! | `unanswered` | why a question has no answer |
//! | [`subjects`] | the name of every subject, stream, bucket, consumer and key |
//! | [`topology`] | how each stream, bucket and consumer is configured, and what is drift |
//! | [`batch`] | tiles of a wave get on the queue all or none, under a term |
//! | [`term`] | who holds the term register |
//! | [`log`] | append to, read and follow a stream |
//! | [`pull`] | tiles are pulled one by one, and each delivery knows its pull |
//! | [`account`] | how much the account holds, and may |
//! | [`copy`] | the whole content of a stream, out of a broker and into one |
//! | [`kv`] | buckets |
//! | [`aside`] | where nonsense goes that stood in the place of something needed |
//! | [`newer`] | what was met that a newer build wrote |
//! | [`who`] | who the broker takes this client for |
//! | [`floor`] | from which stream sequence on a delivery may be certainly first |
//!
//! Only this module names the NATS client's crate.

pub mod account;
mod ack;
pub mod api;
mod aside;
mod ask;
pub mod batch;
pub mod connect;
pub mod copy;
pub mod floor;
pub mod kv;
pub mod log;
pub mod newer;
pub mod plain;
pub mod pull;
mod reply;
pub mod subjects;
pub mod term;
pub mod topology;
mod unanswered;
pub mod who;

pub use async_nats::{Message, Subject};
pub use connect::{Broker, ConnectError, Connection, Options, SERVER_MIN, Settings, SettingsError};
pub use plain::{PublishError, RequestError, Subscription};
pub use subjects::Subjects;
