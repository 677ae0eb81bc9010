//! One leadership: what each event changes, and what is to be done. Pure: it reads no clock, speaks
//! to no broker and draws no random number; `service/act` carries out its actions.
//!
//! | room | what it decides |
//! |------|-----------------|
//! | [`crate::book`] | what a record changes in an open run |
//! | [`crate::admission`] | which run may issue how much, and why the others may not |
//! | [`crate::register`] | when the term register is written anew, which listings may be believed |
//! | [`crate::orders`] | what becomes of orders by people |
//! | `begin` | what is issued with the record that opens a run |
//! | `parked` | who waits for room on the queue |
//! | [`standing`] | how it all stands, in numbers |
//! | [`event`], [`action`] | what is heard, what is done |
//!
//! Events of one round are taken in by [`Lead::take`], then [`Lead::advance`] says what follows.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use gridloom_shared::broker::term::{ClaimError, Register};
use gridloom_shared::clock::{Boot, UnixMs};
use gridloom_shared::command::{Answer, Verb};
use gridloom_shared::id::{QueueName, RunId, Term};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::{self, PlanRecord, Record, Wave};
use gridloom_shared::ledger::summary::RunSummary;
use gridloom_shared::limits::{FROZEN_MAX, RECORD_MAX};
use gridloom_shared::presence::Presence;
use gridloom_shared::tile::TileKind;
use gridloom_shared::waiting::Waiting;
use gridloom_shared::wire::{self, WireError};

use crate::admission::{Admission, Flow};
use crate::book::{Book, Life, Moved};
use crate::census::Gone;
use crate::crew::Crew;
use crate::entry::Entry;
use crate::failover::refill::{self, Listing};
use crate::now::Now;
use crate::open::NewRun;
use crate::orders::{Orders, Shelved};
use crate::register::Claims;
use crate::run::{self, Room, Run};

pub mod action;
mod begin;
pub mod event;
mod explain;
mod parked;
mod reports;
pub mod standing;
mod steps;

use action::{Action, Begun, Issue, Order, Ordered};
use begin::Beginning;
use event::{Event, Outcome, Report, Request};
use parked::Parked;

/// How often runs are looked at for tiles that may be missing on the queue.
const LOOK: Duration = Duration::from_secs(10);
/// How often workers that are silent are forgotten.
const FORGET: Duration = Duration::from_secs(1);
/// Most tiles of a first wave that carry the run's first record along: more would cost the queue more than
/// the workers' one read saves.
const FROZEN_TILES: usize = 32;

/// What one event changed, for projections.
#[derive(Debug)]
pub enum Change {
    /// A run is open: now, or when the leadership began.
    Opened(RunId),
    /// A record changed its numbers.
    Moved(Box<Moved>),
    /// A run is over.
    Closed(Box<Run>),
    /// Dead shards of a run that is over were given up: it is shown otherwise.
    GivenUp(Box<RunSummary>),
    /// A run is gone without an end: its records were removed.
    Lost(Box<Run>),
}

/// The state of one leadership.
#[derive(Debug)]
pub struct Lead {
    book: Book,
    admission: Admission,
    crew: Crew,
    claims: Claims,
    orders: Orders,
    /// Who found no room on the queue and tries again: until then nothing more is issued.
    no_room: Option<RunId>,
    /// Who waits for that.
    parked: Parked,
    /// Ledger sequence up to which was read.
    position: u64,
    /// Largest record that the broker takes, in bytes.
    record: usize,
    /// Runs whose first tiles are to be put on the queue.
    begun: Vec<RunId>,
    /// Runs to look at before the loop waits again.
    touched: HashSet<RunId>,
    /// Runs whose next retry is due then, by the broker's clock.
    due: BTreeSet<(UnixMs, RunId)>,
    looked: Boot,
    forgot: Boot,
    actions: Vec<Action>,
    changes: Vec<Change>,
}

impl Lead {
    /// A leadership that has written the register and read the ledger up to `position`, with the runs
    /// that are open there.
    pub fn new(
        term: Term,
        register: Register,
        position: u64,
        runs: impl IntoIterator<Item = Fold>,
        flow: Flow,
        now: Now,
    ) -> Lead {
        let mut lead = Lead {
            book: Book::default(),
            admission: Admission::new(flow),
            crew: Crew::new(now.boot),
            claims: Claims::new(term, register),
            orders: Orders::default(),
            no_room: None,
            parked: Parked::new(now.boot),
            position,
            record: RECORD_MAX,
            begun: Vec::new(),
            touched: HashSet::new(),
            due: BTreeSet::new(),
            looked: now.boot,
            forgot: now.boot,
            actions: vec![Action::CallWorkers],
            changes: Vec::new(),
        };
        for fold in runs {
            // What was there before this leadership is none of its doing, whatever term it names: a term comes again where the
            // broker lost the lease and the register.
            let name = lead.enter(fold, Beginning::Earlier, now);
            lead.changes.extend(name.map(Change::Opened));
        }
        lead
    }

    /// The term of this leadership.
    pub fn term(&self) -> Term {
        self.claims.term()
    }

    /// The open runs.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The open runs, to ask which have moved.
    pub fn book_mut(&mut self) -> &mut Book {
        &mut self.book
    }

    /// Ledger sequence up to which was read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The term of somebody else, once the broker refused this one; or this one, if it has to be given
    /// up for another reason.
    pub fn deposed(&self) -> Option<Term> {
        self.claims.deposed()
    }

    /// Queues with as many open runs as they may have: nothing more is to be opened there.
    pub fn full(&self) -> &BTreeSet<QueueName> {
        self.admission.full()
    }

    /// What has changed since the last call, for projections.
    pub fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Takes in an event.
    pub fn take(&mut self, event: Event, now: Now) {
        match event {
            Event::Read(entry) => self.read(&entry, now),
            Event::LedgerLost(error) => {
                tracing::error!(
                    error,
                    "the ledger was lost or rolled back: its open runs are read again"
                );
                self.claims.give_up();
            }
            Event::Begins(opened, teller) => teller.tell(self.begins(opened, now)),
            Event::Opened(new) => self.opened(*new, now),
            Event::NotOpened(queue, tiles) => self.admission.began(&queue, tiles, now),
            Event::Ordered(request) => self.ask(*request, now),
            Event::Heard(presence) => self.crew.heard(&presence, now.boot),
            Event::Died(presence) => self.died(&presence),
            Event::Measured { run, shards, busy } => self.admission.measured(&run, shards, busy),
            // After the claim every run is refilled.
            Event::QueueLost => self.claim(),
            Event::QueueWorn => self.claim(),
            Event::Reconnected => {
                self.claim();
                self.actions.push(Action::CallWorkers);
            }
            Event::Vanished(gone) => self.vanished(gone, now),
            Event::Counting(counter) => {
                counter.tell(self.book.count(self.position, self.term()));
            }
            Event::Report(life, report) => self.report(life, report, now),
        }
    }

    /// A worker is dead: it has no slots, and what it held may be missing on the queue.
    fn died(&mut self, presence: &Presence) {
        self.crew.died(presence.session);
        for queue in &presence.queues {
            let concerned = self.book.doubt(Some(queue));
            self.touched.extend(concerned);
        }
    }

    fn opened(&mut self, new: NewRun, now: Now) {
        if let PlanRecord::Opened(opened) = &new.record {
            let tiles = record::count(&opened.first);
            self.admission.began(&opened.job.queue, tiles, now);
        }
        if self.book.contains(&new.run) || new.sequence <= self.position {
            return;
        }
        // What the broker stamped it with is not known here: about now.
        let at = match &new.record {
            PlanRecord::Opened(opened) => now.broker.max(opened.scheduled_at),
            _ => return,
        };
        let mut fold = Fold::new(new.run);
        fold.apply(new.sequence, at, &Record::Plan(new.record));
        self.add(fold, now);
    }

    fn add(&mut self, fold: Fold, now: Now) {
        let beginning = self.beginning_of(&fold);
        let name = self.enter(fold, beginning, now);
        self.changes.extend(name.map(Change::Opened));
    }

    fn enter(&mut self, fold: Fold, beginning: Beginning, now: Now) -> Option<RunId> {
        let begins = beginning == Beginning::Here;
        let run = match begins {
            true => self.book.begin(fold)?,
            false => self.book.add(fold)?,
        };
        let fold = run.fold();
        let (name, open) = (fold.run().clone(), fold.open_tiles().len());
        if let Some(opening) = fold.opening() {
            let job = &opening.record.job;
            self.admission
                .opened(&name, job, opening.sequence, open, now);
        }
        if begins {
            let shards = fold.counts().planned;
            self.admission.issued_at_once(&name, shards);
            self.begun.push(name.clone());
        }
        self.touched.insert(name.clone());
        Some(name)
    }

    fn read(&mut self, entry: &Entry, now: Now) {
        self.position = self.position.max(entry.sequence);
        if self.is_another(entry) {
            let why = "its records were removed while it was open, and another run was opened under its id";
            self.lose(&entry.run, why.to_owned(), None, now);
        }
        let term = self.term();
        let Some(moved) = self.book.read(entry, term) else {
            return self.read_of_closed(entry, now);
        };
        let closed = moved.after.tiles_closed - moved.before.tiles_closed;
        self.admission
            .counted(&entry.run, moved.foreign, closed, now);
        let over = moved.over;
        self.changes.push(Change::Moved(Box::new(moved)));
        if over {
            if let Some(run) = self.remove(&entry.run, now) {
                self.changes.push(Change::Closed(Box::new(run)));
            }
        } else {
            self.touch(&entry.run);
        }
    }

    fn read_of_closed(&mut self, entry: &Entry, now: Now) {
        match self.orders.read(entry, self.term()) {
            Shelved::Taken => {}
            Shelved::GivenUp(summary) => self.changes.push(Change::GivenUp(summary)),
            Shelved::Reopened(fold) => self.add(*fold, now),
            Shelved::Load(run) => {
                let load = self.orders.reload(run, self.position);
                self.actions.extend(load);
            }
            Shelved::Nothing => {
                if entry.record.as_ref().is_err_and(WireError::is_newer) {
                    self.book.leave(entry.run.clone());
                }
                if matches!(entry.plan(), Some(PlanRecord::Opened(_))) {
                    let mut fold = Fold::new(entry.run.clone());
                    entry.fold_into(&mut fold);
                    self.add(fold, now);
                }
            }
        }
    }

    /// Takes a run away from everything that knows it.
    fn remove(&mut self, name: &RunId, now: Now) -> Option<Run> {
        let run = self.book.remove(name)?;
        self.admission.over(name, now);
        self.claims.forget(name);
        self.no_room.take_if(|waits| waits == name);
        self.parked.remove(name);
        self.touched.remove(name);
        Some(run)
    }

    /// Whether a record opens another run under the id of one that is open here.
    fn is_another(&self, entry: &Entry) -> bool {
        let known = self.book.get(&entry.run).map(Run::fold);
        match (entry.plan(), known) {
            (Some(PlanRecord::Opened(opened)), Some(fold)) => {
                opened.job.queue == entry.queue && fold.is_another(opened)
            }
            _ => false,
        }
    }

    /// Records of an open run are gone.
    fn vanished(&mut self, gone: Gone, now: Now) {
        let open = self.book.get(&gone.run).map(Run::fold);
        if open.is_some_and(|fold| fold.nonce() == Some(gone.nonce)) {
            let why = format!(
                "{} of its records were removed from the ledger while it was open",
                gone.missing
            );
            self.lose(&gone.run.clone(), why, Some(gone), now);
        }
    }

    fn lose(&mut self, name: &RunId, why: String, gone: Option<Gone>, now: Now) {
        if let Some(run) = self.remove(name, now) {
            tracing::error!(run = %name, reason = why, "the run is lost");
            self.changes.push(Change::Lost(Box::new(run)));
            let run = name.clone();
            self.actions.push(Action::Bury { run, why, gone });
        }
    }

    fn ask(&mut self, request: Request, now: Now) {
        let action = match request.command.verb {
            Verb::Explain => {
                let waits = self.explain(&request.command.run, now);
                Some(Action::Answer {
                    reply: request.reply,
                    answer: Answer::Waits { waits },
                })
            }
            Verb::Cancel | Verb::Retry | Verb::Drop => self.orders.ask(request),
        };
        self.actions.extend(action);
    }

    /// The broker takes records of so many bytes at most: after a restart these may be others than before.
    pub fn fit(&mut self, record: usize) {
        self.record = record;
        self.orders.fit(record);
    }

    fn claim(&mut self) {
        if self.claims.claim() {
            self.actions.push(Action::Claim(self.term()));
        }
    }

    fn tell(&mut self, name: &RunId, event: run::Event) {
        if let Some(run) = self.book.get_mut(name) {
            run.take(event);
            self.touch(name);
        }
    }

    fn touch(&mut self, name: &RunId) {
        if !self.touched.contains(name) {
            self.touched.insert(name.clone());
        }
    }

    /// What is due after a round of events, or because time has passed: retries, room that has grown,
    /// and tiles that may be missing on the queue: one whose holder's failure did not count comes back
    /// only so (docs/PROTOCOL.md §6).
    pub fn advance(&mut self, now: Now) -> Vec<Ordered> {
        self.pass_time(now);
        if !self.claims.is_claiming() {
            self.judge_listings();
            let term = self.term();
            let orders = self.orders.advance(&mut self.book, self.position, term);
            self.actions.extend(orders);
            let mut touched: Vec<RunId> = self.touched.drain().collect();
            touched.sort_unstable();
            touched.iter().for_each(|name| self.settle(name, now));
            if self.no_room.is_none() {
                for queue in self.admission.waiting() {
                    self.share_out(&queue, now);
                }
            }
        }
        self.begin();
        let book = &self.book;
        let actions = std::mem::take(&mut self.actions).into_iter();
        let ordered = actions.map(|action| Ordered {
            life: action.run().and_then(|run| book.life(run)),
            action,
        });
        ordered.collect()
    }

    fn pass_time(&mut self, now: Now) {
        if now.boot.since(self.looked) >= LOOK {
            self.looked = now.boot;
            let stale = self.book.look();
            self.touched.extend(stale);
        }
        if now.boot.since(self.forgot) >= FORGET {
            self.forgot = now.boot;
            self.crew.forget(now.boot);
        }
        while let Some((due, name)) = self.due.first().cloned() {
            if due > now.broker {
                break;
            }
            self.due.pop_first();
            self.touch(&name);
        }
        if self.no_room.is_none() {
            self.touched.extend(self.parked.due(now.boot));
        }
        self.admission.tick(now);
    }

    /// Lets a run wait for room, or do what is next for it.
    fn settle(&mut self, name: &RunId, now: Now) {
        let Some(run) = self.book.get(name) else {
            return;
        };
        if let Some(due) = run.next_retry().filter(|due| *due > now.broker) {
            self.due.insert((due, name.clone()));
        }
        if let Some(until) = run.fold().hold_until() {
            self.admission.hold(name, until);
        }
        // One that has nothing on the queue, or is to end, needs no room there.
        let looks_for_room = run.is_stale()
            && run.fold().cancelled().is_none()
            && !run.fold().open_tiles().is_empty();
        if looks_for_room && self.is_to_wait(name) {
            self.admission.leave(name);
            self.parked.add(name.clone());
        } else if run.wants_room(now.broker) && !run.is_stale() {
            self.admission.wait(name, run.left(), now);
        } else {
            self.admission.leave(name);
            self.step(name, Room::default(), now);
        }
    }

    /// Whether another run tries to find room on the queue, or this one has just found none.
    fn is_to_wait(&self, name: &RunId) -> bool {
        let tries = self.no_room.as_ref();
        tries.is_some_and(|tries| tries != name) || self.parked.contains(name)
    }

    /// Gives the room of a queue to the runs that wait for it.
    fn share_out(&mut self, queue: &QueueName, now: Now) {
        let mut turn = self.admission.turn(queue, &self.crew, now);
        while let Some((name, room)) = self.admission.next(&turn, now) {
            match self.step(&name, room, now) {
                Some((tiles, shards)) => self.admission.issued(&mut turn, &name, tiles, shards),
                None => self.admission.leave(&name),
            }
        }
    }
}
