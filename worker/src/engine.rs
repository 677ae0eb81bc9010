//! The loop that carries everything out: pulls tiles, decides with the pure rooms whether and under
//! what they are held, hands them to the crew, and brings what came out to the ledger.
//!
//! Nothing starves: whatever the loop's `select!` finds first, each turn takes in some of all the rest.
//!
//! One loop, one owner of all state, on a thread of its own. It waits only in its one `select!`: what
//! is said to the broker is either handed to the client at once or an errand whose end is an event.
//!
//! Each state has one owner, and is seen by nobody else:
//!
//! | room | what it owns, and decides with it |
//! |------|--------------|
//! | [`tiles`] | the tiles that are held, in which phase, and the slots they take |
//! | [`runs`] | the frozen jobs, and who waits for them |
//! | [`ledger_writer`] | what is to be written, and what a confirmed record means |
//! | [`lost`] | handlers that do not end, and the slots they keep |
//! | [`turns`] | the tile that runs alone, and who stands in line |
//! | [`lanes`] | consumers, floors, pulls |
//! | [`bells`] | who rings for a lane, and what the leader counts |
//! | [`signals`] | what is said about queue messages |
//! | [`renewals`] | in-progress signals that are not answered yet |
//! | [`orphans`] | those that nobody was there to hear |
//! | [`takeovers`] | what is heard of takeovers by others |
//! | [`cancel`] | runs of which nothing may run |
//! | [`standing`] | how a run stands by the planner's last record |
//! | [`asked`] | the leader's questions |
//! | [`link`] | what a lost and a new connection mean |
//! | [`announcer`] | what is said of the worker |
//!
//! and the way of a tile leads through them:
//!
//! | room | what it does |
//! |------|--------------|
//! | [`intake`] | reads a delivery: dropped, adopted, or held |
//! | [`newer`] | puts off what a newer build issued |
//! | [`admit`] | finds its job and handler |
//! | [`claim`] | takes it over and finds what is left of it |
//! | [`start`] | hands it to the crew, or announces its next page |
//! | [`settle`] | ends it: outcomes, acknowledged, handed back, or lost |
//! | [`drain`] | stops: finish, hand back, say goodbye |

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use gridloom_shared::broker::{Broker, PublishError};
use gridloom_shared::chain;
use gridloom_shared::clock::Boot;
use gridloom_shared::id::Session;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tracing::Instrument;

use crate::alarms;
use crate::crew::Finished;
use crate::error::RunError;
use crate::health::WorkerHealth;
use crate::purged;
use crate::settings::Settings;
use crate::stop::Stop;

mod admit;
mod announcer;
mod asked;
mod bells;
mod cancel;
mod claim;
mod drain;
mod errand;
mod intake;
mod lanes;
mod ledger_writer;
mod link;
mod lost;
mod meters;
mod newer;
mod orphans;
mod renewals;
mod runs;
mod settle;
mod signals;
mod standing;
mod start;
mod takeovers;
mod tiles;
mod turns;

use announcer::Announcer;
use asked::Questions;
use bells::Rings;
use cancel::Cancelled;
use drain::Draining;
use errand::{Errands, Event};
use lanes::Lanes;
use ledger_writer::{Appended, Batch, Content, Fate, LedgerWriter};
use link::Link;
use lost::LostSlots;
use meters::Meters;
use orphans::Orphans;
use renewals::Renewals;
use runs::Runs;
use signals::Signals;
use start::Crew;
use takeovers::Takeovers;
use tiles::{Holding, Tiles};
use turns::Turns;

/// Lanes whose consumers and floors are asked for at once: after a restart of the broker all workers ask.
const ATTACHING: usize = 8;
/// How often leases are looked at.
const TICK: Duration = Duration::from_millis(50);
/// How often it is looked at what time brings where nothing is held, save that the worker is to be announced.
const REST: Duration = Duration::from_millis(500);
/// Most things of one kind that are taken in before the loop writes and pulls.
const TURN: usize = 512;
/// After so many turns in which more tiles came than one takes in, all are taken in.
const UNREAD_TURNS: u32 = 8;

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
        .map_err(|error| RunError::Engine(chain(&error).to_string()))?;
    let session = Session::random();
    // What is said on this thread is said by this worker: of several in a process, too.
    let span = tracing::error_span!("worker", worker = %settings.name, %session);
    let running = async {
        let broker = Broker::connect(&settings.options).await?;
        let mut engine = Engine::new(broker, settings, session, crew, health).await?;
        let handlers = engine.settings.handlers.values().cloned().collect();
        let broker = engine.broker.clone();
        // Both end with this runtime.
        tokio::spawn(alarms::listen(broker.clone()).in_current_span());
        tokio::spawn(purged::tell(broker, handlers, crew.clone(), session).in_current_span());
        // Every turn ends by itself and lets the client have its turn then. A budget would only make
        // the client look full.
        tokio::task::unconstrained(engine.run(stop)).await
    };
    runtime.block_on(running.instrument(span))
}

struct Engine {
    broker: Broker,
    settings: Arc<Settings>,
    session: Session,
    /// Read once a turn, and before anything that a lease permits.
    now: Boot,
    /// Turns since all that the pulls brought was taken in.
    unread_turns: u32,
    /// When to look again although nothing happens.
    alarm: Option<Boot>,
    errands: Errands,
    link: Link,
    lanes: Lanes,
    rings: Rings,
    /// Lanes whose consumers are asked for at once.
    attaching: Arc<Semaphore>,
    /// How often the leader said that the queue was made again.
    queue_made: watch::Sender<u64>,
    runs: Runs,
    tiles: Tiles,
    turns: Turns,
    crew: Crew,
    lost: LostSlots,
    ledger: LedgerWriter,
    signals: Signals,
    renewals: Renewals,
    orphans: Orphans,
    takeovers: Takeovers,
    cancelled: Cancelled,
    asked: Questions,
    draining: Option<Draining>,
    /// Messages that cannot be understood and are being recorded as such. They take slots: a flood of
    /// them must not outrun the broker.
    refused: u32,
    announcer: Announcer,
    health: WorkerHealth,
    meters: Meters,
    fault: Option<RunError>,
}

impl Engine {
    async fn new(
        broker: Broker,
        settings: Settings,
        session: Session,
        crew: &tokio::runtime::Handle,
        health: WorkerHealth,
    ) -> Result<Engine, RunError> {
        let lost = |error: PublishError| RunError::Engine(chain(&error).to_string());
        Ok(Engine {
            session,
            now: Boot::now(),
            unread_turns: 0,
            alarm: None,
            errands: Errands::default(),
            link: Link::new(&broker),
            lanes: Lanes::new(
                settings.lanes(),
                broker.subjects(),
                settings.concurrency,
                session,
            ),
            rings: Rings::new(&broker, &settings).await.map_err(lost)?,
            attaching: Arc::new(Semaphore::new(ATTACHING)),
            queue_made: watch::Sender::new(0),
            runs: Runs::new(settings.telling(), asked::callbacks(&broker, session)),
            tiles: Tiles::new(Boot::now()),
            turns: Turns::new(settings.concurrency),
            crew: Crew::start(crew),
            lost: LostSlots::new(settings.concurrency),
            ledger: LedgerWriter::new(session, health.clone()),
            signals: Signals::default(),
            renewals: Renewals::new(&broker).await.map_err(lost)?,
            orphans: Orphans::default(),
            takeovers: Takeovers::new(&broker).await.map_err(lost)?,
            cancelled: Cancelled::new(&broker).await.map_err(lost)?,
            asked: Questions::new(&broker, session).await.map_err(lost)?,
            draining: None,
            refused: 0,
            announcer: Announcer::start(&broker, &settings, session, health.clone()),
            health,
            meters: Meters::new(),
            fault: None,
            settings: Arc::new(settings),
            broker,
        })
    }

    async fn run(&mut self, stop: Stop) -> Result<(), RunError> {
        tracing::info!("worker begins");
        (0..self.lanes.len()).for_each(|lane| self.attach(lane, Duration::ZERO));
        let mut clock = std::pin::pin!(tokio::time::sleep(TICK));
        let mut rests = false;
        let mut changes = self.broker.changes();
        let mut ended = Vec::with_capacity(TURN);
        while !self.is_over() {
            let alarm = self.alarm.take();
            tokio::select! {
                biased;
                () = stop.stopped(), if self.draining.is_none() => self.begin_drain(),
                () = stop.hurried(), if self.draining.as_ref().is_some_and(Draining::waits) => self.end_grace(),
                () = &mut clock => {
                    self.tick();
                    rests = self.is_at_rest();
                    clock.as_mut().reset(Instant::now() + self.until_tick(rests));
                }
                Ok(()) = changes.changed() => {}
                event = self.errands.next() => self.awake().on_event(event),
                Some(message) = self.takeovers.next() => self.awake().hear(&message),
                Some(message) = self.cancelled.next() => self.awake().hear_leader(&message),
                Some(answer) = self.renewals.next() => self.awake().renewed(&answer),
                Some(bell) = self.rings.next() => self.awake().hear_bell(&bell),
                any = self.crew.next(&mut ended, TURN) => if !any {
                    return Err(RunError::Engine("the runtime of the handlers is gone".into()));
                },
                (lane, came) = self.lanes.next() => self.awake().came(lane, came),
                // After the pulls: nothing waits in them when a question is read.
                Some(question) = self.asked.next() => self.awake().asked(question),
                () = ring(alarm, self.now) => {}
            }
            if rests && !self.is_at_rest() {
                rests = false;
                clock.as_mut().reset(Instant::now() + TICK);
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

    /// Whatever woke it, the last turn may be long ago.
    fn awake(&mut self) -> &mut Engine {
        self.now = Boot::now();
        self
    }

    /// Whether time brings nothing that cannot wait: nothing is held, and nothing is waited for.
    fn is_at_rest(&self) -> bool {
        let idle = self.tiles.is_empty() && self.tiles.executing() == 0;
        idle && self.tiles.lost_slots() == 0 && !self.ledger.is_full() && self.draining.is_none()
    }

    /// How long nothing has to be looked at that time brings.
    fn until_tick(&self, rests: bool) -> Duration {
        if rests {
            self.announcer.due_in(self.now).clamp(TICK, REST)
        } else {
            TICK
        }
    }

    /// Takes in what else is there already, so that a turn writes and pulls for many tiles at once.
    fn take_ready(&mut self, ended: &mut Vec<Vec<Finished<Holding>>>) {
        self.take_in(
            async |engine| engine.takeovers.next().await,
            |engine, message| engine.hear(&message),
        );
        self.take_in(
            async |engine| engine.renewals.next().await,
            |engine, answer| engine.renewed(&answer),
        );
        self.take_in(
            async |engine| engine.cancelled.next().await,
            |engine, message| engine.hear_leader(&message),
        );
        self.take_in(
            async |engine| engine.rings.next().await,
            |engine, bell| engine.hear_bell(&bell),
        );
        self.take_in(
            async |engine| Some(engine.errands.next().await),
            Engine::on_event,
        );
        self.take_deliveries();
        if self.crew.next(ended, TURN).now_or_never().is_some() {
            ended
                .drain(..)
                .flatten()
                .for_each(|finished| self.finish(finished));
        }
    }

    /// Takes in what of one kind is there already.
    fn take_in<T>(
        &mut self,
        mut next: impl AsyncFnMut(&mut Engine) -> Option<T>,
        take: impl Fn(&mut Engine, T),
    ) {
        for _ in 0..TURN {
            let Some(came) = next(self).now_or_never().flatten() else {
                break;
            };
            take(self, came);
        }
    }

    /// Takes in what the pulls brought, and then the leader's questions. Now and then all of it, so that
    /// a question is read however fast tiles come: what was asked for is what may come.
    fn take_deliveries(&mut self) {
        let most = if self.unread_turns < UNREAD_TURNS {
            TURN
        } else {
            usize::MAX
        };
        self.unread_turns += 1;
        for _ in 0..most {
            let Some((lane, came)) = self.lanes.next().now_or_never() else {
                self.unread_turns = 0;
                return self.take_question();
            };
            self.came(lane, came);
        }
    }

    fn end_turn(&mut self) {
        self.look_at_link();
        self.now = Boot::now();
        self.let_in();
        self.write();
        self.answer_leader();
        self.crew.hand_over();
    }

    /// Writes what is due about every run.
    fn write(&mut self) {
        if !self.link.is_open() {
            return;
        }
        let most = self.broker.max_record();
        let written = self.ledger.write(&mut self.tiles, self.now, most);
        written.batches.into_iter().for_each(|batch| {
            self.append(batch);
        });
        if let Some(moment) = written.again {
            self.wake_at(moment);
        }
    }

    fn append(&mut self, batch: Batch) {
        self.errands.add(errand::append(self.broker.clone(), batch));
    }

    fn appended(&mut self, appended: Appended) {
        match &appended.result {
            Ok(_) => self.meters.appended(appended.took),
            Err(error) => {
                let run = self.runs.get(appended.run()).map(|run| run.id().as_str());
                tracing::debug!(run, error = %chain(error), "record not confirmed");
            }
        }
        let connected = self.link.is_open() && self.broker.is_connected();
        match self.ledger.appended(appended, connected) {
            Fate::Confirmed(content, at) => self.confirmed(content, at),
            Fate::Again(batch, pause) => self.errands.add(errand::again(batch, pause)),
            Fate::GivenUp => {}
        }
    }

    fn confirmed(&mut self, content: Content, at: ledger_writer::At) {
        match content {
            Content::Outcomes(parts) => {
                self.meters.batch(parts.len());
                parts.iter().for_each(|part| self.confirm(part.tile));
            }
            Content::Probed(holding) => self.confirm(holding),
            Content::Started(holding, page) => self.announced(holding, page),
            Content::Claims(reason, holdings) => self.read_claim(at, reason, holdings),
            Content::Returns(returns) => returns
                .into_iter()
                .flat_map(|given| given.receipts)
                .for_each(|receipt| self.signals.nak(receipt)),
        }
    }

    /// Sends a record again, for what may still be said of it.
    fn send_again(&mut self, batch: Batch) {
        if !self.link.is_open() {
            self.ledger.park(batch);
        } else if let Some(batch) = self.ledger.again(batch, &self.tiles, Boot::now()) {
            self.append(batch);
        }
    }

    fn pull(&mut self) {
        let hopeless = self.ledger.is_full() || self.lost.is_stuck();
        if self.draining.is_some() || hopeless || !self.link.is_open() {
            return;
        }
        let paused = self.tiles.paused();
        let waits = paused.saturating_sub(self.settings.concurrency) + self.refused;
        let occupied = self.tiles.occupied() + waits;
        let (unacked, epoch) = (self.tiles.unacked(), self.link.epoch());
        if let Some(again) = self.lanes.pull(occupied, unacked, epoch, self.now) {
            self.wake_at(again);
        }
    }

    fn wake_at(&mut self, moment: Boot) {
        self.alarm = Some(self.alarm.map_or(moment, |alarm| alarm.min(moment)));
    }

    /// Sends what was decided about queue messages.
    fn send_signals(&mut self) {
        if self.link.is_open() {
            self.signals.send(&self.broker);
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Attached { lane, made, result } => self.attached(lane, made, *result),
            Event::Loaded { opened, result } => self.loaded(opened, result),
            Event::Appended(appended) => self.appended(*appended),
            Event::Again(batch) => self.send_again(*batch),
            Event::Claimed { claim, result } => self.claimed(claim, result),
            Event::Stood { run, result } => self.stood(&run, result),
            Event::Looked { run, ask, result } => self.looked(run, ask, result),
            Event::CaughtUp { epoch, result } => self.caught_up(epoch, result),
            Event::Unread(deliveries) => self.unread_all(deliveries),
            Event::Answered => {}
            Event::Refused { reply } => {
                self.refused = self.refused.saturating_sub(1);
                if let Some(reply) = reply {
                    self.signals.terminate(reply);
                }
            }
        }
    }
}

async fn ring(alarm: Option<Boot>, now: Boot) {
    match alarm {
        Some(alarm) => tokio::time::sleep(alarm.since(now)).await,
        None => std::future::pending().await,
    }
}
