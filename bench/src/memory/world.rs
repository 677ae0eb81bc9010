//! The leadership, and what stands for the broker: a ledger that nobody keeps, and a queue.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use anyhow::bail;
use gridloom_planner::admission::Flow;
use gridloom_planner::book::Life;
use gridloom_planner::entry::Entry;
use gridloom_planner::failover::refill::Listing;
use gridloom_planner::lead::action::{Action, Issue, Ordered};
use gridloom_planner::lead::event::{Event, Outcome, Report};
use gridloom_planner::lead::{Change, Lead};
use gridloom_planner::now::Now;
use gridloom_shared::broker::term::Register;
use gridloom_shared::clock::{Boot, UnixMs};
use gridloom_shared::id::{Fence, Nonce, QueueName, RunId, Term};
use gridloom_shared::job::JobSpec;
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::{Again, Author, Opened, PlanRecord, Record};
use gridloom_shared::tile::{Tile, TileKind, TileRef};

const TERM: Term = Term(1);
/// When every story begins, by the broker's clock: 2026-01-01.
const BEGINNING: UnixMs = UnixMs(1_767_225_600_000);

/// A tile on the queue.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) run: RunId,
    pub(super) place: TileRef,
    pub(super) fence: Fence,
    pub(super) kind: TileKind,
    pub(super) slice: u32,
    pub(super) first: u32,
    pub(super) pages: u32,
    /// Whether a worker had it that died.
    pub(super) again: bool,
}

impl Queued {
    fn of(tile: Tile) -> Queued {
        Queued {
            place: tile.place(),
            fence: tile.fence,
            kind: tile.kind,
            slice: tile.slice,
            first: tile.first,
            pages: tile.pages,
            again: tile.again,
            run: tile.run,
        }
    }
}

/// What a story came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct End {
    pub(super) hours: f64,
    pub(super) records: u64,
    pub(super) runs: u64,
    pub(super) shards: u64,
    pub(super) dead: u64,
}

/// Everything but the workers.
pub(super) struct World {
    now: Now,
    lead: Lead,
    /// What a standby keeps of the same ledger.
    standby: Option<HashMap<RunId, Fold>>,
    queue: QueueName,
    sequence: u64,
    pub(super) waiting: VecDeque<Queued>,
    /// Where the tiles are that workers hold.
    pub(super) held: HashMap<RunId, HashSet<TileRef>>,
    end: End,
}

impl World {
    pub(super) fn new(queue: QueueName, standby: bool) -> World {
        let now = Now {
            boot: Boot(Duration::from_secs(1_000)),
            broker: BEGINNING,
        };
        let register = Register { seq: 1 };
        World {
            now,
            lead: Lead::new(TERM, register, 0, [], Flow::default(), now),
            standby: standby.then(HashMap::new),
            queue,
            sequence: 0,
            waiting: VecDeque::new(),
            held: HashMap::new(),
            end: End::default(),
        }
    }

    /// How much time has passed.
    pub(super) fn passed(&self) -> Duration {
        Duration::from_millis(self.now.broker.0 - BEGINNING.0)
    }

    /// Time passes.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now.boot = self.now.boot + time;
        self.now.broker = self.now.broker + time;
    }

    pub(super) fn at(&self) -> UnixMs {
        self.now.broker
    }

    /// How many runs are open.
    pub(super) fn open(&self) -> usize {
        self.lead.book().len()
    }

    pub(super) fn is_open(&self, run: &RunId) -> bool {
        self.lead.book().contains(run)
    }

    pub(super) fn end(&self) -> End {
        End {
            hours: self.passed().as_secs_f64() / 3_600.0,
            ..self.end
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.lead.take(event, self.now);
    }

    /// Opens a run.
    pub(super) fn submit(&mut self, run: RunId, job: JobSpec) {
        self.end.runs += 1;
        let opened = Opened {
            nonce: Nonce(self.end.runs),
            job,
            scheduled_at: self.now.broker,
            content: 0,
            term: TERM,
            first: Vec::new(),
            traceparent: None,
            reports: 1,
        };
        self.write(run, Record::Plan(PlanRecord::Opened(Box::new(opened))));
    }

    /// Appends a record, which everybody reads at once.
    pub(super) fn write(&mut self, run: RunId, record: Record) -> u64 {
        self.sequence += 1;
        self.end.records += 1;
        let author = match &record {
            Record::Plan(_) => Author::Plan,
            Record::Work(_) => Author::Work,
            Record::Takeover(_) => Author::Takeover,
        };
        let entry = Entry {
            sequence: self.sequence,
            at: self.now.broker,
            queue: self.queue.clone(),
            run,
            author,
            record: Ok(record),
        };
        self.follow(&entry);
        self.tell(Event::Read(Box::new(entry)));
        self.sequence
    }

    /// As a standby does: it folds what is open, and forgets what is over.
    fn follow(&mut self, entry: &Entry) {
        let Some(standby) = &mut self.standby else {
            return;
        };
        if let Some(fold) = standby.get_mut(&entry.run) {
            entry.fold_into(fold);
            if fold.closing().is_some() {
                standby.remove(&entry.run);
            }
        } else if let Some(PlanRecord::Opened(_)) = entry.plan() {
            let mut fold = Fold::new(entry.run.clone());
            entry.fold_into(&mut fold);
            standby.insert(entry.run.clone(), fold);
        }
    }

    /// Has the leadership decide, and does all that follows from it.
    pub(super) fn advance(&mut self) -> anyhow::Result<()> {
        loop {
            let actions = self.lead.advance(self.now);
            for change in self.lead.changes() {
                if let Change::Moved(moved) = change {
                    self.end.shards += moved.after.planned - moved.before.planned;
                    self.end.dead += moved.after.dead.saturating_sub(moved.before.dead);
                }
            }
            // As the projection does.
            self.lead.book_mut().moved().for_each(drop);
            if actions.is_empty() {
                return Ok(());
            }
            for action in actions {
                self.act(action)?;
            }
        }
    }

    fn act(&mut self, Ordered { action, life }: Ordered) -> anyhow::Result<()> {
        match action {
            Action::Issue(issue) => self.issue(&issue, life),
            Action::List { run, register, .. } => {
                let listing = self.listing(&run);
                self.tell(Event::Report(life, Report::Listed(run, listing, register)));
            }
            Action::Refill { run, tiles, .. } => {
                self.waiting.extend(tiles.into_iter().map(Queued::of));
                self.tell(Event::Report(life, Report::Refilled(run, Outcome::Stored)));
            }
            Action::Close { run, closed, .. } => {
                self.held.remove(&run);
                self.write(run, Record::Plan(PlanRecord::Closed(closed)));
            }
            Action::CallWorkers => {}
            other => bail!("nobody is there for {other:?}"),
        }
        Ok(())
    }

    fn issue(&mut self, issue: &Issue, life: Option<Life>) {
        let run = issue.run.clone();
        self.tell(Event::Report(life, Report::Decided(run.clone())));
        let wave = PlanRecord::Wave((*issue.wave).clone());
        let fence = Fence(self.write(run.clone(), Record::Plan(wave)));
        let tiles = issue
            .wave
            .expand(&run, issue.nonce, fence, issue.opened, Again::No);
        self.waiting.extend(tiles.map(Queued::of));
        self.tell(Event::Report(
            life,
            Report::Published(run.clone(), Outcome::Stored),
        ));
    }

    /// What the queue holds of a run: a tile that a worker has stays there until it is acknowledged.
    fn listing(&self, run: &RunId) -> Listing {
        let waiting = self.waiting.iter().filter(|tile| tile.run == *run);
        let mut queued: HashSet<TileRef> = waiting.map(|tile| tile.place).collect();
        queued.extend(self.held.get(run).into_iter().flatten());
        Listing {
            queued,
            ledger: self.sequence,
            held: None,
            newer: false,
        }
    }

    /// Notes that a worker has a tile.
    pub(super) fn pulled(&mut self, tile: &Queued) {
        if let Some(held) = self.held.get_mut(&tile.run) {
            held.insert(tile.place);
        } else {
            let held = HashSet::from([tile.place]);
            self.held.insert(tile.run.clone(), held);
        }
    }

    /// Takes a tile off the queue.
    pub(super) fn acknowledge(&mut self, run: &RunId, place: TileRef) {
        if let Some(held) = self.held.get_mut(run) {
            held.remove(&place);
        }
    }
}
