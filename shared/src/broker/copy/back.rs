//! A copy goes into a broker, and its stream goes on far ahead of where the copy ended.
//!
//! *Why ahead:* what was written after the copy was made is lost, and its sequences were used: as fences that handlers
//! were given, as revisions that somebody expects, as ids of runs. None of them may come again with another meaning
//! (docs/PROTOCOL.md §1, decision 39).
//!
//! *How:* the broker moves no stream ahead, but a stream that mirrors another skips what that one does not have. So the
//! copy is put back as the mirror of a stream of one message, which has the sequence at which it is to go on. Then it
//! is made a stream of its own, and the message taken out.

use std::time::Duration;

use async_nats::Message;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::frames::{Corrupt, End, Frames};
use super::{CopyError, Extent, Origin, REPLICAS, failed};
use crate::broker::api::{ApiError, parse};
use crate::broker::connect::Broker;
use crate::broker::plain::RequestError;
use crate::broker::subjects::{StreamName, api};

/// How long the broker may take for a piece, and for a question.
const PIECE_WITHIN: Duration = Duration::from_secs(20);
/// How long it may take until somebody listens.
const HEARD_WITHIN: Duration = Duration::from_secs(5);
/// How long it may take to unpack what it got: all of it is written once more.
const UNPACKED_WITHIN: Duration = Duration::from_secs(900);
/// How long a mirror may take to see what it mirrors.
const AHEAD_WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);
/// Bytes that are sent first, and at least and at most, before they are packed: a broker that takes longer than five
/// seconds for what it was given breaks off ([`super::frames`]).
const SENT_FIRST: usize = 8 << 10;
const SENT_LEAST: usize = 2 << 10;
const SENT_MOST: usize = 60 << 10;
/// A piece that took longer was too large, and one that did not take so long may be larger.
const SLOW: Duration = Duration::from_millis(500);
const QUICK: Duration = Duration::from_millis(100);

/// A copy on its way into a broker.
#[derive(Debug)]
pub struct PutBack {
    broker: Broker,
    stream: StreamName,
    to: String,
    /// The settings of the stream as it is to be.
    config: Map<String, Value>,
    ahead: u64,
    frames: Frames,
    /// How much is sent at once.
    size: usize,
}

/// How much is sent at once behind a piece of `size` that took so long. Pure.
fn next_size(size: usize, took: Duration) -> usize {
    match took {
        slow if slow > SLOW => (size / 2).max(SENT_LEAST),
        quick if quick < QUICK => (size * 2).min(SENT_MOST),
        _ => size,
    }
}

#[derive(Deserialize)]
struct Begun {
    deliver_subject: String,
}

#[derive(Deserialize)]
struct Unpacked {
    state: Value,
}

impl Broker {
    /// Begins to put the copy of `origin` back as `stream`, which must not be there. What is stored in it afterwards
    /// has sequences above `ahead`.
    ///
    /// # Errors
    /// When the broker does not begin it.
    pub async fn put_back(
        &self,
        stream: &StreamName,
        origin: &Origin,
        ahead: u64,
    ) -> Result<PutBack, CopyError> {
        let marked = self.mark_ahead(origin.replicas(), ahead).await;
        marked.map_err(|cause| failed(stream, cause))?;
        let question = json!({
            "config": as_mirror(&origin.config, &self.subjects().ahead()),
            "state": origin.state,
        });
        let begun = self.api::<Begun>(api::stream_restore(stream), &question);
        let begun = begun.await.map_err(|cause| failed(stream, cause))?;
        Ok(PutBack {
            broker: self.clone(),
            stream: stream.clone(),
            to: begun.deliver_subject,
            config: origin.config.clone(),
            ahead,
            frames: Frames::default(),
            size: SENT_FIRST,
        })
    }

    /// Makes the stream of one message, with this sequence.
    async fn mark_ahead(&self, replicas: u64, ahead: u64) -> Result<(), ApiError> {
        let (stream, subject) = (self.subjects().ahead(), self.subjects().ahead_mark());
        self.remove_stream(&stream).await?;
        let config = json!({
            "name": stream.as_str(),
            "subjects": [subject],
            "storage": "file",
            REPLICAS: replicas,
            "first_seq": ahead,
        });
        self.api::<Value>(api::stream_create(&stream), &config)
            .await?;
        self.store(&subject.into(), None, Bytes::new()).await?;
        Ok(())
    }

    /// Removes a stream with all that is in it, if it is there.
    ///
    /// # Errors
    /// When the broker does not.
    pub async fn remove_stream(&self, stream: &StreamName) -> Result<(), ApiError> {
        match self.api::<Value>(api::stream_delete(stream), &()).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_stream_missing() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl PutBack {
    /// The next piece of the copy, of any size.
    ///
    /// # Errors
    /// When the broker does not take it, or it makes no sense.
    pub async fn piece(&mut self, piece: Bytes) -> Result<(), CopyError> {
        let taken = self.frames.take(&piece);
        taken.map_err(|corrupt| self.corrupt(&corrupt))?;
        self.send(End::Open).await
    }

    async fn send(&mut self, end: End) -> Result<(), CopyError> {
        while let Some(piece) = self.frames.next(self.size, end) {
            let begun = Instant::now();
            self.taken(piece).await?;
            self.size = next_size(self.size, begun.elapsed());
        }
        Ok(())
    }

    fn corrupt(&self, corrupt: &Corrupt) -> CopyError {
        self.failed(ApiError::Answer(corrupt.to_string()))
    }

    async fn taken(&self, piece: Bytes) -> Result<(), CopyError> {
        let answer = self.heard(piece).await;
        let answer = answer.map_err(|cause| self.failed(cause.into()))?;
        if answer.payload.is_empty() {
            return Ok(());
        }
        // What went wrong; anything else is said at the end.
        let said = parse::<Value>(&answer.payload);
        said.map(|_| ()).map_err(|cause| self.failed(cause))
    }

    /// What is answered to a piece. One that nobody heard was not taken: in a cluster another server may listen than the
    /// one that is asked, and that takes a moment to be known there.
    async fn heard(&self, piece: Bytes) -> Result<Message, RequestError> {
        let give_up = Instant::now() + HEARD_WITHIN;
        loop {
            let answer = self
                .broker
                .request(self.to.clone(), piece.clone(), PIECE_WITHIN);
            match answer.await {
                Err(RequestError::NoResponders { .. }) if Instant::now() < give_up => {
                    sleep(LOOK).await;
                }
                answer => return answer,
            }
        }
    }

    /// All pieces are there. Returns what the stream held when it was copied, as it is there again.
    ///
    /// # Errors
    /// When the broker cannot make sense of them, or does not go on ahead.
    pub async fn finish(mut self) -> Result<Extent, CopyError> {
        self.send(End::Reached).await?;
        if !self.frames.is_whole() {
            return Err(self.corrupt(&Corrupt::CUT));
        }
        let answer = self
            .broker
            .request(self.to.clone(), Bytes::new(), UNPACKED_WITHIN);
        let answer = answer.await.map_err(|cause| self.failed(cause.into()))?;
        let unpacked = parse::<Unpacked>(&answer.payload);
        let unpacked = unpacked.map_err(|cause| self.failed(cause))?;
        let found = Extent::of(&unpacked.state);
        self.reach_ahead().await?;
        let on_its_own = self.on_its_own().await;
        on_its_own.map_err(|cause| self.failed(cause))?;
        Ok(found)
    }

    /// Waits until it has skipped what it is not to use again.
    async fn reach_ahead(&self) -> Result<(), CopyError> {
        let give_up = Instant::now() + AHEAD_WITHIN;
        loop {
            let info = self.broker.info(&self.stream).await;
            let found = info.map_err(|cause| self.failed(cause))?.last_seq;
            if found == self.ahead {
                return Ok(());
            }
            if found > self.ahead || Instant::now() >= give_up {
                return Err(CopyError::Behind {
                    stream: self.stream.to_string(),
                    ahead: self.ahead,
                    found,
                });
            }
            sleep(LOOK).await;
        }
    }

    /// Makes the mirror a stream as it was.
    async fn on_its_own(&self) -> Result<(), ApiError> {
        let mark = self.broker.subjects().ahead_mark();
        self.broker.purge(&self.stream, &mark, 0).await?;
        let update = api::stream_update(&self.stream);
        self.broker.api::<Value>(update, &self.config).await?;
        let ahead = self.broker.subjects().ahead();
        self.broker.remove_stream(&ahead).await
    }

    fn failed(&self, cause: ApiError) -> CopyError {
        failed(&self.stream, cause)
    }
}

/// Its settings while it mirrors `of`: a mirror takes no subjects of its own, and one message is to be taken out of it.
fn as_mirror(config: &Map<String, Value>, of: &StreamName) -> Map<String, Value> {
    let mut mirror = config.clone();
    mirror.remove("subjects");
    mirror.remove("first_seq");
    mirror.insert("deny_delete".into(), false.into());
    mirror.insert("mirror".into(), json!({ "name": of.as_str() }));
    mirror
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn piece_that_took_long_is_followed_by_smaller_ones_and_one_that_did_not_by_larger_ones() {
        let mut size = SENT_FIRST;
        for _ in 0..9 {
            size = next_size(size, SLOW * 2);
        }
        assert_eq!(size, SENT_LEAST);
        assert_eq!(next_size(size, SLOW), size);
        for _ in 0..9 {
            size = next_size(size, Duration::ZERO);
        }
        assert_eq!(size, SENT_MOST);
    }
}
