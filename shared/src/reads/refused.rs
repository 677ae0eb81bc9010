//! Which messages could not be understood or carried out: submissions that were refused, and whatever else was set
//! aside.

use std::collections::VecDeque;

use serde::{Serialize, Serializer};

use super::ListError;
use crate::broker::Broker;
use crate::id::RunId;
use crate::submission::Unreadable;

/// A message that is on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The number of its record: what `unreadable drop` takes.
    pub number: u64,
    /// What is known of it; `None`: nobody can read that either.
    #[serde(flatten, serialize_with = "told")]
    pub record: Option<Unreadable>,
}

/// As the record itself, with its time as everywhere in JSON: RFC 3339.
fn told<S: Serializer>(record: &Option<Unreadable>, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Told<'a> {
        subject: &'a str,
        sequence: u64,
        reason: &'a str,
        at: String,
        size: usize,
        excerpt: &'a str,
    }
    let told = record.as_ref().map(|record| Told {
        subject: &record.subject,
        sequence: record.sequence,
        reason: &record.reason,
        at: record.at.rfc3339(),
        size: record.size,
        excerpt: &record.excerpt,
    });
    told.serialize(to)
}

/// The newest of them.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// The newest first.
    pub messages: Vec<Refused>,
    /// How many older ones there are.
    pub older: u64,
}

/// The newest `limit` messages on record.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(broker: &Broker, limit: usize) -> Result<Listed, ListError> {
    let subjects = broker.subjects();
    let history = subjects.history();
    let last = broker.info(&history).await?.last_seq;
    let mut reader = broker.reader(&history, subjects.unreadable(), 1, Some(last));
    let mut newest = VecDeque::new();
    let mut older = 0;
    while let Some(page) = reader.next_page().await? {
        for record in page {
            newest.push_front(Refused {
                number: record.seq,
                record: serde_json::from_slice(&record.payload).ok(),
            });
            if newest.len() > limit {
                newest.pop_back();
                older += 1;
            }
        }
    }
    Ok(Listed {
        messages: newest.into(),
        older,
    })
}

/// Why `run` was not opened though that was decided, where it is on record.
///
/// # Errors
/// When the broker does not answer.
pub async fn not_opened(broker: &Broker, run: &RunId) -> Result<Option<String>, ListError> {
    let subjects = broker.subjects();
    let history = subjects.history();
    let last = broker.info(&history).await?.last_seq;
    let mut reader = broker.reader(&history, subjects.unreadable(), 1, Some(last));
    while let Some(page) = reader.next_page().await? {
        for record in page {
            let record = serde_json::from_slice::<Unreadable>(&record.payload);
            if let Some(why) = record.ok().as_ref().and_then(|told| told.not_opened(run)) {
                return Ok(Some(why.to_owned()));
            }
        }
    }
    Ok(None)
}

/// Removes the record with this number; `false` where it is none of these.
///
/// # Errors
/// When the broker does not answer.
pub async fn drop_one(broker: &Broker, number: u64) -> Result<bool, ListError> {
    let subjects = broker.subjects();
    let history = subjects.history();
    // The stream holds more than these: nothing else may be hit.
    let there = broker
        .read(&history, subjects.unreadable(), number, Some(number))
        .await?;
    if there.is_empty() {
        return Ok(false);
    }
    Ok(broker.remove(&history, number).await?)
}

/// Removes all records that are there now. Returns how many.
///
/// # Errors
/// When the broker does not answer.
pub async fn drop_all(broker: &Broker) -> Result<u64, ListError> {
    let subjects = broker.subjects();
    let history = subjects.history();
    let next = broker.info(&history).await?.last_seq + 1;
    Ok(broker
        .purge_below(&history, &subjects.unreadable(), next)
        .await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMs;

    #[test]
    fn record_is_told_with_its_time_in_words_and_one_that_cannot_be_read_by_its_number() {
        let record = Unreadable {
            at: UnixMs(1_357_016_400_000),
            ..Unreadable::new("a.submit.b", 7, "no".to_owned(), b"x")
        };
        let of = |record| serde_json::json!(Refused { number: 3, record });
        let told = of(Some(record.clone()));
        assert_eq!(told["at"], "2013-01-01T05:00:00.000Z");
        // All else is as it stands on record.
        for (key, value) in serde_json::json!(record).as_object().unwrap() {
            assert!(key == "at" || told[key] == *value, "{told}");
        }
        assert_eq!(of(None), serde_json::json!({ "number": 3 }));
    }
}
