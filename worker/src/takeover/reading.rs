//! What is left to do of tiles that were taken over: reads a run's ledger from the tiles' `folded`
//! up to one's own takeover record. Pure.
//!
//! A shard is finished when it has a success of any attempt, or a counted failure of the attempt
//! that the tile carries: one under the newest fence of that attempt at its place in the ledger. Its
//! answers must be those of the planner's fold.
//!
//! A record costs what it changes, whatever it names: many tiles are taken over at once after an outage,
//! and most of what is read then is of others.

use std::collections::HashMap;

use gridloom_shared::id::{Fence, Session};
use gridloom_shared::ledger::outcomes::{self, Entry, Status};
use gridloom_shared::ledger::record::{Record, WorkRecord};
use gridloom_shared::ranges::Ranges;
use gridloom_shared::tile::{Tile, TileKind, TileRef};

use super::claims::Claims;

/// A reading of one run's ledger for the tiles of one takeover record.
#[derive(Debug)]
pub(crate) struct Reading {
    own: (Session, u64),
    opened: u64,
    claims: Claims,
    /// Numbers of the records that were read, by author.
    seen: HashMap<Session, Ranges>,
    fence: Option<Fence>,
}

/// What is left of a tile, in the order in which the tiles were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// Pages without an outcome.
    pub(crate) pages: Ranges,
    /// Takeovers of the tile, ours among them, that suggest a crash of its holder.
    pub(crate) crashes: u32,
    /// Whether it must run alone for one of its pages.
    pub(crate) isolated: bool,
}

impl Reading {
    /// Begins a reading for `tiles`, all of one run, taken over by the record `own`.
    pub(crate) fn new<'a>(
        own: (Session, u64),
        opened: u64,
        tiles: impl Iterator<Item = &'a Tile>,
    ) -> Reading {
        Reading {
            own,
            opened,
            claims: Claims::of(tiles),
            seen: HashMap::new(),
            fence: None,
        }
    }

    /// Takes in the next record, in ledger order. Of what stands behind one's own, only who lives matters.
    pub(crate) fn apply(&mut self, sequence: u64, record: &Record) {
        match record {
            _ if self.fence.is_some() => self.afterwards(record),
            Record::Plan(_) => {}
            Record::Work(work) => {
                if self.is_new(work.signature()) {
                    self.work(work);
                }
            }
            Record::Takeover(takeover) => {
                let signature = (takeover.session, takeover.number);
                if !self.is_new(signature) {
                    return;
                }
                for place in &takeover.tiles {
                    self.claims.at(*place, |claim| {
                        claim.taken_over(Fence(sequence), takeover.reason);
                    });
                }
                if signature == self.own {
                    self.fence = Some(Fence(sequence));
                }
            }
        }
    }

    /// One's own fence and what is left of each tile; `None` when one's own record was not among
    /// those read: they came from a lagging replica.
    pub(crate) fn finish(self) -> Option<(Fence, Vec<Left>)> {
        let fence = self.fence?;
        Some((
            fence,
            self.claims
                .into_all()
                .into_iter()
                .map(|claim| Left {
                    crashes: claim.suspicion.takeovers(),
                    isolated: claim.suspicion.isolates(|page| claim.left.contains(page)),
                    pages: claim.left,
                })
                .collect(),
        ))
    }

    fn work(&mut self, work: &WorkRecord) {
        match work {
            WorkRecord::Outcomes { block, .. } => {
                for entry in outcomes::decode(block).unwrap_or_default() {
                    self.outcome(&entry);
                }
            }
            WorkRecord::Probed(probed) if probed.fence.0 >= self.opened => {
                let question = u64::from(probed.probe)..u64::from(probed.probe) + 1;
                self.claims.finish(TileKind::Probe, probed.slice, &question);
            }
            WorkRecord::Probed(_) => {}
            WorkRecord::Started {
                session,
                tile,
                page,
                fence,
                ..
            } => {
                self.claims.at(*tile, |claim| {
                    if claim.fence == *fence {
                        claim.suspicion.started(*session, u64::from(*page));
                    }
                });
            }
            WorkRecord::Returned { session, tiles, .. } => self.returned(*session, tiles),
        }
    }

    fn afterwards(&mut self, record: &Record) {
        if let Record::Work(WorkRecord::Returned { session, tiles, .. }) = record {
            self.returned(*session, tiles);
        }
    }

    fn returned(&mut self, session: Session, tiles: &[TileRef]) {
        for place in tiles {
            self.claims
                .at(*place, |claim| claim.suspicion.returned(session));
        }
    }

    fn outcome(&mut self, entry: &Entry) {
        if entry.fence.0 < self.opened {
            return;
        }
        let pages = u64::from(entry.first)..u64::from(entry.first) + u64::from(entry.pages);
        match entry.status {
            Status::Done if entry.kind == TileKind::Page => {
                self.claims.finish(entry.kind, entry.slice, &pages);
            }
            // A probe succeeds by its own kind of record.
            Status::Done => {}
            Status::Failed(_) => self.claims.at(entry.tile, |claim| {
                let same = claim.kind == entry.kind && claim.slice == entry.slice;
                if same && claim.fence == entry.fence {
                    claim.left.remove(&pages);
                }
            }),
        }
    }

    /// Whether a record is read for the first time.
    fn is_new(&mut self, (session, number): (Session, u64)) -> bool {
        let seen = self.seen.entry(session).or_default();
        let new = number != u64::MAX && !seen.contains(number);
        if new {
            seen.insert(number..number + 1);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::id::{Nonce, RunId};
    use gridloom_shared::ledger::outcomes::{Failed, Retry};
    use gridloom_shared::ledger::record::{Reason, Takeover};

    use super::*;

    const WAVE: Fence = Fence(100);
    const OWN: (Session, u64) = (Session(1), 5);

    fn tile(attempt: u32) -> Tile {
        Tile {
            kind: TileKind::Page,
            run: RunId::new("a_s_1").unwrap(),
            nonce: Nonce(1),
            wave: 2,
            index: 3,
            slice: 4,
            first: 10,
            pages: 4,
            attempt,
            fence: WAVE,
            folded: 90,
            opened: 50,
            again: false,
            bounds: Vec::new(),
            after: None,
            frozen: None,
        }
    }

    fn entry(first: u32, pages: u32, fence: Fence, done: bool) -> Entry {
        let failed = Failed {
            error: "no".into(),
            retry: Retry::Backoff,
        };
        Entry {
            tile: TileRef { wave: 2, index: 3 },
            kind: TileKind::Page,
            fence,
            slice: 4,
            first,
            pages,
            status: if done {
                Status::Done
            } else {
                Status::Failed(failed)
            },
            columns: Vec::new(),
            results: Vec::new(),
        }
    }

    fn outcomes_of(session: u64, number: u64, entries: &[Entry]) -> Record {
        let block = outcomes::encode(entries).into();
        Record::Work(WorkRecord::Outcomes {
            session: Session(session),
            number,
            block,
        })
    }

    fn takeover(session: u64, number: u64) -> Record {
        let tiles = vec![TileRef { wave: 2, index: 3 }];
        Record::Takeover(Takeover {
            session: Session(session),
            number,
            tiles,
            reason: Reason::Count,
        })
    }

    fn started(session: u64, fence: u64) -> Record {
        Record::Work(WorkRecord::Started {
            session: Session(session),
            number: 9,
            tile: TileRef { wave: 2, index: 3 },
            page: 11,
            fence: Fence(fence),
        })
    }

    fn left(records: &[(u64, Record)]) -> Option<(Fence, Left)> {
        let mut reading = Reading::new(OWN, 50, [tile(1)].iter());
        for (sequence, record) in records {
            reading.apply(*sequence, record);
        }
        let (fence, mut left) = reading.finish()?;
        Some((fence, left.remove(0)))
    }

    fn read(records: &[(u64, Record)]) -> Option<(Fence, Vec<u64>)> {
        let (fence, left) = left(records)?;
        Some((fence, left.pages.iter().flatten().collect()))
    }

    #[test]
    fn successes_of_any_holder_are_not_repeated() {
        let zombie = Entry {
            tile: TileRef { wave: 0, index: 0 },
            ..entry(12, 1, Fence(60), true)
        };
        let records = [
            (101, outcomes_of(2, 1, &[entry(10, 1, WAVE, true)])),
            (102, outcomes_of(3, 1, &[zombie])),
            (103, takeover(1, 5)),
        ];
        assert_eq!(read(&records), Some((Fence(103), vec![11, 13])));
    }

    #[test]
    fn failure_counts_only_under_the_newest_fence_of_the_attempt() {
        let before = [
            (101, outcomes_of(2, 1, &[entry(10, 2, WAVE, false)])),
            (103, takeover(1, 5)),
        ];
        assert_eq!(read(&before), Some((Fence(103), vec![12, 13])));
        let after = [
            (101, takeover(9, 1)),
            (102, outcomes_of(2, 1, &[entry(10, 2, WAVE, false)])),
            (103, outcomes_of(9, 2, &[entry(12, 1, Fence(101), false)])),
            (104, takeover(1, 5)),
        ];
        assert_eq!(read(&after), Some((Fence(104), vec![10, 11, 13])));
    }

    #[test]
    fn repeated_takeover_counts_at_its_first_place() {
        let records = [
            (101, takeover(1, 5)),
            (102, outcomes_of(2, 1, &[entry(10, 1, WAVE, true)])),
            (103, takeover(1, 5)),
        ];
        assert_eq!(read(&records), Some((Fence(101), vec![10, 11, 12, 13])));
    }

    #[test]
    fn reading_that_ends_before_ones_own_record_is_no_answer() {
        assert_eq!(read(&[(101, takeover(9, 1))]), None);
    }

    #[test]
    fn page_that_was_announced_by_four_that_died_is_not_run_again_and_its_neighbours_are() {
        let records = [
            (101, takeover(2, 1)),
            (102, started(2, 101)),
            (103, takeover(3, 1)),
            (104, started(3, 103)),
            (105, takeover(4, 1)),
            (106, started(4, 105)),
            (107, takeover(5, 1)),
            (108, started(5, 107)),
            (109, takeover(1, 5)),
        ];
        assert_eq!(read(&records), Some((Fence(109), vec![10, 12, 13])));
        assert_eq!(
            read(&records[2..]),
            Some((Fence(109), vec![10, 11, 12, 13]))
        );
    }

    #[test]
    fn tile_is_isolated_until_a_holder_says_that_it_lives() {
        let returned = Record::Work(WorkRecord::Returned {
            session: Session(2),
            number: 10,
            tiles: vec![TileRef { wave: 2, index: 3 }],
        });
        let suspected = |records: &[(u64, Record)]| {
            let (_, left) = left(records)?;
            Some((left.crashes, left.isolated))
        };
        let before = vec![
            (101, takeover(2, 1)),
            (102, started(2, 101)),
            (103, takeover(3, 1)),
            (104, started(3, 103)),
            (105, takeover(1, 5)),
        ];
        assert_eq!(suspected(&before), Some((3, true)));
        let after = [before, vec![(106, returned)]].concat();
        assert_eq!(suspected(&after), Some((3, false)));
    }

    #[test]
    fn takeover_of_many_tiles_costs_what_the_ledger_says_of_them() {
        let of = |index: u32| Tile {
            index,
            first: index * 4,
            ..tile(1)
        };
        let tiles: Vec<Tile> = (0..5_000).map(of).collect();
        let mut reading = Reading::new(OWN, 50, tiles.iter());
        // Every page of all but the last tile is reported once by its holder, and once by everybody.
        for n in 0..4_999_u64 {
            let index = n as u32;
            let own = Entry {
                tile: TileRef { wave: 2, index },
                ..entry(index * 4, 2, WAVE, false)
            };
            let any = entry(index * 4 + 2, 2, Fence(77), true);
            let entries = [own, any.clone(), any.clone(), any];
            reading.apply(101 + n, &outcomes_of(2, n, &entries));
        }
        let places = (0..5_000).map(|index| TileRef { wave: 2, index });
        reading.apply(
            9_000,
            &Record::Takeover(Takeover {
                session: OWN.0,
                number: OWN.1,
                tiles: places.collect(),
                reason: Reason::Again,
            }),
        );
        let begun = std::time::Instant::now();
        for n in 0..500 {
            let of = |page: u32| entry(page, 1_000, Fence(77), true);
            let bomb: Vec<Entry> = (20_000..20_100).map(of).collect();
            reading.apply(9_001 + n, &outcomes_of(3, n, &bomb));
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
        let (fence, left) = reading.finish().unwrap();
        assert_eq!(fence, Fence(9_000));
        let pages: Vec<u64> = left.iter().map(|left| left.pages.len()).collect();
        assert_eq!(pages[4_999], 4);
        assert!(pages[..4_999].iter().all(|pages| *pages == 0));
    }

    #[test]
    fn other_slices_and_records_from_before_the_run_change_nothing() {
        let other = Entry {
            slice: 5,
            ..entry(10, 4, WAVE, true)
        };
        let old = entry(10, 4, Fence(49), true);
        let records = [
            (101, outcomes_of(2, 1, &[other, old])),
            (102, takeover(1, 5)),
        ];
        assert_eq!(read(&records), Some((Fence(102), vec![10, 11, 12, 13])));
    }
}
