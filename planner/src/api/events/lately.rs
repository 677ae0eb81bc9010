//! A bucket of which is told what is written to it: followed while somebody wants that, from a little before on.

use std::future::pending;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use gridloom_shared::broker::kv::{Bucket, Watched};
use gridloom_shared::broker::log::FollowError;
use tokio::time::Instant;

use super::super::problem::Answer;
use super::recent::Recent;

/// Writes before the first that somebody waits for: whoever was told by another planner may have missed those.
const BEFORE: u64 = 1_000;

/// The last writes to a bucket.
pub(super) struct Lately<V> {
    bucket: Bucket,
    read: fn(&Bytes) -> Option<V>,
    followed: Option<Followed<V>>,
}

struct Followed<V> {
    tail: BoxStream<'static, Result<Watched, FollowError>>,
    recent: Recent<V>,
    /// Whether all that was there has come.
    is_whole: bool,
    wanted: Instant,
}

impl<V> Lately<V> {
    /// `read`: what is kept of a value, if it makes sense.
    pub(super) fn new(bucket: Bucket, read: fn(&Bytes) -> Option<V>) -> Lately<V> {
        Lately {
            bucket,
            read,
            followed: None,
        }
    }

    /// Follows it from now on. `true`: it has begun with that.
    pub(super) async fn want(&mut self) -> Answer<bool> {
        let now = Instant::now();
        if let Some(followed) = &mut self.followed {
            followed.wanted = now;
            return Ok(false);
        }
        let end = self.bucket.end().await?;
        let floor = end.saturating_sub(BEFORE);
        self.followed = Some(Followed {
            tail: self.bucket.watch_behind(floor).into_stream().boxed(),
            recent: Recent::new(floor, end),
            is_whole: false,
            wanted: now,
        });
        Ok(true)
    }

    /// What comes next; it was taken in. May be dropped and called again. `true`: all that was there has come.
    ///
    /// # Errors
    /// When the bucket was lost or rolled back.
    pub(super) async fn next(&mut self) -> Result<bool, FollowError> {
        let Some(followed) = &mut self.followed else {
            return pending().await;
        };
        match followed.tail.next().await {
            Some(Ok(Watched::Entry(entry))) => {
                let value = entry.value.as_ref().map(self.read);
                // What makes no sense is told of where it is listed.
                if value.as_ref().is_none_or(Option::is_some) {
                    let recent = &mut followed.recent;
                    recent.take(entry.key, value.flatten(), entry.revision);
                }
                Ok(false)
            }
            Some(Ok(Watched::CaughtUp)) => {
                followed.is_whole = true;
                Ok(true)
            }
            Some(Err(error @ FollowError::Rewound { .. })) => Err(error),
            // It goes on where it was.
            Some(Err(FollowError::Unavailable { .. })) | None => Ok(false),
        }
    }

    /// Lets it go where nobody has wanted it since `before`.
    pub(super) fn keep(&mut self, is_wanted: bool, (now, before): (Instant, Instant)) {
        if let Some(followed) = &mut self.followed
            && is_wanted
        {
            followed.wanted = now;
        }
        self.followed.take_if(|followed| followed.wanted < before);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.followed.is_none()
    }

    /// Whether all that was there has come.
    pub(super) fn is_known(&self) -> bool {
        self.followed
            .as_ref()
            .is_none_or(|followed| followed.is_whole)
    }

    /// The last writes, while they are followed.
    pub(super) fn recent(&self) -> Option<&Recent<V>> {
        self.followed.as_ref().map(|followed| &followed.recent)
    }
}
