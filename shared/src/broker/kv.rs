//! Buckets: a value a key, with the revision that a compare-and-swap expects. The layout in the
//! stream is the usual one, so every NATS tool can read them.

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;

use super::api::{ApiError, Fault};
use super::connect::Broker;
use super::log::append::expecting;
use super::log::{ReadError, Reader, Record};
use super::plain::RequestError;
use super::subjects::BucketName;
use crate::clock::UnixMs;
use crate::turns::Turns;
use crate::wire::WireError;

mod replace;

mod watch;

pub use watch::{Watch, Watched};

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value; `None` when it was deleted.
    pub value: Option<Bytes>,
    /// What the next compare-and-swap has to expect.
    pub revision: u64,
    /// When it was written, by the broker's clock.
    pub at: UnixMs,
}

/// What stands under a key: a value, the mark of its deletion, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    key: String,
    last: Option<Entry>,
}

impl Place {
    /// The value; `None` where there is none, or no more.
    pub fn value(&self) -> Option<&Bytes> {
        self.last.as_ref()?.value.as_ref()
    }

    /// What the next compare-and-swap has to expect; 0 where there is nothing at all.
    pub fn revision(&self) -> u64 {
        self.last.as_ref().map_or(0, |entry| entry.revision)
    }

    /// What was written last, the mark of a deletion too.
    pub fn entry(&self) -> Option<&Entry> {
        self.last.as_ref()
    }

    /// When that was written, by the broker's clock.
    pub fn at(&self) -> Option<UnixMs> {
        self.last.as_ref().map(|entry| entry.at)
    }

    /// Whether a value stood there and was deleted.
    pub fn is_deleted(&self) -> bool {
        self.last
            .as_ref()
            .is_some_and(|entry| entry.value.is_none())
    }
}

/// Why a key was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Somebody else wrote it first: surely not written.
    #[error("write {key} of {bucket}: somebody else wrote it first")]
    Conflict {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// No answer: it may be written. Read it.
    #[error("write {key} of {bucket}: outcome unknown")]
    Unknown {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// Why there is no answer.
        #[source]
        cause: RequestError,
    },
    /// Surely not written.
    #[error("write {key} of {bucket}")]
    Failed {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// What the broker said.
        #[source]
        cause: ApiError,
    },
    /// Not written: what stands there is not to be lost.
    #[error("write {key} of {bucket}")]
    Newer {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// Who wrote it.
        #[source]
        cause: WireError,
    },
}

impl WriteError {
    /// Whether there is no such bucket, or nobody who keeps it for now.
    pub fn is_of_no_bucket(&self) -> bool {
        match self {
            WriteError::Failed { cause, .. } => {
                cause.is_stream_missing()
                    || matches!(cause, ApiError::Request(RequestError::NoResponders { .. }))
            }
            WriteError::Conflict { .. } | WriteError::Unknown { .. } | WriteError::Newer { .. } => {
                false
            }
        }
    }

    /// Whether this client may not write there.
    pub fn is_refused(&self) -> bool {
        match self {
            WriteError::Failed { cause, .. } => cause.is_refused(),
            WriteError::Conflict { .. } | WriteError::Unknown { .. } | WriteError::Newer { .. } => {
                false
            }
        }
    }

    /// Whether somebody else wrote first.
    pub fn is_conflict(&self) -> bool {
        matches!(self, WriteError::Conflict { .. })
    }
}

/// One bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    broker: Broker,
    name: BucketName,
}

impl Broker {
    /// Definitions of jobs.
    pub fn jobs(&self) -> Bucket {
        self.bucket(self.subjects().jobs())
    }

    /// Summaries of runs.
    pub fn runs(&self) -> Bucket {
        self.bucket(self.subjects().runs())
    }

    /// Schedule state, the leader's lease, floors, consumer numbers.
    pub fn state(&self) -> Bucket {
        self.bucket(self.subjects().state())
    }

    /// Registrations of workers.
    pub fn workers(&self) -> Bucket {
        self.bucket(self.subjects().workers())
    }

    fn bucket(&self, name: BucketName) -> Bucket {
        Bucket {
            broker: self.clone(),
            name,
        }
    }
}

impl Bucket {
    /// The bucket's name.
    pub fn name(&self) -> &BucketName {
        &self.name
    }

    /// The value of `key`, by some replica; a replica may lag.
    pub async fn get(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        Ok(self
            .latest(key)
            .await?
            .filter(|entry| entry.value.is_some()))
    }

    /// The value of `key`, by the leader: nothing that was confirmed is missing.
    pub async fn get_of_leader(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        let last = self.last_of_leader(key).await?;
        Ok(last.filter(|entry| entry.value.is_some()))
    }

    /// The values of `keys`, by some replica: of those that have one, in no order.
    pub async fn several(&self, keys: &[String]) -> Result<Vec<Entry>, ReadError> {
        let subjects: Vec<String> = keys.iter().map(|key| self.name.subject(key)).collect();
        let last = self
            .broker
            .multi_last(&self.name.stream(), &subjects)
            .await?;
        let entries = last.into_iter().filter_map(|record| self.entry(record));
        Ok(entries.filter(|entry| entry.value.is_some()).collect())
    }

    /// What stands under `key`, by the leader, the mark of a deletion too: whoever writes next under
    /// compare-and-swap has to expect that ([`Place::revision`]).
    pub async fn place_of(&self, key: &str) -> Result<Place, ReadError> {
        let last = self.last_of_leader(key).await?;
        Ok(Place {
            key: key.to_owned(),
            last,
        })
    }

    /// Keys with their values that match `filter` (`>` for all).
    pub async fn entries(&self, filter: &str) -> Result<Vec<Entry>, ReadError> {
        self.up_to(filter, None).await
    }

    /// As [`Bucket::entries`], and nothing that was confirmed before is missing.
    pub async fn surely_entries(&self, filter: &str) -> Result<Vec<Entry>, ReadError> {
        let (stream, subject) = (self.name.stream(), self.name.subject(filter));
        match self.broker.last_of_leader(&stream, &subject).await? {
            Some(last) => self.up_to(filter, Some(last.seq)).await,
            None => Ok(Vec::new()),
        }
    }

    async fn up_to(&self, filter: &str, end: Option<u64>) -> Result<Vec<Entry>, ReadError> {
        let (stream, subject) = (self.name.stream(), self.name.subject(filter));
        let mut reader = self.broker.reader(&stream, subject, 1, end);
        let mut latest = std::collections::BTreeMap::new();
        let mut turns = Turns::begin();
        while let Some(page) = reader.next_page().await? {
            for entry in page.into_iter().filter_map(|record| self.entry(record)) {
                latest.insert(entry.key.clone(), entry);
                turns.pass().await;
            }
        }
        Ok(latest
            .into_values()
            .filter(|entry| entry.value.is_some())
            .collect())
    }

    /// The first `most` keys with their values, in the order in which they were written last: page by page, so that
    /// of a bucket of any size only these are taken in.
    pub async fn first_entries(&self, most: usize) -> Result<Vec<Entry>, ReadError> {
        let (stream, all) = (self.name.stream(), self.name.subject(">"));
        let mut reader = self.broker.reader(&stream, all, 1, None);
        let mut first = Vec::new();
        while first.len() < most
            && let Some(page) = reader.next_page().await?
        {
            let entries = page.into_iter().filter_map(|record| self.entry(record));
            first.extend(entries.filter(|entry| entry.value.is_some()));
        }
        first.truncate(most);
        Ok(first)
    }

    /// The keys that match `filter` and were written up to the revision `up_to`, with their values, page by page.
    pub fn pages(&self, filter: &str, up_to: u64) -> Pages {
        let (stream, subject) = (self.name.stream(), self.name.subject(filter));
        Pages {
            bucket: self.clone(),
            reader: self.broker.reader(&stream, subject, 1, Some(up_to)),
        }
    }

    /// All keys, in order.
    pub async fn keys(&self) -> Result<Vec<String>, ReadError> {
        Ok(self
            .entries(">")
            .await?
            .into_iter()
            .map(|entry| entry.key)
            .collect())
    }

    /// All keys under which something stands, a mark of a deletion too, in no order: their values are not read.
    pub async fn names(&self) -> Result<Vec<String>, ApiError> {
        let all = self.name.subject(">");
        let found = self.broker.subjects_of(&self.name.stream(), &all).await?;
        let names = found
            .keys()
            .filter_map(|subject| self.name.key(subject).map(str::to_owned));
        Ok(names.collect())
    }

    /// Writes `key`, whatever was there. Returns its revision.
    pub async fn put(&self, key: &str, value: Bytes) -> Result<u64, WriteError> {
        self.write(key, value, None, HeaderMap::new()).await
    }

    /// Writes `key` only if it does not exist.
    pub async fn create(&self, key: &str, value: Bytes) -> Result<u64, WriteError> {
        match self
            .write(key, value.clone(), Some(0), HeaderMap::new())
            .await
        {
            Err(WriteError::Conflict { bucket, key: name }) => {
                let last = self.last_of_leader(key).await;
                match last.map_err(|error| self.failed(key, error.cause))? {
                    // A mark of a deletion is in the place of the value.
                    Some(Entry {
                        value: None,
                        revision,
                        ..
                    }) => self.update(key, value, revision).await,
                    Some(_) | None => Err(WriteError::Conflict { bucket, key: name }),
                }
            }
            done => done,
        }
    }

    /// Writes `key` only if its revision is still `revision`.
    pub async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, WriteError> {
        self.write(key, value, Some(revision), HeaderMap::new())
            .await
    }

    /// Deletes `key`; with `revision`, only if that is still its revision.
    pub async fn delete(&self, key: &str, revision: Option<u64>) -> Result<(), WriteError> {
        let mut headers = HeaderMap::new();
        headers.insert("KV-Operation", "DEL");
        self.write(key, Bytes::new(), revision, headers)
            .await
            .map(|_| ())
    }

    /// Removes `key` without a trace, unlike [`Bucket::delete`], which leaves a marker for ever.
    pub async fn forget(&self, key: &str) -> Result<(), ApiError> {
        let subject = self.name.subject(key);
        self.broker.purge(&self.name.stream(), &subject, 0).await?;
        Ok(())
    }

    /// As [`Bucket::forget`], but only what has a revision below `below`.
    pub async fn forget_below(&self, key: &str, below: u64) -> Result<(), ApiError> {
        let subject = self.name.subject(key);
        self.broker
            .purge_below(&self.name.stream(), &subject, below)
            .await?;
        Ok(())
    }

    /// All that was written behind `revision`, as it stands now by the leader: surely up to `end`, the last sequence of
    /// the bucket's stream.
    pub async fn written_behind(&self, revision: u64, end: u64) -> Result<Vec<Entry>, ReadError> {
        let (stream, all) = (self.name.stream(), self.name.subject(">"));
        let mut reader = self.broker.reader(&stream, all, revision + 1, Some(end));
        let mut written = Vec::new();
        while let Some(page) = reader.next_page().await? {
            written.extend(page.into_iter().filter_map(|record| self.entry(record)));
        }
        Ok(written)
    }

    /// What was written behind `revision` of the keys that match `filter`, as it stands now: by the leader, so that
    /// nothing that was confirmed is missing.
    pub async fn behind(&self, filter: &str, revision: u64) -> Result<Vec<Entry>, ReadError> {
        let (stream, subject) = (self.name.stream(), self.name.subject(filter));
        let last = self.broker.last_of_leader(&stream, &subject).await?;
        let Some(last) = last.filter(|last| last.seq > revision) else {
            return Ok(Vec::new());
        };
        let read = self
            .broker
            .read(&stream, subject, revision + 1, Some(last.seq));
        let written = read.await?.into_iter();
        Ok(written.filter_map(|record| self.entry(record)).collect())
    }

    /// The last sequence of its stream: all that was written stands there or below.
    pub async fn end(&self) -> Result<u64, ApiError> {
        Ok(self.broker.info(&self.name.stream()).await?.last_seq)
    }

    async fn latest(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        let record = self
            .broker
            .last(&self.name.stream(), &self.name.subject(key))
            .await?;
        Ok(record.and_then(|record| self.entry(record)))
    }

    async fn last_of_leader(&self, key: &str) -> Result<Option<Entry>, ReadError> {
        let (stream, subject) = (self.name.stream(), self.name.subject(key));
        let record = self.broker.last_of_leader(&stream, &subject).await?;
        Ok(record.and_then(|record| self.entry(record)))
    }

    async fn write(
        &self,
        key: &str,
        value: Bytes,
        revision: Option<u64>,
        headers: HeaderMap,
    ) -> Result<u64, WriteError> {
        let mut all = revision
            .map(|revision| expecting(revision, None))
            .unwrap_or_default();
        for (name, values) in headers.iter() {
            for value in values {
                all.append(name.clone(), value.clone());
            }
        }
        let subject = Subject::from(self.name.subject(key));
        let headers = (!all.is_empty()).then_some(all);
        match self.broker.store(&subject, headers, value).await {
            Ok(stored) => Ok(stored.seq),
            Err(error) => Err(self.failed(key, error)),
        }
    }

    fn failed(&self, key: &str, error: ApiError) -> WriteError {
        let (bucket, key) = (self.name.to_string(), key.to_owned());
        match error {
            ApiError::Fault(fault) if is_conflict(&fault) => WriteError::Conflict { bucket, key },
            ApiError::Request(cause) if cause.may_be_done() => {
                WriteError::Unknown { bucket, key, cause }
            }
            cause => WriteError::Failed { bucket, key, cause },
        }
    }

    fn entry(&self, record: Record) -> Option<Entry> {
        Some(Entry {
            key: self.name.key(&record.subject)?.to_owned(),
            value: (!record.deletion).then_some(record.payload),
            revision: record.seq,
            at: record.at,
        })
    }
}

/// 10164 says on a replicated stream that another write is under way: the caller has to look again.
fn is_conflict(fault: &Fault) -> bool {
    fault.is_wrong_last() || fault.is_busy()
}

/// A bucket, page by page.
#[derive(Debug)]
pub struct Pages {
    bucket: Bucket,
    reader: Reader,
}

impl Pages {
    /// The next keys that have a value; `None` when all were given.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>, ReadError> {
        let page = self.reader.next_page().await?.map(|page| {
            let entries = page.into_iter();
            let entries = entries.filter_map(|record| self.bucket.entry(record));
            entries.filter(|entry| entry.value.is_some()).collect()
        });
        Ok(page)
    }
}
