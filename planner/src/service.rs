//! The planner as a service: one loop over one closed set of events.
//!
//! | room | what it does |
//! |------|--------------|
//! | [`lead`] | the state of one leadership, and what each event changes in it |
//! | [`work`] | what is said to the broker, each in a task of its own that reports back |
//! | [`intake`] | feeds: submissions, the ledger's tail, the state of the queue, the workers' presence |
//! | [`failover`] | looks after the workers, and frees what a dead one held |
//! | [`standby`] | folds the ledger while another leads |
//! | [`streams`] | makes streams and buckets again that are gone |
//! | [`sweep`] | removes what need not be kept any more |
//! | [`orders`] | what is said to the broker for orders by people |
//! | [`shown`] | summaries and metrics: projections for people |

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::log::Record;
use gridloom_shared::broker::topology;
use gridloom_shared::broker::topology::{TopologyError, TopologyOptions};
use gridloom_shared::clock::Boot;
use gridloom_shared::id::{Session, Term};
use gridloom_shared::job::Shares;
use gridloom_shared::presence::Presence;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::broker_clock::BrokerClock;
use crate::leader::{self, Leadership, Order};
use crate::retention::Retention;

mod failover;
mod intake;
mod lead;
mod orders;
mod shown;
mod standby;
mod streams;
mod sweep;
mod work;

use lead::Lead;
use standby::{Folded, Standby};
use work::Report;

/// So long a planner that starts asks for its streams: elections or restarts may be under way, in each
/// of which one request waits for its time-out.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two attempts of it.
const PAUSE: Duration = Duration::from_millis(500);
/// Events that may wait for the loop.
const EVENTS: usize = 8_192;
/// Events taken in before what they call for is carried out.
const AT_ONCE: usize = 512;
/// How often due retries are looked for.
const TICK: Duration = Duration::from_millis(25);

/// How a planner is set up.
#[derive(Clone, Debug)]
pub struct PlannerOptions {
    /// Its name, as people see it.
    pub name: String,
    /// How streams and buckets are made where they are missing.
    pub topology: TopologyOptions,
    /// What is kept of runs that are over.
    pub retention: Retention,
    /// How worker-seconds are divided between shares.
    pub shares: Shares,
}

/// Whether the planner can work, for `/ready`.
#[derive(Clone, Debug)]
pub struct Health {
    broker: Broker,
    term: Arc<AtomicU64>,
}

impl Health {
    /// The term under which this planner leads; `None` for a standby.
    pub fn leads(&self) -> Option<Term> {
        let term = self.term.load(Ordering::Relaxed);
        (term > 0).then_some(Term(term))
    }
}

impl gridloom_shared::telemetry::Health for Health {
    fn ready(&self) -> Result<(), String> {
        if self.broker.is_connected() {
            Ok(())
        } else {
            Err("the broker is not connected".into())
        }
    }
}

/// A running planner: the leader, or a standby that takes over when the leader is silent.
#[derive(Debug)]
pub struct Planner {
    health: Health,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Planner {
    /// Makes or checks the topology, then starts.
    ///
    /// # Errors
    /// When streams or buckets cannot be made, or are configured otherwise than expected.
    #[inline(never)]
    pub fn start(
        broker: Broker,
        options: PlannerOptions,
    ) -> BoxFuture<'static, Result<Planner, TopologyError>> {
        Box::pin(Planner::start_now(broker, options))
    }

    async fn start_now(broker: Broker, options: PlannerOptions) -> Result<Planner, TopologyError> {
        let give_up = Boot::now() + PATIENCE;
        while let Err(error) = ensure(&broker, &options.topology).await {
            if !error.is_passing() || Boot::now() > give_up {
                return Err(error);
            }
            tracing::warn!(%error, "the streams cannot be looked at; looking again");
            tokio::time::sleep(PAUSE).await;
        }
        let health = Health {
            broker: broker.clone(),
            term: Arc::default(),
        };
        let (stop, stopped) = oneshot::channel();
        let service = Service::new(broker, options, health.clone());
        let task = tokio::spawn(service.run(stopped));
        Ok(Planner {
            health,
            stop: Some(stop),
            task,
        })
    }

    /// Whether it can work, and whether it leads.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Gives up the leadership and ends. What was under way is in the ledger or was never decided.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the planner did not end by itself");
        }
    }
}

impl Drop for Planner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn ensure(broker: &Broker, options: &TopologyOptions) -> Result<(), TopologyError> {
    streams::ensure(broker, options).await?;
    topology::consumers::ensure_planner(broker).await?;
    Ok(())
}

/// Everything that the loop hears.
#[derive(Debug)]
enum Event {
    /// A worker announced itself.
    Presence(Box<Presence>),
    /// From a leadership: its number, and what happened in it.
    Lead(u64, LeadEvent),
}

/// What one leadership hears.
#[derive(Debug)]
enum LeadEvent {
    /// The next record of the ledger.
    Ledger(Record),
    /// The ledger ends before what was read of it.
    LedgerLost(String),
    /// A submission was answered with a new run.
    Opened(Box<crate::submit::NewRun>),
    /// Somebody gave an order.
    Ordered(lead::commands::Asked),
    /// Something that was carried out has ended.
    Report(Report),
    /// A worker is dead.
    WorkerDied(Box<Presence>),
    /// The stream of the queues is gone, or nothing is left on it.
    QueueLost,
    /// The connection to the broker is another: the queue may have lost what was on it.
    Reconnected,
}

struct Service {
    broker: Broker,
    options: PlannerOptions,
    session: Session,
    health: Health,
    events: mpsc::Receiver<Event>,
    sender: mpsc::Sender<Event>,
    leads: u64,
    validity: leader::Validity,
    clock: BrokerClock,
    /// The connection as it was first seen, and when.
    connected: (u64, Boot),
}

impl Service {
    fn new(broker: Broker, options: PlannerOptions, health: Health) -> Service {
        let (sender, events) = mpsc::channel(EVENTS);
        let connected = (broker.connection_epoch(), Boot::now());
        Service {
            broker,
            options,
            session: Session::random(),
            health,
            events,
            sender,
            leads: 0,
            validity: leader::Validity::default(),
            clock: BrokerClock::default(),
            connected,
        }
    }

    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let (changes_in, mut changes) = mpsc::channel(8);
        let (orders, orders_out) = mpsc::channel(8);
        let name = self.options.name.clone();
        let keeper = tokio::spawn(leader::keep(
            self.broker.clone(),
            name,
            changes_in,
            orders_out,
            self.validity.clone(),
            self.clock.clone(),
        ));
        let presence = tokio::spawn(intake::presence(self.broker.clone(), self.sender.clone()));
        let (replaced_in, mut replaced) = mpsc::channel(1);
        let streams = tokio::spawn(streams::keep(
            self.broker.clone(),
            self.options.topology,
            replaced_in,
        ));
        let shown = shown::start(self.broker.clone());
        let mut lead: Option<Lead> = None;
        let mut standby: Option<Standby> = None;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = &mut stopped => break,
                change = changes.recv() => match change {
                    Some(Leadership::Leads(term)) => {
                        let folded = match standby.take() {
                            Some(standby) => standby.stop().await,
                            None => None,
                        };
                        lead = self.take(term, &orders, &shown, folded).await;
                    }
                    Some(Leadership::Lost) => {
                        if lead.take().is_some() {
                            tracing::warn!("leads no more; standing by");
                        }
                    }
                    None => break,
                },
                // Folded and open runs alike are of a ledger that is gone.
                Some(streams::LedgerReplaced) = replaced.recv() => {
                    tracing::error!(runs = lead.as_ref().map(Lead::open_runs), "the ledger is another: runs of the old one are lost");
                    (lead, standby) = (None, None);
                    let _ = orders.send(Order::Afresh).await;
                }
                event = self.events.recv() => {
                    let Some(event) = event else { break };
                    self.take_in(event, &mut lead);
                    for _ in 0..AT_ONCE {
                        let Ok(event) = self.events.try_recv() else { break };
                        self.take_in(event, &mut lead);
                    }
                }
                _ = ticks.tick() => {
                    if let Some(lead) = &mut lead {
                        lead.tick();
                    }
                }
            }
            if let Some(lead) = &mut lead {
                lead.advance();
            }
            if let Some(term) = lead.as_mut().and_then(Lead::deposed) {
                tracing::warn!(term = term.0, "another planner took the term; standing by");
                lead = None;
                let _ = orders.send(Order::StepDown(term)).await;
            }
            if lead.is_none() && standby.is_none() {
                standby = Some(Standby::start(self.broker.clone()));
            }
            let term = lead.as_ref().map_or(0, |lead| lead.term().0);
            self.health.term.store(term, Ordering::Relaxed);
        }
        drop(lead);
        let (answer, given_up) = oneshot::channel();
        if orders.send(Order::GiveUp(answer)).await.is_ok() {
            let _ = tokio::time::timeout(Duration::from_secs(2), given_up).await;
        }
        keeper.abort();
        presence.abort();
        streams.abort();
        shown.stop().await;
    }

    async fn take(
        &mut self,
        term: Term,
        orders: &mpsc::Sender<Order>,
        shown: &shown::Shown,
        folded: Option<Folded>,
    ) -> Option<Lead> {
        self.leads += 1;
        let voice = work::Voice::new(
            self.broker.clone(),
            self.session,
            self.options.topology,
            self.validity.clone(),
            self.clock.clone(),
            self.leads,
            self.sender.clone(),
        );
        let epoch = self.broker.connection_epoch();
        if epoch != self.connected.0 {
            self.connected = (epoch, Boot::now());
        }
        let workers = failover::Workers::new(epoch, self.connected.1);
        match Lead::take(
            voice,
            term,
            shown.clone(),
            self.options.retention,
            workers,
            folded,
        )
        .await
        {
            Ok(lead) => {
                tracing::info!(term = term.0, runs = lead.open_runs(), "leads");
                Some(lead)
            }
            Err(error) => {
                tracing::warn!(term = term.0, %error, "failed to take the leadership");
                let _ = orders
                    .send(Order::StepDown(error.holder().unwrap_or(term)))
                    .await;
                None
            }
        }
    }

    fn take_in(&self, event: Event, lead: &mut Option<Lead>) {
        let Some(lead) = lead else { return };
        match event {
            Event::Presence(presence) => lead.hear(&presence),
            Event::Lead(number, event) if number == self.leads => lead.take_in(event),
            Event::Lead(..) => {}
        }
    }
}
