//! What the lines mean that end what a leadership has begun: records, batches, comparisons, claims.

use std::collections::HashSet;

use gridloom_planner::failover::refill::Listing;
use gridloom_planner::lead::event::{Event, Outcome, Report, Written};
use gridloom_shared::broker::term::{ClaimError, Holder, Register};
use gridloom_shared::id::{Fence, QueueName, RunId, Session};
use gridloom_shared::ledger::record::PlanRecord;
use gridloom_shared::tile::{Tile, TileRef};

use super::Told;
use super::broker::Broker;
use super::errands::{Comparison, Errands, Wave, Write};
use super::line::Line;
use super::show::{plural, record};
use super::world::World;

/// Whose errand has ended.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Whose {
    /// That of the leadership, for the run as it is.
    Ours,
    /// For an earlier life of the run: `earlier`.
    Earlier,
    /// Of the leadership before: `late`.
    Late,
}

impl Whose {
    fn parse(line: &mut Line) -> Whose {
        match (line.flag("earlier"), line.flag("late")) {
            (true, _) => Whose::Earlier,
            (false, true) => Whose::Late,
            (false, false) => Whose::Ours,
        }
    }
}

impl World {
    /// `write a`: the record on its way to the ledger of `a` is appended there, or another came first.
    /// `write a late`: that of the leadership before; `write a earlier`: that of the run before it was lost,
    /// or over, and opened again. `write a unheard`: the leadership reads it back before it hears that it stands there.
    pub(super) fn write(&mut self, line: &mut Line) -> Told<()> {
        let whose = Whose::parse(line);
        self.reads_first = line.flag("unheard");
        let run = self.named(line)?;
        let errands = self.whose(whose);
        let write = errands.writes.remove(&run).ok_or("nothing is on its way")?;
        self.written(whose, &run, write)
    }

    fn whose(&mut self, whose: Whose) -> &mut Errands {
        match whose {
            Whose::Ours => &mut self.errands,
            Whose::Earlier => self.errands.earlier.get_or_insert_default(),
            Whose::Late => &mut self.late,
        }
    }

    /// Reports, unless to a leadership that is no more.
    fn report(&mut self, whose: Whose, run: &RunId, report: Report) {
        if std::mem::take(&mut self.reads_first) {
            self.feed(usize::MAX);
            self.advance();
        }
        if whose != Whose::Late {
            let life = self.whose(whose).lives.get(run).copied().flatten();
            self.take(Event::Report(life, report));
        }
    }

    fn written(&mut self, whose: Whose, run: &RunId, write: Write) -> Told<()> {
        let (queue, own, expected) = match &write {
            Write::Issue(issue) => {
                let wave = PlanRecord::Wave((*issue.wave).clone());
                (issue.lane.queue.clone(), wave, issue.expected)
            }
            Write::Order(order) => (order.queue.clone(), order.record.clone(), order.expected),
            Write::Close {
                queue,
                closed,
                expected,
            } => (queue.clone(), PlanRecord::Closed(closed.clone()), *expected),
        };
        let text = record(&own);
        let stored = self
            .broker
            .append_if(run, &queue, own, expected, &mut self.checks);
        match stored {
            Ok(sequence) => self.tell('=', &format!("{sequence}: {text}")),
            Err(other) => self.tell('=', &format!("{other} came first")),
        }
        match (write, stored) {
            (Write::Issue(issue), Ok(sequence)) => {
                let fence = Fence(sequence);
                self.whose(whose).waves.push(Wave { issue, fence });
                self.report(whose, run, Report::Decided(run.clone()));
            }
            (Write::Close { .. }, Ok(_)) => {}
            (Write::Issue(_) | Write::Close { .. }, Err(_)) => {
                self.report(whose, run, Report::Outrun(run.clone()));
            }
            (Write::Order(order), stored) => {
                let written = stored.map_or(Written::Outrun, Written::At);
                let ordered = Report::Ordered {
                    run: order.run,
                    request: order.request,
                    written,
                };
                self.report(whose, run, ordered);
            }
        }
        Ok(())
    }

    /// `unwritable a "too large"`: the record on its way can never be written.
    pub(super) fn unwritable(&mut self, line: &mut Line) -> Told<()> {
        let run = self.named(line)?;
        let why = line.word("a reason")?;
        let write = self
            .errands
            .writes
            .remove(&run)
            .ok_or("nothing is on its way")?;
        let report = match write {
            Write::Issue(_) => Report::Unwritable(run.clone(), why),
            Write::Close { .. } => Report::Outrun(run.clone()),
            Write::Order(order) => Report::Ordered {
                run: run.clone(),
                request: order.request,
                written: Written::Never(why),
            },
        };
        self.report(Whose::Ours, &run, report);
        Ok(())
    }

    /// `published a [late]`: the oldest wave of `a` on its way lands, or is refused. `publish-lost a
    /// [landed]`: nobody says which.
    pub(super) fn published(&mut self, answered: bool, line: &mut Line) -> Told<()> {
        let (whose, landed) = (Whose::parse(line), line.flag("landed"));
        let run = self.named(line)?;
        let waves = &mut self.whose(whose).waves;
        let at = waves.iter().position(|wave| wave.issue.run == run);
        let wave = waves.remove(at.ok_or("no wave is on its way")?);
        let register = wave.issue.register;
        let outcome = if answered || landed {
            self.land(&wave)
        } else {
            self.tell('=', "nothing lands");
            Outcome::Lost(register)
        };
        let outcome = if answered {
            outcome
        } else {
            Outcome::Lost(register)
        };
        self.report(whose, &run, Report::Published(run.clone(), outcome));
        Ok(())
    }

    /// `full a`: the queue has no room for the oldest wave of `a` on its way, or for its refill.
    /// `unsendable a "too large"`: it can never be put there.
    pub(super) fn not_taken(&mut self, verb: &str, line: &mut Line) -> Told<()> {
        let run = self.named(line)?;
        let outcome = if verb == "full" {
            Outcome::NotTaken
        } else {
            Outcome::Unsendable(line.word("a reason")?)
        };
        let waves = &mut self.errands.waves;
        if let Some(at) = waves.iter().position(|wave| wave.issue.run == run) {
            waves.remove(at);
            self.report(Whose::Ours, &run, Report::Published(run.clone(), outcome));
        } else if let Some(Comparison::Refill(..)) = self.errands.comparisons.remove(&run) {
            self.report(Whose::Ours, &run, Report::Refilled(run.clone(), outcome));
        } else {
            return Err("nothing is on its way to the queue".to_owned());
        }
        Ok(())
    }

    fn land(&mut self, wave: &Wave) -> Outcome {
        let tiles = Broker::tiles_of(wave);
        self.store(&wave.issue.lane.queue.clone(), tiles, wave.issue.register)
    }

    fn store(&mut self, queue: &QueueName, tiles: Vec<Tile>, register: Register) -> Outcome {
        let count = plural(tiles.len(), "tile");
        if self
            .broker
            .publish(queue, tiles, register, &mut self.checks)
        {
            self.tell('=', &format!("{count} on the queue"));
            Outcome::Stored
        } else {
            self.tell('=', &format!("{count} refused: the register is another"));
            Outcome::Lost(register)
        }
    }

    /// `list a`, `ask a`, `refilled a`, `refill-lost a`: the comparison of the queue with the ledger goes a
    /// step further. `list a gone`: the stream is not there.
    pub(super) fn compare(&mut self, verb: &str, line: &mut Line) -> Told<()> {
        let (whose, gone) = (Whose::parse(line), line.flag("gone"));
        let run = self.named(line)?;
        let under_way = self.whose(whose).comparisons.remove(&run);
        let report = match (verb, under_way.ok_or("nothing is compared")?) {
            ("list", Comparison::List(register)) if gone => {
                Report::Refilled(run.clone(), Outcome::Lost(register))
            }
            ("list", Comparison::List(register)) => {
                let listing = self.listing(&run);
                self.tell(
                    '=',
                    &format!("{} queued", plural(listing.queued.len(), "tile")),
                );
                Report::Listed(run.clone(), listing, register)
            }
            ("ask", Comparison::Ask(listing, register)) => {
                let held = self.held(&run);
                self.tell('=', &format!("{} held", plural(held.len(), "tile")));
                let listing = Listing {
                    ledger: self.broker.last,
                    held: Some(held),
                    ..listing
                };
                Report::Listed(run.clone(), listing, register)
            }
            ("refilled", Comparison::Refill(queue, tiles, register)) => {
                let outcome = self.store(&queue, tiles, register);
                Report::Refilled(run.clone(), outcome)
            }
            ("refill-lost", Comparison::Refill(_, _, register)) => {
                Report::Refilled(run.clone(), Outcome::Lost(register))
            }
            _ => return Err("the comparison is at another step".to_owned()),
        };
        self.report(whose, &run, report);
        Ok(())
    }

    fn listing(&self, run: &RunId) -> Listing {
        Listing {
            queued: self.broker.listed(run).collect(),
            newer: false,
            ledger: self.broker.last,
            held: None,
        }
    }

    fn held(&self, run: &RunId) -> HashSet<TileRef> {
        let held = self.workers.values().flat_map(|worker| &worker.held);
        let of_run = held.filter(|(of, _)| of == run);
        of_run.map(|(_, place)| *place).collect()
    }

    pub(super) fn halted(&mut self, line: &mut Line) -> Told<()> {
        let run = self.named(line)?;
        if !self.errands.halts.remove(&run) {
            return Err("nothing is halted".to_owned());
        }
        self.halt(&run);
        Ok(())
    }

    /// `recalled a`: waves of `a` were read again.
    pub(super) fn recalled(&mut self, line: &mut Line) -> Told<()> {
        let run = self.named(line)?;
        let waves = self.errands.recalls.remove(&run);
        let waves = waves.ok_or("nothing is read again")?;
        let waves = self.broker.waves(&run, &waves);
        self.tell('=', &format!("{} read", plural(waves.len(), "wave")));
        self.report(Whose::Ours, &run, Report::Recalled(run.clone(), waves));
        Ok(())
    }

    fn halt(&mut self, run: &RunId) {
        let before = self.broker.queue.len();
        self.broker
            .queue
            .retain(|_, message| message.tile.run != *run);
        let gone = plural(before - self.broker.queue.len(), "tile");
        self.tell('=', &format!("{gone} removed from the queue"));
        for worker in self.workers.values_mut() {
            worker.held.retain(|(of, _)| of != run);
        }
        self.report(Whose::Ours, run, Report::Halted(run.clone()));
    }

    /// `claimed`: the register is written, unless somebody of a higher term has it. `remade`: on a queue that was made
    /// anew for it.
    pub(super) fn claimed(&mut self, remade: bool) -> Told<()> {
        let term = self.errands.claim.take().ok_or("nothing is claimed")?;
        let claimed = match self.broker.register {
            Some((other, seq)) if other > term => {
                let holder = Holder {
                    term: other,
                    session: Session(0xB),
                    seq,
                };
                Err(ClaimError::Deposed { term, holder })
            }
            _ => Ok(self.broker.claim(term)),
        };
        match &claimed {
            Ok(register) => self.tell('=', &format!("the register is {}", register.seq)),
            Err(error) => self.tell('=', &error.to_string()),
        }
        if let Some(register) = claimed.as_ref().ok().filter(|_| remade) {
            self.take(Event::Report(None, Report::Bare(*register)));
        }
        self.take(Event::Report(None, Report::Claimed(claimed)));
        Ok(())
    }

    pub(super) fn loaded(&mut self, line: &mut Line) -> Told<()> {
        let name = line.word("a run")?;
        let run = match self.run(&name) {
            Ok(run) => run,
            Err(_) => RunId::new(format!("{name}_s_1")).map_err(|error| error.to_string())?,
        };
        if !self.errands.loads.remove(&run) {
            return Err("nothing is read".to_owned());
        }
        let fold = Box::new(self.broker.fold(&run));
        self.take(Event::Report(None, Report::Loaded(fold)));
        Ok(())
    }

    /// `settle`: all that is under way comes to a good end, and what follows from it, and so on.
    pub(super) fn settle(&mut self) -> Told<()> {
        const ROUNDS: usize = 100;
        for _ in 0..ROUNDS {
            if self.errands.is_empty() {
                return Ok(());
            }
            self.end_all()?;
            if !self.lags {
                self.feed(usize::MAX);
            }
            self.advance();
        }
        Err("it does not come to rest".to_owned())
    }

    /// All that is under way comes to a good end.
    pub(super) fn end_all(&mut self) -> Told<()> {
        if self.errands.claim.is_some() {
            self.claimed(false)?;
        }
        let waves = std::mem::take(&mut self.errands.waves);
        for wave in waves {
            let outcome = self.land(&wave);
            let run = wave.issue.run;
            self.report(Whose::Ours, &run, Report::Published(run.clone(), outcome));
        }
        for (run, write) in std::mem::take(&mut self.errands.writes) {
            self.written(Whose::Ours, &run, write)?;
        }
        let steps: Vec<(RunId, &str)> = self.errands.comparisons.iter().map(step).collect();
        for (run, verb) in steps {
            let name = self.names.run(&run);
            self.compare(verb, &mut Line::parse(&name)?)?;
        }
        let recalls: Vec<RunId> = self.errands.recalls.keys().cloned().collect();
        for run in recalls {
            let name = self.names.run(&run);
            self.recalled(&mut Line::parse(&name)?)?;
        }
        for run in std::mem::take(&mut self.errands.halts) {
            self.halt(&run);
        }
        for run in std::mem::take(&mut self.errands.loads) {
            let fold = Box::new(self.broker.fold(&run));
            self.take(Event::Report(None, Report::Loaded(fold)));
        }
        Ok(())
    }
}

fn step((run, comparison): (&RunId, &Comparison)) -> (RunId, &'static str) {
    let verb = match comparison {
        Comparison::List(_) => "list",
        Comparison::Ask(..) => "ask",
        Comparison::Refill(..) => "refilled",
    };
    (run.clone(), verb)
}
