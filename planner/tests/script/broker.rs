//! Ledger, queue and register, as a broker would hold them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gridloom_planner::entry::Entry;
use gridloom_shared::broker::term::Register;
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{Fence, QueueName, RunId, Session, Term};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::ledger::record::{Again, Author, PlanRecord, Record, Wave};
use gridloom_shared::tile::{Tile, TileKind, TileRef};

use super::check::Checks;
use super::errands;

/// A tile on the queue.
pub(super) struct Message {
    pub(super) queue: QueueName,
    pub(super) tile: Tile,
    /// Who pulled it.
    pub(super) holder: Option<Session>,
}

/// A cell of a run: its kind, slice and page.
type Place = (RunId, TileKind, u32, u32);

pub(super) struct Broker {
    records: Vec<Entry>,
    pub(super) last: u64,
    /// By stream sequence.
    pub(super) queue: BTreeMap<u64, Message>,
    stored: u64,
    pub(super) register: Option<(Term, u64)>,
    /// What the whole ledger says, whoever has read it.
    pub(super) truth: BTreeMap<RunId, Fold>,
    /// The tiles that were issued for a cell, the last one last, with the sequences of their waves.
    pub(super) issued: HashMap<Place, Vec<(TileRef, Fence)>>,
    pub(super) now: UnixMs,
}

impl Broker {
    pub(super) fn new(now: UnixMs) -> Broker {
        Broker {
            records: Vec::new(),
            last: 0,
            queue: BTreeMap::new(),
            stored: 0,
            register: None,
            truth: BTreeMap::new(),
            issued: HashMap::new(),
            now,
        }
    }

    /// Writes the register under a term.
    pub(super) fn claim(&mut self, term: Term) -> Register {
        self.stored += 1;
        self.register = Some((term, self.stored));
        Register { seq: self.stored }
    }

    fn is_current(&self, register: Register) -> bool {
        self.register.is_some_and(|(_, seq)| seq == register.seq)
    }

    /// Sequence of the planner's last record of a run.
    pub(super) fn last_plan(&self, run: &RunId) -> u64 {
        let mut plans = self.records.iter().rev();
        let last = plans.find(|entry| entry.run == *run && entry.author == Author::Plan);
        last.map_or(0, |entry| entry.sequence)
    }

    /// Appends under compare-and-swap. `Err` is the sequence of what came first.
    pub(super) fn append_if(
        &mut self,
        run: &RunId,
        queue: &QueueName,
        record: PlanRecord,
        expected: u64,
        checks: &mut Checks,
    ) -> Result<u64, u64> {
        let last = self.last_plan(run);
        if last == expected {
            Ok(self.append(run, queue, Ok(Record::Plan(record)), checks))
        } else {
            Err(last)
        }
    }

    /// Appends a record, or one that cannot be read.
    pub(super) fn append(
        &mut self,
        run: &RunId,
        queue: &QueueName,
        record: Result<Record, Author>,
        checks: &mut Checks,
    ) -> u64 {
        self.last += 1;
        let (author, record) = match record {
            Ok(record) => {
                let author = match &record {
                    Record::Plan(_) => Author::Plan,
                    Record::Work(_) => Author::Work,
                    Record::Takeover(_) => Author::Takeover,
                };
                (author, Ok(record))
            }
            Err(author) => (author, Record::decode(author, b"nonsense")),
        };
        let entry = Entry {
            sequence: self.last,
            at: self.now,
            queue: queue.clone(),
            run: run.clone(),
            author,
            record,
        };
        let truth = self.truth.entry(run.clone());
        let truth = truth.or_insert_with(|| Fold::new(run.clone()));
        entry.fold_into(truth);
        let wave = entry.plan().and_then(|plan| plan.wave(self.last));
        if let Some(wave) = wave.as_deref() {
            checks.decided(truth, wave);
            if let Some(opening) = truth.opening() {
                let (nonce, opened) = (opening.record.nonce, opening.sequence);
                let fence = Fence(self.last);
                for tile in wave.expand(run, nonce, fence, opened, Again::No) {
                    for page in tile.range() {
                        let cell = (run.clone(), tile.kind, tile.slice, page as u32);
                        let tiles = self.issued.entry(cell).or_default();
                        tiles.push((tile.place(), fence));
                    }
                }
            }
        }
        self.records.push(entry);
        self.last
    }

    /// The records after `position`.
    pub(super) fn after(&self, position: u64) -> Vec<Entry> {
        let from = self
            .records
            .partition_point(|entry| entry.sequence <= position);
        self.records[from..].to_vec()
    }

    /// Removes all records of a run.
    pub(super) fn purge(&mut self, run: &RunId) {
        self.records.retain(|entry| entry.run != *run);
        self.truth.remove(run);
        self.issued.retain(|(of, ..), _| of != run);
    }

    /// Waves of a run, by their ledger sequences.
    pub(super) fn waves(&self, run: &RunId, sequences: &BTreeSet<u64>) -> Vec<(u64, Wave)> {
        let asked = self.records.iter().filter(|entry| entry.run == *run);
        let asked = asked.filter(|entry| sequences.contains(&entry.sequence));
        let waves = asked.filter_map(|entry| match entry.plan() {
            Some(plan) => {
                let wave = plan.wave(entry.sequence)?;
                Some((entry.sequence, wave.into_owned()))
            }
            _ => None,
        });
        waves.collect()
    }

    /// What the ledger of a run adds up to.
    pub(super) fn fold(&self, run: &RunId) -> Fold {
        let mut fold = Fold::new(run.clone());
        let records = self.records.iter().filter(|entry| entry.run == *run);
        records.for_each(|entry| {
            entry.fold_into(&mut fold);
        });
        fold
    }

    /// Stores a batch, if the register is the one that it expects.
    pub(super) fn publish(
        &mut self,
        queue: &QueueName,
        tiles: Vec<Tile>,
        register: Register,
        checks: &mut Checks,
    ) -> bool {
        if !self.is_current(register) {
            return false;
        }
        for tile in tiles {
            checks.stored(&tile);
            self.stored += 1;
            let message = Message {
                queue: queue.clone(),
                tile,
                holder: None,
            };
            self.queue.insert(self.stored, message);
        }
        true
    }

    /// The tiles of a wave that was decided.
    pub(super) fn tiles_of(wave: &errands::Wave) -> Vec<Tile> {
        let issue = &wave.issue;
        let tiles = issue
            .wave
            .expand(&issue.run, issue.nonce, wave.fence, issue.opened, Again::No);
        tiles.collect()
    }

    /// Places of a run's tiles on the queue.
    pub(super) fn listed(&self, run: &RunId) -> impl Iterator<Item = TileRef> {
        let of_run = self
            .queue
            .values()
            .filter(move |held| held.tile.run == *run);
        of_run.map(|held| held.tile.place())
    }

    /// Takes away what has every outcome.
    pub(super) fn acknowledge(&mut self, run: &RunId) {
        let Some(truth) = self.truth.get(run) else {
            return;
        };
        self.queue.retain(|_, message| {
            message.tile.run != *run || truth.open_tiles().contains_key(&message.tile.place())
        });
    }
}
