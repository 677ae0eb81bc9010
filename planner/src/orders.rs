//! Orders by people: each is judged against the run as its ledger has it, written between the run's
//! waves, and answered once that is confirmed (docs/PROTOCOL.md §4). Pure.
//!
//! A run that is over is read again for it and kept on a shelf for as long as its order takes; its
//! records meanwhile are folded in there. What this leadership leaves unanswered is asked again by
//! whoever asked, under the same number.

use std::collections::{HashMap, VecDeque};

use gridloom_shared::command::Answer;
use gridloom_shared::id::{RunId, Term};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::PlanRecord;
use gridloom_shared::ledger::summary::RunSummary;
use gridloom_shared::limits::{CELLS_MAX, ORDERS_MAX, cells};

use crate::book::{Book, Life};
use crate::entry::Entry;
use crate::lead::action::{Action, Order};
use crate::lead::event::{Request, Written};
use crate::run::order::{self, Judged};
use crate::run::{Event, Run};

/// An order whose record is on its way.
#[derive(Debug)]
struct Writing {
    request: u64,
    done: Answer,
    /// Of the run when that began; `None` for one that is over.
    life: Option<Life>,
}

/// What is to be done with a record of a run that is not open.
#[derive(Debug)]
pub enum Shelved {
    /// Nothing: the run has nothing to do with orders.
    Nothing,
    /// Nothing more: it was taken in.
    Taken,
    /// The run goes on.
    Reopened(Box<Fold>),
    /// Dead shards of the run were given up; it is over as before.
    GivenUp(Box<RunSummary>),
    /// The run was opened again, and its ledger has to be read.
    Load(RunId),
}

/// Orders that are not answered yet, and what they need.
#[derive(Debug, Default)]
pub struct Orders {
    waiting: HashMap<RunId, VecDeque<Request>>,
    /// Orders at the head of their run's queue that are being written.
    writing: HashMap<RunId, Writing>,
    /// Runs that are over and have an order.
    shelf: HashMap<RunId, Run>,
    /// Runs whose ledger is being read, with their records since that began.
    loading: HashMap<RunId, Vec<Entry>>,
    count: usize,
    most: Most,
}

/// How many shards one order names at most.
#[derive(Clone, Copy, Debug)]
struct Most(usize);

impl Default for Most {
    fn default() -> Most {
        Most(CELLS_MAX)
    }
}

impl Orders {
    /// The broker takes records of so many bytes at most.
    pub fn fit(&mut self, record: usize) {
        self.most = Most(cells(record));
    }

    /// Somebody gave an order.
    pub fn ask(&mut self, request: Request) -> Option<Action> {
        if self.count >= ORDERS_MAX {
            let reason = "too many orders wait already: try it again later".to_owned();
            return Some(answer(request, Answer::Refused { reason }));
        }
        self.count += 1;
        let run = request.command.run.clone();
        self.waiting.entry(run).or_default().push_back(request);
        None
    }

    /// Writes the orders that may be written now.
    pub fn advance(&mut self, book: &mut Book, position: u64, term: Term) -> Vec<Action> {
        if self.waiting.is_empty() && self.shelf.is_empty() {
            return Vec::new();
        }
        let mut actions = Vec::new();
        let mut names: Vec<RunId> = self.waiting.keys().cloned().collect();
        names.sort_unstable();
        for name in &names {
            self.carry_out(name, book, (position, term), &mut actions);
        }
        let waiting = &self.waiting;
        self.shelf
            .retain(|name, run| waiting.contains_key(name) || !run.is_in_step());
        actions
    }

    fn carry_out(
        &mut self,
        name: &RunId,
        book: &mut Book,
        (position, term): (u64, Term),
        actions: &mut Vec<Action>,
    ) {
        while let Some(first) = self.waiting.get(name).and_then(VecDeque::front) {
            let Some(run) = book.get_mut(name).or_else(|| self.shelf.get_mut(name)) else {
                if !self.loading.contains_key(name) {
                    actions.push(self.load(name.clone(), position));
                }
                return;
            };
            if !run.may_order() {
                return;
            }
            let request = first.command.request;
            match order::judge(run.fold(), &first.command, term, self.most.0) {
                Judged::Answer(told) => actions.extend(self.answer_first(name, told)),
                Judged::Write(record, shards) => {
                    run.take(Event::OrderBegun);
                    let order = Order {
                        run: name.clone(),
                        queue: run.queue().clone(),
                        record,
                        expected: run.fold().last_plan(),
                        request,
                    };
                    let writing = Writing {
                        request,
                        done: Answer::Done { shards },
                        life: book.life(name),
                    };
                    self.writing.insert(name.clone(), writing);
                    actions.push(Action::Write(order));
                    return;
                }
            }
        }
        self.waiting.remove(name);
    }

    /// An order was written, or not: then somebody else's record stands there and it is judged anew,
    /// or it can never be written. It was begun in a life of its run that may be over: a run that was lost
    /// and opened again has orders of its own under way.
    pub fn written(
        &mut self,
        (name, life): (&RunId, Option<Life>),
        request: u64,
        written: Written,
        book: &mut Book,
    ) -> Option<Action> {
        let ours = |writing: &Writing| writing.request == request && writing.life == life;
        let asked = self.writing.get(name).is_some_and(ours);
        let concerns = asked || book.life(name) == life;
        let run = book.get_mut(name).or_else(|| self.shelf.get_mut(name));
        if let Some(run) = run.filter(|_| concerns) {
            run.take(match written {
                Written::At(sequence) => Event::OrderWritten { sequence },
                Written::Outrun | Written::Never(_) => Event::OrderFailed,
            });
        }
        if !asked {
            return None;
        }
        let Writing { done, .. } = self.writing.remove(name)?;
        // It may have been judged anew meanwhile, and be answered.
        let first = self.waiting.get(name)?.front()?;
        if first.command.request != request {
            return None;
        }
        match written {
            Written::At(_) => self.answer_first(name, done),
            Written::Never(reason) => self.answer_first(name, Answer::Refused { reason }),
            Written::Outrun => None,
        }
    }

    fn answer_first(&mut self, name: &RunId, told: Answer) -> Option<Action> {
        let request = self.waiting.get_mut(name)?.pop_front()?;
        self.count = self.count.saturating_sub(1);
        tracing::info!(run = %name, verb = request.command.verb.as_str(), answer = ?told, "ordered");
        Some(answer(request, told))
    }

    fn load(&mut self, run: RunId, position: u64) -> Action {
        self.loading.insert(run.clone(), Vec::new());
        Action::Load { run, position }
    }

    /// Has the ledger of a run read that was opened again.
    pub fn reload(&mut self, run: RunId, position: u64) -> Option<Action> {
        (!self.loading.contains_key(&run)).then(|| self.load(run, position))
    }

    /// The ledger of a run was read. Returns it if it is open.
    pub fn loaded(&mut self, mut fold: Fold, term: Term) -> (Option<Fold>, Vec<Action>) {
        let name = fold.run().clone();
        let Some(since) = self.loading.remove(&name) else {
            return (None, Vec::new());
        };
        for entry in &since {
            entry.fold_into(&mut fold);
        }
        if fold.opening().is_none() {
            let requests = self.waiting.remove(&name).unwrap_or_default();
            self.count = self.count.saturating_sub(requests.len());
            let answers = requests.into_iter().filter_map(|request| {
                match order::judge(&fold, &request.command, term, self.most.0) {
                    Judged::Answer(told) => Some(answer(request, told)),
                    Judged::Write(..) => None,
                }
            });
            return (None, answers.collect());
        }
        if fold.closing().is_none() {
            return (Some(fold), Vec::new());
        }
        if let Some(run) = Run::new(fold) {
            self.shelf.insert(name, run);
        }
        (None, Vec::new())
    }

    /// Takes in a record of a run that is not open, as far as this leadership knows.
    pub fn read(&mut self, entry: &Entry, term: Term) -> Shelved {
        let name = &entry.run;
        if let Some(since) = self.loading.get_mut(name) {
            since.push(entry.clone());
            return Shelved::Taken;
        }
        if let Some(run) = self.shelf.get_mut(name) {
            run.read(entry, term);
            if run.fold().closing().is_none()
                && let Some(run) = self.shelf.remove(name)
            {
                tracing::info!(run = %name, "reopened");
                return Shelved::Reopened(Box::new(run.into_fold()));
            }
            return match (entry.plan(), self.shelf.get(name)) {
                (Some(PlanRecord::Dropped(_)), Some(run)) => {
                    let summary = RunSummary::of(run.fold());
                    summary.map_or(Shelved::Taken, |summary| {
                        Shelved::GivenUp(Box::new(summary))
                    })
                }
                _ => Shelved::Taken,
            };
        }
        // A deposed leader may still win the race for the next record: what it decided is valid.
        if matches!(entry.plan(), Some(PlanRecord::Reopened(_))) {
            return Shelved::Load(name.clone());
        }
        Shelved::Nothing
    }
}

fn answer(request: Request, answer: Answer) -> Action {
    Action::Answer {
        reply: request.reply,
        answer,
    }
}
