//! When a read is complete. Records are read from any replica in pages; whether a replica lagged is
//! asked of the stream's leader.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::Record;
use super::answer::{End, Got, absent, header, record, refused};
use crate::broker::api::{ApiError, code};
use crate::broker::connect::Broker;
use crate::broker::plain::{PublishError, RequestError};
use crate::broker::subjects::{StreamName, api};

/// Records a page.
const PAGE_RECORDS: u64 = 1_000;
/// Bytes a page.
const PAGE_BYTES: usize = 4 << 20;
/// How long a page may pause.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a read failed. Reading again is always right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read stream {stream}")]
pub struct ReadError {
    /// What was read.
    pub stream: String,
    /// What went wrong.
    #[source]
    pub cause: ApiError,
}

/// Reads a part of a stream page by page.
#[derive(Debug)]
pub struct Reader {
    broker: Broker,
    stream: StreamName,
    filter: String,
    next: u64,
    up_to: Option<u64>,
    done: bool,
}

impl Reader {
    /// The next records in order, at most about a thousand; `None` when all were given. With `up_to`
    /// that is: surely every record up to that sequence, also when a replica lagged, and none above.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Record>>, ReadError> {
        while !self.done {
            let (mut page, end) = self.fetch().await.map_err(|cause| self.failed(cause))?;
            let at_end = !matches!(end, End::Pending);
            if let (true, Some(up_to)) = (at_end, self.up_to) {
                let seen = page.last().map_or(self.next, |record| record.seq + 1);
                if seen <= up_to {
                    match self
                        .next_of_leader(seen)
                        .await
                        .map_err(|cause| self.failed(cause))?
                    {
                        Some(record) => page.push(record),
                        None => self.done = true,
                    }
                } else {
                    self.done = true;
                }
            } else if at_end {
                self.done = true;
            }
            self.advance(&mut page);
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    fn advance(&mut self, page: &mut Vec<Record>) {
        if let Some(last) = page.last() {
            self.next = last.seq + 1;
        }
        if let Some(up_to) = self.up_to {
            page.retain(|record| record.seq <= up_to);
            self.done |= self.next > up_to;
        }
    }

    async fn fetch(&self) -> Result<(Vec<Record>, End), ApiError> {
        // No more than can lie below the end: one record is often all that is wanted.
        let left = self
            .up_to
            .map_or(u64::MAX, |up_to| up_to.saturating_sub(self.next) + 1);
        if left == 1 {
            let found = self
                .broker
                .direct_first(&self.stream, &self.filter, self.next);
            return Ok((found.await?.into_iter().collect(), End::Nothing));
        }
        let question = json!({
            "seq": self.next,
            "next_by_subj": self.filter,
            "batch": left.min(PAGE_RECORDS),
            "max_bytes": PAGE_BYTES,
        });
        self.broker.direct_get(&self.stream, &question).await
    }

    async fn next_of_leader(&self, seq: u64) -> Result<Option<Record>, ApiError> {
        let question = json!({ "seq": seq, "next_by_subj": self.filter });
        self.broker.get_of_leader(&self.stream, &question).await
    }

    fn failed(&self, cause: ApiError) -> ReadError {
        ReadError {
            stream: self.stream.to_string(),
            cause,
        }
    }
}

impl Broker {
    /// Reads what matches `filter` from `from` on. With `up_to`, surely all of it up to that sequence
    /// and nothing above; without, up to what some replica has now.
    pub fn reader(
        &self,
        stream: &StreamName,
        filter: impl Into<String>,
        from: u64,
        up_to: Option<u64>,
    ) -> Reader {
        Reader {
            broker: self.clone(),
            stream: stream.clone(),
            filter: filter.into(),
            next: from.max(1),
            up_to,
            done: up_to.is_some_and(|up_to| up_to < from),
        }
    }

    /// All of [`Broker::reader`] at once.
    pub async fn read(
        &self,
        stream: &StreamName,
        filter: impl Into<String>,
        from: u64,
        up_to: Option<u64>,
    ) -> Result<Vec<Record>, ReadError> {
        let mut reader = self.reader(stream, filter, from, up_to);
        let mut all = Vec::new();
        while let Some(page) = reader.next_page().await? {
            all.extend(page);
        }
        Ok(all)
    }

    /// The last record on `subject`, by some replica.
    pub async fn last(
        &self,
        stream: &StreamName,
        subject: &str,
    ) -> Result<Option<Record>, ReadError> {
        let from = api::direct_last(stream, subject);
        let found = self.direct_one(from, Bytes::new()).await;
        found.map_err(|cause| ReadError {
            stream: stream.to_string(),
            cause,
        })
    }

    /// The first record that matches `filter`, by some replica.
    pub async fn first(
        &self,
        stream: &StreamName,
        filter: &str,
    ) -> Result<Option<Record>, ReadError> {
        let found = self.direct_first(stream, filter, 1).await;
        found.map_err(|cause| ReadError {
            stream: stream.to_string(),
            cause,
        })
    }

    /// The first `count` records on `subject`, which must hold no wildcards, by some replica: fewer where
    /// it lags, where more were not stored, or where they are too large for one page.
    pub async fn first_on(
        &self,
        stream: &StreamName,
        subject: &str,
        count: u64,
    ) -> Result<Vec<Record>, ReadError> {
        let question = json!({
            "seq": 1,
            "next_by_subj": subject,
            "batch": count.min(PAGE_RECORDS),
            "max_bytes": PAGE_BYTES,
        });
        let page = self.direct_get(stream, &question).await;
        let (page, _) = page.map_err(|cause| ReadError {
            stream: stream.to_string(),
            cause,
        })?;
        Ok(page)
    }

    async fn direct_first(
        &self,
        stream: &StreamName,
        filter: &str,
        from: u64,
    ) -> Result<Option<Record>, ApiError> {
        let question = json!({ "seq": from, "next_by_subj": filter }).to_string();
        let subject = api::direct_get(stream);
        self.direct_one(subject, question.into()).await
    }

    async fn direct_one(
        &self,
        subject: String,
        question: Bytes,
    ) -> Result<Option<Record>, ApiError> {
        let message = self.request(subject, question, PAGE_TIMEOUT).await?;
        match message.status {
            Some(status) if status == async_nats::StatusCode::NOT_FOUND => Ok(None),
            Some(_) => Err(refused(&message)),
            None => record(message).map(Some),
        }
    }

    /// The last record on `subject`, by the stream's leader: nothing that was confirmed is missing.
    pub async fn last_of_leader(
        &self,
        stream: &StreamName,
        subject: &str,
    ) -> Result<Option<Record>, ReadError> {
        let question = json!({ "last_by_subj": subject });
        let answer = self.get_of_leader(stream, &question).await;
        answer.map_err(|cause| ReadError {
            stream: stream.to_string(),
            cause,
        })
    }

    /// The first record from `from` on that matches `filter`, by the stream's leader.
    pub async fn first_of_leader(
        &self,
        stream: &StreamName,
        filter: &str,
        from: u64,
    ) -> Result<Option<Record>, ReadError> {
        let question = json!({ "seq": from.max(1), "next_by_subj": filter });
        let answer = self.get_of_leader(stream, &question).await;
        answer.map_err(|cause| ReadError {
            stream: stream.to_string(),
            cause,
        })
    }

    pub(super) async fn direct_get(
        &self,
        stream: &StreamName,
        question: &serde_json::Value,
    ) -> Result<(Vec<Record>, End), ApiError> {
        match self.page(stream, question).await {
            Err(ApiError::Request(error)) if self.may_ask_again(&error) => {
                self.page(stream, question).await
            }
            page => page,
        }
    }

    async fn page(
        &self,
        stream: &StreamName,
        question: &serde_json::Value,
    ) -> Result<(Vec<Record>, End), ApiError> {
        let unsendable = |error: PublishError| {
            ApiError::Request(RequestError::Unsendable {
                subject: error.subject,
                cause: error.cause,
            })
        };
        let inbox = self.new_inbox();
        let subject = api::direct_get(stream);
        let not_allowed = self.refusal_of(&subject);
        // Who stays has its own patience.
        let lost = self.asks_and_ends().then(|| self.reconnected());
        let lost = async {
            match lost {
                Some(lost) => lost.await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(not_allowed, lost);
        let mut answers = self.subscribe(inbox.clone()).await.map_err(unsendable)?;
        self.publish_with_reply(subject.clone(), inbox, question.to_string().into())
            .await
            .map_err(unsendable)?;
        let mut page = Vec::new();
        loop {
            let message = tokio::select! {
                biased;
                message = tokio::time::timeout(PAGE_TIMEOUT, answers.next()) => message,
                error = &mut not_allowed => return Err(error.into()),
                () = &mut lost => return Err(RequestError::Disconnected { subject }.into()),
            };
            let message = match message {
                Ok(Some(message)) => message,
                Ok(None) => return Err(RequestError::Disconnected { subject }.into()),
                Err(_) => {
                    return Err(RequestError::TimedOut {
                        subject,
                        waited: PAGE_TIMEOUT,
                    }
                    .into());
                }
            };
            match message.status.map(|status| status.as_u16()) {
                None => page.push(record(message)?),
                Some(204) => {
                    let pending = header(&message, "Nats-Num-Pending")
                        .and_then(|text| text.parse::<u64>().ok());
                    let end = if pending.unwrap_or(0) > 0 && !page.is_empty() {
                        End::Pending
                    } else {
                        End::Nothing
                    };
                    return Ok((page, end));
                }
                Some(404) => return Ok((page, absent(&message))),
                Some(503) => return Err(RequestError::NoResponders { subject }.into()),
                Some(_) => return Err(refused(&message)),
            }
        }
    }

    pub(super) async fn get_of_leader(
        &self,
        stream: &StreamName,
        question: &serde_json::Value,
    ) -> Result<Option<Record>, ApiError> {
        match self.api::<Got>(api::message_get(stream), question).await {
            Ok(got) => got.message.record().map(Some),
            Err(error) if error.err_code() == Some(code::NO_MESSAGE) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
