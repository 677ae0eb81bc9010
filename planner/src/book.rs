//! The open runs of one leadership, and what a record of the ledger changes in them. Pure.
//!
//! What has to be looked through now and then (runs with open tiles, runs that moved) is kept as sets
//! of its own: open runs are unbounded in number, and nothing is done for each of them in each tick.

use std::collections::{BTreeSet, HashMap, HashSet};

use gridloom_shared::id::{QueueName, RunId, Term};
use gridloom_shared::ledger::fold::{Counts, Fold};

use crate::census::Counted;
use crate::entry::Entry;
use crate::run::{Event, Run};

/// What one record changed in its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Which run.
    pub run: RunId,
    /// Numbers before it.
    pub before: Counts,
    /// Numbers after it.
    pub after: Counts,
    /// Tiles that a planner of another term has issued.
    pub foreign: usize,
    /// Whether it was the last.
    pub over: bool,
}

/// One stay of a run in the book. A run that is lost, or over, and opened again under its id is in another:
/// what was begun for it before concerns it no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life(u64);

#[derive(Debug)]
struct Open {
    life: Life,
    run: Run,
    /// About the bytes that its fold took when it was looked at last.
    memory: usize,
}

/// The open runs.
#[derive(Debug, Default)]
pub struct Book {
    runs: HashMap<RunId, Open>,
    /// How many lives there were.
    lives: u64,
    /// Those with tiles that lack an outcome.
    busy: HashSet<RunId>,
    /// Those whose fold has changed since they were last asked for.
    moved: HashSet<RunId>,
    /// Those whose plan makes no sense.
    aside: BTreeSet<RunId>,
    /// Those of which a newer build wrote some records.
    newer: BTreeSet<RunId>,
    /// Runs that are not here, since a newer build wrote their last record: open, or over.
    unread: BTreeSet<RunId>,
    /// About the bytes that all folds take.
    memory: usize,
}

impl Book {
    /// How many runs are open.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The runs that are open, in no order.
    pub fn names(&self) -> impl Iterator<Item = &RunId> {
        self.runs.keys()
    }

    /// A run that is open.
    pub fn get(&self, name: &RunId) -> Option<&Run> {
        self.runs.get(name).map(|open| &open.run)
    }

    /// Which of its lives a run is in; `None` if it is not open.
    pub fn life(&self, name: &RunId) -> Option<Life> {
        self.runs.get(name).map(|open| open.life)
    }

    /// The same, to be told or stepped.
    pub fn get_mut(&mut self, name: &RunId) -> Option<&mut Run> {
        self.runs.get_mut(name).map(|open| &mut open.run)
    }

    /// About the bytes that the folds of all open runs take.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// The open runs with the number of records that each should have, where the ledger was read to
    /// `position`.
    pub fn count(&self, position: u64, term: Term) -> Vec<Counted> {
        let folds = self.runs.values().map(|open| open.run.fold());
        folds
            .filter_map(|fold| Counted::of(fold, position, term))
            .collect()
    }

    /// Whether a run is open.
    pub fn contains(&self, name: &RunId) -> bool {
        self.runs.contains_key(name)
    }

    /// A run is open, as its ledger has it. What it has open may not be on the queue.
    pub fn add(&mut self, fold: Fold) -> Option<&Run> {
        self.enter(fold, Event::QueueDoubtful)
    }

    /// A run is open, and the tiles that its first record has issued are to be published.
    pub fn begin(&mut self, fold: Fold) -> Option<&Run> {
        self.enter(fold, Event::Begun)
    }

    fn enter(&mut self, fold: Fold, event: Event) -> Option<&Run> {
        let name = fold.run().clone();
        let mut run = Run::new(fold)?;
        self.unread.remove(&name);
        run.take(event);
        self.note(&name, run.fold().open_tiles().is_empty(), Aside::of(&run));
        self.lives += 1;
        let life = Life(self.lives);
        let memory = run.fold().memory();
        self.memory += memory;
        self.memory -= self.runs.get(&name).map_or(0, |open| open.memory);
        let open = Open { life, run, memory };
        let open = self.runs.entry(name).insert_entry(open);
        Some(&open.into_mut().run)
    }

    /// A run is over, or lost.
    pub fn remove(&mut self, name: &RunId) -> Option<Run> {
        self.busy.remove(name);
        self.moved.remove(name);
        self.aside.remove(name);
        self.newer.remove(name);
        let open = self.runs.remove(name)?;
        self.memory -= open.memory;
        Some(open.run)
    }

    /// Takes in the next record of an open run; `None` if it is none.
    pub fn read(&mut self, entry: &Entry, term: Term) -> Option<Moved> {
        let open = self.runs.get_mut(&entry.run)?;
        let run = &mut open.run;
        let before = *run.fold().counts();
        let foreign = run.read(entry, term);
        let after = *run.fold().counts();
        let memory = run.fold().memory();
        self.memory += memory;
        self.memory -= std::mem::replace(&mut open.memory, memory);
        let moved = Moved {
            run: entry.run.clone(),
            before,
            after,
            foreign: if foreign {
                (after.tiles_issued - before.tiles_issued) as usize
            } else {
                0
            },
            over: run.fold().closing().is_some(),
        };
        let (idle, aside) = (run.fold().open_tiles().is_empty(), Aside::of(run));
        self.note(&entry.run, idle, aside);
        Some(moved)
    }

    /// The queue, or all where none is named, may have lost what was on it. Returns the runs that this
    /// concerns.
    pub fn doubt(&mut self, queue: Option<&QueueName>) -> Vec<RunId> {
        let runs = self.runs.iter_mut();
        let runs = runs.map(|(name, open)| (name, &mut open.run));
        let concerned = runs.filter(|(_, run)| queue.is_none_or(|queue| run.queue() == queue));
        let stale = concerned.filter_map(|(name, run)| {
            run.take(Event::QueueDoubtful);
            run.is_stale().then(|| name.clone())
        });
        sorted(stale)
    }

    /// Looks for tiles that have been open since the last look. Returns the runs with such.
    pub fn look(&mut self) -> Vec<RunId> {
        let Book { runs, busy, .. } = self;
        let stale = busy.iter().filter(|name| {
            runs.get_mut(*name).is_some_and(|open| {
                open.run.take(Event::Looked);
                open.run.is_stale()
            })
        });
        sorted(stale.cloned())
    }

    /// The runs that have moved since the last call.
    pub fn moved(&mut self) -> impl Iterator<Item = &Run> {
        let moved = std::mem::take(&mut self.moved);
        moved.into_iter().filter_map(|name| self.get(&name))
    }

    /// A run as it stands, which has not moved since then.
    pub fn as_it_stands(&mut self, name: &RunId) -> Option<&Run> {
        self.moved.remove(name);
        self.get(name)
    }

    /// The runs of which nothing more is planned, because their plan makes no sense.
    pub fn aside(&self) -> &BTreeSet<RunId> {
        &self.aside
    }

    /// The runs of which nothing more is planned here, because a newer build wrote some of their records.
    pub fn newer(&self) -> &BTreeSet<RunId> {
        &self.newer
    }

    /// A newer build wrote the last record of a run that is not open here: whether it is open, is not known.
    pub fn leave(&mut self, name: RunId) {
        self.unread.insert(name);
    }

    /// See [`Book::leave`].
    pub fn unread(&self) -> &BTreeSet<RunId> {
        &self.unread
    }

    /// Notes of a run that has changed whether tiles of it are open and whether it is set aside, and that it
    /// has moved.
    fn note(&mut self, name: &RunId, idle: bool, aside: Aside) {
        if idle {
            self.busy.remove(name);
        } else if !self.busy.contains(name) {
            self.busy.insert(name.clone());
        }
        for (set, of) in [
            (&mut self.aside, Aside::Nonsense),
            (&mut self.newer, Aside::Newer),
        ] {
            if aside == of {
                set.insert(name.clone());
            } else {
                set.remove(name);
            }
        }
        if !self.moved.contains(name) {
            self.moved.insert(name.clone());
        }
    }
}

/// Whether nothing more of a run is planned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aside {
    /// It goes on, or somebody has ordered that it ends.
    No,
    /// Its plan makes no sense.
    Nonsense,
    /// It waits for a planner of a newer build.
    Newer,
}

impl Aside {
    fn of(run: &Run) -> Aside {
        if run.fold().is_newer() {
            Aside::Newer
        } else if run.fold().aside().is_some() && run.fold().cancelled().is_none() {
            Aside::Nonsense
        } else {
            Aside::No
        }
    }
}

fn sorted(names: impl Iterator<Item = RunId>) -> Vec<RunId> {
    let mut names: Vec<RunId> = names.collect();
    names.sort_unstable();
    names
}
