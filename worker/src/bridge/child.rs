//! Speaks with one child from its welcome to its end: hands it tiles, hears what came of them, tells it what is to stop,
//! and has it killed where it does not.

use std::sync::Arc;
use std::time::Duration;

use gridloom_shared::clock::Boot;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answers::{Answer, Answers};
use super::death::{Cause, Death};
use super::desk::Desk;
use super::heard::Heard;
use super::lease::{ChildLease, InHand};
use super::link::{Link, Over};
use super::pool::{Order, Pool, Way, What, unreached};
use super::process::{Ended, Process};
use super::said::{Said, Why};
use crate::failure::Failure;
use crate::metrics::{CHILD_DEATHS, CHILD_ODD_ANSWERS, CHILDREN};
use crate::shard::TileContext;

/// How long a shard may take to end when the worker's own grace is over.
const AT_THE_END: Duration = Duration::from_millis(50);
/// How long a process may take to end by itself when its connection did.
const ENDS_WITHIN: Duration = Duration::from_millis(500);
/// How long is heard what a process said last before it ended.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A child that has come.
pub(super) struct Child {
    pub(super) who: Arc<str>,
    pub(super) link: Link,
    pub(super) slots: u32,
    /// Its process, where it is this worker's.
    pub(super) process: Option<Process>,
    /// How long what is told to stop may take.
    pub(super) grace: Duration,
}

/// How it ended.
pub(super) enum How {
    /// It wanted nothing more, or the worker stops.
    Drained,
    Died(Arc<Death>),
}

struct Held {
    tile: Arc<TileContext>,
    answers: Arc<Answers>,
}

struct Serving<'p> {
    child: Child,
    pool: &'p Arc<Pool>,
    number: u64,
    desk: Desk<Held>,
    lease: ChildLease,
    /// Whether it wants nothing more.
    leaves: bool,
    /// Until when it has to be gone, once nothing more comes.
    drained: Option<Boot>,
    odd: u64,
}

/// Lets the child run tiles until it ends, or until `stop` and the end of what it has.
pub(super) async fn serve(child: Child, pool: &Arc<Pool>, stop: &CancellationToken) -> How {
    let (sender, mut orders) = mpsc::unbounded_channel();
    let number = pool.join(Way::new(Arc::clone(&child.who), sender), child.slots);
    show(pool);
    let mut serving = Serving {
        child,
        pool,
        number,
        desk: Desk::default(),
        lease: ChildLease::new(Boot::now()),
        leaves: false,
        drained: None,
        odd: 0,
    };
    let cause = serving.run(&mut orders, stop).await;
    pool.leave(number);
    show(pool);
    serving.refuse(&mut orders);
    serving.bury(cause).await
}

/// How many there are. What is not shown again goes away.
fn show(pool: &Pool) {
    CHILDREN.gauge(&[]).set(f64::from(pool.running()));
}

impl Serving<'_> {
    /// `None`: it has ended as it should.
    async fn run(
        &mut self,
        orders: &mut mpsc::UnboundedReceiver<Order>,
        stop: &CancellationToken,
    ) -> Option<Cause> {
        loop {
            let stopping = stop.is_cancelled();
            if self.drained.is_none() && (stopping || self.leaves && self.desk.is_empty()) {
                self.drain(orders);
            }
            let limit = self.desk.limit().into_iter().chain(self.drained).min();
            tokio::select! {
                heard = self.child.link.next() => match heard {
                    Ok(heard) => {
                        if let Err(cause) = self.hear(heard) {
                            return Some(cause);
                        }
                    }
                    Err(Over::Broke(how)) => return Some(Cause::Broke(how)),
                    Err(Over::Closed) => return self.closed().await,
                },
                Some(order) = orders.recv(), if self.drained.is_none() => self.obey(order).await,
                () = gone(self.child.process.as_mut()) => {
                    self.last_words().await;
                    return self.ended();
                }
                () = over(limit) => return match self.drained {
                    Some(_) => None,
                    None => Some(Cause::Deaf),
                },
                () = tokio::time::sleep_until(self.lease.due()) => self.renew().await,
                () = stop.cancelled(), if !stopping => {}
            }
        }
    }

    /// Nothing more comes.
    fn drain(&mut self, orders: &mut mpsc::UnboundedReceiver<Order>) {
        self.pool.leave(self.number);
        self.refuse(orders);
        self.child.link.say(&Said::Drain);
        self.drained = Some(Boot::now() + self.child.grace);
    }

    /// What was not handed over yet goes to others.
    fn refuse(&self, orders: &mut mpsc::UnboundedReceiver<Order>) {
        orders.close();
        while let Ok(order) = orders.try_recv() {
            if let Order::Give { answers, .. } = order {
                unreached(&self.child.who, &answers);
            }
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Give {
                first,
                tile,
                what,
                answers,
            } => self.give(first, Held { tile, answers }, &what).await,
            Order::Stop { first, only, why } => {
                let grace = match why {
                    Why::Stopping => AT_THE_END,
                    Why::Lease | Why::Cancelled | Why::Time => self.child.grace,
                };
                let ids = self.desk.stop(first, only, Boot::now() + grace);
                if !ids.is_empty() {
                    self.child.link.say(&Said::Stop { ids: &ids, why });
                }
            }
        }
    }

    async fn give(&mut self, first: u64, held: Held, what: &What) {
        // Before it can begin: if this worker stands still from here on, it dies in time.
        let (until, alone) = (held.tile.hold.until(), self.desk.is_empty());
        if let Some(process) = self.child.process.as_ref().filter(|_| alone) {
            process.voice().forget();
        }
        let sooner = self.lease.given(Boot::now(), until, alone);
        if let (Some(process), Some(until)) = (&mut self.child.process, sooner) {
            process.renew(until).await;
        }
        let message = match what {
            What::Pages(pages) => Said::shards(&held.tile, pages, first),
            What::Probe(page) => Said::probe(&held.tile, *page, first),
        };
        if !self.child.link.say(&message) {
            for index in 0..what.count() {
                let failure = Failure::permanent("its parameters are too large for a child");
                held.answers.put(index, Answer::Failed(failure));
            }
            self.pool.free(self.number, 1);
            return;
        }
        self.desk.give(first, what.count(), held);
        self.tell_about();
    }

    fn hear(&mut self, heard: Heard) -> Result<(), Cause> {
        match heard {
            Heard::Hello(_) => return Err(Cause::Broke("a second hello".to_owned())),
            Heard::Done(all) => {
                for done in all {
                    self.answer(done.id, Answer::Done(done));
                }
            }
            Heard::Fail(all) => {
                for failed in all {
                    self.answer(failed.id, Answer::Failed(failed.failure));
                }
            }
            Heard::Stopped(ids) => {
                for id in ids {
                    self.answer(id, Answer::Stopped);
                }
            }
            Heard::Pages(pages) => self.answer(pages.id, Answer::Pages(pages.answer)),
            Heard::Progress(all) => {
                for progress in all {
                    if let Some((held, index)) = self.desk.find(progress.id) {
                        held.answers.note(index, progress.rows);
                    }
                }
            }
            Heard::Bye => {
                self.leaves = true;
                self.pool.leave(self.number);
            }
            Heard::Unknown => {}
        }
        let free = self.desk.clear();
        if free > 0 {
            self.pool
                .free(self.number, u32::try_from(free).unwrap_or(u32::MAX));
            self.tell_about();
        }
        self.count_odd();
        Ok(())
    }

    fn answer(&mut self, id: u64, answer: Answer) {
        if let Some(counts) = self.desk.answer(id) {
            counts.tile.answers.put(counts.index, answer);
        }
    }

    fn count_odd(&mut self) {
        let more = self.desk.odd() - self.odd;
        if more == 0 {
            return;
        }
        if self.odd == 0 {
            let who = &*self.child.who;
            tracing::warn!(
                who,
                "a child answers for shards that it does not have; nothing of it counts"
            );
        }
        self.odd += more;
        CHILD_ODD_ANSWERS.counter(&[]).increment(more);
    }

    /// What it says is about the tile that it has, where that is one alone.
    fn tell_about(&self) {
        let mut tiles = self.desk.tiles();
        let only = tiles.next().filter(|_| tiles.next().is_none());
        if let Some(process) = &self.child.process {
            process.voice().set_about(only.map(|held| &held.tile));
        }
    }

    /// It may run as long as this worker lives and holds what it runs.
    async fn renew(&mut self) {
        show(self.pool);
        let in_hand = self.in_hand();
        let until = self.lease.renew(Boot::now(), Instant::now(), in_hand);
        if let Some(process) = &mut self.child.process {
            process.renew(until).await;
        }
    }

    fn in_hand(&self) -> InHand {
        let held = self.desk.tiles();
        let held = held.filter(|held| held.tile.hold.ended().is_none());
        match held.map(|held| held.tile.hold.until()).min() {
            Some(first) => InHand::Until(first),
            None if self.desk.is_empty() => InHand::Nothing,
            None => InHand::Stopping,
        }
    }

    /// The connection is closed: mostly because the process has ended, or is about to.
    async fn closed(&mut self) -> Option<Cause> {
        let within = match self.drained {
            Some(limit) => limit.since(Boot::now()),
            None => ENDS_WITHIN,
        };
        if let Some(process) = &mut self.child.process
            && tokio::time::timeout(within, process.gone()).await.is_ok()
        {
            return self.ended();
        }
        self.drained.is_none().then_some(Cause::Closed)
    }

    /// Its process has ended by itself.
    fn ended(&self) -> Option<Cause> {
        (self.drained.is_none() || !self.desk.is_empty()).then_some(Cause::Ended)
    }

    /// Hears what it said before it ended.
    async fn last_words(&mut self) {
        let words = async {
            while let Ok(heard) = self.child.link.next().await {
                if self.hear(heard).is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS, words).await;
    }

    /// Ends what is left of it. Only then whoever waits for an answer hears that none comes: what it ran does not run any more.
    async fn bury(self, cause: Option<Cause>) -> How {
        let Serving { child, desk, .. } = self;
        // Who cannot be killed, as its guard was, sees at least that nobody listens.
        drop(child.link);
        let ended = match child.process {
            Some(process) => Some(process.end().await),
            None => None,
        };
        let (ending, said) = match ended {
            Some(Ended { ending, said }) => (Some(ending), said),
            None => (None, String::new()),
        };
        let drained = cause.is_none();
        let death = Arc::new(Death {
            who: child.who.to_string(),
            cause: cause.unwrap_or(Cause::Stopping),
            ending,
            said,
        });
        for held in desk.tiles() {
            held.answers.end(Arc::clone(&death));
        }
        if drained {
            return How::Drained;
        }
        CHILD_DEATHS.counter(&[]).increment(1);
        How::Died(death)
    }
}

/// Waits for the end of a process of ours; that of another cannot be seen.
async fn gone(process: Option<&mut Process>) {
    match process {
        Some(process) => process.gone().await,
        None => std::future::pending().await,
    }
}

/// Ends at that moment of the boot clock; without one, never.
async fn over(moment: Option<Boot>) {
    match moment {
        Some(moment) => tokio::time::sleep(moment.since(Boot::now())).await,
        None => std::future::pending().await,
    }
}
