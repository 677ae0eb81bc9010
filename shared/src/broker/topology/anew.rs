//! When a queue that is kept elsewhere is made again where it should be: on file in place of in memory, or the other way
//! round. The broker moves no stream, so it is deleted and made: once nothing waits on it and nobody holds anything of
//! it. That is no matter of safety, as the ledger fills it again, but who holds a tile would do its work for nothing
//! where its lease ends first. It must not touch any other stream.

use serde_json::Value;

use super::drift::STORAGE;
use super::streams::{self, FIRST_SEQ, Wanted};
use super::{Storage, Stream, TopologyError, TopologyOptions, create, look};
use crate::broker::api::ApiError;
use crate::broker::connect::Broker;
use crate::broker::subjects;

/// Where a queue was found that is to be elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// It was made anew.
    Moved,
    /// Tiles are on it.
    Used,
}

/// Makes the queue anew where it should be, if it is elsewhere and nothing is on it. `None`: it is there, or not at all.
///
/// # Errors
/// When it cannot be looked at, deleted or made.
pub async fn move_queue(
    broker: &Broker,
    options: &TopologyOptions,
) -> Result<Option<Elsewhere>, TopologyError> {
    let wanted = streams::shards(broker.subjects(), options);
    let (to, found) = (options.queue_made_in(), kept_in(broker, &wanted).await?);
    if found.is_none_or(|found| found == to) {
        return Ok(None);
    }
    let (shards, subjects) = (broker.subjects().shards(), broker.subjects());
    let tiles = broker.subjects_of(&shards, &subjects.all_shards()).await;
    let tiles = tiles.map_err(|cause| TopologyError::Look {
        what: wanted.what(),
        cause,
    })?;
    if !tiles.is_empty() {
        return Ok(Some(Elsewhere::Used));
    }
    remake(broker, &wanted).await?;
    tracing::info!(stream = %shards, storage = to.setting(), "the queue was empty: it is made anew");
    Ok(Some(Elsewhere::Moved))
}

/// Makes the queue of a cluster anew if nothing was ever stored in it: where all members were restarted, the broker brings
/// a stream in their memory back empty, with its consumers, and lets its sequences begin where they began. Old
/// acknowledgements and an old register would mean other messages then. Whether it was made anew.
///
/// # Errors
/// When it cannot be looked at, deleted or made.
pub async fn renew_queue(
    broker: &Broker,
    options: &TopologyOptions,
) -> Result<bool, TopologyError> {
    let wanted = streams::shards(broker.subjects(), options);
    let Some(found) = look(broker, &wanted).await? else {
        return Ok(false);
    };
    let first = found.config.get(FIRST_SEQ).and_then(Value::as_u64);
    // Without a leader nobody knows what is in it.
    let is_known = found.cluster.leader.is_some();
    let is_new = is_known && first.is_some_and(|first| found.state.last_seq < first);
    if !is_new || storage_of(&found) != Storage::Memory {
        return Ok(false);
    }
    // Where nothing was ever done, nothing was lost: but sequences that the register had are not used again.
    let is_unused = is_unused(broker, options).await?;
    remake(broker, &wanted).await?;
    match is_unused {
        true => tracing::info!(
            stream = wanted.name,
            "nothing was ever on the queue: it is made anew"
        ),
        false => tracing::warn!(
            stream = wanted.name,
            "the queue was lost with the memory of all members: it is made anew"
        ),
    }
    Ok(true)
}

/// Whether no run was ever opened here.
async fn is_unused(broker: &Broker, options: &TopologyOptions) -> Result<bool, TopologyError> {
    let ledger = streams::ledger(broker.subjects(), options);
    let found = look(broker, &ledger).await?;
    let first = |found: &Stream| found.config.get(FIRST_SEQ).and_then(Value::as_u64);
    Ok(found.is_some_and(|found| first(&found).is_some_and(|first| found.state.last_seq < first)))
}

/// Where the queue is kept; `None` while it is not there.
///
/// # Errors
/// When it cannot be looked at.
pub async fn queue_kept_in(
    broker: &Broker,
    options: &TopologyOptions,
) -> Result<Option<Storage>, TopologyError> {
    kept_in(broker, &streams::shards(broker.subjects(), options)).await
}

async fn kept_in(broker: &Broker, wanted: &Wanted) -> Result<Option<Storage>, TopologyError> {
    let found = look(broker, wanted).await?;
    Ok(found.as_ref().map(storage_of))
}

fn storage_of(found: &Stream) -> Storage {
    match found.config.get(STORAGE).and_then(Value::as_str) {
        Some(memory) if memory == Storage::Memory.setting() => Storage::Memory,
        Some(_) | None => Storage::File,
    }
}

/// Deletes a stream and makes it, with sequences that it never had.
pub(super) async fn remake(broker: &Broker, wanted: &Wanted) -> Result<(), TopologyError> {
    let deleted = broker
        .api::<Value>(subjects::api::stream_delete(&wanted.name), &())
        .await;
    match deleted {
        Ok(_) => {}
        Err(error) if error.is_stream_missing() => {}
        Err(cause) => return Err(failed(wanted, cause)),
    }
    create(broker, wanted).await.map(|_| ())
}

fn failed(wanted: &Wanted, cause: ApiError) -> TopologyError {
    TopologyError::Create {
        what: format!("{} anew", wanted.what()),
        cause,
    }
}
