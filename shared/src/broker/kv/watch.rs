//! Watches on a bucket: what is there, and every change of it.

use futures_util::Stream;

use super::{Bucket, Entry};
use crate::broker::log::{Follow, FollowError, Followed, Start};

/// What a watch gives out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// A key and its new value, or its deletion. The first ones are the keys that are there.
    Entry(Entry),
    /// All that was there when the watch began (or began again) has been given out.
    CaughtUp,
}

/// A watch on a bucket.
#[derive(Debug)]
pub struct Watch {
    bucket: Bucket,
    follow: Follow,
}

impl Watch {
    /// The watch as a stream, which never ends: what is under way lasts when a wait for the next is given up.
    pub fn into_stream(self) -> impl Stream<Item = Result<Watched, FollowError>> + Send {
        futures_util::stream::unfold(self, |mut watch| async move {
            let watched = watch.next().await;
            Some((watched, watch))
        })
    }

    /// The next change. Never ends; may be dropped and called again without loss.
    pub async fn next(&mut self) -> Result<Watched, FollowError> {
        loop {
            match self.follow.next().await? {
                Followed::Quiet => {}
                Followed::CaughtUp => return Ok(Watched::CaughtUp),
                Followed::Record(record) => {
                    if let Some(entry) = self.bucket.entry(record) {
                        return Ok(Watched::Entry(entry));
                    }
                }
            }
        }
    }
}

impl Bucket {
    /// The keys that are there and match `filter` (`>` for all), then every change, for ever.
    pub fn watch(&self, filter: &str) -> Watch {
        let follow = self.broker.follow(
            &self.name.stream(),
            self.name.subject(filter),
            Start::LastPerSubject,
        );
        Watch {
            bucket: self.clone(),
            follow,
        }
    }

    /// [`Bucket::watch`] of all keys.
    pub fn watch_all(&self) -> Watch {
        self.watch(">")
    }

    /// The changes behind `revision`, of each key the last, for ever.
    pub fn watch_behind(&self, revision: u64) -> Watch {
        let (stream, all) = (self.name.stream(), self.name.subject(">"));
        let start = Start::Sequence(revision.saturating_add(1));
        Watch {
            bucket: self.clone(),
            follow: self.broker.follow(&stream, all, start),
        }
    }
}
