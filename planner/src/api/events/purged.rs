//! Which runs retention has removed. Of their summaries nothing is left that could be heard of; but their ids are
//! remembered, each by a record in the ledger, and those are followed while somebody reads which runs there are.
//!
//! Whoever comes back says up to which of them they were told. So that this is never long ago, the place moves on while
//! none comes, too.

use std::future::pending;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::{FollowError, Followed, Record, Start};
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::PlanRecord;
use tokio::time::Instant;

use super::super::link::Link;
use super::super::problem::Answer;
use super::recent::Recent;

/// Records of the ledger before the first that somebody waits for: whoever was told by another planner may have missed
/// those among them.
const BEFORE: u64 = 10_000;

/// The runs that were removed lately.
pub(super) struct Purged<'a> {
    link: &'a Link,
    broker: &'a Broker,
    tail: Option<Tail<'a>>,
}

struct Tail<'a> {
    records: BoxStream<'a, Result<Followed, FollowError>>,
    recent: Recent<()>,
    /// Whether all that was there has come.
    is_whole: bool,
    /// Where the ledger ended when nothing new was last said to have come.
    ended: u64,
    wanted: Instant,
}

impl<'a> Purged<'a> {
    pub(super) fn new(link: &'a Link, broker: &'a Broker) -> Purged<'a> {
        Purged {
            link,
            broker,
            tail: None,
        }
    }

    /// Follows them from now on. `true`: it has begun with that.
    pub(super) async fn want(&mut self) -> Answer<bool> {
        let now = Instant::now();
        if let Some(tail) = &mut self.tail {
            tail.wanted = now;
            return Ok(false);
        }
        let subjects = self.broker.subjects();
        let ledger = subjects.ledger();
        let end = self.broker.info(&ledger).await?.last_seq;
        let floor = end.saturating_sub(BEFORE);
        let start = Start::Sequence(floor + 1);
        let records = self.broker.follow(&ledger, subjects.all_ids(), start);
        self.tail = Some(Tail {
            records: records.into_stream().boxed(),
            recent: Recent::new(floor, end),
            is_whole: false,
            ended: end,
            wanted: now,
        });
        Ok(true)
    }

    /// What comes next; it was taken in. May be dropped and called again. `true`: somebody may have waited for it.
    ///
    /// # Errors
    /// When the ledger was lost or rolled back.
    pub(super) async fn next(&mut self) -> Result<bool, FollowError> {
        let Some(tail) = &mut self.tail else {
            return pending().await;
        };
        match tail.records.next().await {
            Some(Ok(Followed::Record(record))) => {
                if let Some(run) = removed(self.broker, &record) {
                    self.link.runs.drop(|runs| runs.forget(&run));
                    tail.recent.take(run.to_string(), None, record.seq);
                }
                Ok(false)
            }
            Some(Ok(Followed::CaughtUp)) => {
                tail.is_whole = true;
                Ok(true)
            }
            Some(Ok(Followed::Quiet)) => {
                // What stood there when it was quiet before has come since, if it was one of these.
                tail.recent.reach(tail.ended);
                let ledger = self.broker.subjects().ledger();
                if let Ok(ledger) = self.broker.info(&ledger).await {
                    tail.ended = ledger.last_seq;
                }
                Ok(false)
            }
            Some(Err(error @ FollowError::Rewound { .. })) => Err(error),
            // It goes on where it was.
            Some(Err(FollowError::Unavailable { .. })) | None => Ok(false),
        }
    }

    /// Lets it go where nobody has wanted it since `before`.
    pub(super) fn keep(&mut self, is_wanted: bool, (now, before): (Instant, Instant)) {
        if let Some(tail) = &mut self.tail
            && is_wanted
        {
            tail.wanted = now;
        }
        self.tail.take_if(|tail| tail.wanted < before);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.tail.is_none()
    }

    /// Whether all that was there has come.
    pub(super) fn is_known(&self) -> bool {
        self.tail.as_ref().is_none_or(|tail| tail.is_whole)
    }

    /// Those that went lately, while they are followed.
    pub(super) fn recent(&self) -> Option<&Recent<()>> {
        self.tail.as_ref().map(|tail| &tail.recent)
    }
}

/// The run whose id is remembered from that record on: of the run itself nothing is left then. Another record says that
/// an id was forgotten; a run may have it again.
fn removed(broker: &Broker, record: &Record) -> Option<RunId> {
    let (_, run) = broker.subjects().parse_id(&record.subject)?;
    let decoded = broker.decode::<PlanRecord>(&record.subject, &record.payload);
    matches!(decoded, Ok(PlanRecord::Retired(_))).then_some(run)
}
