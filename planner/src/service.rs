//! The planner as a service: one loop over one closed set of events.
//!
//! | room | what it does |
//! |------|--------------|
//! | [`take`] | takes the leadership over |
//! | [`act`] | carries out what [`crate::lead`] decides |
//! | [`task`] | which tasks there are, and to whom each belongs |
//! | [`tasks`] | spawns every task, each under its name, and says which one has ended |
//! | [`doors`] | which queues take new runs |
//! | [`intake`] | what the loop waits for, and how much of it a round takes in |
//! | [`attendance`] | answers who asks who plans |
//! | [`feeds`] | submissions, orders, the ledger's tail, the state of the queue, the workers' presence |
//! | [`failover`] | looks after the workers, and frees what a dead one held |
//! | [`standby`] | folds the ledger while another leads |
//! | [`streams`] | makes streams and buckets again that are gone |
//! | [`sweep`] | removes what need not be kept any more |
//! | [`vanished`] | looks whether records of open runs vanish |
//! | [`schedules`] | opens the runs of schedules |
//! | [`alarms`] | keeps what the broker raises where no planner is left |
//! | [`projection`], [`counted`] | summaries, and what is counted, for people |
//! | [`traced`] | what is told of traces |
//! | [`gauges`], [`numbers`], [`certificates`] | how a leadership, its streams and the broker's certificates stand, for people |
//! | [`fault`] | a fault of one task, on purpose |
//! | [`health`] | whether this planner can work |
//! | [`odd`] | counts what workers write that makes no sense |

use std::time::Duration;

use futures_util::future::BoxFuture;
use gridloom_shared::broker::Broker;
use gridloom_shared::broker::topology::{self, TopologyError, TopologyOptions};
use gridloom_shared::chain;
use gridloom_shared::clock::{Boot, UnixMs};
use gridloom_shared::id::{Session, Term};
use gridloom_shared::job::Shares;
use gridloom_shared::telemetry::spans::Tracer;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::admission::Flow;
use crate::broker_clock::BrokerClock;
use crate::lead;
use crate::leader::{self, Leadership, Notice, Told};
use crate::now::Now;
use crate::retention::Retention;
use crate::toll::Tolls;

mod act;
mod alarms;
mod attendance;
mod certificates;
mod counted;
mod doors;
mod envoy;
mod error;
mod event;
mod failover;
mod fault;
mod feeds;
mod gauges;
mod health;
mod intake;
mod numbers;
mod odd;
mod projection;
mod schedules;
mod standby;
mod streams;
mod sweep;
mod take;
mod task;
pub(crate) mod tasks;
mod traced;
mod vanished;

use envoy::Envoy;
use event::Event;
pub use fault::{Fault, How};
pub use health::Health;
use intake::Intake;
use standby::{Known, Standby};
pub use task::{Owner, Task};
pub use tasks::Ended;
use tasks::Tasks;

/// So long a planner that starts asks for its streams: elections or restarts may be under way, in each
/// of which one request waits for its time-out.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two attempts of it.
const PAUSE: Duration = Duration::from_millis(500);
/// Events that may wait for the loop.
const EVENTS: usize = 8_192;
/// A loop that has not gone round for so long hangs, and leads no more. By then it has said for a while that it is not ready.
const HANGS: Duration = Duration::from_secs(10);
/// So long a takeover may last: the loop stands still meanwhile, and the ledger may be long.
const TAKES: Duration = Duration::from_secs(600);

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
    /// Most open runs of one queue; more submissions wait on the submit stream.
    pub open_runs: usize,
    /// Who is told of traces.
    pub tracer: Tracer,
    /// A fault of its own, to see that it is noticed. For tests.
    pub fault: Option<Fault>,
}

/// A running planner: the leader, or a standby that takes over when the leader is silent.
#[derive(Debug)]
pub struct Planner {
    health: Health,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), Ended>>,
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
            tracing::warn!(error = %chain(&error), "the streams cannot be looked at; looking again");
            tokio::time::sleep(PAUSE).await;
        }
        let health = Health::new(broker.clone());
        let (stop, stopped) = oneshot::channel();
        let mut service = Service::new(broker, options, health.clone());
        let fault = service.fault_of(|task| task == Task::Loop);
        let task = tasks::spawn_loop(fault, service.run(stopped));
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
        if let Err(error) = self.ended().await {
            tracing::error!(error = %chain(&error), "the planner did not end by itself");
        }
    }

    /// Waits until the planner has ended: by itself only when something is wrong. Dropped in the
    /// middle, it can be called again.
    ///
    /// # Errors
    /// Which task of it ended, unless it was told to.
    pub async fn ended(&mut self) -> Result<(), Ended> {
        match (&mut self.task).await {
            Ok(ended) => ended,
            Err(_) => Err(Ended::Panicked(Task::Loop)),
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

struct Service {
    broker: Broker,
    options: PlannerOptions,
    session: Session,
    health: Health,
    intake: Intake<Event>,
    sender: mpsc::Sender<Event>,
    leads: u64,
    validity: leader::Validity,
    silence: leader::Silence,
    clock: BrokerClock,
    /// The connection as it was first seen, and when.
    connected: (u64, Boot),
    leadership: Option<take::Leadership>,
    standby: Option<Standby>,
    tolls: Tolls,
}

/// What lives as long as the service.
struct Around {
    orders: mpsc::Sender<Notice>,
    writer: projection::Writer,
    tasks: Tasks,
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
            intake: Intake::new(events),
            sender,
            leads: 0,
            validity: leader::Validity::default(),
            silence: leader::Silence::default(),
            clock: BrokerClock::default(),
            connected,
            leadership: None,
            standby: None,
            tolls: Tolls::default(),
        }
    }

    /// The fault that is to be played, if it is one of such a task.
    fn fault_of(&mut self, is: impl Fn(Task) -> bool) -> Option<Fault> {
        self.options.fault.take_if(|fault| is(fault.task))
    }

    async fn run(mut self, mut stopped: oneshot::Receiver<()>) -> Result<(), Ended> {
        self.silence.until(Boot::now(), HANGS);
        let (changes_in, mut changes) = mpsc::channel(8);
        let (orders, orders_out) = mpsc::channel(8);
        let (replaced_in, mut replaced) = mpsc::channel(1);
        let (tell, told) = watch::channel(Told::default());
        let mut tasks = Tasks::new(self.fault_of(|task| task.owner() == Owner::Service));
        let by_name = (self.broker.clone(), self.options.name.clone());
        let known = (self.validity.clone(), self.silence.clone());
        let clock = self.clock.clone();
        tasks.keep(Task::Keeper, |signs| {
            leader::keep(by_name, changes_in, orders_out, known, clock, told, signs)
        });
        let (broker, sender) = (self.broker.clone(), self.sender.clone());
        let odd = self.health.odd();
        tasks.keep(Task::Presence, |signs| {
            feeds::presence(broker, sender, odd, signs)
        });
        let (broker, facts) = (self.broker.clone(), self.facts());
        tasks.keep(Task::Attendance, |signs| {
            attendance::answer(broker, facts, signs)
        });
        let (broker, topology) = (self.broker.clone(), self.options.topology);
        tasks.keep(Task::Streams, |signs| {
            streams::keep(broker, topology, replaced_in, signs)
        });
        let broker = self.broker.clone();
        tasks.keep(Task::Certificates, |signs| {
            certificates::watch(broker, signs)
        });
        let known = (tell, self.validity.clone(), self.options.tracer.clone());
        let writer = projection::start(&mut tasks, self.broker.clone(), known);
        let mut around = Around {
            orders,
            writer,
            tasks,
        };
        // What comes first is rare: the keeper looks four times a second, the ledger is hardly ever another.
        let ended = loop {
            tokio::select! {
                biased;
                _ = &mut stopped => break Ok(()),
                Some(change) = changes.recv() => self.led(change, &around).await,
                Some(streams::LedgerReplaced) = replaced.recv() => self.begin_anew(&around).await,
                () = self.intake.wait() => {
                    let events = self.intake.take();
                    let _within = self.leadership.as_ref().map(|led| led.span.clone().entered());
                    events.into_iter().for_each(|event| self.take_in(event));
                }
            }
            self.advance(&mut around).await;
            if let Err(ended) = around
                .tasks
                .look_after(Boot::now(), self.broker.is_connected())
            {
                tracing::error!(error = %chain(&ended), "the planner ends");
                break Err(ended);
            }
        };
        self.leadership = None;
        around.end().await;
        ended
    }

    /// What this planner says of itself.
    fn facts(&self) -> attendance::Facts {
        attendance::Facts {
            name: self.options.name.clone(),
            session: self.session,
            health: self.health.clone(),
            started_at: UnixMs::now(),
        }
    }

    /// The lease has come or gone.
    async fn led(&mut self, change: Leadership, around: &Around) {
        match change {
            Leadership::Leads(term) => {
                let known = match self.standby.take() {
                    Some(standby) => standby.stop().await,
                    None => Known::default(),
                };
                self.take(term, around, known).await;
            }
            Leadership::Lost(reason) => {
                if self.leadership.take().is_some() {
                    tracing::warn!(reason, "leads no more; standing by");
                }
            }
        }
    }

    /// Folded and open runs alike are of a ledger that is gone.
    async fn begin_anew(&mut self, around: &Around) {
        let led = self.leadership.take();
        let runs = led.map(|leadership| leadership.lead.book().len());
        tracing::error!(runs, "the ledger is another: runs of the old one are lost");
        self.standby = None;
        let _ = around.orders.send(Notice::Afresh).await;
    }

    async fn take(&mut self, term: Term, around: &Around, known: Known) {
        self.leads += 1;
        let (keeper, doors) = doors::open();
        let span = tracing::error_span!("leadership", term = term.0);
        let tasks = Tasks::new(self.fault_of(|task| task.owner() != Owner::Service));
        let tasks = tasks.within(span.clone());
        let envoy = Envoy {
            broker: self.broker.clone(),
            session: self.session,
            topology: self.options.topology,
            validity: self.validity.clone(),
            clock: self.clock.clone(),
            doors,
            number: self.leads,
            events: self.sender.clone(),
            errands: tasks.errands(),
            odd: self.health.odd(),
            tracer: self.options.tracer.clone(),
            life: None,
        };
        let epoch = self.broker.connection_epoch();
        if epoch != self.connected.0 {
            self.connected = (epoch, Boot::now());
        }
        let workers = failover::Workers::new(epoch, self.connected.1, self.health.odd());
        let setup = take::Setup {
            term,
            retention: self.options.retention,
            flow: Flow {
                shares: self.options.shares.clone(),
                open_runs: self.options.open_runs,
            },
            tasks,
            known,
            span: span.clone(),
        };
        let pulse = self.health.ledger();
        self.silence.until(Boot::now(), TAKES);
        let taking = take::Leadership::take(envoy, workers, (keeper, pulse), setup);
        match taking.instrument(span).await {
            Ok(leadership) => {
                let runs = leadership.lead.book().len();
                tracing::info!(term = term.0, runs, "leads");
                self.health.took();
                self.leadership = Some(leadership);
            }
            Err(error) => {
                tracing::warn!(term = term.0, error = %chain(&error), "failed to take the leadership");
                self.health.failed_to_take(&error);
                let holder = error.holder().unwrap_or(term);
                around.step_down(holder).await;
            }
        }
    }

    fn take_in(&mut self, event: Event) {
        let Some(leadership) = &mut self.leadership else {
            return;
        };
        let now = Now::read(&self.clock);
        match event {
            Event::Presence(presence) => {
                leadership.workers.hear(&presence, now.boot);
                for cost in self.tolls.heard(&presence, now.boot) {
                    let measured = lead::event::Event::Measured {
                        run: cost.run,
                        shards: cost.shards,
                        busy: cost.busy,
                    };
                    leadership.lead.take(measured, now);
                }
                let heard = lead::event::Event::Heard(presence);
                leadership.lead.take(heard, now);
            }
            Event::Lead(number, event) if number == self.leads => leadership.lead.take(event, now),
            Event::Lead(..) => {}
        }
    }

    /// Carries out what is due after a round of events, and looks whether this planner still leads.
    async fn advance(&mut self, around: &mut Around) {
        if let Some(take::Leadership {
            lead,
            act,
            keeper,
            roll,
            gauges,
            span,
            ..
        }) = &mut self.leadership
        {
            let ended = span.in_scope(|| {
                lead.fit(act.max_record());
                let now = Now::read(&self.clock);
                for action in lead.advance(now) {
                    act.carry_out(action);
                }
                keeper.close(lead.full());
                let changes = lead.changes();
                roll.tell(&changes, now.broker, lead.position());
                gauges.follow(lead, now);
                around.writer.follow(lead, changes);
                act.look_after(Boot::now())
            });
            let term = lead.term();
            if let Err(ended) = ended {
                tracing::error!(term = term.0, error = %chain(&ended), "the leadership is given up");
                self.leadership = None;
                around.step_down(term).await;
            } else if let Some(other) = lead.deposed() {
                tracing::warn!(term = other.0, "another planner took the term; standing by");
                self.leadership = None;
                around.step_down(other).await;
            }
        }
        if self.leadership.is_none() && self.standby.is_none() {
            around.writer.rest();
            let (broker, pulse) = (self.broker.clone(), self.health.ledger());
            self.standby = Some(Standby::start(&mut around.tasks, broker, pulse));
        }
        self.silence.until(Boot::now(), HANGS);
        let leads = self.leadership.as_ref();
        self.health
            .round(leads.map(|leadership| leadership.lead.term()));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.health.over();
    }
}

impl Around {
    async fn step_down(&self, term: Term) {
        let _ = self.orders.send(Notice::StepDown(term)).await;
    }

    /// Gives the leadership up, and ends what is around the loop.
    async fn end(self) {
        let (answer, given_up) = oneshot::channel();
        if self.orders.send(Notice::GiveUp(answer)).await.is_ok() {
            let _ = tokio::time::timeout(Duration::from_secs(2), given_up).await;
        }
        self.writer.stop().await;
        self.tasks.stop().await;
    }
}
