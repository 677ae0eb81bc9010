//! The loop that carries everything out: pulls tiles, decides with the pure rooms whether and under
//! what they are held, hands them to the crew, and brings what came out to the ledger.
//!
//! One loop, one owner of all state, on a thread of its own. It waits only in its one `select!`: what
//! is said to the broker is either handed to the client at once or an errand whose end is an event.
//!
//! | room | what it does |
//! |------|--------------|
//! | [`intake`] | reads a delivery: dropped, adopted, or held |
//! | [`admit`] | finds its job and handler, starts it, takes what came out |
//! | [`report`] | writes records, acknowledges what is confirmed |
//! | [`claim`] | takes tiles over and finds what is left of them |
//! | [`careful`] | runs tiles whose holder may have died of them |
//! | [`cancel`] | stops everything of a run that was cancelled |
//! | [`leases`] | renews, loses, and listens to takeovers |
//! | [`asked`] | tells the leader what is held |
//! | [`link`] | what a lost and a new connection mean |
//! | [`drain`] | stops: finish, hand back, say goodbye |

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use gridloom_shared::broker::{Broker, Subject, Subscription};
use gridloom_shared::clock::{Boot, UnixMs};
use gridloom_shared::id::Session;
use gridloom_shared::ledger::record::Author;
use gridloom_shared::quick::QuickMap;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::crew::{self, Finished, Job};
use crate::health::{Part, WorkerHealth};
use crate::presence::{self, Facts};
use crate::slots::Slots;
use crate::takeover::heard::Heard;
use crate::worker::{RunError, Settings, Stop};

mod admit;
mod asked;
mod batch;
mod cancel;
mod careful;
mod claim;
mod drain;
mod errand;
mod held;
mod intake;
mod leases;
mod link;
mod meters;
mod queues;
mod report;
mod runs;

use asked::Asked;
use cancel::Cancelled;
use drain::Draining;
use errand::{Errand, Event};
use held::{Held, Holding, TileKey};
use leases::Renewals;
use link::Link;
use meters::Meters;
use queues::Queue;
use runs::Runs;

/// How often leases are looked at.
const TICK: Duration = Duration::from_millis(50);
/// Most things of one kind that are taken in before the loop writes and pulls.
const TURN: usize = 512;

/// Runs a worker on the calling thread until it has stopped.
pub(crate) fn run_here(
    settings: Settings,
    crew: &tokio::runtime::Handle,
    stop: Stop,
    health: WorkerHealth,
) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::Engine(error.to_string()))?;
    runtime.block_on(async {
        let broker = Broker::connect(&settings.options).await?;
        let mut engine = Engine::new(broker, settings, crew, health).await?;
        // Every turn ends by itself and lets the client have its turn then. A budget would only make
        // the client look full.
        tokio::task::unconstrained(engine.run(stop)).await
    })
}

struct Engine {
    broker: Broker,
    settings: Arc<Settings>,
    session: Session,
    /// Number of the last record of this session.
    number: u64,
    generation: u64,
    /// Read once a turn, and before anything that a lease permits.
    now: Boot,
    link: Link,
    queues: Vec<Queue>,
    runs: Runs,
    tiles: QuickMap<TileKey, Held>,
    /// Tiles that were lost while their handler ran, and it still runs.
    zombies: HashMap<TileKey, u64>,
    /// Tiles that this worker handed back, and the delivery count that they have if nobody else had
    /// them since.
    given_back: HashMap<TileKey, u64>,
    heard: Heard,
    slots: Slots,
    /// Slots that hold a tile.
    occupied: u32,
    /// Tiles whose handler has finished and that are not acknowledged yet.
    unacked: u32,
    running: u32,
    /// Tiles without a handler here, that are about to be handed back. As many as there are slots take
    /// no slot.
    paused: u32,
    /// The tile that runs with nothing beside it.
    alone: Option<TileKey>,
    /// Tiles that may start once no tile is to be alone, or once they are.
    in_line: Vec<TileKey>,
    /// Tiles for the crew, handed over at the end of the turn.
    outgoing: Vec<Job<Holding>>,
    crew: mpsc::UnboundedSender<Vec<Job<Holding>>>,
    finished: mpsc::UnboundedReceiver<Vec<Finished<Holding>>>,
    /// Runs with something to write.
    dirty: Vec<u64>,
    /// Whether the ledger took no record lately, for want of room: then nothing new is begun.
    ledger_full: bool,
    /// Whether the ledger refused a record since it last took one.
    ledger_troubled: bool,
    /// Records that wait for the connection.
    parked: Vec<batch::Batch>,
    /// Signals for queue messages that are to be sent.
    signals: VecDeque<Signal>,
    errands: FuturesUnordered<Errand>,
    takeovers: Subscription,
    /// What the leader tells all workers.
    broadcasts: Subscription,
    cancelled: Cancelled,
    renewals: Renewals,
    asked: Asked,
    /// When to look again although nothing happens.
    alarm: Option<Boot>,
    draining: Option<Draining>,
    facts: Arc<Facts>,
    farewell: CancellationToken,
    announcer: Option<tokio::task::JoinHandle<()>>,
    health: WorkerHealth,
    meters: Meters,
    fault: Option<RunError>,
}

/// What is said about a queue message.
enum Signal {
    /// It is done.
    Ack(Subject),
    /// It is handed back; only on the connection that pulled it.
    Nak(Subject, u64),
    /// It is of no use to anybody.
    Terminate(Subject),
}

impl Engine {
    async fn new(
        broker: Broker,
        settings: Settings,
        crew: &tokio::runtime::Handle,
        health: WorkerHealth,
    ) -> Result<Engine, RunError> {
        let lost =
            |error: gridloom_shared::broker::PublishError| RunError::Engine(error.to_string());
        let session = Session::random();
        let (batches_tx, batches) = mpsc::unbounded_channel();
        let (finished_tx, finished) = mpsc::unbounded_channel();
        crew.spawn(crew::serve(batches, finished_tx));
        let takeovers = broker
            .subscribe(broker.subjects().ledgers_by(Author::Takeover))
            .await
            .map_err(lost)?;
        let broadcasts = broker
            .subscribe(broker.subjects().broadcast())
            .await
            .map_err(lost)?;
        let renewals = Renewals::new(&broker).await.map_err(lost)?;
        let asked = Asked::new(&broker, session).await.map_err(lost)?;
        let mut handlers: Vec<_> = settings.handlers.keys().cloned().collect();
        handlers.sort();
        let facts = Arc::new(Facts {
            worker: settings.name.clone(),
            session,
            queues: settings.queues.clone(),
            handlers,
            capacity: settings.concurrency,
            started_at: UnixMs::now(),
            in_flight: AtomicU32::new(0),
            stopping: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            named: Mutex::default(),
        });
        let farewell = CancellationToken::new();
        let announcer = tokio::spawn(presence::announce(
            broker.clone(),
            Arc::clone(&facts),
            farewell.clone(),
        ));
        Ok(Engine {
            link: Link::new(&broker),
            session,
            number: 0,
            generation: 0,
            now: Boot::now(),
            queues: settings
                .queues
                .iter()
                .map(|name| Queue::new(name.clone(), broker.subjects()))
                .collect(),
            runs: Runs::default(),
            tiles: QuickMap::default(),
            zombies: HashMap::new(),
            given_back: HashMap::new(),
            heard: Heard::default(),
            slots: Slots::new(settings.concurrency),
            occupied: 0,
            unacked: 0,
            running: 0,
            paused: 0,
            alone: None,
            in_line: Vec::new(),
            outgoing: Vec::new(),
            crew: batches_tx,
            finished,
            dirty: Vec::new(),
            ledger_full: false,
            ledger_troubled: false,
            parked: Vec::new(),
            signals: VecDeque::new(),
            errands: FuturesUnordered::new(),
            takeovers,
            broadcasts,
            cancelled: Cancelled::default(),
            renewals,
            asked,
            alarm: None,
            draining: None,
            facts,
            farewell,
            announcer: Some(announcer),
            health,
            meters: Meters::new(),
            fault: None,
            settings: Arc::new(settings),
            broker,
        })
    }

    async fn run(&mut self, stop: Stop) -> Result<(), RunError> {
        tracing::info!(worker = %self.settings.name, session = %self.session, "worker starts");
        (0..self.queues.len()).for_each(|queue| self.attach(queue, Duration::ZERO));
        let mut clock = tokio::time::interval(TICK);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut ended = Vec::with_capacity(TURN);
        while !self.is_over() {
            let alarm = self.alarm.take();
            tokio::select! {
                biased;
                () = stop.stopped(), if self.draining.is_none() => self.begin_drain(),
                () = stop.hurried(), if self.draining.as_ref().is_some_and(Draining::waits) => self.end_grace(),
                _ = clock.tick() => self.tick(),
                Some(event) = self.errands.next(), if !self.errands.is_empty() => self.on_event(event),
                Some(message) = self.takeovers.next() => self.hear(&message),
                Some(message) = self.broadcasts.next() => self.hear_leader(&message),
                Some(answer) = self.renewals.next() => self.renewed(&answer),
                count = self.finished.recv_many(&mut ended, TURN) => if count == 0 {
                    return Err(RunError::Engine("the runtime of the handlers is gone".into()));
                },
                (queue, came) = queues::next_of(&mut self.queues) => self.came(queue, came),
                // After the pulls: nothing waits in them when a question is read.
                Some(question) = self.asked.next() => self.asked(question),
                () = ring(alarm, self.now) => {}
            }
            self.now = Boot::now();
            self.look_at_link();
            ended
                .drain(..)
                .flatten()
                .for_each(|finished| self.finish(finished));
            self.take_ready(&mut ended);
            self.end_turn();
            self.pull();
            self.send_signals();
            // The client's turn, and once more for what it had no room for.
            tokio::task::yield_now().await;
            self.look_at_link();
            self.send_signals();
            self.answer();
            if !self.signals.is_empty() && self.link.is_open() {
                self.wake_at(self.now + Duration::from_millis(1));
            }
        }
        self.say_goodbye().await;
        self.fault.take().map_or(Ok(()), Err)
    }

    /// Takes in what else is there already, so that a turn writes and pulls for many tiles at once.
    fn take_ready(&mut self, ended: &mut Vec<Vec<Finished<Holding>>>) {
        for _ in 0..TURN {
            match self.takeovers.next().now_or_never() {
                Some(Some(message)) => self.hear(&message),
                Some(None) | None => break,
            }
        }
        for _ in 0..TURN {
            match self.renewals.next().now_or_never() {
                Some(Some(answer)) => self.renewed(&answer),
                Some(None) | None => break,
            }
        }
        while !self.errands.is_empty()
            && let Some(Some(event)) = self.errands.next().now_or_never()
        {
            self.on_event(event);
        }
        for _ in 0..TURN {
            match queues::next_of(&mut self.queues).now_or_never() {
                Some((queue, came)) => self.came(queue, came),
                None => {
                    self.take_question();
                    break;
                }
            }
        }
        if self
            .finished
            .recv_many(ended, TURN)
            .now_or_never()
            .is_some()
        {
            ended
                .drain(..)
                .flatten()
                .for_each(|finished| self.finish(finished));
        }
    }

    fn end_turn(&mut self) {
        self.look_at_link();
        self.now = Boot::now();
        self.let_in();
        self.write();
        self.answer_leader();
        if !self.outgoing.is_empty() {
            let next = Vec::with_capacity(self.outgoing.len());
            // The crew's end is noticed by the loop.
            let _ = self.crew.send(std::mem::replace(&mut self.outgoing, next));
        }
    }

    fn pull(&mut self) {
        if self.draining.is_some() || self.ledger_full || !self.link.is_open() {
            return;
        }
        let epoch = self.link.epoch();
        let occupied = self.occupied + self.paused.saturating_sub(self.settings.concurrency);
        let plan = match self.queues.as_slice() {
            [one] => self
                .slots
                .plan(&[one.demand(epoch)], occupied, self.unacked, self.now),
            many => {
                let demands: Vec<_> = many.iter().map(|queue| queue.demand(epoch)).collect();
                self.slots.plan(&demands, occupied, self.unacked, self.now)
            }
        };
        let shared = self.queues.len() > 1;
        for (queue, tiles) in plan.pulls {
            self.queues[queue].pull(tiles, shared);
        }
        if let Some(again) = plan.again {
            self.wake_at(again);
        }
    }

    fn wake_at(&mut self, moment: Boot) {
        self.alarm = Some(self.alarm.map_or(moment, |alarm| alarm.min(moment)));
    }

    /// Sends what was decided about queue messages. What the client cannot take now stays.
    fn send_signals(&mut self) {
        while self.link.is_open()
            && let Some(signal) = self.signals.pop_front()
        {
            let sent = match &signal {
                Signal::Ack(reply) => self.broker.ack(reply).now_or_never().map(|_| ()),
                Signal::Nak(reply, epoch) => {
                    self.broker.nak(reply, *epoch).now_or_never().map(|_| ())
                }
                Signal::Terminate(reply) => self.broker.terminate(reply).now_or_never().map(|_| ()),
            };
            if sent.is_none() {
                self.signals.push_front(signal);
                return;
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Attached { queue, result } => self.attached(queue, *result),
            Event::Loaded { opened, result } => self.loaded(opened, result),
            Event::Appended(appended) => self.appended(*appended),
            Event::Again(batch) => self.send_again(*batch),
            Event::Claimed { plan, result } => self.claimed(plan, result),
            Event::Stood { run, result } => self.stood(&run, result),
            Event::Looked { run, result } => self.looked(run, result),
            Event::CaughtUp { epoch, result } => self.caught_up(epoch, result),
            Event::Unread(deliveries) => self.unread_all(deliveries),
            Event::Recorded { reply } => self.signals.extend(reply.map(Signal::Terminate)),
        }
    }

    fn trouble(&self, part: Part, why: impl Into<String>) {
        self.health.trouble(part, why);
    }
}

async fn ring(alarm: Option<Boot>, now: Boot) {
    match alarm {
        Some(alarm) => tokio::time::sleep(alarm.since(now)).await,
        None => std::future::pending().await,
    }
}
