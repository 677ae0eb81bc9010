//! A stream as a log: what a record is, how much there is, what can be taken away.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`pages`] | how a list that is given in pages misses nothing while it shrinks |
//! | [`append`] | whether a record is stored, is not, or may be |
//! | [`read`] | when a read is complete although a replica may lag |
//! | [`last`] | what stands last on each of any number of subjects |
//! | [`together`] | what stands last on several subjects at one moment |
//! | [`later`] | a record that the broker publishes at a time |
//! | [`follow`] | an endless tail without gap or repeat |
//! | [`seen`] | whether a stream still has what was read of it |

mod answer;
pub mod append;
pub mod follow;
mod last;
mod later;
mod pages;
pub mod read;
mod seen;
mod together;

use std::collections::HashMap;

use async_nats::Subject;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

pub(super) use answer::unix_ms as moment;
pub use append::AppendError;
pub use follow::{Follow, FollowError, Followed, Start};
pub use read::{ReadError, Reader};
pub use seen::Seen;

use pages::Pages;

use super::api::{ApiError, code};
use super::connect::Broker;
use super::subjects::{self, StreamName};
use crate::clock::UnixMs;

/// One message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the stream.
    pub seq: u64,
    /// When the broker stored it, by the broker's clock.
    pub at: UnixMs,
    /// Where it was published.
    pub subject: Subject,
    /// What was published.
    pub payload: Bytes,
    /// Whether it only says that what was there before is gone (buckets).
    pub deletion: bool,
}

/// How much a stream holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamState {
    /// Sequence of the first message, or the one that the next will have if there is none.
    pub first_seq: u64,
    /// Sequence of the last message ever stored.
    pub last_seq: u64,
    /// When that was; `None` where the broker does not know any more.
    pub last_at: Option<UnixMs>,
    /// Messages there.
    pub messages: u64,
    /// Their size in the store.
    pub bytes: u64,
    /// The most that they may take, if that was said.
    pub max_bytes: Option<u64>,
    /// When the stream was made, as the broker writes it: another time is another stream of the same name.
    pub created: String,
    /// Servers that keep a copy of it.
    pub replicas: u32,
    /// Those of them whose copy is up to date, as its leader sees them.
    pub replicas_current: u32,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    total: usize,
    #[serde(default)]
    offset: usize,
    #[serde(default)]
    limit: usize,
    #[serde(default)]
    created: String,
    /// When it was said.
    #[serde(default)]
    ts: String,
    #[serde(default)]
    config: Config,
    #[serde(default)]
    cluster: Cluster,
    state: State,
}

/// Of one server alone there is none.
#[derive(Default, Deserialize)]
struct Cluster {
    #[serde(default)]
    replicas: Vec<Replica>,
}

/// A server that keeps a copy and does not lead.
#[derive(Deserialize)]
struct Replica {
    #[serde(default)]
    current: bool,
    #[serde(default)]
    offline: bool,
}

#[derive(Default, Deserialize)]
struct Config {
    /// Not above zero: no limit.
    #[serde(default)]
    max_bytes: i64,
}

#[derive(Default, Deserialize)]
struct State {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
    #[serde(default)]
    last_ts: String,
    #[serde(default)]
    subjects: Option<HashMap<String, u64>>,
}

#[derive(Deserialize)]
struct Purged {
    #[serde(default)]
    purged: u64,
}

impl Broker {
    /// What the clock of the server shows that leads `stream`; `None` where it does not say.
    pub async fn clock_of(&self, stream: &StreamName) -> Result<Option<UnixMs>, ApiError> {
        let info: Info = self.api(subjects::api::stream_info(stream), &()).await?;
        Ok(answer::unix_ms(&info.ts))
    }

    /// How much `stream` holds, by its leader.
    pub async fn info(&self, stream: &StreamName) -> Result<StreamState, ApiError> {
        let info: Info = self.api(subjects::api::stream_info(stream), &()).await?;
        let followers = &info.cluster.replicas;
        let current = followers.iter().filter(|one| one.current && !one.offline);
        Ok(StreamState {
            replicas: 1 + followers.len() as u32,
            replicas_current: 1 + current.count() as u32,
            first_seq: info.state.first_seq,
            last_seq: info.state.last_seq,
            // The broker names the year 1 where it does not know: before 1970 there is no moment here.
            last_at: answer::unix_ms(&info.state.last_ts).filter(|at| at.0 > 0),
            messages: info.state.messages,
            bytes: info.state.bytes,
            max_bytes: u64::try_from(info.config.max_bytes)
                .ok()
                .filter(|bytes| *bytes > 0),
            created: info.created,
        })
    }

    /// The subjects of `stream` that match `filter`, each with its number of messages.
    pub async fn subjects_of(
        &self,
        stream: &StreamName,
        filter: &str,
    ) -> Result<HashMap<String, u64>, ApiError> {
        let mut pages = Pages::default();
        loop {
            let question = json!({ "subjects_filter": filter, "offset": pages.offset });
            let info: Info = self
                .api(subjects::api::stream_info(stream), &question)
                .await?;
            let page = info.state.subjects.unwrap_or_default();
            let last_page = page.is_empty() || info.offset + info.limit >= info.total;
            if pages.take(page, last_page) {
                return Ok(pages.all);
            }
        }
    }

    /// Removes what matches `filter` and stands below the sequence `below`, and nothing that was stored
    /// since. Returns how many went. `filter` must come from [`super::Subjects`], as with [`Broker::purge`].
    pub async fn purge_below(
        &self,
        stream: &StreamName,
        filter: &str,
        below: u64,
    ) -> Result<u64, ApiError> {
        let question = json!({ "filter": filter, "seq": below });
        let purged: Purged = self
            .api(subjects::api::stream_purge(stream), &question)
            .await?;
        Ok(purged.purged)
    }

    /// Removes what matches `filter`, all but the newest `keep` messages. Returns how many went.
    /// `filter` must come from [`super::Subjects`]: a wildcard empties all that it matches.
    pub async fn purge(
        &self,
        stream: &StreamName,
        filter: &str,
        keep: u64,
    ) -> Result<u64, ApiError> {
        let question = if keep == 0 {
            json!({ "filter": filter })
        } else {
            json!({ "filter": filter, "keep": keep })
        };
        let purged: Purged = self
            .api(subjects::api::stream_purge(stream), &question)
            .await?;
        Ok(purged.purged)
    }

    /// Removes one message. `false` when it is not there.
    pub async fn remove(&self, stream: &StreamName, seq: u64) -> Result<bool, ApiError> {
        let question = json!({ "seq": seq, "no_erase": true });
        let answer = self
            .api::<serde_json::Value>(subjects::api::message_delete(stream), &question)
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if error.err_code().is_some_and(is_absent) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn is_absent(err_code: u64) -> bool {
    [
        code::NO_MESSAGE,
        code::SEQUENCE_NOT_FOUND,
        code::DELETE_FAILED,
    ]
    .contains(&err_code)
}
