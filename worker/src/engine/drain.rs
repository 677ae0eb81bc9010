//! Stops a worker: no more pulls, what is not started is handed back, what runs may finish within the
//! grace and is then stopped and handed back; then goodbye.

use std::time::Duration;

use gridloom_shared::broker::pull::Delivery;
use gridloom_shared::clock::Boot;

use super::ledger_writer::Return;
use super::tiles::{Receipt, TileKey};
use super::{Engine, Event, intake};
use crate::shard::End;

/// How long after the grace what is still to be written is waited for.
const WRITE: Duration = Duration::from_secs(5);
/// How long a broker that is gone is waited for when nothing runs any more.
const HOPE: Duration = Duration::from_secs(2);
/// How long the client may take to send the last word.
const GOODBYE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Draining {
    begun: Boot,
    /// When what still runs is stopped.
    stop: Boot,
    stopped: bool,
    /// Pullers whose last messages are not read yet.
    pullers: usize,
}

impl Draining {
    /// Whether what runs may still finish.
    pub(super) fn waits(&self) -> bool {
        !self.stopped
    }

    /// Whether what the last pulls brought is still being read.
    pub(super) fn reads(&self) -> bool {
        self.pullers > 0
    }
}

impl Engine {
    pub(super) fn begin_drain(&mut self) {
        self.now = Boot::now();
        self.announcer.stopping();
        self.health.stopping();
        let pullers = self.lanes.take_pullers();
        self.draining = Some(Draining {
            begun: self.now,
            stop: self.now + self.settings.grace,
            stopped: false,
            pullers: pullers.len(),
        });
        for puller in pullers {
            self.errands
                .add(async move { Event::Unread(puller.stop().await) });
        }
        let unstarted = self.tiles.unstarted(|_| true);
        tracing::info!(
            running = self.tiles.running(),
            unstarted = unstarted.len(),
            "draining"
        );
        unstarted.into_iter().for_each(|key| self.hand_back(key));
    }

    /// What the last pulls had brought: the puller is done.
    pub(super) fn unread_all(&mut self, deliveries: Vec<Delivery>) {
        if let Some(draining) = &mut self.draining {
            draining.pullers = draining.pullers.saturating_sub(1);
        }
        self.unread(deliveries);
    }

    /// Hands back messages that are not even read.
    pub(super) fn unread(&mut self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            let feed = self
                .lanes
                .iter()
                .find(|feed| delivery.subject.starts_with(feed.prefix()));
            let Some((feed, Ok(tile))) =
                feed.map(|feed| (feed, intake::read(&self.broker, feed, &delivery)))
            else {
                continue;
            };
            let key = TileKey::of(&tile);
            if self.tiles.contains(key) {
                continue;
            }
            let receipt = Receipt {
                reply: delivery.reply,
                epoch: delivery.epoch,
                stream_seq: delivery.stream_seq,
                delivered: delivery.delivered,
                stored_at: delivery.stored_at,
            };
            let (opened, lane) = (key.opened, feed.lane());
            self.runs.touch(opened, &tile.run, lane);
            self.ledger
                .open(opened, &tile.run, &lane.queue, self.broker.subjects());
            let returned = Return {
                place: key.place,
                receipts: vec![receipt],
            };
            self.ledger.give_back(opened, returned);
        }
    }

    pub(super) fn tick_drain(&mut self) {
        if self
            .draining
            .as_ref()
            .is_some_and(|draining| draining.waits() && self.now >= draining.stop)
        {
            self.end_grace();
        }
    }

    /// Stops what still runs, to be handed back.
    pub(super) fn end_grace(&mut self) {
        self.now = Boot::now();
        if let Some(draining) = &mut self.draining {
            draining.stopped = true;
            draining.stop = draining.stop.min(self.now);
        }
        let running = self.tiles.running();
        if running > 0 {
            tracing::warn!(running, "grace is over: stopping what runs");
        }
        self.tiles
            .iter()
            .for_each(|(_, held)| held.end(End::Stopping));
    }

    /// Whether there is nothing left to do before the end, or no hope of doing it.
    pub(super) fn is_over(&self) -> bool {
        if self.fault.is_some() {
            return true;
        }
        let Some(draining) = &self.draining else {
            return false;
        };
        let done = self.is_empty_handed();
        let waited = self.now.since(draining.begun);
        let hopeless = self.tiles.running() == 0 && !self.link.is_open() && waited > HOPE;
        done || hopeless || self.now > draining.stop + WRITE
    }

    /// Whether nothing is held, and all that is to be said about tiles is said.
    fn is_empty_handed(&self) -> bool {
        let read = self
            .draining
            .as_ref()
            .is_some_and(|draining| !draining.reads());
        read && self.tiles.executing() == 0
            && self.tiles.is_empty()
            && self.runs.are_idle()
            && self.ledger.are_idle()
            && self.signals.is_empty()
    }

    pub(super) async fn say_goodbye(&mut self) {
        let empty_handed = self.is_empty_handed();
        self.announcer.say_goodbye(empty_handed).await;
        let _ = tokio::time::timeout(GOODBYE, self.broker.flush()).await;
        tracing::info!("worker has stopped");
    }
}
