//! The one loop of all events: what has come since the last time is put together four times a second, once, and given
//! to everybody who reads it.
//!
//! A reader is told from a place on that others were told up to, too ([`Hub::told`]): so what is put together for all
//! of them is right for each. What a line says is absolute, and may be newer than that place.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::FollowError;
use gridloom_shared::chain;
use gridloom_shared::ledger::summary::RunSummary;
use gridloom_shared::wire;
use metrics::{Counter, Gauge};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::super::link::Link;
use super::super::problem::{Answer, Kind as Why, Problem};
use super::frame::{self, Kind};
use super::lately::Lately;
use super::ledgers::{Heard, Ledgers};
use super::looks::Looks;
use super::purged::Purged;
use super::readers::{Readers, WAITING_MAX};
use super::recent::Recent;
use super::since::Since;
use super::topic::{Sight, Topic};
use crate::metrics::{API_READERS, API_READERS_CUT};

/// Between two events of a stream.
const TICK: Duration = Duration::from_millis(250);
/// Between two comments.
const COMMENT: Duration = Duration::from_secs(15);
/// How long is kept what nobody reads any more: a reader that was cut off comes back.
const KEPT: Duration = Duration::from_secs(30);
/// How long a reader waits for a run that is read from its beginning, before it is told that.
const FIRST: Duration = Duration::from_secs(20);
/// How long it may take to begin to follow what a reader wants.
const BEGUN: Duration = Duration::from_secs(5);
/// How long one waits that was told more by another planner than is known here yet.
const BEHIND: Duration = Duration::from_secs(1);
/// Runs and jobs that are named in a line; more have to be loaded.
const NAMED_MAX: usize = 100;
/// Bytes of a run's counters among those of others, about.
const SUMMARY: usize = 2 << 10;

/// Somebody wants to be told.
pub(super) struct Join {
    pub(super) topics: Arc<[Topic]>,
    pub(super) since: Option<Since>,
    pub(super) reply: oneshot::Sender<Answer<mpsc::Receiver<Bytes>>>,
}

/// A reader that was not told anything yet.
struct Pending {
    topics: Arc<[Topic]>,
    since: Option<Since>,
    reader: mpsc::Sender<Bytes>,
    came: Instant,
}

/// See the module.
struct Hub<'a> {
    broker: &'a Broker,
    ledgers: Ledgers<'a>,
    runs: Lately<RunSummary>,
    jobs: Lately<()>,
    purged: Purged<'a>,
    looks: Looks<'a>,
    readers: Readers,
    pending: Vec<Pending>,
    /// Up to where all readers were told.
    told: Since,
    /// When a comment was sent last.
    commented: Instant,
    reading: Gauge,
    cut: Counter,
}

#[derive(Serialize)]
struct Summaries<'r> {
    items: Vec<&'r RunSummary>,
    gone: Vec<&'r str>,
}

#[derive(Serialize)]
struct Names<'n> {
    changed: Vec<&'n str>,
    gone: Vec<&'n str>,
}

/// Tells everybody who joins, until it is over. Never ends by itself.
pub(super) async fn keep(
    link: &Link,
    broker: &Broker,
    joins: &mut mpsc::Receiver<Join>,
    mut over: watch::Receiver<bool>,
) {
    let mut hub = Hub::new(link, broker);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_idle = hub.is_idle();
        let heard = tokio::select! {
            Some(join) = joins.recv() => {
                hub.join(join).await;
                Ok(true)
            }
            heard = hub.ledgers.next() => heard.map(|heard| matches!(heard, Heard::Run)),
            heard = hub.runs.next() => heard,
            heard = hub.jobs.next() => heard,
            heard = hub.purged.next() => heard,
            () = hub.looks.next() => Ok(true),
            _ = tick.tick(), if !is_idle => {
                hub.tick();
                Ok(true)
            }
            _ = over.wait_for(|over| *over) => break,
        };
        match heard {
            Ok(true) => hub.admit(),
            Ok(false) => {}
            Err(error) => {
                lost(&error);
                hub = Hub::new(link, broker);
            }
        }
    }
    drop(hub);
    std::future::pending().await
}

/// Nothing that was told holds any more: readers come back, and begin anew.
fn lost(error: &FollowError) {
    tracing::warn!(error = %chain(error), "readers of events begin anew");
}

impl<'a> Hub<'a> {
    fn new(link: &'a Link, broker: &'a Broker) -> Hub<'a> {
        Hub {
            broker,
            ledgers: Ledgers::new(broker),
            runs: Lately::new(broker.runs(), read_summary),
            jobs: Lately::new(broker.jobs(), |_| Some(())),
            purged: Purged::new(link, broker),
            looks: Looks::new(link, broker),
            readers: Readers::default(),
            pending: Vec::new(),
            told: Since::default(),
            commented: Instant::now(),
            reading: API_READERS.gauge(&[]),
            cut: API_READERS_CUT.counter(&[]),
        }
    }

    /// Whether there is nobody, and nothing is kept.
    fn is_idle(&self) -> bool {
        self.readers.is_empty()
            && self.pending.is_empty()
            && self.ledgers.is_idle()
            && self.runs.is_idle()
            && self.jobs.is_idle()
            && self.purged.is_idle()
            && self.looks.is_idle()
    }

    async fn join(&mut self, join: Join) {
        let Join {
            topics,
            since,
            reply,
        } = join;
        if reply.is_closed() {
            return;
        }
        // All others wait meanwhile.
        let begun = timeout(BEGUN, self.begin(&topics)).await;
        let begun = begun.unwrap_or_else(|_| {
            let detail = "the broker does not say within some seconds what there is to be told; ask again later";
            Err(Problem::new(Why::Unavailable, detail))
        });
        let answer = begun.map(|()| {
            let (reader, events) = mpsc::channel(WAITING_MAX);
            self.pending.push(Pending {
                topics,
                since,
                reader,
                came: Instant::now(),
            });
            events
        });
        // Whoever does not wait for it is not there any more.
        let _ = reply.send(answer);
    }

    /// Follows what is to be told.
    async fn begin(&mut self, topics: &[Topic]) -> Answer<()> {
        if self.is_idle() {
            self.told.of = self.installation().await?;
        }
        for topic in topics {
            match topic {
                Topic::Run(run) => {
                    if self.ledgers.want(run).await? {
                        self.told.ledger = self.ledgers.position();
                    }
                }
                Topic::Runs => {
                    if self.runs.want().await? {
                        self.told.runs = self.runs.recent().map_or(0, Recent::last);
                    }
                    self.hear_of_removals().await?;
                }
                Topic::Jobs => {
                    if self.jobs.want().await? {
                        self.told.jobs = self.jobs.recent().map_or(0, Recent::last);
                    }
                }
                Topic::Seen(sight) => {
                    if *sight == Sight::Dead {
                        self.hear_of_removals().await?;
                    }
                    self.looks.want(*sight);
                }
            }
        }
        Ok(())
    }

    async fn hear_of_removals(&mut self) -> Answer<()> {
        if self.purged.want().await? {
            self.told.gone = self.purged.recent().map_or(0, Recent::last);
        }
        Ok(())
    }

    /// A number of when the streams were made that are told of.
    async fn installation(&self) -> Answer<u32> {
        let streams = [
            self.broker.subjects().ledger(),
            self.broker.runs().name().stream(),
            self.broker.jobs().name().stream(),
        ];
        let mut created = Vec::new();
        for stream in &streams {
            created.push(self.broker.info(stream).await?.created);
        }
        Ok(Since::of(created.iter().map(String::as_str)))
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let span = (now, now.checked_sub(KEPT).unwrap_or(now));
        let read = self.readers.topics();
        let waited_for = self.pending.iter();
        let waited_for = waited_for.flat_map(|pending| pending.topics.iter().cloned());
        let wanted: BTreeSet<Topic> = read.iter().cloned().chain(waited_for).collect();
        self.ledgers.keep(&wanted, span);
        self.runs.keep(wanted.contains(&Topic::Runs), span);
        self.jobs.keep(wanted.contains(&Topic::Jobs), span);
        let of_removals = [Topic::Runs, Topic::Seen(Sight::Dead)];
        let of_removals = of_removals.iter().any(|topic| wanted.contains(topic));
        self.purged.keep(of_removals, span);
        self.looks.keep(&wanted, span);
        let news = read.into_iter().filter_map(|topic| {
            let line = self.news(&topic)?;
            Some((topic, line))
        });
        let lines: BTreeMap<Topic, Bytes> = news.collect();
        let here = Since {
            ledger: self.ledgers.position().max(self.told.ledger),
            runs: self.runs.recent().map_or(self.told.runs, Recent::last),
            jobs: self.jobs.recent().map_or(self.told.jobs, Recent::last),
            gone: self.purged.recent().map_or(self.told.gone, Recent::last),
            of: self.told.of,
        };
        let mut slow = self.readers.tell(&lines, &here);
        self.told = here;
        if now.duration_since(self.commented) >= COMMENT {
            self.commented = now;
            slow += self.readers.comment();
            let waiting = self.pending.iter();
            // One that is full was told something a moment ago.
            waiting.for_each(|pending| drop(pending.reader.try_send(frame::COMMENT)));
        }
        self.reading
            .set((self.readers.len() + self.pending.len()) as f64);
        if slow > 0 {
            self.cut.increment(slow as u64);
            tracing::debug!("readers of events were too slow: cut off");
        }
    }

    /// What all readers of a topic are to be told.
    fn news(&mut self, topic: &Topic) -> Option<Bytes> {
        match topic {
            Topic::Run(run) => self.ledgers.news(run, self.told.ledger),
            Topic::Runs => self.summaries(&self.told),
            Topic::Jobs => self.names(self.told.jobs),
            Topic::Seen(sight) => self.looks.news(*sight),
        }
    }

    /// Begins to tell those that wait for it, as far as it is known what.
    fn admit(&mut self) {
        let now = Instant::now();
        for pending in std::mem::take(&mut self.pending) {
            if pending.reader.is_closed() {
                continue;
            }
            match self.first_event(&pending, now) {
                None => self.pending.push(pending),
                Some(event) => {
                    if pending.reader.try_send(event).is_ok() {
                        self.readers.add(pending.topics, pending.reader);
                    }
                }
            }
        }
    }

    /// What a reader is told first: `None` if that is not known yet. One for whom nothing is new is told that.
    fn first_event(&mut self, pending: &Pending, now: Instant) -> Option<Bytes> {
        let waited = now.duration_since(pending.came);
        let known = pending.topics.iter().all(|topic| self.is_known(topic));
        if !known && waited < FIRST {
            return None;
        }
        if let Some(since) = &pending.since {
            let topics = &pending.topics;
            if topics.iter().any(|topic| self.is_behind(topic, since)) {
                if waited < BEHIND && since.of == self.told.of {
                    return None;
                }
            } else if since.of == self.told.of
                && topics
                    .iter()
                    .all(|topic| self.reaches_back_to(topic, since))
            {
                let missed = topics.iter().map(|topic| {
                    let missed = self.missed(topic, since);
                    missed.unwrap_or_else(|| frame::unchanged(topic))
                });
                let lines: Vec<Bytes> = missed.collect();
                return Some(frame::event(Kind::Change, &self.told, lines.iter()));
            }
        }
        let all = pending.topics.iter().map(|topic| self.all(topic));
        let lines: Vec<Bytes> = all.collect();
        Some(frame::event(Kind::Reset, &self.told, lines.iter()))
    }

    fn is_known(&self, topic: &Topic) -> bool {
        match topic {
            Topic::Run(run) => self.ledgers.is_known(run),
            Topic::Runs => self.runs.is_known() && self.purged.is_known(),
            Topic::Jobs => self.jobs.is_known(),
            Topic::Seen(sight) => self.looks.last(*sight).is_some(),
        }
    }

    /// Whether less is known here than a reader was told elsewhere.
    fn is_behind(&self, topic: &Topic, since: &Since) -> bool {
        match topic {
            Topic::Run(_) => since.ledger > self.told.ledger,
            Topic::Runs => since.runs > self.told.runs,
            Topic::Jobs => since.jobs > self.told.jobs,
            Topic::Seen(_) => false,
        }
    }

    fn reaches_back_to(&self, topic: &Topic, since: &Since) -> bool {
        match topic {
            Topic::Run(run) => self.ledgers.reaches_back_to(run, since.ledger),
            Topic::Runs => {
                reaches(self.runs.recent(), since.runs) && reaches(self.purged.recent(), since.gone)
            }
            Topic::Jobs => reaches(self.jobs.recent(), since.jobs),
            Topic::Seen(_) => true,
        }
    }

    /// What a reader has missed that was told up to there. What is looked at is told as it stands.
    fn missed(&mut self, topic: &Topic, since: &Since) -> Option<Bytes> {
        match topic {
            Topic::Run(run) => self.ledgers.missed(run, since.ledger),
            Topic::Runs => self.summaries(since),
            Topic::Jobs => self.names(since.jobs),
            Topic::Seen(sight) => self.looks.last(*sight).cloned(),
        }
    }

    /// All that there is to tell of a topic.
    fn all(&mut self, topic: &Topic) -> Bytes {
        let all = match topic {
            Topic::Run(run) => self.ledgers.all(run),
            Topic::Runs | Topic::Jobs => None,
            Topic::Seen(sight) => self.looks.last(*sight).cloned(),
        };
        all.unwrap_or_else(|| frame::load(topic))
    }

    fn summaries(&self, since: &Since) -> Option<Bytes> {
        let purged = self.purged.recent();
        let purged = purged.map(|purged| written(purged, since.gone).gone);
        let written = written(self.runs.recent()?, since.runs);
        let Written { there, gone } = written.without(purged.unwrap_or_default());
        match there.len() + gone.len() {
            0 => return None,
            many if many > NAMED_MAX => return Some(frame::load(&Topic::Runs)),
            _ => {}
        }
        let items = there.into_iter().map(|(_, summary)| summary).collect();
        Some(frame::line(&Topic::Runs, &Summaries { items, gone }))
    }

    fn names(&self, since: u64) -> Option<Bytes> {
        let Written { there, gone } = written(self.jobs.recent()?, since);
        match there.len() + gone.len() {
            0 => return None,
            many if many > NAMED_MAX => return Some(frame::load(&Topic::Jobs)),
            _ => {}
        }
        let changed = there.into_iter().map(|(name, ())| name).collect();
        Some(frame::line(&Topic::Jobs, &Names { changed, gone }))
    }
}

fn reaches<V>(recent: Option<&Recent<V>>, since: u64) -> bool {
    recent.is_some_and(|recent| recent.reaches_back_to(since))
}

/// What was written to a bucket.
struct Written<'r, V> {
    there: Vec<(&'r str, &'r V)>,
    gone: Vec<&'r str>,
}

impl<'r, V> Written<'r, V> {
    /// What was removed is not there any more, though something was written of it before.
    fn without(mut self, removed: Vec<&'r str>) -> Written<'r, V> {
        let keys: HashSet<&str> = removed.iter().copied().collect();
        self.there.retain(|(key, _)| !keys.contains(key));
        self.gone.extend(removed);
        self
    }
}

/// What was written since.
fn written<V>(recent: &Recent<V>, since: u64) -> Written<'_, V> {
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for (key, value) in recent.since(since) {
        match value {
            Some(value) => there.push((key, value)),
            None => gone.push(key),
        }
    }
    Written { there, gone }
}

fn read_summary(value: &Bytes) -> Option<RunSummary> {
    let mut summary: RunSummary = wire::decode(value).ok()?;
    summary.fit(SUMMARY);
    Some(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_is_told_as_gone_and_as_nothing_else() {
        let written = Written {
            there: vec![("a", &1), ("b", &2)],
            gone: vec!["c"],
        };
        let Written { there, gone } = written.without(vec!["b"]);
        assert_eq!(there, [("a", &1)]);
        assert_eq!(gone, ["c", "b"]);
    }
}
