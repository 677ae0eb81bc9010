//! What the ledger says of one shard, attempt by attempt. Pure; it walks beside the fold, which alone decides
//! what counts.
//!
//! | record | what is noted |
//! |---|---|
//! | wave with the shard | another attempt, under the wave's fence; nothing says who takes it |
//! | takeover of its tile that the fold counts | another holder, with a higher fence |
//! | `started`, `returned` | of that holder: when it announced the shard, when it handed the tile back |
//! | outcome of the shard | who said it, under which fence, and whether it counts |

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::clock::UnixMs;
use crate::id::{Fence, Session};
use crate::ledger::fold::Fold;
use crate::ledger::outcomes::{self, Failed, Retry, Status};
use crate::ledger::record::{
    PlanRecord, Probed, Reason, Record, Takeover, TileRun, Wave, WorkRecord,
};
use crate::reads::ledger::Entry;
use crate::tile::{Bounds, Cell, TileKind, TileRef};

/// Attempts that are kept, the last ones: a shard that asks to wait may have any number.
pub const ATTEMPTS_KEPT: usize = 100;
/// Holders of one attempt that are kept, and outcomes of it that do not count; likewise the last ones.
const HOLDERS_KEPT: usize = 50;

/// One shard, or one question of a probe, as the ledger has it.
#[derive(Clone, Debug)]
pub struct History {
    cell: Cell,
    /// In the order of their waves.
    pub(super) attempts: VecDeque<Attempt>,
    /// Those before them that are not kept.
    pub(super) earlier: u64,
    /// Records of workers about the shard that were heard: a repeated one counts once.
    heard: BTreeSet<(Session, u64)>,
    pub(super) done: bool,
}

/// One attempt.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) number: u32,
    /// Its tile.
    pub(super) place: TileRef,
    /// When its wave was stored.
    pub(super) issued: UnixMs,
    /// The page's bounds, where it has some.
    pub(super) bounds: Option<Bounds>,
    /// Who held it, one after the other: first whoever got it from the queue.
    pub(super) holders: Vec<Holder>,
    /// What was said of it, in the order of the ledger.
    pub(super) outcomes: Vec<Outcome>,
}

/// One holding of an attempt's tile.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    /// Not known of the first one until it says something.
    pub(super) session: Option<Session>,
    pub(super) fence: Fence,
    /// When it took the tile over, and why. `None`: it got it from the queue, at the first delivery.
    pub(super) takeover: Option<(UnixMs, Reason)>,
    pub(super) started: Option<UnixMs>,
    pub(super) returned: Option<UnixMs>,
}

/// What a worker said of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    /// `None`: it follows from the deaths of its holders.
    pub(super) session: Option<Session>,
    pub(super) fence: Fence,
    pub(super) at: UnixMs,
    /// The error, if it failed.
    pub(super) error: Option<String>,
    /// Whether it failed with a hold, which uses up nothing.
    pub(super) held: bool,
    /// What it counted.
    pub(super) counters: BTreeMap<String, i64>,
    /// The small result that its handler set.
    pub(super) output: Option<Vec<u8>>,
    /// Whether it changed anything: a later success, or the failure of a holder that was taken over, does not.
    pub(super) counts: bool,
}

impl Holder {
    fn new(fence: Fence) -> Holder {
        Holder {
            session: None,
            fence,
            takeover: None,
            started: None,
            returned: None,
        }
    }
}

impl Attempt {
    /// What came of it.
    pub(super) fn result(&self) -> Option<&Outcome> {
        self.outcomes.iter().rev().find(|outcome| outcome.counts)
    }

    /// The holder under `fence`, if this attempt has such a one; `session` is its, as it says.
    fn holder(&mut self, fence: Fence, session: Session) -> Option<&mut Holder> {
        let holder = self.holders.iter_mut().find(|it| it.fence == fence)?;
        holder.session.get_or_insert(session);
        Some(holder)
    }

    fn started(&mut self, fence: Fence, session: Session, at: UnixMs) {
        if let Some(holder) = self.holder(fence, session) {
            holder.started.get_or_insert(at);
        }
    }

    fn returned(&mut self, session: Session, at: UnixMs) {
        let own = |it: &Holder| it.session == Some(session);
        let own = self.holders.iter().rposition(own);
        // The first one is known by what it says.
        let first = || self.holders.iter().position(|it| it.session.is_none());
        if let Some(holder) = own.or_else(first).and_then(|at| self.holders.get_mut(at)) {
            holder.session = Some(session);
            holder.returned.get_or_insert(at);
        }
    }
}

impl History {
    /// The history of a shard before the first record of its run.
    pub fn new(cell: Cell) -> History {
        History {
            cell,
            attempts: VecDeque::new(),
            earlier: 0,
            heard: BTreeSet::new(),
            done: false,
        }
    }

    /// Which shard.
    pub fn cell(&self) -> Cell {
        self.cell
    }

    /// Whether no wave has issued it.
    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// The tile of the last attempt.
    pub(super) fn last_place(&self) -> Option<TileRef> {
        self.attempts.back().map(|attempt| attempt.place)
    }

    /// Takes `entry` into `fold`, and notes what it says of the shard. Every record of the run has to come by.
    pub fn take(&mut self, fold: &mut Fold, entry: &Entry) {
        let before = self.open(fold);
        let next_wave = fold.next_wave();
        let another = match entry.plan() {
            Some(PlanRecord::Opened(opened)) => fold.is_another(opened),
            Some(_) | None => false,
        };
        entry.fold_into(fold);
        if another {
            *self = History::new(self.cell);
        }
        let queue = fold.opening().map(|opening| &opening.record.job.queue);
        if queue != Some(&entry.queue) {
            return;
        }
        // The first record of another run, or of this one, may be the only one of its kind.
        let wave = entry.plan().and_then(|plan| plan.wave(entry.sequence));
        if let Some(wave) = wave.filter(|wave| another || wave.n == next_wave) {
            self.issued(entry, &wave);
        }
        match &entry.record {
            Ok(Record::Takeover(takeover)) => self.taken_over(fold, entry, takeover, &before),
            Ok(Record::Work(work)) => self.work(fold, entry, work, &before),
            Ok(Record::Plan(_)) | Err(_) => {}
        }
    }

    /// The tiles in which the shard lacks an outcome, each with the fence under which it is held.
    fn open(&self, fold: &Fold) -> BTreeMap<TileRef, Fence> {
        let lacking = self.attempts.iter().filter(|it| it.result().is_none());
        let held = lacking.filter_map(|it| Some((it.place, self.held(fold, it.place)?)));
        held.collect()
    }

    fn held(&self, fold: &Fold, place: TileRef) -> Option<Fence> {
        let tile = fold.open_tiles().get(&place)?;
        let lacks = tile.left.contains(u64::from(self.cell.page));
        (lacks && (tile.kind, tile.slice) == (self.cell.kind, self.cell.slice))
            .then_some(tile.fence)
    }

    fn issued(&mut self, entry: &Entry, wave: &Wave) {
        let mut index = 0_u32;
        for tiles in &wave.tiles {
            if let Some(n) = self.tile_among(tiles) {
                let within = (self.cell.page - tiles.first) % tiles.pages;
                self.attempts.push_back(Attempt {
                    number: tiles.attempt,
                    place: TileRef {
                        wave: wave.n,
                        index: index.saturating_add(n),
                    },
                    issued: entry.at,
                    bounds: tiles.bounds_of(n).get(within as usize).cloned(),
                    holders: vec![Holder::new(Fence(entry.sequence))],
                    outcomes: Vec::new(),
                });
            }
            index = index.saturating_add(tiles.tiles);
        }
        while self.attempts.len() > ATTEMPTS_KEPT {
            self.attempts.pop_front();
            self.earlier += 1;
        }
    }

    /// Which of `tiles` has the shard.
    fn tile_among(&self, tiles: &TileRun) -> Option<u32> {
        if (tiles.kind, tiles.slice) != (self.cell.kind, self.cell.slice) {
            return None;
        }
        let n = self
            .cell
            .page
            .checked_sub(tiles.first)?
            .checked_div(tiles.pages)?;
        (n < tiles.tiles).then_some(n)
    }

    /// A takeover counts where the fold has another fence now, or has condemned the shard for it.
    fn taken_over(
        &mut self,
        fold: &Fold,
        entry: &Entry,
        takeover: &Takeover,
        before: &BTreeMap<TileRef, Fence>,
    ) {
        let fence = Fence(entry.sequence);
        for place in before.keys().filter(|place| takeover.tiles.contains(place)) {
            let now = self.held(fold, *place);
            let dead = fold.dead_one(self.cell).filter(|_| now.is_none());
            let verdict = dead.map(|dead| dead.error.to_owned());
            let Some(attempt) = self.attempt(*place) else {
                continue;
            };
            if now != Some(fence) && verdict.is_none() {
                continue;
            }
            let holder = Holder {
                session: Some(takeover.session),
                takeover: Some((entry.at, takeover.reason)),
                ..Holder::new(fence)
            };
            push(&mut attempt.holders, holder);
            if verdict.is_some() {
                let condemned = Outcome {
                    session: None,
                    fence,
                    at: entry.at,
                    error: verdict,
                    held: false,
                    counters: BTreeMap::new(),
                    output: None,
                    counts: true,
                };
                push(&mut attempt.outcomes, condemned);
            }
        }
    }

    fn work(
        &mut self,
        fold: &Fold,
        entry: &Entry,
        work: &WorkRecord,
        before: &BTreeMap<TileRef, Fence>,
    ) {
        let signature = work.signature();
        if self.attempts.is_empty() || self.heard.contains(&signature) {
            return;
        }
        let session = signature.0;
        let concerns = match work {
            WorkRecord::Outcomes { block, .. } => {
                let mut said = outcomes::decode(block).unwrap_or_default();
                said.retain(|said| self.is_told_by(said));
                for said in &said {
                    self.said(fold, (entry, session), said, before);
                }
                !said.is_empty()
            }
            WorkRecord::Probed(probed) => self.probed(fold, entry, probed),
            WorkRecord::Started {
                tile, page, fence, ..
            } => {
                let own = *page == self.cell.page;
                if let Some(attempt) = self.attempt(*tile).filter(|_| own) {
                    attempt.started(*fence, session, entry.at);
                }
                own
            }
            WorkRecord::Returned { tiles, .. } => {
                let mut concerns = false;
                for attempt in &mut self.attempts {
                    if tiles.contains(&attempt.place) {
                        attempt.returned(session, entry.at);
                        concerns = true;
                    }
                }
                concerns
            }
        };
        if concerns {
            self.heard.insert(signature);
        }
    }

    fn is_told_by(&self, said: &outcomes::Entry) -> bool {
        let page = self.cell.page.checked_sub(said.first);
        (said.kind, said.slice) == (self.cell.kind, self.cell.slice)
            && page.is_some_and(|page| page < said.pages)
    }

    /// An outcome of the shard in a block that `session` wrote.
    fn said(
        &mut self,
        fold: &Fold,
        (entry, session): (&Entry, Session),
        said: &outcomes::Entry,
        before: &BTreeMap<TileRef, Fence>,
    ) {
        let error = match &said.status {
            Status::Done => None,
            Status::Failed(failed) => Some(failed.error.clone()),
        };
        let held = matches!(
            said.status,
            Status::Failed(Failed {
                retry: Retry::Hold(_),
                ..
            })
        );
        let counts = match error {
            None => !self.done && fold.is_done(self.cell),
            Some(_) => {
                let held = before.get(&said.tile) == Some(&said.fence);
                let own = |attempt: &Attempt| attempt.place == said.tile;
                let open = |attempt: &Attempt| own(attempt) && attempt.result().is_none();
                held && self.held(fold, said.tile).is_none() && self.attempts.iter().any(open)
            }
        };
        let from = self.cell.page - said.first;
        let sums = said.columns.iter();
        let outcome = Outcome {
            session: Some(session),
            fence: said.fence,
            at: entry.at,
            error,
            held,
            counters: sums
                .map(|column| (column.name.clone(), column.sum(from, from + 1) as i64))
                .collect(),
            output: said
                .results
                .get(from as usize)
                .filter(|it| !it.is_empty())
                .cloned(),
            counts,
        };
        self.conclude(said.tile, outcome);
    }

    /// The answer to a question: its success. Whether it is of the shard.
    fn probed(&mut self, fold: &Fold, entry: &Entry, probed: &Probed) -> bool {
        let own = Cell {
            kind: TileKind::Probe,
            slice: probed.slice,
            page: probed.probe,
        };
        if own != self.cell {
            return false;
        }
        let outcome = Outcome {
            session: Some(probed.session),
            fence: probed.fence,
            at: entry.at,
            error: None,
            held: false,
            counters: BTreeMap::from([("pages".to_owned(), probed.pages.len() as i64)]),
            output: None,
            counts: !self.done && fold.is_done(self.cell),
        };
        self.conclude(probed.tile, outcome);
        true
    }

    fn conclude(&mut self, place: TileRef, outcome: Outcome) {
        self.done |= outcome.counts && outcome.error.is_none();
        // A record that names the wrong tile still tells of the shard.
        let known = self.attempts.iter().any(|it| it.place == place);
        let last = self.attempts.back().map(|last| last.place);
        let place = last.filter(|_| !known).unwrap_or(place);
        let Some(attempt) = self.attempt(place) else {
            return;
        };
        if let Some(session) = outcome.session {
            attempt.holder(outcome.fence, session);
        }
        push(&mut attempt.outcomes, outcome);
    }

    fn attempt(&mut self, place: TileRef) -> Option<&mut Attempt> {
        self.attempts.iter_mut().rev().find(|it| it.place == place)
    }
}

/// Adds one, and lets the oldest go but for the first.
fn push<T>(list: &mut Vec<T>, one: T) {
    if list.len() >= HOLDERS_KEPT {
        list.remove(1);
    }
    list.push(one);
}
