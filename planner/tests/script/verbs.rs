//! What the lines mean that are about time, workers and orders.

use std::sync::mpsc;

use std::time::Duration;

use gridloom_planner::admission::Flow;
use gridloom_planner::lead::Lead;
use gridloom_planner::lead::event::{Event, Request};
use gridloom_planner::teller::Teller;
use gridloom_shared::broker::Subject;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::command::{Command, Verb};
use gridloom_shared::id::{HandlerName, QueueName, RunId, ShareName, Term};
use gridloom_shared::job::Shares;
use gridloom_shared::tile::TileRef;

use super::Told;
use super::line::{Line, duration, number};
use super::show::plural;
use super::world::World;

impl World {
    pub(super) fn carry_out(&mut self, verb: &str, line: &mut Line) -> Told<()> {
        match verb {
            "lead" | "successor" => self.begin_to_lead(line),
            "advance" => Ok(()),
            "tick" => self.tick(line),
            "clock" => self.clock(line),
            "worker" => self.worker(line),
            "silent" | "die" | "stop" | "gone" => self.worker_goes(verb, line),
            "pull" => self.pull(line),
            "cancel" | "retry" | "drop" | "explain" => self.order(verb, line),
            "write" => self.write(line),
            "unwritable" => self.unwritable(line),
            "published" | "publish-lost" => self.published(verb == "published", line),
            "full" | "unsendable" => self.not_taken(verb, line),
            "list" | "ask" | "refilled" | "refill-lost" => self.compare(verb, line),
            "halted" => self.halted(line),
            "recalled" => self.recalled(line),
            "claimed" | "remade" => self.claimed(verb == "remade"),
            "loaded" => self.loaded(line),
            "settle" => self.settle(),
            "lags" => {
                self.lags = true;
                Ok(())
            }
            "read" => self.read(line),
            "queue-lost" | "queue-purged" => self.queue_lost(verb == "queue-lost"),
            "queue-worn" | "reconnect" => {
                let worn = verb == "queue-worn";
                self.take(if worn {
                    Event::QueueWorn
                } else {
                    Event::Reconnected
                });
                Ok(())
            }
            "vanish" => self.vanish(line),
            "ledger-lost" => {
                self.take(Event::LedgerLost("it ends before what was read".to_owned()));
                Ok(())
            }
            "show" => {
                let run = self.named(line)?;
                let standing = self
                    .broker
                    .truth
                    .get(&run)
                    .map(|fold| self.names.standing(fold));
                self.tell('=', &standing.unwrap_or_else(|| "no record".to_owned()));
                Ok(())
            }
            "simulate" => self.simulate(line),
            _ => self.record_of(verb, line),
        }
    }

    pub(super) fn named(&mut self, line: &mut Line) -> Told<RunId> {
        let name = line.word("a run")?;
        self.run(&name)
    }

    /// `lead term 3 [weights a=2,b=1]`, `successor term 4`: the register is written, the ledger read.
    fn begin_to_lead(&mut self, line: &mut Line) -> Told<()> {
        self.term = line.number_option("term")?.unwrap_or(self.term + 1);
        let weights = line.option("weights")?.unwrap_or_default();
        let weights = weights
            .split(',')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (share, weight) = pair.split_once('=').ok_or("a weight is written a=2")?;
                let share = ShareName::new(share).map_err(|error| error.to_string())?;
                Ok((share, number(weight)? as f64))
            });
        let weights = weights.collect::<Told<Vec<_>>>()?;
        let flow = Flow {
            shares: Shares::new(weights).map_err(|error| error.to_string())?,
            ..Flow::default()
        };
        let register = self.broker.claim(Term(self.term));
        let open = self.broker.truth.values();
        let open = open.filter(|fold| fold.opening().is_some() && fold.closing().is_none());
        let folds: Vec<_> = open.cloned().collect();
        self.late = std::mem::take(&mut self.errands);
        self.fed = self.broker.last;
        self.seen = self.broker.truth.clone().into_iter().collect();
        let (term, now) = (Term(self.term), self.now());
        self.lead = Some(Lead::new(term, register, self.fed, folds, flow, now));
        Ok(())
    }

    /// `tick 1s`: both clocks go on; whoever lives announces itself.
    fn tick(&mut self, line: &mut Line) -> Told<()> {
        let passed = duration(&line.word("a time")?)?;
        self.pass(passed);
        self.announce();
        Ok(())
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.boot = self.boot + time;
        self.broker.now = self.broker.now + time;
    }

    /// `clock unknown`, `clock known`, `clock forward 1h`, `clock back 1h`: the broker's alone.
    fn clock(&mut self, line: &mut Line) -> Told<()> {
        match line.word("what of the clock")?.as_str() {
            "unknown" => self.knows_clock = false,
            "known" => self.knows_clock = true,
            "forward" => {
                let by = duration(&line.word("by how much")?)?;
                self.broker.now = self.broker.now + by;
            }
            "back" => {
                let by = duration(&line.word("by how much")?)?.as_millis() as u64;
                self.broker.now = UnixMs(self.broker.now.0 - by);
            }
            other => return Err(format!("the clock cannot {other}")),
        }
        Ok(())
    }

    /// `worker w1 [slots 4] [queue default] [handlers noop,words]`: it announces itself, now and at each
    /// tick.
    fn worker(&mut self, line: &mut Line) -> Told<()> {
        let name = line.word("a worker")?;
        let text = |error: gridloom_shared::id::NameError| error.to_string();
        let queues = line
            .option("queue")?
            .unwrap_or_else(|| "default".to_owned());
        let queues: Result<Vec<_>, _> = queues.split(',').map(QueueName::new).collect();
        let handlers = line
            .option("handlers")?
            .unwrap_or_else(|| "noop".to_owned());
        let handlers: Result<Vec<_>, _> = handlers.split(',').map(HandlerName::new).collect();
        let slots = line.number_option("slots")?.unwrap_or(4) as u32;
        let mut presence = self.presence(&name, slots)?;
        presence.queues = queues.map_err(text)?;
        presence.handlers = handlers.map_err(text)?;
        self.new_worker(&name, presence.clone());
        self.take(Event::Heard(Box::new(presence)));
        Ok(())
    }

    /// `silent w1`: it is heard no more. `die w1`: the leader found it dead, what it held is on the queue
    /// for others. `stop w1`: it pulls no more. `gone w1`: its last word.
    fn worker_goes(&mut self, verb: &str, line: &mut Line) -> Told<()> {
        let name = line.word("a worker")?;
        let worker = self.workers.get_mut(&name);
        let worker = worker.ok_or_else(|| format!("no worker is called {name}"))?;
        worker.speaks = verb == "stop";
        worker.presence.stopping = verb != "silent";
        worker.presence.gone = verb == "gone";
        let presence = Box::new(worker.presence.clone());
        if verb == "die" {
            worker.held.clear();
            let session = presence.session;
            for message in self.broker.queue.values_mut() {
                message.holder = message.holder.filter(|holder| *holder != session);
            }
        }
        match verb {
            "die" => self.take(Event::Died(presence)),
            "silent" => {}
            _ => self.take(Event::Heard(presence)),
        }
        Ok(())
    }

    /// `pull w1 [3]`: takes what its free slots allow off the queue, in order.
    fn pull(&mut self, line: &mut Line) -> Told<()> {
        let name = line.word("a worker")?;
        let most = line.maybe().map(|word| number(&word)).transpose()?;
        let count = self.pull_up_to(&name, most.map_or(usize::MAX, |most| most as usize))?;
        self.tell(
            '=',
            &format!("{name} holds {} more", plural(count.len(), "tile")),
        );
        Ok(())
    }

    pub(super) fn pull_up_to(
        &mut self,
        name: &str,
        most: usize,
    ) -> Told<Vec<(RunId, TileRef, u32)>> {
        let worker = self.workers.get_mut(name);
        let worker = worker.ok_or_else(|| format!("no worker is called {name}"))?;
        let free = (worker.presence.capacity as usize).saturating_sub(worker.held.len());
        let session = worker.presence.session;
        let mut pulled = Vec::new();
        let (runs, presence) = (&self.runs, &worker.presence);
        let has_handler = |run: &RunId| {
            let mut jobs = runs.values().filter(|(id, _)| id == run);
            jobs.any(|(_, job)| presence.handlers.contains(&job.handler))
        };
        let waiting = self.broker.queue.values_mut().filter(|message| {
            message.holder.is_none()
                && presence.queues.contains(&message.queue)
                && has_handler(&message.tile.run)
        });
        for message in waiting.take(free.min(most)) {
            message.holder = Some(session);
            let name = (message.tile.run.clone(), message.tile.place());
            pulled.push((name.0.clone(), name.1, message.tile.pages));
            worker.held.insert(name);
        }
        Ok(pulled)
    }

    /// `cancel a`, `retry a [0/3]`, `drop a`, `explain a`; `request 7` says it again under its number.
    fn order(&mut self, verb: &str, line: &mut Line) -> Told<()> {
        let name = line.word("a run")?;
        let run = match self.run(&name) {
            Ok(run) => run,
            Err(_) => RunId::new(format!("{name}_s_1")).map_err(|error| error.to_string())?,
        };
        let next = self.given.len() as u64 + 1;
        let request = line.number_option("request")?.unwrap_or(next);
        let which = line.maybe();
        let (slice, page) = match which.as_deref().map(|which| which.split_once('/')) {
            None => (None, None),
            Some(Some((slice, page))) => (Some(number(slice)? as u32), Some(number(page)? as u32)),
            Some(None) => (Some(number(which.as_deref().unwrap_or(""))? as u32), None),
        };
        let reply = format!("reply.{next}");
        self.names
            .orders
            .insert(reply.clone(), format!("{verb} {name}"));
        self.given.push(reply.clone());
        let command = Command {
            request,
            verb: match verb {
                "cancel" => Verb::Cancel,
                "retry" => Verb::Retry,
                "drop" => Verb::Drop,
                _ => Verb::Explain,
            },
            run,
            slice,
            page,
            error_like: None,
        };
        let reply = Subject::from(reply);
        self.take(Event::Ordered(Box::new(Request { command, reply })));
        Ok(())
    }

    /// `read [3]`: the feed of the ledger brings what it has, or so many records, and from then on goes
    /// along again.
    fn read(&mut self, line: &mut Line) -> Told<()> {
        let most = line.maybe().map(|word| number(&word)).transpose()?;
        self.lags = most.is_some();
        let count = self.feed(most.map_or(usize::MAX, |most| most as usize));
        self.tell('=', &format!("{} read", plural(count, "record")));
        Ok(())
    }

    /// `queue-lost`: the stream is gone, with the register, and that is noticed. `queue-purged`: it is
    /// not noticed yet.
    fn queue_lost(&mut self, noticed: bool) -> Told<()> {
        self.broker.queue.clear();
        self.broker.register = None;
        if noticed {
            self.take(Event::QueueLost);
        }
        Ok(())
    }

    /// `vanish a`: its records are gone from the ledger, and that is noticed.
    fn vanish(&mut self, line: &mut Line) -> Told<()> {
        let run = self.named(line)?;
        self.broker.purge(&run);
        self.seen.remove(&run);
        let (reply, counted) = mpsc::channel();
        let counter = Teller::new(move |counted| {
            let _ = reply.send(counted);
        });
        self.take(Event::Counting(counter));
        let counted = counted.try_recv().unwrap_or_default();
        let gone = counted.iter().find(|counted| counted.run == run);
        if let Some(gone) = gone.and_then(|counted| counted.gone(0)) {
            self.take(Event::Vanished(gone));
        }
        Ok(())
    }
}
