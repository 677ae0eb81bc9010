//! Which pages of a tile share an entry: neighbours with the same kind of outcome, until the entry
//! grows too large for its record.

use gridloom_shared::id::Fence;
use gridloom_shared::ledger::outcomes::{Column, Entry, Failed, Status};
use gridloom_shared::limits::ENTRY_BYTES;
use gridloom_shared::tile::{Tile, TileKind, TileRef};

use crate::shard::Report;

/// Collects the outcomes of one tile, page by page in ascending order.
#[derive(Debug)]
pub(crate) struct Tally {
    tile: TileRef,
    kind: TileKind,
    slice: u32,
    fence: Fence,
    entries: Vec<Entry>,
    /// What the last entry costs beyond a plain one.
    extra: usize,
}

impl Tally {
    pub(crate) fn new(tile: &Tile, fence: Fence) -> Tally {
        Tally {
            tile: tile.place(),
            kind: tile.kind,
            slice: tile.slice,
            fence,
            entries: Vec::new(),
            extra: 0,
        }
    }

    /// Page `page` succeeded.
    pub(crate) fn done(&mut self, page: u32, report: &Report) {
        let extra = extra_of(report);
        let room = self.extra + extra <= ENTRY_BYTES;
        let plain = extra == 0 && self.extra == 0;
        match self.entries.last_mut() {
            Some(last)
                if room && last.status == Status::Done && last.first + last.pages == page =>
            {
                if !plain {
                    widen(last, report);
                }
                last.pages += 1;
                self.extra += extra;
            }
            Some(_) | None => {
                self.begin(page, Status::Done);
                if let Some(last) = self.entries.last_mut()
                    && !plain_report(report)
                {
                    last.pages = 0;
                    widen(last, report);
                    last.pages = 1;
                }
                self.extra = extra;
            }
        }
    }

    /// Page `page` failed.
    pub(crate) fn failed(&mut self, page: u32, failed: Failed) {
        let status = Status::Failed(failed);
        match self.entries.last_mut() {
            Some(last) if last.status == status && last.first + last.pages == page => {
                last.pages += 1
            }
            Some(_) | None => self.begin(page, status),
        }
        self.extra = 0;
    }

    /// Takes out what is there, until it is put back.
    pub(crate) fn lend(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    pub(crate) fn put_back(&mut self, entries: Vec<Entry>) {
        self.entries = entries;
    }

    pub(crate) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    fn begin(&mut self, page: u32, status: Status) {
        if self.entries.is_empty() {
            // Most tiles need no second one.
            self.entries.reserve_exact(1);
        }
        self.entries.push(Entry {
            tile: self.tile,
            kind: self.kind,
            fence: self.fence,
            slice: self.slice,
            first: page,
            pages: 1,
            status,
            columns: Vec::new(),
            results: Vec::new(),
        });
    }
}

fn plain_report(report: &Report) -> bool {
    report.counters().is_empty() && report.result().is_none()
}

fn extra_of(report: &Report) -> usize {
    let result = report.result().map_or(0, |result| result.len() + 2);
    report.counters().len() * 15 + result
}

/// Gives `entry`, which has `pages` pages, the values of its next page.
fn widen(entry: &mut Entry, report: &Report) {
    for (name, _) in report.counters() {
        if entry.columns.iter().all(|column| column.name != *name) {
            let before = if entry.pages > 0 {
                vec![(entry.pages, 0)]
            } else {
                Vec::new()
            };
            entry.columns.push(Column {
                name: name.clone(),
                runs: before,
            });
        }
    }
    for column in &mut entry.columns {
        let said = report
            .counters()
            .iter()
            .find(|(name, _)| *name == column.name);
        push(column, said.map_or(0, |(_, value)| *value));
    }
    if report.result().is_some() && entry.results.is_empty() {
        entry.results = vec![Vec::new(); entry.pages as usize];
    }
    if report.result().is_some() || !entry.results.is_empty() {
        entry.results.push(
            report
                .result()
                .map(|result| result.to_vec())
                .unwrap_or_default(),
        );
    }
}

fn push(column: &mut Column, value: i64) {
    match column.runs.last_mut() {
        Some((count, last)) if *last == value => *count += 1,
        Some(_) | None => column.runs.push((1, value)),
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::id::{Nonce, RunId};
    use gridloom_shared::ledger::outcomes::{self, Retry};

    use super::*;
    use crate::Trial;

    fn tally() -> Tally {
        let tile = Tile {
            kind: TileKind::Page,
            run: RunId::new("a_s_1").unwrap(),
            nonce: Nonce(1),
            wave: 1,
            index: 2,
            slice: 3,
            first: 10,
            pages: 100,
            attempt: 1,
            fence: Fence(9),
            folded: 8,
            opened: 7,
            again: false,
            bounds: Vec::new(),
            after: None,
            frozen: None,
        };
        Tally::new(&tile, Fence(9))
    }

    fn report(counters: &[(&str, i64)], result: Option<&'static [u8]>) -> Report {
        let shard = Trial::new("a", "b").shard();
        for (name, n) in counters {
            shard.count(name, *n);
        }
        if let Some(result) = result {
            shard.result(result);
        }
        shard.take_report()
    }

    #[test]
    fn plain_neighbours_share_one_entry() {
        let mut tally = tally();
        for page in 10..74 {
            tally.done(page, &Report::default());
        }
        tally.done(80, &Report::default());
        let pages: Vec<_> = tally
            .into_entries()
            .iter()
            .map(|entry| (entry.first, entry.pages))
            .collect();
        assert_eq!(pages, [(10, 64), (80, 1)]);
    }

    #[test]
    fn each_page_keeps_its_own_value_of_each_counter() {
        let mut tally = tally();
        tally.done(10, &Report::default());
        tally.done(11, &report(&[("rows", 5)], None));
        tally.done(12, &report(&[("bytes", 7), ("rows", 5)], Some(b"x")));
        tally.done(13, &Report::default());
        let entries = tally.into_entries();
        assert_eq!(entries.len(), 1);
        let entry = &entries[0];
        assert_eq!(
            entry.columns[0],
            Column {
                name: "rows".into(),
                runs: vec![(1, 0), (2, 5), (1, 0)]
            }
        );
        assert_eq!(
            entry.columns[1],
            Column {
                name: "bytes".into(),
                runs: vec![(2, 0), (1, 7), (1, 0)]
            }
        );
        assert_eq!(entry.results, [vec![], vec![], b"x".to_vec(), vec![]]);
        assert_eq!(outcomes::decode(&outcomes::encode(&entries)), Ok(entries));
    }

    #[test]
    fn failure_between_successes_has_its_own_entry() {
        let mut tally = tally();
        let failed = Failed {
            error: "no".into(),
            retry: Retry::Backoff,
        };
        tally.done(10, &report(&[("rows", 1)], None));
        tally.failed(11, failed.clone());
        tally.failed(12, failed);
        tally.done(13, &Report::default());
        let entries = tally.into_entries();
        let pages: Vec<_> = entries
            .iter()
            .map(|entry| (entry.first, entry.pages, entry.status == Status::Done))
            .collect();
        assert_eq!(pages, [(10, 1, true), (11, 2, false), (13, 1, true)]);
        assert!(entries[2].columns.is_empty());
    }

    #[test]
    fn large_results_are_spread_over_entries() {
        let mut tally = tally();
        let large = vec![7; 1_000].leak();
        for page in 10..110 {
            tally.done(page, &report(&[], Some(large)));
        }
        let entries = tally.into_entries();
        assert_eq!(entries.iter().map(|entry| entry.pages).sum::<u32>(), 100);
        assert!(
            entries
                .iter()
                .all(|entry| crate::outcomes::cost(entry) < ENTRY_BYTES + 1_100)
        );
    }
}
