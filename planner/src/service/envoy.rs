//! Speaks for one leadership: knows the broker, and whom to tell what came of something.

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::topology::TopologyOptions;
use gridloom_shared::id::Session;
use tokio::sync::mpsc;

use super::doors::Doors;
use super::event::Event;
use super::tasks::Errands;
use crate::book::Life;
use crate::broker_clock::BrokerClock;
use crate::lead::event::{self, Report};
use crate::leader::Validity;

/// What every task of a leadership has.
#[derive(Clone, Debug)]
pub(super) struct Envoy {
    pub(super) broker: Broker,
    /// The life of this planner.
    pub(super) session: Session,
    pub(super) topology: TopologyOptions,
    /// Until when the leadership may be believed in.
    pub(super) validity: Validity,
    pub(super) clock: BrokerClock,
    /// Which queues take new runs.
    pub(super) doors: Doors,
    /// Which leadership of this process it is.
    pub(super) number: u64,
    pub(super) events: mpsc::Sender<Event>,
    /// For errands that follow from what a task hears.
    pub(super) errands: Errands,
    /// Which life of a run it is sent for.
    pub(super) life: Option<Life>,
}

impl Envoy {
    /// Tells the loop. `false` once nobody listens.
    pub(super) async fn say(&self, event: event::Event) -> bool {
        let event = Event::Lead(self.number, event);
        self.events.send(event).await.is_ok()
    }

    /// Tells the loop what came of an action.
    pub(super) async fn report(&self, report: Report) {
        self.say(event::Event::Report(self.life, report)).await;
    }
}
