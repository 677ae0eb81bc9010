//! Orders by people: each is judged against the run as its ledger has it, written between the run's
//! waves, and answered once that is confirmed (docs/PROTOCOL.md §10).
//!
//! A run that is over is read again for it and kept on a shelf for as long as its order takes; its
//! records meanwhile are folded in there. What this leadership leaves unanswered is asked again by
//! whoever asked, under the same number.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use gridloom_shared::broker::Subject;
use gridloom_shared::broker::log::Record;
use gridloom_shared::clock::Boot;
use gridloom_shared::command::{Answer, Command};
use gridloom_shared::id::{QueueName, RunId, Session};
use gridloom_shared::ledger::record::{Author, PlanRecord};
use gridloom_shared::presence::Presence;
use gridloom_shared::wire;

use super::super::orders::Order;
use super::{Lead, fold_of, take_record};
use crate::run::Run;
use crate::run::order::{self, Judged};

/// Orders that may wait at once.
const WAITING_MAX: usize = 1_000;
/// A worker that was not heard for so long holds nothing that would have to be waited for.
const SILENCE: Duration = Duration::from_secs(3);
/// Workers announce themselves each second: after this long all that live have been heard.
const ALL_HEARD: Duration = Duration::from_millis(1_200);

/// An order, and where its answer goes.
#[derive(Debug)]
pub(in crate::service) struct Asked {
    pub(in crate::service) command: Command,
    pub(in crate::service) reply: Subject,
}

/// Orders that are not answered yet, and what they need.
pub(super) struct Orders {
    asked: HashMap<RunId, VecDeque<Asked>>,
    /// Runs that are over and have an order.
    shelf: HashMap<RunId, Run>,
    /// Runs whose ledger is being read, with their records since that began.
    loading: HashMap<RunId, Vec<Record>>,
    /// Workers that were heard, by queue.
    workers: HashMap<QueueName, HashMap<Session, Boot>>,
    /// Since when they are listened to.
    since: Boot,
}

impl Orders {
    pub(super) fn new(now: Boot) -> Orders {
        Orders {
            asked: HashMap::new(),
            shelf: HashMap::new(),
            loading: HashMap::new(),
            workers: HashMap::new(),
            since: now,
        }
    }
}

impl Lead {
    /// Notes who may hold tiles.
    pub(super) fn note_worker(&mut self, presence: &Presence) {
        let now = Boot::now();
        for queue in &presence.queues {
            let heard = self.orders.workers.entry(queue.clone()).or_default();
            heard.retain(|_, at| now.since(*at) < SILENCE);
            heard.insert(presence.session, now);
        }
    }

    /// Workers of a queue that live; `None` while that is not known.
    pub(super) fn workers_of(&self, queue: &QueueName) -> Option<HashSet<Session>> {
        let now = Boot::now();
        if now.since(self.orders.since) < ALL_HEARD {
            return None;
        }
        let heard = self.orders.workers.get(queue).into_iter().flatten();
        let living = heard.filter(|(_, at)| now.since(**at) < SILENCE);
        Some(living.map(|(session, _)| *session).collect())
    }

    /// Somebody gave an order.
    pub(super) fn ask(&mut self, asked: Asked) {
        let waiting: usize = self.orders.asked.values().map(VecDeque::len).sum();
        if waiting >= WAITING_MAX {
            let reason = "too many orders wait already: try it again later".to_owned();
            return self.answer(asked.reply, Answer::Refused { reason });
        }
        let run = asked.command.run.clone();
        self.orders.asked.entry(run).or_default().push_back(asked);
    }

    /// Writes the orders that may be written now.
    pub(super) fn carry_out_orders(&mut self) {
        if self.orders.asked.is_empty() && self.orders.shelf.is_empty() {
            return;
        }
        let names: Vec<RunId> = self.orders.asked.keys().cloned().collect();
        names.iter().for_each(|name| self.carry_out(name));
        let asked = &self.orders.asked;
        self.orders
            .shelf
            .retain(|name, run| asked.contains_key(name) || !run.is_in_step());
    }

    fn carry_out(&mut self, name: &RunId) {
        loop {
            let Orders {
                asked,
                shelf,
                loading,
                ..
            } = &mut self.orders;
            let Some(command) = asked.get(name).and_then(VecDeque::front) else {
                asked.remove(name);
                return;
            };
            let Some(run) = self.runs.get_mut(name).or_else(|| shelf.get_mut(name)) else {
                if !loading.contains_key(name) {
                    self.load(name);
                }
                return;
            };
            if !run.may_order() {
                return;
            }
            match order::judge(&run.fold, &command.command, self.term) {
                Judged::Answer(answer) => self.answer_first(name, answer),
                Judged::Write(record, shards) => {
                    run.ordering();
                    let (queue, expected) = (run.queue.clone(), run.fold.last_plan());
                    let request = command.command.request;
                    let order = Order {
                        run: name.clone(),
                        queue,
                        record,
                        expected,
                        request,
                        done: Answer::Done { shards },
                    };
                    self.tasks.spawn(self.voice.clone().order(order));
                    return;
                }
            }
        }
    }

    /// An order was written, or not: then somebody else's record stands there and it is judged anew,
    /// or it can never be written.
    pub(super) fn ordered(
        &mut self,
        name: &RunId,
        request: u64,
        result: Result<(u64, Answer), Option<String>>,
    ) {
        let run = self.runs.get_mut(name);
        if let Some(run) = run.or_else(|| self.orders.shelf.get_mut(name)) {
            match &result {
                Ok((sequence, _)) => run.ordered(*sequence),
                Err(_) => run.not_ordered(),
            }
        }
        self.touched.insert(name.clone());
        let first = self.orders.asked.get(name).and_then(VecDeque::front);
        if first.is_none_or(|first| first.command.request != request) {
            return;
        }
        match result {
            Ok((_, answer)) => self.answer_first(name, answer),
            Err(Some(reason)) => self.answer_first(name, Answer::Refused { reason }),
            Err(None) => {}
        }
    }

    fn answer_first(&mut self, name: &RunId, answer: Answer) {
        if let Some(asked) = self
            .orders
            .asked
            .get_mut(name)
            .and_then(VecDeque::pop_front)
        {
            tracing::info!(run = %name, verb = asked.command.verb.as_str(), ?answer, "ordered");
            self.answer(asked.reply, answer);
        }
    }

    fn answer(&mut self, reply: Subject, answer: Answer) {
        let broker = self.voice.broker.clone();
        self.tasks.spawn(async move {
            if let Err(error) = broker.publish(reply, wire::encode(&answer)).await {
                tracing::debug!(%error, "failed to answer an order");
            }
        });
    }

    fn load(&mut self, name: &RunId) {
        self.orders.loading.insert(name.clone(), Vec::new());
        let voice = self.voice.clone();
        self.tasks.spawn(voice.load(name.clone(), self.position));
    }

    /// The ledger of a run was read.
    pub(super) fn loaded(&mut self, records: &[Record], name: &RunId) {
        let Some(since) = self.orders.loading.remove(name) else {
            return;
        };
        let subjects = self.voice.broker.subjects();
        let fold = fold_of(subjects, name.clone(), records.iter().chain(&since));
        if self.runs.contains_key(name) {
            return;
        }
        if fold.opening().is_none() {
            for asked in self.orders.asked.remove(name).unwrap_or_default() {
                if let Judged::Answer(answer) = order::judge(&fold, &asked.command, self.term) {
                    self.answer(asked.reply, answer);
                }
            }
        } else if fold.closing().is_none() {
            self.add(fold);
        } else if let Some(run) = Run::new(fold) {
            self.orders.shelf.insert(name.clone(), run);
        }
    }

    /// A record of a run that is not open, as far as this leadership knows. Returns whether that is
    /// all to be done about it.
    pub(super) fn record_of_closed(
        &mut self,
        name: &RunId,
        author: Author,
        record: &Record,
    ) -> bool {
        if let Some(since) = self.orders.loading.get_mut(name) {
            since.push(record.clone());
            return true;
        }
        if let Some(run) = self.orders.shelf.get_mut(name) {
            take_record(&mut run.fold, Some(author), record);
            if run.fold.closing().is_none()
                && let Some(run) = self.orders.shelf.remove(name)
            {
                tracing::info!(run = %name, "reopened");
                self.add(run.fold);
            }
            return true;
        }
        // A deposed leader may still win the race for the next record: what it decided is valid.
        if author == Author::Plan
            && matches!(wire::decode(&record.payload), Ok(PlanRecord::Reopened(_)))
        {
            self.load(name);
            return true;
        }
        false
    }
}
