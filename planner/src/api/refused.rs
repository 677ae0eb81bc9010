//! Messages that could not be understood or carried out, and why.

use axum::Json;
use axum::http::StatusCode;
use gridloom_shared::reads::refused::{self, Refused};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ask::{Path, Query, limit};
use super::link::Linked;
use super::log::Hand;
use super::problem::{Answer, Problem};

/// How many are told.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Of the newest.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
}

/// The newest of them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Messages {
    /// The newest first.
    items: Vec<Message>,
    /// How many older ones there are.
    older: u64,
}

/// A message that is on record.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Message {
    /// The number of its record.
    number: u64,
    /// Where it was sent to; this and all else: `None` where nobody can read the record either.
    subject: Option<String>,
    /// Its sequence in its stream.
    sequence: Option<u64>,
    /// Why it was refused or set aside.
    reason: Option<String>,
    /// When, RFC 3339.
    at: Option<String>,
    /// Its bytes.
    size: Option<usize>,
    /// How it begins.
    excerpt: Option<String>,
}

impl Message {
    fn of(Refused { number, record }: Refused) -> Message {
        let Some(record) = record else {
            return Message {
                number,
                subject: None,
                sequence: None,
                reason: None,
                at: None,
                size: None,
                excerpt: None,
            };
        };
        Message {
            number,
            subject: Some(record.subject),
            sequence: Some(record.sequence),
            reason: Some(record.reason),
            at: super::crew::moment(Some(record.at)),
            size: Some(record.size),
            excerpt: Some(record.excerpt),
        }
    }
}

/// Refused submissions and other messages that were set aside, the newest first.
#[utoipa::path(get, path = "/unreadable", tag = "installation", operation_id = "unreadable", params(Which),
    responses((status = 200, body = Messages)))]
pub(super) async fn list(
    Linked(broker): Linked,
    Query(which): Query<Which>,
) -> Answer<Json<Messages>> {
    let listed = refused::list(&broker, limit(which.limit)?).await?;
    Ok(Json(Messages {
        items: listed.messages.into_iter().map(Message::of).collect(),
        older: listed.older,
    }))
}

/// Removes the record of one of them.
#[utoipa::path(delete, path = "/unreadable/{number}", tag = "installation", operation_id = "drop_unreadable",
    params(("number" = u64, Path)), responses((status = 204)))]
pub(super) async fn drop(
    Linked(broker): Linked,
    hand: Hand,
    Path(number): Path<u64>,
) -> Answer<StatusCode> {
    hand.orders(&broker, "unreadable drop", &number.to_string(), "")
        .await?;
    match refused::drop_one(&broker, number).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::absent(format!("there is no record {number}"))),
    }
}
