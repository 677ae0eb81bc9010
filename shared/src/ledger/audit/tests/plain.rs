//! The audit as simply as it can be said, one entry a cell: too much for a real run, and easy to believe.

use super::*;

#[derive(Default)]
struct PlainCell {
    successes: Vec<(Fence, bool)>,
    failed: BTreeSet<u32>,
    never: bool,
    most: Option<u32>,
    dropped: bool,
}

impl PlainCell {
    fn is_dead(&self) -> bool {
        let most = self.most.unwrap_or(ATTEMPTS);
        let last = self.failed.last().copied().unwrap_or(0);
        self.successes.is_empty() && last > 0 && (self.never || last >= most)
    }
}

struct PlainTile {
    kind: TileKind,
    slice: u32,
    pages: Range<u32>,
    attempt: u32,
    fences: Vec<Fence>,
    suspicion: Suspicion,
}

#[derive(Default)]
struct Plain {
    cells: BTreeMap<(TileKind, u32, u32), PlainCell>,
    tiles: HashMap<TileRef, PlainTile>,
    waves: u32,
    seen: HashSet<(Session, u64)>,
    unexpected: BTreeSet<GridCell>,
    odd: u64,
    takeovers: u64,
}

impl Plain {
    fn wave(&mut self, sequence: u64, wave: &Wave) {
        if wave.n != self.waves {
            self.odd += 1;
            return;
        }
        self.waves += 1;
        let mut index = 0;
        for run in &wave.tiles {
            if run.pages * run.tiles == 0 || run.slice >= SLICES {
                self.odd += 1;
                continue;
            }
            for n in 0..run.tiles {
                let first = run.first + n * run.pages;
                let pages = first..first + run.pages;
                for page in pages.clone() {
                    self.cells.entry((run.kind, run.slice, page)).or_default();
                }
                let place = TileRef {
                    wave: wave.n,
                    index,
                };
                index += 1;
                let tile = PlainTile {
                    kind: run.kind,
                    slice: run.slice,
                    pages,
                    attempt: run.attempt,
                    fences: vec![Fence(sequence)],
                    suspicion: Suspicion::default(),
                };
                self.tiles.insert(place, tile);
            }
        }
    }

    fn entry(&mut self, entry: &Entry) {
        let tile = self.tiles.get(&entry.tile);
        let tile = tile.filter(|tile| (tile.kind, tile.slice) == (entry.kind, entry.slice));
        for page in entry.first..entry.first + entry.pages {
            let own = tile.filter(|tile| tile.pages.contains(&page));
            let cell = self.cells.get_mut(&(entry.kind, entry.slice, page));
            let probe = entry.kind == TileKind::Probe && entry.status == Status::Done;
            let Some(cell) = cell.filter(|_| entry.fence >= Fence(1) && !probe) else {
                let slice = entry.slice;
                self.unexpected.insert(GridCell { slice, page });
                continue;
            };
            match &entry.status {
                Status::Done => {
                    let held = own.is_some_and(|tile| tile.fences.contains(&entry.fence));
                    cell.successes.push((entry.fence, held));
                }
                Status::Failed(failed) => {
                    let own = own.filter(|tile| tile.fences.last() == Some(&entry.fence));
                    if let Some(tile) = own
                        && cell.failed.insert(tile.attempt)
                    {
                        cell.never |= failed.retry == Retry::Never;
                        if matches!(failed.retry, Retry::Hold(_)) {
                            cell.most = Some(cell.most.unwrap_or(ATTEMPTS) + 1);
                        }
                    }
                }
            }
        }
    }

    fn takeover(&mut self, sequence: u64, takeover: &Takeover) {
        for place in &takeover.tiles {
            self.takeovers += 1;
            let Some(tile) = self.tiles.get_mut(place) else {
                self.odd += 1;
                continue;
            };
            tile.fences.push(Fence(sequence));
            let at = |page: u64| (tile.kind, tile.slice, page as u32);
            let cells = &self.cells;
            let left = |page| {
                cells.get(&at(page)).is_some_and(|cell| {
                    cell.successes.is_empty() && !cell.failed.contains(&tile.attempt)
                })
            };
            let condemned = tile.suspicion.taken_over(takeover.reason, left);
            let cell = condemned.and_then(|page| self.cells.get_mut(&at(page)));
            if let Some(cell) = cell {
                cell.never |= cell.failed.insert(tile.attempt);
            }
        }
    }

    fn work(&mut self, work: &WorkRecord) {
        match work {
            WorkRecord::Outcomes { block, .. } => {
                let entries = outcomes::decode(block).unwrap();
                entries.iter().for_each(|entry| self.entry(entry));
            }
            WorkRecord::Probed(probed) => {
                let at = (TileKind::Probe, probed.slice, probed.probe);
                let Some(cell) = self.cells.get_mut(&at) else {
                    self.odd += 1;
                    return;
                };
                let held = self.tiles.get(&probed.tile).is_some_and(|tile| {
                    (tile.kind, tile.slice) == (TileKind::Probe, probed.slice)
                        && tile.pages.contains(&probed.probe)
                        && tile.fences.contains(&probed.fence)
                });
                cell.successes.push((probed.fence, held));
            }
            WorkRecord::Started {
                session,
                tile,
                page,
                fence,
                ..
            } => {
                let held = self.tiles.get_mut(tile);
                if let Some(held) = held.filter(|held| held.fences.last() == Some(fence)) {
                    held.suspicion.started(*session, u64::from(*page));
                }
            }
            WorkRecord::Returned { .. } => {}
        }
    }

    fn chosen(&mut self, which: &Which, change: impl Fn(&mut PlainCell)) {
        for ((kind, slice, page), cell) in &mut self.cells {
            let named = match which {
                Which::All => !cell.dropped,
                Which::These(cells) => cells.contains(&Cell {
                    kind: *kind,
                    slice: *slice,
                    page: *page,
                }),
            };
            if named && cell.is_dead() {
                change(cell);
            }
        }
    }
}

/// What `records`, the first of which opens the run, prove.
pub(super) fn report(records: &[Record]) -> Report {
    let mut plain = Plain::default();
    for (sequence, record) in (1..).zip(records).skip(1) {
        match record {
            Record::Plan(PlanRecord::Wave(wave)) => plain.wave(sequence, wave),
            Record::Plan(PlanRecord::Reopened(reopened)) => {
                plain.chosen(&reopened.which, |cell| {
                    let last = cell.failed.last().copied().unwrap_or(0);
                    cell.most = Some(last + ATTEMPTS);
                    (cell.never, cell.dropped) = (false, false);
                });
            }
            Record::Plan(PlanRecord::Dropped(dropped)) => {
                plain.chosen(&dropped.which, |cell| cell.dropped = true);
            }
            Record::Work(work) if plain.seen.insert(work.signature()) => plain.work(work),
            Record::Takeover(takeover)
                if plain.seen.insert((takeover.session, takeover.number)) =>
            {
                plain.takeover(sequence, takeover);
            }
            Record::Plan(_) | Record::Work(_) | Record::Takeover(_) => {}
        }
    }
    let Record::Plan(PlanRecord::Opened(opened)) = &records[0] else {
        panic!("the first record opens the run");
    };
    judge(&plain, opened.job.grid.pages_of(0).unwrap_or(0))
}

fn judge(plain: &Plain, pages: u32) -> Report {
    let mut lost = BTreeSet::new();
    let mut twice = Vec::new();
    let [
        mut planned,
        mut committed,
        mut dead,
        mut dead_questions,
        mut repeated,
    ] = [0; 5];
    for slice in 0..SLICES {
        for page in 0..pages {
            if !plain.cells.contains_key(&(TileKind::Page, slice, page)) {
                lost.insert((GridCell { slice, page }, TileKind::Page));
            }
        }
    }
    for ((kind, slice, page), cell) in &plain.cells {
        let at = GridCell {
            slice: *slice,
            page: *page,
        };
        let counts = u64::from(*kind == TileKind::Page);
        planned += counts;
        if !cell.successes.is_empty() {
            committed += counts;
        } else if cell.is_dead() {
            dead += counts;
            dead_questions += 1 - counts;
        } else {
            lost.insert((at, *kind));
        }
        let fences: HashSet<Fence> = cell.successes.iter().map(|(fence, _)| *fence).collect();
        let each_once = fences.len() == cell.successes.len();
        if !each_once || cell.successes.iter().any(|(_, held)| !held) {
            twice.push(at);
        } else if let Some(more) = cell.successes.len().checked_sub(1) {
            repeated += more as u64 * counts;
        }
    }
    twice.sort_unstable();
    let lost: Vec<GridCell> = lost.into_iter().map(|(at, _)| at).collect();
    let unexpected: Vec<GridCell> = plain.unexpected.iter().copied().collect();
    Report {
        run: run(),
        ok: lost.is_empty() && unexpected.is_empty() && plain.odd == 0 && twice.is_empty(),
        ended: None,
        planned,
        committed,
        dead,
        dead_questions,
        takeovers: plain.takeovers,
        repeated,
        cancelled: 0,
        lost_cells: lost.len() as u64,
        lost,
        unexpected_cells: unexpected.len() as u64,
        unexpected,
        unexpected_records: plain.odd,
        twice_cells: twice.len() as u64,
        twice,
    }
}
