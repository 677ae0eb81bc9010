//! Properties of the fold over any history.

use std::collections::BTreeMap;
use std::ops::Range;

use super::*;

/// What one step of a history is made of.
struct Drawn {
    kind: u8,
    slice: u32,
    page: u32,
    /// Any tile, and the one that the page was first issued in.
    at: TileRef,
    own: (u32, u32),
    session: u64,
    number: u64,
    fence: u64,
    which: Which,
    again: Retry,
    choice: usize,
}

impl Drawn {
    fn new(records: &[Record], next_wave: u32, (kind, a, b, c): (u8, u8, u8, u8)) -> Drawn {
        let (slice, page) = (u32::from(a) % SLICES, u32::from(b) % PAGES);
        Drawn {
            kind: kind % 14,
            slice,
            page,
            at: TileRef {
                wave: u32::from(a) % next_wave,
                index: u32::from(b) % 5,
            },
            own: if slice == 0 {
                (0, page / 2)
            } else {
                (0, 3 + page / 3)
            },
            session: u64::from(c % 3),
            number: records.len() as u64,
            fence: 1 + u64::from(c) % (records.len() as u64 + 1),
            which: match c % 3 {
                0 => Which::All,
                _ => Which::These(vec![
                    page_cell(slice, page),
                    page_cell(0, u32::from(c) % PAGES),
                ]),
            },
            again: match b % 3 {
                0 => Retry::Hold(u64::from(c)),
                1 => Retry::AfterMs(u64::MAX),
                _ => Retry::Backoff,
            },
            choice: usize::from(b),
        }
    }

    fn came(&self, place: (u32, u32), fence: u64, status: Status) -> Record {
        let entries = [entry(place, fence, self.slice, self.page, 1, status)];
        outcome(self.session, self.number, &entries)
    }

    /// The records that it stands for; none where nothing fits it.
    fn records(self, fold: &Fold, before: &[Record], next_wave: &mut u32) -> Vec<Record> {
        let place = (self.at.wave, self.at.index);
        let takeover = |number| takeover(self.session, number, place);
        let open = fold.open_tiles().get(&self.at);
        match self.kind {
            0 | 1 => vec![self.came(self.own, self.fence.max(2), Status::Done)],
            2 => vec![self.came(self.own, self.fence, failure(self.again))],
            3 => vec![self.came(place, self.fence, failure(Retry::Never))],
            4 => vec![takeover(self.number)],
            // The planner's records are under compare-and-swap: never repeated.
            5 => match before[2..].get(self.choice) {
                Some(Record::Plan(_)) => Vec::new(),
                Some(record) => vec![record.clone()],
                None => vec![takeover(self.number)],
            },
            6 => match fold.due(UnixMs(u64::MAX)).nth(self.choice % 3) {
                Some(due) => {
                    let (cell, attempt) = (due.cell, due.attempts + 1);
                    *next_wave += 1;
                    let retry = tiles(cell.slice, cell.page, 1, 1, attempt);
                    vec![wave(*next_wave - 1, vec![retry])]
                }
                None => Vec::new(),
            },
            // What the newest attempt of a shard came to.
            7 => open.map_or_else(Vec::new, |tile| {
                let first = tile.left.iter().next().map_or(0, |left| left.start) as u32;
                let failed = failure(self.again);
                let came = entry(place, tile.fence.0, tile.slice, first, 1, failed);
                vec![outcome(self.session, self.number, &[came])]
            }),
            8 | 9 => vec![reopened(self.number, self.which)],
            10 => vec![dropped(self.number, self.which)],
            11 if fold.cancelled().is_none() => vec![cancelled(self.number)],
            // A tile that may kill its worker, and the next holder.
            12 => open.map_or_else(Vec::new, |tile| {
                let begun = started(self.session, self.number, self.at, tile);
                vec![begun, takeover(self.number + 1)]
            }),
            13 => vec![returned(self.session, self.number, self.at)],
            _ => vec![self.came(place, self.fence, Status::Done)],
        }
    }
}

/// A history: a whole grid that was issued, and then whatever the steps stand for.
fn history(steps: &[(u8, u8, u8, u8)]) -> Vec<Record> {
    let mut records = whole_grid();
    let mut next_wave = 1;
    for step in steps {
        let drawn = Drawn::new(&records, next_wave, *step);
        let more = drawn.records(&folded(&records), &records, &mut next_wave);
        records.extend(more);
    }
    records
}

/// How a cell stands: issued, done, dead (and given up), waiting for another attempt.
type CellStands = (bool, bool, Option<bool>, bool);

fn cells(fold: &Fold) -> BTreeMap<(u32, u32), CellStands> {
    let mut cells = BTreeMap::new();
    for slice in 0..fold.slices() {
        let row = fold.row(slice);
        for page in 0..row.pages {
            let within = |runs: &[Range<u32>]| runs.iter().any(|run| run.contains(&page));
            let dead = row.dead.iter().find(|(run, _)| run.contains(&page));
            let dead = dead.map(|(_, dropped)| *dropped);
            let told = (
                within(&row.issued),
                within(&row.done),
                dead,
                within(&row.retrying),
            );
            cells.insert((slice, page), told);
        }
    }
    cells
}

fn steps() -> impl Strategy<Value = Vec<(u8, u8, u8, u8)>> {
    prop::collection::vec(any::<(u8, u8, u8, u8)>(), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn fold_and_audit_agree_on_any_history(steps in steps()) {
        let records = history(&steps);
        let fold = folded(&records);
        let mut audit = Audit::new(RunId::new("sum_s_1").unwrap());
        for (sequence, record) in (1..).zip(&records) {
            audit.read(sequence, Some(record));
        }
        let report = audit.report();
        let counts = fold.counts();
        prop_assert_eq!(
            (report.planned, report.committed, report.dead),
            (counts.planned, counts.done, counts.dead),
            "{:?}", records
        );
        let outstanding = counts.planned - counts.done - counts.dead;
        let missing = (report.lost_cells, report.cancelled);
        let expected = if fold.cancelled().is_some() { (0, outstanding) } else { (outstanding, 0) };
        prop_assert_eq!(missing, expected);
        let open: u64 = fold.open_tiles().values().map(|tile| tile.left.len()).sum();
        prop_assert_eq!(open + fold.retrying(), outstanding);
        prop_assert_eq!(counts.tiles_issued - counts.tiles_closed, fold.open_tiles().len() as u64);
        prop_assert_eq!(fold.complete(), outstanding == 0);
    }

    #[test]
    fn repeating_any_records_changes_no_outcome(steps in steps(), repeats in prop::collection::vec(any::<(u8, u8)>(), 0..20)) {
        // Repeated records get positions of their own, so the fences that records name must keep
        // their meaning: repeats are put at the end, and once more all of them in a row.
        let mut records = history(&steps);
        let plain = outcomes_of(&folded(&records));
        let workers: Vec<Record> = records.iter().filter(|record| !matches!(record, Record::Plan(_))).cloned().collect();
        for (at, _) in &repeats {
            records.extend(workers.get(usize::from(*at)).cloned());
        }
        records.extend(workers);
        prop_assert_eq!(outcomes_of(&folded(&records)), plain);
    }

    #[test]
    fn any_prefix_read_twice_gives_the_same(steps in steps(), cut in any::<prop::sample::Index>()) {
        let records = history(&steps);
        let cut = cut.index(records.len() + 1);
        let mut fold = folded(&records[..cut]);
        for (sequence, record) in (1..).zip(&records) {
            fold.apply(sequence, UnixMs(sequence * 1_000), record);
        }
        prop_assert_eq!(outcomes_of(&fold), outcomes_of(&folded(&records)));
    }

    #[test]
    fn no_record_changes_a_cell_that_it_does_not_touch(steps in steps()) {
        let mut fold = Fold::new(RunId::new("sum_s_1").unwrap());
        for (sequence, record) in (1..).zip(&history(&steps)) {
            let (touched, before) = (fold.touches(record), cells(&fold));
            fold.apply(sequence, UnixMs(sequence * 1_000), record);
            let after = cells(&fold);
            let known = |cell: &(u32, u32)| before.get(cell) != after.get(cell);
            for (slice, page) in after.keys().copied().filter(known) {
                let within = |cells: &Touched| cells.slices.contains(&slice) && cells.pages.contains(&page);
                prop_assert!(touched.iter().any(within), "{slice}/{page} by {record:?}: {touched:?}");
            }
        }
    }

    #[test]
    fn successes_count_alike_in_any_order(order in Just((0..24_u32).collect::<Vec<_>>()).prop_shuffle()) {
        // Every shard is reported by two holders, in any interleaving.
        let mut records = whole_grid();
        for number in &order {
            let (slice, page) = (number % 12 / PAGES, number % PAGES);
            let own = if slice == 0 { (0, page / 2) } else { (0, 3 + page / 3) };
            let session = u64::from(number / 12);
            records.push(outcome(session, u64::from(*number), &[entry(own, 2, slice, page, 1, Status::Done)]));
        }
        let fold = folded(&records);
        prop_assert!(fold.complete());
        prop_assert_eq!((fold.counts().done, fold.counts().late), (12, 12));
        prop_assert_eq!(fold.counters()["rows"], (1..=6).sum::<i128>() + (101..=106).sum::<i128>());
    }
}
