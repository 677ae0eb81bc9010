//! The state of one leadership, and what each event changes in it.
//!
//! It begins by the order of docs/PROTOCOL.md §7: the term register is rewritten, then the ledger is
//! read, then the leader acts. What it finds decided and did not decide itself it publishes marked.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use gridloom_shared::broker::Subjects;
use gridloom_shared::broker::api::ApiError;
use gridloom_shared::broker::log::{ReadError, Record};
use gridloom_shared::broker::term::{ClaimError, Register};
use gridloom_shared::broker::topology::TopologyError;
use gridloom_shared::clock::{Boot, UnixMs};
use gridloom_shared::command::Answer;
use gridloom_shared::id::{QueueName, RunId, Term};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::{self, Author, PlanRecord};
use gridloom_shared::presence::Presence;
use gridloom_shared::wire;
use tokio::task::JoinSet;

use super::failover::{self, Workers};
use super::orders;
use super::shown::Shown;
use super::standby::Folded;
use super::work::{Issue, Outcome, Report, Voice};
use super::{LeadEvent, intake};
use crate::failover::refill::{self, Listing};
use crate::retention::Retention;
use crate::run::{Action, Run};
use crate::submit::NewRun;
use crate::window::Window;

pub(super) mod commands;

use commands::Orders;

/// How often runs are looked at for tiles that may be missing on the queue.
const REFILL: Duration = Duration::from_secs(10);

/// Most tiles of a first wave that carry the run's first record along, and its most bytes there: more
/// would cost the queue more than the workers' one read saves.
const FROZEN_TILES: usize = 32;
const FROZEN_MAX: usize = 2 * 1024;

/// Why a leadership could not be taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeError {
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl TakeError {
    /// The term that somebody else holds.
    pub(super) fn holder(&self) -> Option<Term> {
        match self {
            TakeError::Claim(ClaimError::Deposed { holder, .. }) => Some(holder.term),
            TakeError::Topology(_)
            | TakeError::Claim(_)
            | TakeError::Read(_)
            | TakeError::Api(_) => None,
        }
    }
}

struct Queue {
    window: Window,
    /// Tiles that are decided or being decided and lack an outcome.
    outstanding: usize,
    /// Runs that could use room.
    waiting: VecDeque<RunId>,
}

pub(super) struct Lead {
    voice: Voice,
    term: Term,
    register: Register,
    runs: HashMap<RunId, Run>,
    queues: HashMap<QueueName, Queue>,
    /// Runs to look at before the loop waits again.
    touched: HashSet<RunId>,
    /// Listings that wait until the ledger was read far enough.
    listings: HashMap<RunId, Listing>,
    claiming: bool,
    deposed: Option<Term>,
    position: u64,
    /// When runs were last looked at for tiles that may be missing on the queue.
    looked: Boot,
    shown: Shown,
    orders: Orders,
    workers: Workers,
    tasks: JoinSet<()>,
}

impl Lead {
    /// Takes over: register, ledger (what was `folded` of it while standing by need not be read again),
    /// and only then the feeds.
    pub(super) async fn take(
        voice: Voice,
        term: Term,
        shown: Shown,
        retention: Retention,
        workers: Workers,
        folded: Option<Folded>,
    ) -> Result<Lead, TakeError> {
        let broker = voice.broker.clone();
        let register = voice.secure(term).await?;
        let position = broker.info(&broker.subjects().ledger()).await?.last_seq;
        let folded = match folded {
            Some(folded) => folded.read_on(&broker, position).await?,
            None => Folded::read(&broker, position).await?,
        };
        let mut lead = Lead {
            voice,
            term,
            register,
            runs: HashMap::new(),
            queues: HashMap::new(),
            touched: HashSet::new(),
            listings: HashMap::new(),
            claiming: false,
            deposed: None,
            position,
            looked: Boot::now(),
            shown,
            orders: Orders::new(Boot::now()),
            workers,
            tasks: JoinSet::new(),
        };
        folded.into_runs().for_each(|fold| lead.add(fold));
        let voice = &lead.voice;
        lead.tasks.spawn(intake::ledger(voice.clone(), position));
        lead.tasks.spawn(intake::submissions(voice.clone(), term));
        lead.tasks.spawn(intake::queue(voice.clone()));
        lead.tasks.spawn(orders::commands(voice.clone()));
        lead.tasks.spawn(super::shown::watch_queues(broker.clone()));
        lead.tasks.spawn(super::sweep::sweep(
            broker.clone(),
            retention,
            voice.clock.clone(),
        ));
        let workers = lead.workers.clone();
        lead.tasks.spawn(failover::watch(voice.clone(), workers));
        lead.call_workers();
        Ok(lead)
    }

    /// The term of this leadership.
    pub(super) fn term(&self) -> Term {
        self.term
    }

    /// How many runs are open.
    pub(super) fn open_runs(&self) -> usize {
        self.runs.len()
    }

    /// The term of somebody else, once the broker refused this one.
    pub(super) fn deposed(&mut self) -> Option<Term> {
        self.deposed
    }

    /// A worker announced itself.
    pub(super) fn hear(&mut self, presence: &Presence) {
        self.workers.hear(presence);
        let capacity = if presence.stopping {
            0
        } else {
            presence.capacity as usize
        };
        self.note_worker(presence);
        for name in &presence.queues {
            let now = Boot::now();
            self.queue(name)
                .window
                .heard(presence.session, capacity, now);
        }
    }

    /// Time has passed: retries may be due, room may have grown, and a tile may be missing on the
    /// queue: one whose holder's failure did not count comes back only so (docs/PROTOCOL.md §6).
    pub(super) fn tick(&mut self) {
        let boot = Boot::now();
        let now = self.now();
        if boot.since(self.looked) >= REFILL {
            self.looked = boot;
            self.runs.values_mut().for_each(Run::look_for_missing);
        }
        let due = self
            .runs
            .values()
            .filter(|run| run.stale || run.wants_room(now));
        self.touched.extend(due.map(|run| run.fold.run().clone()));
        self.shown.tick(&self.runs);
    }

    pub(super) fn take_in(&mut self, event: LeadEvent) {
        match event {
            LeadEvent::Ledger(record) => self.record(&record),
            LeadEvent::LedgerLost(error) => {
                tracing::error!(
                    error,
                    "the ledger was lost or rolled back: its open runs are read again"
                );
                self.deposed = Some(self.term);
            }
            LeadEvent::Opened(new) => self.opened(*new),
            LeadEvent::Ordered(asked) => self.ask(asked),
            // After the claim every run is refilled.
            LeadEvent::QueueLost => self.claim(),
            LeadEvent::Reconnected => {
                self.claim();
                self.call_workers();
            }
            LeadEvent::WorkerDied(presence) => self.died(&presence),
            LeadEvent::Report(report) => self.report(report),
        }
    }

    /// A worker is dead: it has no slots, and what it held may be missing on the queue.
    fn died(&mut self, presence: &Presence) {
        for name in &presence.queues {
            let window = &mut self.queue(name).window;
            window.heard(presence.session, 0, Boot::now());
            let concerned = self.runs.values_mut().filter(|run| run.queue == *name);
            concerned.for_each(|run| run.stale |= !run.fold.open_tiles().is_empty());
        }
    }

    fn call_workers(&mut self) {
        let broker = self.voice.broker.clone();
        self.tasks.spawn(async move {
            if let Err(error) = broker
                .publish(broker.subjects().roll_call(), bytes::Bytes::new())
                .await
            {
                tracing::debug!(%error, "failed to call the workers");
            }
        });
    }

    fn opened(&mut self, new: NewRun) {
        if self.runs.contains_key(&new.run) || new.sequence <= self.position {
            return;
        }
        let mut fold = Fold::new(new.run);
        fold.apply(
            new.sequence,
            self.voice.clock.now().unwrap_or_else(UnixMs::now),
            &record::Record::Plan(new.record),
        );
        self.add(fold);
    }

    fn add(&mut self, fold: Fold) {
        let Some(mut run) = Run::new(fold) else {
            return;
        };
        let open = run.fold.open_tiles().len();
        run.stale = open > 0;
        let name = run.fold.run().clone();
        self.queue(&run.queue).outstanding += open;
        self.shown.opened(&run);
        self.touched.insert(name.clone());
        self.runs.insert(name, run);
    }

    fn queue(&mut self, name: &QueueName) -> &mut Queue {
        if !self.queues.contains_key(name) {
            let queue = Queue {
                window: Window::new(Boot::now()),
                outstanding: 0,
                waiting: VecDeque::new(),
            };
            self.queues.insert(name.clone(), queue);
        }
        self.queues
            .entry(name.clone())
            .or_insert_with(|| unreachable!("it was just put there"))
    }

    fn record(&mut self, record: &Record) {
        self.position = self.position.max(record.seq);
        let Some((_, name, author)) = self.voice.broker.subjects().parse_ledger(&record.subject)
        else {
            tracing::warn!(subject = %record.subject, "a record on an unknown subject of the ledger");
            return;
        };
        let Some(run) = self.runs.get_mut(&name) else {
            if self.record_of_closed(&name, author, record) {
                return;
            }
            if author == Author::Plan
                && matches!(wire::decode(&record.payload), Ok(PlanRecord::Opened(_)))
            {
                let fold = fold_of(self.voice.broker.subjects(), name, [record]);
                self.add(fold);
            }
            return;
        };
        let before = *run.fold.counts();
        let foreign =
            take_record(&mut run.fold, Some(author), record).filter(|term| *term != self.term);
        run.stale |= foreign.is_some();
        run.follow();
        let after = *run.fold.counts();
        self.shown.counted(&before, &after);
        let closed = after.tiles_closed - before.tiles_closed;
        let issued = if foreign.is_some() {
            after.tiles_issued - before.tiles_issued
        } else {
            0
        };
        let over = run.fold.closing().is_some();
        let queue = run.queue.clone();
        let queue = self.queue(&queue);
        queue.outstanding = (queue.outstanding + issued as usize).saturating_sub(closed as usize);
        queue.window.closed(closed, Boot::now());
        if over {
            self.over(&name);
        } else {
            self.touched.insert(name);
        }
    }

    fn over(&mut self, name: &RunId) {
        let Some(run) = self.runs.remove(name) else {
            return;
        };
        let open = run.fold.open_tiles().len();
        let queue = self.queue(&run.queue);
        queue.outstanding = queue.outstanding.saturating_sub(open);
        self.listings.remove(name);
        self.shown.closed(&run);
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Decided(name) => self.with(&name, Run::decided),
            Report::Outrun(name, tiles) => {
                self.not_issued(&name, tiles);
                self.with(&name, Run::outrun);
            }
            Report::Broken(name, tiles, why) => {
                tracing::error!(run = %name, why, "the run fails");
                self.not_issued(&name, tiles);
                self.with(&name, |run| run.broken(why));
            }
            Report::Published(name, Outcome::Stored) => self.with(&name, Run::published),
            Report::Published(name, Outcome::Lost(register)) => {
                self.with(&name, Run::lost);
                self.claim_after(register);
            }
            Report::Ordered(name, request, result) => self.ordered(&name, request, result),
            Report::Halted(name) => self.with(&name, Run::halted),
            Report::Loaded(name, records) => self.loaded(&records, &name),
            Report::Refilled(name, Outcome::Stored) => self.with(&name, Run::refilled),
            Report::Refilled(name, Outcome::Lost(register)) => {
                self.with(&name, Run::outrun);
                self.claim_after(register);
            }
            Report::Listed(name, listing, register)
                if register == self.register && !self.claiming =>
            {
                if self.runs.contains_key(&name) {
                    self.listings.insert(name, listing);
                }
            }
            // The register was rewritten since: what was listed may have changed before that.
            Report::Listed(name, ..) => self.with(&name, Run::outrun),
            Report::Claimed(Ok(register)) => {
                self.claiming = false;
                self.register = register;
                for (name, _) in std::mem::take(&mut self.listings) {
                    self.with(&name, Run::outrun);
                }
                // The register may have gone with the queue.
                self.runs.values_mut().for_each(|run| run.stale = true);
                self.touched.extend(self.runs.keys().cloned());
            }
            Report::Claimed(Err(ClaimError::Deposed { holder, .. })) => {
                self.deposed = Some(holder.term)
            }
            Report::Claimed(Err(error)) => {
                tracing::error!(%error, "the term register cannot be written");
                self.deposed = Some(self.term);
            }
        }
    }

    fn not_issued(&mut self, name: &RunId, tiles: usize) {
        if let Some(queue) = self.runs.get(name).map(|run| run.queue.clone()) {
            let queue = self.queue(&queue);
            queue.outstanding = queue.outstanding.saturating_sub(tiles);
        }
    }

    fn with(&mut self, name: &RunId, change: impl FnOnce(&mut Run)) {
        if let Some(run) = self.runs.get_mut(name) {
            change(run);
            self.touched.insert(name.clone());
        }
    }

    fn claim(&mut self) {
        if !self.claiming {
            self.claiming = true;
            self.tasks.spawn(self.voice.clone().claim(self.term));
        }
    }

    /// Claims the register once more, unless that was done since a batch expected `register`.
    fn claim_after(&mut self, register: Register) {
        if register == self.register {
            self.claim();
        }
    }

    /// Carries out what is due after a round of events.
    pub(super) fn advance(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        // A batch whose answer was lost may still land, beside a refill that was listed before it:
        // only once the register is rewritten can it not (docs/PROTOCOL.md §2).
        if self.claiming {
            return;
        }
        self.judge_listings();
        self.carry_out_orders();
        let now = self.now();
        for name in std::mem::take(&mut self.touched) {
            let Some(run) = self.runs.get(&name) else {
                continue;
            };
            if run.wants_room(now) && !run.stale {
                let queue = run.queue.clone();
                let waiting = &mut self.queue(&queue).waiting;
                if !waiting.contains(&name) {
                    waiting.push_back(name);
                }
            } else {
                self.step(&name, 0);
            }
        }
        let queues: Vec<QueueName> = self.queues.keys().cloned().collect();
        queues.iter().for_each(|queue| self.share_out(queue));
    }

    /// Gives the room of a queue to the runs that wait for it, in equal parts.
    fn share_out(&mut self, name: &QueueName) {
        let now = Boot::now();
        let Some(queue) = self.queues.get_mut(name) else {
            return;
        };
        if queue.waiting.is_empty() || self.claiming {
            return;
        }
        let mut room = queue.window.room(queue.outstanding, now);
        let share = room.div_ceil(queue.waiting.len());
        let mut rounds = queue.waiting.len();
        while room > 0 && rounds > 0 {
            rounds -= 1;
            let Some(run) = self
                .queues
                .get_mut(name)
                .and_then(|queue| queue.waiting.pop_front())
            else {
                return;
            };
            room -= self.step(&run, share.min(room)).min(room);
        }
    }

    /// The time by which retries are due: the broker's. Nothing is due before it is known.
    fn now(&self) -> UnixMs {
        self.voice.clock.now().unwrap_or_default()
    }

    /// Lets a run do what is next. Returns how many tiles that issues.
    fn step(&mut self, name: &RunId, room: usize) -> usize {
        let now = self.now();
        let Some(run) = self.runs.get_mut(name) else {
            return 0;
        };
        let action = run.step(room, self.position, self.term, now);
        let (Some(action), Some(opening)) = (action, run.fold.opening()) else {
            return 0;
        };
        let (queue, voice, name) = (run.queue.clone(), self.voice.clone(), name.clone());
        match action {
            Action::Refill => {
                self.tasks.spawn(voice.list(name, queue, self.register));
                0
            }
            Action::Halt { sequence } => {
                let holders = self.workers_of(&queue);
                self.tasks.spawn(voice.halt(name, queue, sequence, holders));
                0
            }
            Action::Abort {
                cancelled,
                expected,
            } => {
                self.tasks.spawn(voice.order(orders::Order {
                    run: name,
                    queue,
                    record: PlanRecord::Cancelled(cancelled),
                    expected,
                    request: 0,
                    done: Answer::Done { shards: 0 },
                }));
                0
            }
            Action::Close { closed, expected } => {
                self.tasks.spawn(voice.close(name, queue, closed, expected));
                0
            }
            Action::Decide { wave, expected } => {
                let tiles = wave.len();
                let frozen = (wave.n == 0 && tiles <= FROZEN_TILES)
                    .then(|| wire::encode(&PlanRecord::Opened(Box::new((*opening.record).clone()))))
                    .filter(|frozen| frozen.len() <= FROZEN_MAX);
                let issue = Issue {
                    run: name,
                    queue: queue.clone(),
                    nonce: opening.record.nonce,
                    opened: opening.sequence,
                    wave,
                    frozen,
                    expected,
                    register: self.register,
                };
                self.tasks.spawn(voice.issue(issue));
                self.queue(&queue).outstanding += tiles;
                tiles
            }
        }
    }

    fn judge_listings(&mut self) {
        let ripe: Vec<RunId> = self
            .listings
            .iter()
            .filter(|(_, listing)| listing.ledger <= self.position)
            .map(|(name, _)| name.clone())
            .collect();
        for name in ripe {
            let (Some(listing), Some(run)) =
                (self.listings.remove(&name), self.runs.get_mut(&name))
            else {
                continue;
            };
            let tiles = refill::missing(&run.fold, &listing);
            if tiles.is_empty() {
                self.with(&name, Run::refilled);
                continue;
            }
            let queue = run.queue.clone();
            if listing.held.is_none() {
                let (voice, workers) = (self.voice.clone(), self.workers.clone());
                self.tasks
                    .spawn(voice.ask(name, queue, listing, self.register, workers));
                continue;
            }
            tracing::info!(run = %name, tiles = tiles.len(), "published again");
            self.tasks
                .spawn(self.voice.clone().refill(name, queue, tiles, self.register));
        }
    }
}

/// What the records of a run add up to.
pub(super) fn fold_of<'a>(
    subjects: &Subjects,
    run: RunId,
    records: impl IntoIterator<Item = &'a Record>,
) -> Fold {
    let mut fold = Fold::new(run);
    for record in records {
        let author = subjects
            .parse_ledger(&record.subject)
            .map(|(.., author)| author);
        take_record(&mut fold, author, record);
    }
    fold
}

/// Folds a record in. Returns the term of a wave.
pub(super) fn take_record(
    fold: &mut Fold,
    author: Option<Author>,
    record: &Record,
) -> Option<Term> {
    match author.map(|author| record::Record::decode(author, &record.payload)) {
        Some(Ok(decoded)) => {
            fold.apply(record.seq, record.at, &decoded);
            match decoded {
                record::Record::Plan(PlanRecord::Wave(wave)) => Some(wave.term),
                record::Record::Plan(_) | record::Record::Work(_) | record::Record::Takeover(_) => {
                    None
                }
            }
        }
        Some(Err(error)) => {
            tracing::warn!(subject = %record.subject, sequence = record.seq, %error, "unreadable record");
            fold.apply_unreadable(record.seq);
            None
        }
        None => None,
    }
}

impl std::fmt::Debug for Lead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lead")
            .field("term", &self.term)
            .field("runs", &self.runs.len())
            .finish_non_exhaustive()
    }
}
