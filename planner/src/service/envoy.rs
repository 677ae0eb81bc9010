//! Speaks for one leadership: knows the broker, and whom to tell what came of something.

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::topology::TopologyOptions;
use gridloom_shared::id::{RunId, Session};
use gridloom_shared::ledger::record::{Opened, count};
use gridloom_shared::telemetry::spans::Tracer;
use tokio::sync::{mpsc, oneshot};

use super::doors::Doors;
use super::event::Event;
use super::odd::Odd;
use super::tasks::Errands;
use crate::book::Life;
use crate::broker_clock::BrokerClock;
use crate::lead::event::{self, Report};
use crate::leader::Validity;
use crate::open::{self, OpenError, Opening};
use crate::teller::Teller;

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
    /// Counts what workers write that makes no sense.
    pub(super) odd: Odd,
    /// Who is told of traces.
    pub(super) tracer: Tracer,
    /// Which life of a run it is sent for.
    pub(super) life: Option<Life>,
}

impl Envoy {
    /// Tells the loop. `false` once nobody listens.
    pub(super) async fn say(&self, event: event::Event) -> bool {
        let event = Event::Lead(self.number, event);
        self.events.send(event).await.is_ok()
    }

    /// Opens a run: with its first tiles, where the loop has room for them.
    pub(super) async fn open(&self, run: RunId, opened: Opened) -> Result<Opening, OpenError> {
        // Decided with the first record, and for good.
        let begun = || self.tracer.begin(&run, opened.nonce);
        let opened = Opened {
            traceparent: opened.traceparent.or_else(begun),
            ..opened
        };
        let opened = self.begin(opened).await.ok_or(OpenError::Over)?;
        let (queue, tiles) = (opened.job.queue.clone(), count(&opened.first));
        let opening = open::open(&self.broker, run, *opened).await;
        if tiles > 0 && !matches!(opening, Ok(Opening::New(_))) {
            self.say(event::Event::NotOpened(queue, tiles)).await;
        }
        opening
    }

    /// The record with what is issued with it; `None` once nobody listens.
    async fn begin(&self, opened: Opened) -> Option<Box<Opened>> {
        let (tell, told) = oneshot::channel();
        let teller = Teller::new(move |opened| {
            let _ = tell.send(opened);
        });
        self.say(event::Event::Begins(Box::new(opened), teller))
            .await;
        told.await.ok()
    }

    /// Tells the loop what came of an action.
    pub(super) async fn report(&self, report: Report) {
        self.say(event::Event::Report(self.life, report)).await;
    }
}
