//! The lanes that this worker pulls from, each of its queues for each of its handlers: which consumer is
//! current, under which floor, and which pulls are under way.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use gridloom_shared::broker::floor::{Floor, FloorError};
use gridloom_shared::broker::pull::{Delivery, EndReason, Patience, PullEvent, PullId, Puller};
use gridloom_shared::broker::subjects::ConsumerName;
use gridloom_shared::broker::topology::TopologyError;
use gridloom_shared::broker::topology::consumers::{AckDeadline, LaneConsumer, ensure_lane_again};
use gridloom_shared::broker::{Broker, Subjects};
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::{HandlerName, QueueName, RunId, Session};
use gridloom_shared::lane::Lane;
use gridloom_shared::limits::PULLS_MAX;
use gridloom_shared::quick::QuickMap;

use crate::bells::{Bells, Ring};
use crate::put_off::PutOff;
use crate::slots::{Ask, Demand, Slots};

/// Pauses before a lane is asked for again.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(1);
/// Longest pull that keeps slots from other lanes.
const PULL_BRIEF: Duration = Duration::from_millis(50);
/// Longest pull.
const PULL_MAX: Duration = Duration::from_secs(5);

/// All lanes of the worker, and how its slots are shared among them.
pub(super) struct Lanes {
    all: Vec<Feed>,
    /// The one that brought something last: it is looked at first.
    turn: usize,
    slots: Slots,
    /// From which lots are drawn.
    lots: u64,
}

/// One lane.
pub(super) struct Feed {
    lane: Lane,
    /// With what the subjects of its tiles begin, before the run.
    prefix: String,
    puller: Option<Puller>,
    floor: Option<Floor>,
    ack_deadline: Duration,
    /// Whether its consumer and floor are being asked for.
    attaching: bool,
    /// How often that was in vain since they were known last.
    vain: u32,
    /// Of the tile that came last.
    last_run: Option<RunId>,
    pulls: QuickMap<PullId, Pull>,
    /// Tiles that were asked for, slots being kept for them, and have not come.
    waiting: u32,
    /// The pull that waits for a first tile.
    bell: Option<PullId>,
    bells: Bells,
    busy: bool,
    /// What a newer build issued of it.
    newer: PutOff,
}

#[derive(Clone, Copy)]
struct Pull {
    sent: Boot,
    unfilled: u32,
}

/// A lane's consumer and its floor, as the broker says now.
#[derive(Debug)]
pub(super) struct Attachment {
    consumer: LaneConsumer,
    floor: Floor,
}

/// Why a lane cannot be pulled from.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttachError {
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error(transparent)]
    Floor(#[from] FloorError),
}

/// What a pull brought.
pub(super) enum Came {
    Delivery {
        delivery: Delivery,
        /// When its pull was sent.
        pulled: Boot,
        /// Whether that was a bell.
        by_bell: bool,
    },
    /// The consumer is gone, or something about it is odd: ask for the current one.
    Lost(EndReason),
}

/// Asks for the current consumer of `lane`, and for the floor. `known` is the one that this worker has pulled from.
pub(super) async fn attach(
    broker: Broker,
    lane: Lane,
    deadline: AckDeadline,
    known: Option<ConsumerName>,
) -> Result<Attachment, AttachError> {
    let consumer = ensure_lane_again(&broker, &lane, deadline, known.as_ref()).await?;
    let floor = broker.floor(&consumer.name).await?;
    Ok(Attachment { consumer, floor })
}

impl Lanes {
    /// Each worker has them in an order of its own, so that not one is the first in line everywhere.
    pub(super) fn new(
        mut lanes: Vec<Lane>,
        subjects: &Subjects,
        concurrency: u32,
        session: Session,
    ) -> Lanes {
        let mut lots = session.0 | 1;
        lanes.sort_unstable();
        lanes.sort_by_cached_key(|_| lot(&mut lots));
        let feeds = lanes.into_iter().map(|lane| Feed::new(lane, subjects));
        Lanes {
            all: feeds.collect(),
            turn: 0,
            slots: Slots::new(concurrency),
            lots,
        }
    }

    pub(super) fn get(&self, lane: usize) -> &Feed {
        &self.all[lane]
    }

    pub(super) fn get_mut(&mut self, lane: usize) -> &mut Feed {
        &mut self.all[lane]
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Feed> {
        self.all.iter()
    }

    /// Whether each can be pulled from, or could.
    pub(super) fn are_there(&self) -> bool {
        self.all.iter().all(Feed::has_consumer)
    }

    /// The longest ack deadline of the lanes of `queue`; nothing while none is known.
    pub(super) fn deadline_of(&self, queue: &QueueName) -> Duration {
        let of_queue = self.all.iter().filter(|feed| feed.lane.queue == *queue);
        of_queue
            .map(|feed| feed.ack_deadline)
            .max()
            .unwrap_or_default()
    }

    /// The longest ack deadline of any of them.
    pub(super) fn longest_deadline(&self) -> Duration {
        let deadlines = self.all.iter().map(|feed| feed.ack_deadline);
        deadlines.max().unwrap_or_default()
    }

    /// The run of the tile that came last.
    pub(super) fn note_run(&mut self, lane: usize, run: &RunId) {
        let last = &mut self.all[lane].last_run;
        if last.as_ref() != Some(run) {
            *last = Some(run.clone());
        }
    }

    /// No more pulls: what is to be read to its end.
    pub(super) fn take_pullers(&mut self) -> Vec<Puller> {
        let pullers = self.all.iter_mut().map(|feed| feed.puller.take());
        pullers.flatten().collect()
    }

    /// Pulls what is free. Says when to look again, if something was put off.
    pub(super) fn pull(
        &mut self,
        occupied: u32,
        unacked: u32,
        epoch: u64,
        now: Boot,
    ) -> Option<Boot> {
        let plan = match self.all.as_slice() {
            [one] => self
                .slots
                .plan(&[one.demand(epoch, now)], occupied, unacked, now),
            many => {
                let demands: Vec<_> = many.iter().map(|feed| feed.demand(epoch, now)).collect();
                self.slots.plan(&demands, occupied, unacked, now)
            }
        };
        let rests = self.all.iter().filter_map(|feed| feed.newer.rests(now));
        let mut again = plan.again.into_iter().chain(rests).min();
        for (lane, ask) in plan.pulls {
            let lot = lot(&mut self.lots);
            if !self.all[lane].pull(ask, lot, now) {
                again = Some(again.unwrap_or(now + PULL_BRIEF));
            }
        }
        again
    }

    /// The leader counted who has a slot free for which handler of a queue.
    pub(super) fn count(
        &mut self,
        queue: &QueueName,
        free: &BTreeMap<HandlerName, u32>,
        now: Boot,
    ) {
        for feed in self.all.iter_mut().filter(|feed| feed.lane.queue == *queue) {
            let workers = free.get(&feed.lane.handler).copied();
            feed.bells.count(workers.unwrap_or_default(), now);
        }
    }

    /// Somebody rang for a lane.
    pub(super) fn hear_bell(&mut self, lane: &Lane, ring: Ring, now: Boot) {
        if let Some(feed) = self.all.iter_mut().find(|feed| feed.lane == *lane) {
            feed.bells.hear(ring, now);
        }
    }

    /// What comes next from any of them, and from which.
    pub(super) async fn next(&mut self) -> (usize, Option<Came>) {
        poll_fn(|context| {
            for step in 0..self.all.len() {
                let lane = (self.turn + step) % self.all.len();
                if let Poll::Ready(came) = self.all[lane].poll(context) {
                    self.turn = lane;
                    return Poll::Ready((lane, came));
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl Feed {
    fn new(lane: Lane, subjects: &Subjects) -> Feed {
        Feed {
            prefix: subjects
                .shards_of_lane(&lane)
                .trim_end_matches('*')
                .to_owned(),
            lane,
            puller: None,
            floor: None,
            ack_deadline: Duration::ZERO,
            attaching: false,
            vain: 0,
            last_run: None,
            pulls: QuickMap::default(),
            waiting: 0,
            bell: None,
            bells: Bells::default(),
            busy: false,
            newer: PutOff::default(),
        }
    }

    /// What it has brought that a newer build issued.
    pub(super) fn newer(&mut self) -> &mut PutOff {
        &mut self.newer
    }

    pub(super) fn lane(&self) -> &Lane {
        &self.lane
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn ack_deadline(&self) -> Duration {
        self.ack_deadline
    }

    pub(super) fn last_run(&self) -> Option<&RunId> {
        self.last_run.as_ref()
    }

    /// The consumer that it pulls from, or did last.
    pub(super) fn consumer(&self) -> Option<&ConsumerName> {
        self.puller.as_ref().map(Puller::consumer)
    }

    /// Whether it has a consumer, as far as is known.
    pub(super) fn has_consumer(&self) -> bool {
        self.puller.is_some()
    }

    /// Its consumer and floor are to be asked for. `false`: they already are.
    pub(super) fn begin_attach(&mut self) -> bool {
        !std::mem::replace(&mut self.attaching, true)
    }

    pub(super) fn end_attach(&mut self) {
        self.attaching = false;
    }

    /// It was in vain: how long to wait before it is asked again. Whoever comes back just after the broker need not wait
    /// for long.
    pub(super) fn wait(&mut self) -> Duration {
        let pause = RETRY_FIRST * (1 << self.vain.min(8));
        self.vain += 1;
        pause.min(RETRY_MOST)
    }

    /// Takes up what the broker said. `true` when another consumer has become the current one.
    pub(super) fn settle(&mut self, broker: &Broker, attachment: Attachment) -> bool {
        self.bells.forget();
        self.vain = 0;
        self.ack_deadline = attachment.consumer.ack_deadline;
        self.floor = Some(attachment.floor);
        let known = self
            .puller
            .as_ref()
            .is_some_and(|puller| *puller.consumer() == attachment.consumer.name);
        if known {
            return false;
        }
        let changed = self.puller.is_some();
        let stream = broker.subjects().shards();
        self.puller = Some(Puller::new(broker, &stream, &attachment.consumer.name));
        self.pulls.clear();
        self.waiting = 0;
        self.bell = None;
        changed
    }

    /// How the slots see it, on connection `epoch`.
    fn demand(&self, epoch: u64, now: Boot) -> Demand {
        let known = self.floor(epoch).is_some();
        Demand {
            open: known
                && self.puller.is_some()
                && !self.attaching
                && self.newer.rests(now).is_none(),
            waiting: self.waiting,
            bell: self.bell.is_some(),
            quiet: self.bells.is_quiet(now),
            busy: self.busy,
        }
    }

    /// Up to which sequence a delivery on connection `epoch` is not certainly first.
    pub(super) fn floor(&self, epoch: u64) -> Option<u64> {
        self.floor
            .as_ref()
            .filter(|floor| floor.epoch == epoch)
            .map(|floor| floor.seq)
    }

    /// A tile came, for the last free slot or not, and `waiting` more are there: for whom to ring.
    pub(super) fn rings(
        &mut self,
        by_bell: bool,
        is_last: bool,
        waiting: u64,
        now: Boot,
    ) -> Option<Ring> {
        if by_bell {
            self.bells.used(now);
        }
        self.bells.rings(waiting, by_bell && is_last, now)
    }

    /// Asks for tiles, unless `lot` says that others wait for the first. Nothing here waits: `false` when that cannot
    /// be sent now, and is to be asked for later.
    fn pull(&mut self, ask: Ask, lot: u32, now: Boot) -> bool {
        // The next one to end makes room, and then asks for all that is free in one.
        if self.pulls.len() >= PULLS_MAX {
            return true;
        }
        let Some(puller) = &mut self.puller else {
            return true;
        };
        let longest = (self.ack_deadline / 3).min(PULL_MAX);
        let bell = uneven(longest, lot);
        if ask == Ask::Bell && !self.bells.draw(lot, bell, now) {
            return true;
        }
        let sent = Boot::now();
        let (tiles, patience) = match ask {
            Ask::Waiting(tiles) => (tiles, Patience::UpTo(longest)),
            Ask::Briefly(tiles) => (tiles, Patience::UpTo(longest.min(PULL_BRIEF))),
            Ask::AtOnce(tiles) => (tiles, Patience::None),
            Ask::Bell => (1, Patience::UpTo(bell)),
        };
        let patience = match self.newer.only_looks(now) {
            true => Patience::None,
            false => patience,
        };
        match puller.pull(tiles, patience).now_or_never() {
            Some(Ok(pull)) => {
                let unfilled = tiles;
                self.pulls.insert(pull, Pull { sent, unfilled });
                match ask {
                    Ask::Bell => {
                        self.bell = Some(pull);
                        self.bells.laid();
                    }
                    Ask::Waiting(_) | Ask::Briefly(_) | Ask::AtOnce(_) => self.waiting += tiles,
                }
                true
            }
            Some(Err(error)) => {
                tracing::debug!(queue = %self.lane.queue, handler = %self.lane.handler, error = %chain(&error), "cannot pull");
                false
            }
            None => false,
        }
    }

    /// So many tiles fewer are to come of a pull.
    fn less(&mut self, pull: PullId, tiles: u32) {
        if self.bell != Some(pull) {
            self.waiting = self.waiting.saturating_sub(tiles);
        }
    }

    fn take(&mut self, event: PullEvent) -> Option<Came> {
        match event {
            PullEvent::Delivery(delivery) => {
                let id = delivery.pull;
                let pull = self.pulls.get_mut(&id)?;
                let (sent, by_bell) = (pull.sent, self.bell == Some(id));
                pull.unfilled = pull.unfilled.saturating_sub(1);
                self.less(id, 1);
                self.busy = true;
                if delivery.unfilled == 0 {
                    self.end(id);
                }
                Some(Came::Delivery {
                    delivery,
                    pulled: sent,
                    by_bell,
                })
            }
            PullEvent::Ended { pull, reason, .. } => {
                self.end(pull)?;
                match reason {
                    EndReason::Expired => {
                        self.busy = false;
                        self.newer.found_no_more(Boot::now());
                        None
                    }
                    // The new connection is noticed as such.
                    EndReason::Disconnected => None,
                    reason @ (EndReason::ConsumerGone
                    | EndReason::Unavailable
                    | EndReason::Silent
                    | EndReason::Refused { .. }) => Some(Came::Lost(reason)),
                }
            }
        }
    }

    /// Nothing more comes of a pull.
    fn end(&mut self, id: PullId) -> Option<()> {
        let pull = self.pulls.remove(&id)?;
        self.less(id, pull.unfilled);
        self.bell = self.bell.filter(|bell| *bell != id);
        Some(())
    }

    fn poll(&mut self, context: &mut std::task::Context<'_>) -> Poll<Option<Came>> {
        let Some(puller) = &mut self.puller else {
            return Poll::Pending;
        };
        let event = std::task::ready!(puller.poll(context));
        Poll::Ready(self.take(event))
    }
}

/// Draws the next lot.
fn lot(lots: &mut u64) -> u32 {
    *lots = lots.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
    (*lots >> 32) as u32
}

/// A part of `time` that is not the same each time, so that pulls do not end together for ever. Of `lot` the
/// lower half counts: the upper one says who lays a bell.
fn uneven(time: Duration, lot: u32) -> Duration {
    let part = f64::from(lot & 0xffff) / 65_536.0;
    time.mul_f64(0.75 + part / 4.0)
}
