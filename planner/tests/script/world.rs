//! The leadership, the broker, the workers and time: plays a script and tells what came of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use gridloom_planner::lead::Lead;
use gridloom_planner::lead::action::Action;
use gridloom_planner::lead::event::Event;
use gridloom_planner::now::Now;
use gridloom_shared::clock::{Boot, UnixMs};
use gridloom_shared::command::Answer;
use gridloom_shared::holdings::Packed;
use gridloom_shared::id::{RunId, Session, WorkerName};
use gridloom_shared::job::JobSpec;
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::presence::Presence;
use gridloom_shared::tile::TileRef;

use super::Told;
use super::broker::Broker;
use super::check::Checks;
use super::errands::{Comparison, Errands, Write};
use super::line::Line;
use super::show::Names;
use super::simulate::Busy;

/// When every story begins, by the broker's clock: 2026-01-01.
const BEGINNING: UnixMs = UnixMs(1_767_225_600_000);

pub(super) struct Worker {
    pub(super) presence: Presence,
    /// Whether it announces itself.
    pub(super) speaks: bool,
    pub(super) held: BTreeSet<(RunId, TileRef)>,
    /// Number of its next record.
    pub(super) number: u64,
}

pub(super) struct World {
    pub(super) boot: Boot,
    /// Whether the leadership knows the broker's clock.
    pub(super) knows_clock: bool,
    pub(super) lead: Option<Lead>,
    pub(super) term: u64,
    pub(super) errands: Errands,
    /// Of the leadership before.
    pub(super) late: Errands,
    pub(super) broker: Broker,
    pub(super) checks: Checks,
    pub(super) names: Names,
    pub(super) runs: BTreeMap<String, (RunId, JobSpec)>,
    pub(super) workers: BTreeMap<String, Worker>,
    /// Ledger sequence up to which the leadership has read, and what that adds up to.
    pub(super) fed: u64,
    pub(super) seen: HashMap<RunId, Fold>,
    /// Whether the feed of the ledger waits for `read`.
    pub(super) lags: bool,
    /// Whether the record that is being written is read back before its writer hears of it.
    pub(super) reads_first: bool,
    pub(super) called: bool,
    pub(super) given: Vec<String>,
    pub(super) nonce: u64,
    /// Tiles that workers are at, while `simulate` lasts and from one to the next.
    pub(super) busy: Vec<Busy>,
    /// Whether actions are told.
    pub(super) quiet: bool,
    out: String,
}

/// Plays a script; returns it with what the leadership does.
pub(super) fn play(text: &str) -> Told<String> {
    let mut world = World {
        boot: Boot(Duration::from_secs(1_000)),
        knows_clock: true,
        lead: None,
        term: 0,
        errands: Errands::default(),
        late: Errands::default(),
        broker: Broker::new(BEGINNING),
        checks: Checks::default(),
        names: Names::default(),
        runs: BTreeMap::new(),
        workers: BTreeMap::new(),
        fed: 0,
        seen: HashMap::new(),
        lags: false,
        reads_first: false,
        called: false,
        given: Vec::new(),
        nonce: 0,
        busy: Vec::new(),
        quiet: false,
        out: String::new(),
    };
    let mut lines = text.lines().zip(1..).peekable();
    while let Some((line, number)) = lines.next() {
        world.out.push_str(line);
        world.out.push('\n');
        let said = line.trim();
        if said.is_empty() || said.starts_with('#') {
            continue;
        }
        let goes_on = lines
            .peek()
            .is_some_and(|(next, _)| next.starts_with("and "));
        world
            .line(said, goes_on)
            .map_err(|why| format!("line {number} ({said}): {why}"))?;
    }
    world.finish();
    Ok(world.out)
}

impl World {
    fn line(&mut self, said: &str, goes_on: bool) -> Told<()> {
        let mut line = Line::parse(said.strip_prefix("and ").unwrap_or(said))?;
        if std::mem::take(&mut self.called) {
            self.announce();
        }
        let verb = line.word("a verb")?;
        self.carry_out(&verb, &mut line)?;
        line.end()?;
        if !self.lags {
            self.feed(usize::MAX);
        }
        if !goes_on {
            self.advance();
        }
        let faults = self.checks.faults();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(format!("{}\n{}", faults.join("\n"), self.out))
        }
    }

    /// Tells something under the line.
    pub(super) fn tell(&mut self, mark: char, what: &str) {
        if !self.quiet {
            self.out.push_str(&format!("    {mark} {what}\n"));
        }
    }

    pub(super) fn now(&self) -> Now {
        let broker = if self.knows_clock {
            self.broker.now
        } else {
            UnixMs(0)
        };
        Now {
            boot: self.boot,
            broker,
        }
    }

    pub(super) fn take(&mut self, event: Event) {
        let now = self.now();
        if let Some(lead) = &mut self.lead {
            lead.take(event, now);
        }
    }

    /// Feeds the leadership the next records of the ledger.
    pub(super) fn feed(&mut self, most: usize) -> usize {
        let mut count = 0;
        for entry in self.broker.after(self.fed).into_iter().take(most) {
            self.fed = entry.sequence;
            count += 1;
            let seen = self.seen.entry(entry.run.clone());
            entry.fold_into(seen.or_insert_with(|| Fold::new(entry.run.clone())));
            self.take(Event::Read(Box::new(entry)));
        }
        count
    }

    /// Lets the leadership decide, and begins what it orders.
    pub(super) fn advance(&mut self) {
        let now = self.now();
        let Some(lead) = &mut self.lead else {
            return;
        };
        let shown = lead.changes();
        let actions = lead.advance(now);
        let deposed = lead.deposed();
        for shown in shown {
            if let Some(text) = self.names.shown(&shown) {
                self.tell('*', &text);
            }
        }
        for ordered in actions {
            let text = self.names.action(&ordered.action);
            self.tell('>', &text);
            self.check(&ordered.action);
            if matches!(ordered.action, Action::CallWorkers) {
                self.called = true;
            }
            if let Err(why) = self.errands.begin(ordered) {
                self.checks.fault(format!("{text}: {why}"));
            }
        }
        if let Some(other) = deposed {
            let why = if other.0 == self.term {
                "is given up".to_owned()
            } else {
                format!("ends: term {} leads", other.0)
            };
            self.tell('*', &format!("the leadership {why}"));
            self.lead = None;
            self.late = std::mem::take(&mut self.errands);
        }
    }

    fn check(&mut self, action: &Action) {
        let claiming = self.errands.claim.is_some();
        match action {
            Action::Issue(issue) => {
                self.must_be_open(&issue.run, "a wave");
                self.must_go_on(&issue.run);
                if claiming {
                    self.checks
                        .fault("a wave is issued while the register is being claimed");
                }
                self.check_concurrency(&issue.run, issue.wave.len());
            }
            Action::Begin { runs, .. } => {
                for begun in runs {
                    self.must_be_open(&begun.run, "a first wave");
                }
            }
            Action::Refill { run, tiles, .. } => {
                self.must_be_open(run, "a refill");
                self.must_go_on(run);
                if claiming {
                    self.checks
                        .fault("a refill while the register is being claimed");
                }
                for tile in tiles {
                    self.check_refilled(run, tile.place());
                }
            }
            Action::Close { run, closed, .. } => {
                self.must_be_open(run, "an end");
                let succeeded = closed.error.is_none()
                    && closed.state == gridloom_shared::ledger::record::EndState::Succeeded;
                let fold = self.seen.get(run);
                if succeeded && !fold.is_some_and(is_done) {
                    self.checks.fault("succeeded, and not every shard is done");
                }
            }
            Action::List { run, .. }
            | Action::Ask { run, .. }
            | Action::Recall { run, .. }
            | Action::Halt { run, .. } => {
                self.must_be_open(run, "a look");
            }
            Action::Answer { reply, answer } => {
                self.checks.answered(reply.as_str());
                if matches!(answer, Answer::Waits { waits } if waits.is_empty()) {
                    self.check_waits_for_nothing(reply.as_str());
                }
            }
            Action::Write(_)
            | Action::Claim(_)
            | Action::Load { .. }
            | Action::Bury { .. }
            | Action::CallWorkers => {}
        }
    }

    fn must_be_open(&mut self, run: &RunId, what: &str) {
        let open = self.seen.get(run).or_else(|| self.broker.truth.get(run));
        let open = open.is_some_and(|fold| fold.opening().is_some() && fold.closing().is_none());
        if !open {
            self.checks
                .fault(format!("{what} of {run}, which is not open"));
        }
    }

    fn must_go_on(&mut self, run: &RunId) {
        let seen = self.seen.get(run);
        if seen.is_some_and(|fold| fold.cancelled().is_some()) {
            let what = format!("tiles of {run}, which the leadership knows to be cancelled");
            self.checks.fault(what);
        }
    }

    /// A run that waits for nothing is over, or something is under way for it.
    fn check_waits_for_nothing(&mut self, reply: &str) {
        let order = self.names.orders.get(reply);
        let name = order.and_then(|order| order.split_once(' '));
        let Some((run, _)) = name.and_then(|(_, name)| self.runs.get(name)) else {
            return;
        };
        let open = self.seen.get(run).is_some_and(|fold| {
            fold.opening().is_some() && fold.closing().is_none() && fold.open_tiles().is_empty()
        });
        if open && !self.errands.concern(run) && self.errands.claim.is_none() {
            self.checks.fault(format!(
                "{run} waits for nothing, and nothing is done for it"
            ));
        }
    }

    fn check_concurrency(&mut self, run: &RunId, tiles: usize) {
        let Some((job, most)) = self.runs.values().find_map(|(id, job)| {
            (id == run).then_some((job.name.clone(), job.limits.concurrency?))
        }) else {
            return;
        };
        let of_job = self.runs.values().filter(|(_, other)| other.name == job);
        let mut open = tiles;
        for (id, _) in of_job {
            open += self.seen.get(id).map_or(0, |fold| fold.open_tiles().len());
            if let Some(Write::Issue(issue)) = self.errands.writes.get(id) {
                open += issue.wave.len();
            }
        }
        if open > most as usize {
            self.checks.fault(format!(
                "{open} tiles of job {job} at once, {most} are the most"
            ));
        }
    }

    fn check_refilled(&mut self, run: &RunId, place: TileRef) {
        let open = self.seen.get(run);
        if !open.is_some_and(|fold| fold.open_tiles().contains_key(&place)) {
            self.checks.fault(format!(
                "{place:?} of {run} is published again, and is not open"
            ));
        }
        if self.broker.listed(run).any(|queued| queued == place) {
            self.checks.fault(format!(
                "{place:?} of {run} is published again, and is queued"
            ));
        }
        let name = (run.clone(), place);
        let held = self
            .workers
            .values()
            .any(|worker| worker.held.contains(&name));
        if held && !self.broker_has_no_queue() {
            self.checks.fault(format!(
                "{place:?} of {run} is published again, and is held"
            ));
        }
    }

    fn broker_has_no_queue(&self) -> bool {
        self.broker.register.is_none()
    }

    /// All workers that speak announce themselves.
    pub(super) fn announce(&mut self) {
        let speakers = self.workers.values().filter(|worker| worker.speaks);
        let presences: Vec<Presence> = speakers.map(|worker| worker.presence.clone()).collect();
        for presence in presences {
            self.take(Event::Heard(Box::new(presence)));
        }
    }

    pub(super) fn new_worker(&mut self, name: &str, presence: Presence) {
        self.names.workers.insert(presence.session, name.to_owned());
        let worker = Worker {
            presence,
            speaks: true,
            held: BTreeSet::new(),
            number: 0,
        };
        self.workers.insert(name.to_owned(), worker);
    }

    /// What a worker says of itself: nothing that matters yet.
    pub(super) fn presence(&self, name: &str, capacity: u32) -> Told<Presence> {
        Ok(Presence {
            worker: WorkerName::new(name).map_err(|error| error.to_string())?,
            session: Session(self.workers.len() as u64 + 1),
            queues: Vec::new(),
            handlers: Vec::new(),
            capacity,
            in_flight: 0,
            version: String::new(),
            wire: Default::default(),
            started_at: BEGINNING,
            at: BEGINNING,
            stopping: false,
            gone: false,
            named: Packed::default(),
            tolls: Vec::new(),
            ack_deadlines_ms: Vec::new(),
            knows: Vec::new(),
            trouble: String::new(),
        })
    }

    /// The run that the script calls so.
    pub(super) fn run(&self, name: &str) -> Told<RunId> {
        match self.runs.get(name) {
            Some((run, _)) => Ok(run.clone()),
            None => Err(format!("no run is called {name:?}")),
        }
    }

    /// Where every run stands at the end, and what was left undone.
    fn finish(&mut self) {
        self.out.push_str("end\n");
        let standings: Vec<String> = self
            .runs
            .values()
            .filter_map(|(run, _)| self.broker.truth.get(run))
            .map(|fold| self.names.standing(fold))
            .collect();
        standings
            .iter()
            .for_each(|standing| self.tell('=', standing));
        let given = std::mem::take(&mut self.given);
        for reply in given {
            if !self.checks.is_answered(&reply) {
                let order = self.names.orders[&reply].clone();
                self.tell('=', &format!("{order} is not answered"));
            }
        }
        for (run, comparison) in &self.errands.comparisons {
            let what = match comparison {
                Comparison::List(_) => "listing",
                Comparison::Ask(..) => "question to the workers",
                Comparison::Refill(..) => "refill",
            };
            let text = format!("    = a {what} of {} is under way\n", self.names.run(run));
            self.out.push_str(&text);
        }
    }
}

fn is_done(fold: &Fold) -> bool {
    fold.complete() && fold.counts().done == fold.counts().planned
}
