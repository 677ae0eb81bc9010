//! Who has ordered what, and when: one record an order, in the stream of what is remembered (`history`), which keeps the
//! newest of them. It is for people: nothing is decided by it.
//!
//! Whoever orders writes it just before the order is given: a change without its record there is none, a record whose
//! order was refused or failed there may be.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::broker::log::AppendError;
use crate::broker::{Broker, PublishError};
use crate::reads::ListError;

/// By which way an order came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Over HTTP.
    Api,
    /// By the command line.
    Command,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Action {
    /// Who: the name of a token, or of a user of the machine where the command was typed.
    pub by: String,
    /// By which way.
    pub way: Way,
    /// What: one word or two, as the command line says it: `cancel`, `job apply`.
    pub what: String,
    /// Of which job, run or calendar; empty where it concerns all.
    pub of: String,
    /// What else was said, for people: a note, which dead shards.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The number of the request, of one over HTTP.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request: String,
}

/// An order that is on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Recorded {
    /// The number of the record.
    pub number: u64,
    /// When it was written, by the broker's clock, RFC 3339.
    pub at: String,
    /// The order; `None`: nobody can read it.
    #[serde(flatten)]
    pub action: Option<Action>,
}

/// No text of a record is longer.
const TEXT_MAX: usize = 512;

impl Action {
    /// Its bytes: what people have said is cut where it is longer than anybody reads.
    fn encode(&self) -> Bytes {
        let cut = |text: &String| text.chars().take(TEXT_MAX).collect();
        let cut = Action {
            by: cut(&self.by),
            detail: cut(&self.detail),
            ..self.clone()
        };
        serde_json::json!(cut).to_string().into()
    }
}

/// Writes it, and waits until it is there.
///
/// # Errors
/// When it is not written, or that is not known.
pub async fn record(broker: &Broker, action: &Action) -> Result<u64, AppendError> {
    let subject = broker.subjects().actions();
    broker.append(subject, action.encode(), None).await
}

/// Writes it without asking whether it is there: for whoever may lack the permission, and is not to wait for that.
///
/// # Errors
/// When it cannot be sent.
pub async fn mention(broker: &Broker, action: &Action) -> Result<(), PublishError> {
    let subject = broker.subjects().actions();
    broker.publish(subject, action.encode()).await
}

/// The newest `limit` orders before the record with number `before`, the newest first; and whether there are older ones.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(
    broker: &Broker,
    limit: usize,
    before: Option<u64>,
) -> Result<(Vec<Recorded>, bool), ListError> {
    let subjects = broker.subjects();
    let history = subjects.history();
    let last = broker.info(&history).await?.last_seq;
    let last = before.map_or(last, |before| last.min(before.saturating_sub(1)));
    let mut reader = broker.reader(&history, subjects.actions(), 1, Some(last));
    let (mut newest, mut older) = (VecDeque::new(), false);
    while let Some(page) = reader.next_page().await? {
        for record in page {
            newest.push_front(Recorded {
                number: record.seq,
                at: record.at.rfc3339(),
                action: serde_json::from_slice(&record.payload).ok(),
            });
            if newest.len() > limit {
                newest.pop_back();
                older = true;
            }
        }
    }
    Ok((newest.into(), older))
}

/// The orders on record after the one with number `after`, the oldest first; and the number of the last record that was
/// looked at.
///
/// # Errors
/// When the broker does not answer.
pub async fn since(broker: &Broker, after: u64) -> Result<(Vec<Recorded>, u64), ListError> {
    let subjects = broker.subjects();
    let history = subjects.history();
    let last = broker.info(&history).await?.last_seq;
    let read = broker.read(&history, subjects.actions(), after + 1, Some(last));
    let told = read.await?.into_iter().map(|record| Recorded {
        number: record.seq,
        at: record.at.rfc3339(),
        action: serde_json::from_slice(&record.payload).ok(),
    });
    Ok((told.collect(), last))
}
