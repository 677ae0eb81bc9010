//! The queues that this worker pulls from: which consumer is current, under which floor, and which
//! pulls are under way.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use gridloom_shared::broker::floor::{Floor, FloorError};
use gridloom_shared::broker::pull::{Delivery, EndReason, PullEvent, PullId, Puller};
use gridloom_shared::broker::topology::TopologyError;
use gridloom_shared::broker::topology::consumers::{AckDeadline, QueueConsumer, ensure_queue};
use gridloom_shared::broker::{Broker, Subjects};
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::quick::QuickMap;

use crate::slots::{Demand, Slots};

/// Longest pull where there are several queues: then slots move on to another queue.
const PULL_SHARED: Duration = Duration::from_secs(1);
/// Pulls of one queue that wait at once: each has a subscription of its own.
const PULLS_MAX: usize = 32;
/// How long a queue is left to others after a tile that nobody here can run, at first and at most.
const SHY_FIRST: Duration = Duration::from_millis(50);
const SHY_MAX: Duration = Duration::from_secs(2);
/// Longest pull.
const PULL_MAX: Duration = Duration::from_secs(5);

/// All queues of the worker, and how its slots are shared among them.
pub(super) struct Queues {
    all: Vec<Queue>,
    slots: Slots,
}

pub(super) struct Queue {
    name: QueueName,
    /// With what the subjects of its tiles begin, before the run.
    prefix: String,
    puller: Option<Puller>,
    floor: Option<Floor>,
    ack_deadline: Duration,
    /// Whether its consumer and floor are being asked for.
    attaching: bool,
    /// Of the tile that came last.
    last_run: Option<RunId>,
    pulls: QuickMap<PullId, Pull>,
    waiting: u32,
    busy: bool,
    /// After tiles that nobody here can run: others go first.
    shy: Option<Shy>,
}

/// How long a queue is left to others.
#[derive(Clone, Copy, Debug)]
struct Shy {
    until: Boot,
    pause: Duration,
}

#[derive(Clone, Copy)]
struct Pull {
    sent: Boot,
    unfilled: u32,
}

/// A queue's consumer and its floor, as the broker says now.
#[derive(Debug)]
pub(super) struct Attachment {
    consumer: QueueConsumer,
    floor: Floor,
}

/// Why a queue cannot be pulled from.
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
    },
    /// The consumer is gone, or something about it is odd: ask for the current one.
    Lost(EndReason),
}

/// Asks for the current consumer of `queue`, and for the floor.
pub(super) async fn attach(
    broker: Broker,
    queue: QueueName,
    deadline: AckDeadline,
) -> Result<Attachment, AttachError> {
    let consumer = ensure_queue(&broker, &queue, deadline).await?;
    let floor = broker.floor(&consumer.name).await?;
    Ok(Attachment { consumer, floor })
}

impl Queues {
    pub(super) fn new(names: &[QueueName], subjects: &Subjects, concurrency: u32) -> Queues {
        Queues {
            all: names
                .iter()
                .map(|name| Queue::new(name.clone(), subjects))
                .collect(),
            slots: Slots::new(concurrency),
        }
    }

    pub(super) fn get(&self, queue: usize) -> &Queue {
        &self.all[queue]
    }

    pub(super) fn get_mut(&mut self, queue: usize) -> &mut Queue {
        &mut self.all[queue]
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Queue> {
        self.all.iter()
    }

    /// The longest ack deadline of any of them.
    pub(super) fn longest_deadline(&self) -> Duration {
        let deadlines = self.all.iter().map(|queue| queue.ack_deadline);
        deadlines.max().unwrap_or_default()
    }

    /// The run of the tile that came last.
    pub(super) fn note_run(&mut self, queue: usize, run: &RunId) {
        let last = &mut self.all[queue].last_run;
        if last.as_ref() != Some(run) {
            *last = Some(run.clone());
        }
    }

    /// No more pulls: what is to be read to its end.
    pub(super) fn take_pullers(&mut self) -> Vec<Puller> {
        let pullers = self.all.iter_mut().map(|queue| queue.puller.take());
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
                let demands: Vec<_> = many.iter().map(|queue| queue.demand(epoch, now)).collect();
                self.slots.plan(&demands, occupied, unacked, now)
            }
        };
        let shared = self.all.len() > 1;
        for (queue, tiles) in plan.pulls {
            self.all[queue].pull(tiles, shared);
        }
        plan.again
    }

    /// What comes next from any of them, and from which.
    pub(super) async fn next(&mut self) -> (usize, Option<Came>) {
        poll_fn(|context| {
            for (n, queue) in self.all.iter_mut().enumerate() {
                if let Poll::Ready(came) = queue.poll(context) {
                    return Poll::Ready((n, came));
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl Queue {
    fn new(name: QueueName, subjects: &Subjects) -> Queue {
        Queue {
            prefix: subjects
                .shards_of_queue(&name)
                .trim_end_matches('*')
                .to_owned(),
            name,
            puller: None,
            floor: None,
            ack_deadline: Duration::ZERO,
            attaching: false,
            last_run: None,
            pulls: QuickMap::default(),
            waiting: 0,
            busy: false,
            shy: None,
        }
    }

    /// A tile came whose handler is here.
    pub(super) fn is_of_use(&mut self) {
        self.shy = None;
    }

    /// A tile came that nobody here can run. It would come again and again, before those who have its
    /// handler see it: so the queue is left to them, for longer each time that only such tiles come.
    pub(super) fn is_of_no_use(&mut self, now: Boot) {
        let pause = match self.shy {
            Some(shy) if now < shy.until => return,
            Some(shy) => (shy.pause * 2).min(SHY_MAX),
            None => SHY_FIRST,
        };
        self.shy = Some(Shy {
            until: now + pause,
            pause,
        });
    }

    pub(super) fn name(&self) -> &QueueName {
        &self.name
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

    /// Its current consumer, if it can be pulled from.
    pub(super) fn consumer(&self) -> Option<String> {
        let puller = self.puller.as_ref()?;
        Some(puller.consumer().to_string())
    }

    /// Its consumer and floor are to be asked for. `false`: they already are.
    pub(super) fn begin_attach(&mut self) -> bool {
        !std::mem::replace(&mut self.attaching, true)
    }

    pub(super) fn end_attach(&mut self) {
        self.attaching = false;
    }

    /// Takes up what the broker said. `true` when another consumer has become the current one.
    pub(super) fn settle(&mut self, broker: &Broker, attachment: Attachment) -> bool {
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
        changed
    }

    /// How the slots see it, on connection `epoch`.
    fn demand(&self, epoch: u64, now: Boot) -> Demand {
        let known = self
            .floor
            .as_ref()
            .is_some_and(|floor| floor.epoch == epoch);
        Demand {
            open: known
                && self.puller.is_some()
                && !self.attaching
                && self.shy.is_none_or(|shy| now >= shy.until),
            waiting: self.waiting,
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

    /// Asks for `tiles`. Nothing here waits: what cannot be sent now is asked for later.
    fn pull(&mut self, tiles: u32, shared: bool) {
        // The next one to end makes room, and then asks for all that is free in one.
        if self.pulls.len() >= PULLS_MAX {
            return;
        }
        let Some(puller) = &mut self.puller else {
            return;
        };
        let longest = if shared { PULL_SHARED } else { PULL_MAX };
        let expires = (self.ack_deadline / 3).min(longest);
        let sent = Boot::now();
        match puller.pull(tiles, expires).now_or_never() {
            Some(Ok(pull)) => {
                self.pulls.insert(
                    pull,
                    Pull {
                        sent,
                        unfilled: tiles,
                    },
                );
                self.waiting += tiles;
            }
            Some(Err(error)) => {
                tracing::debug!(queue = %self.name, error = %chain(&error), "cannot pull")
            }
            None => {}
        }
    }

    fn take(&mut self, event: PullEvent) -> Option<Came> {
        match event {
            PullEvent::Delivery(delivery) => {
                let pull = self.pulls.get_mut(&delivery.pull)?;
                let sent = pull.sent;
                pull.unfilled = pull.unfilled.saturating_sub(1);
                self.waiting = self.waiting.saturating_sub(1);
                self.busy = true;
                if delivery.unfilled == 0
                    && let Some(pull) = self.pulls.remove(&delivery.pull)
                {
                    self.waiting = self.waiting.saturating_sub(pull.unfilled);
                }
                Some(Came::Delivery {
                    delivery,
                    pulled: sent,
                })
            }
            PullEvent::Ended { pull, reason, .. } => {
                let ended = self.pulls.remove(&pull)?;
                self.waiting = self.waiting.saturating_sub(ended.unfilled);
                match reason {
                    EndReason::Expired => {
                        self.busy = false;
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

    fn poll(&mut self, context: &mut std::task::Context<'_>) -> Poll<Option<Came>> {
        let Some(puller) = &mut self.puller else {
            return Poll::Pending;
        };
        let event = std::task::ready!(pin!(puller.next()).poll(context));
        Poll::Ready(self.take(event))
    }
}
