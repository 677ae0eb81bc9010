//! When the outcomes of one run go out, and how many in one record. Pure; it knows no lease: the
//! engine leaves out what it may no longer say.
//!
//! With nothing on its way, what is there goes out at once; otherwise it gathers until the answer
//! comes, or until a record is full. A stream waits a little between records, so that the ledger gets few large
//! ones: each costs the broker, whoever reads the ledger, and this process as much as many outcomes do. Nothing waits
//! for an outcome but the end of its run, and a run whose outcomes come in one or two records is not held up.

use std::collections::VecDeque;
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::ledger::outcomes::Entry;
use gridloom_shared::limits::OUTCOMES_BYTES;

/// Most records of one run on their way at once.
const IN_FLIGHT_MAX: u32 = 4;
/// Tiles that fill a record.
const TILES_FULL: usize = 500;
/// A record with this many tiles says that more are coming quickly.
const TILES_MANY: usize = 16;
/// How long a record waits after one that had many.
const PAUSE: Duration = Duration::from_millis(2);
/// How long it waits after one that had few, where that one came soon after another.
const PAUSE_FEW: Duration = Duration::from_millis(5);
/// Two records so near to each other are a stream.
const SOON: Duration = Duration::from_millis(15);

/// What waits to be written about one run. `K` names a tile.
#[derive(Debug)]
pub(crate) struct Outbox<K> {
    waiting: VecDeque<Part<K>>,
    bytes: usize,
    in_flight: u32,
    not_before: Boot,
    /// When the last record was taken out.
    last: Option<Boot>,
}

/// One tile's outcomes, or a piece of them: all that goes into one record.
#[derive(Debug)]
pub(crate) struct Part<K> {
    pub(crate) tile: K,
    pub(crate) entries: Vec<Entry>,
}

/// Whether a record is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// There is nothing, or an answer is awaited first.
    No,
    Now,
    At(Boot),
}

impl<K> Default for Outbox<K> {
    fn default() -> Self {
        Outbox {
            waiting: VecDeque::new(),
            bytes: 0,
            in_flight: 0,
            not_before: Boot(Duration::ZERO),
            last: None,
        }
    }
}

impl<K: Copy> Outbox<K> {
    /// Takes in the outcomes of a tile. Returns over how many parts they were spread: so many
    /// confirmations are to be awaited.
    pub(crate) fn add(&mut self, tile: K, entries: Vec<Entry>) -> u32 {
        let cost: usize = entries.iter().map(super::cost).sum();
        if cost <= OUTCOMES_BYTES {
            self.push(tile, entries, cost);
            return 1;
        }
        let mut parts = 0;
        let mut part = Vec::new();
        let mut part_cost = 0;
        for entry in entries {
            let entry_cost = super::cost(&entry);
            if part_cost + entry_cost > OUTCOMES_BYTES && !part.is_empty() {
                self.push(tile, std::mem::take(&mut part), part_cost);
                parts += 1;
                part_cost = 0;
            }
            part_cost += entry_cost;
            part.push(entry);
        }
        self.push(tile, part, part_cost);
        parts + 1
    }

    fn push(&mut self, tile: K, entries: Vec<Entry>, cost: usize) {
        self.bytes += cost;
        self.waiting.push_back(Part { tile, entries });
    }

    /// Whether a record is to be written at `now`.
    pub(crate) fn due(&self, now: Boot) -> Due {
        let full = self.waiting.len() >= TILES_FULL || self.bytes >= OUTCOMES_BYTES;
        if self.waiting.is_empty() || self.in_flight >= IN_FLIGHT_MAX || self.in_flight > 0 && !full
        {
            Due::No
        } else if full || now >= self.not_before {
            Due::Now
        } else {
            Due::At(self.not_before)
        }
    }

    /// Takes out what goes into the next record, which is then on its way.
    pub(crate) fn take(&mut self, now: Boot) -> Vec<Part<K>> {
        let mut taken = Vec::with_capacity(self.waiting.len().min(TILES_FULL));
        let mut bytes = 0;
        while taken.len() < TILES_FULL
            && let Some(next) = self.waiting.front()
        {
            let cost: usize = next.entries.iter().map(super::cost).sum();
            if bytes + cost > OUTCOMES_BYTES && !taken.is_empty() {
                break;
            }
            bytes += cost;
            taken.extend(self.waiting.pop_front());
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        self.in_flight += 1;
        let last = self.last.replace(now);
        if taken.len() >= TILES_MANY {
            self.not_before = now + PAUSE;
        } else if last.is_some_and(|last| now.since(last) < SOON) {
            self.not_before = now + PAUSE_FEW;
        }
        taken
    }

    /// A record that was on its way is not any more: confirmed or given up.
    pub(crate) fn landed(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Whether nothing waits and nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight == 0
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::id::Fence;
    use gridloom_shared::ledger::outcomes::Status;
    use gridloom_shared::tile::{TileKind, TileRef};

    use super::*;

    fn entry(result: usize) -> Entry {
        Entry {
            tile: TileRef { wave: 0, index: 0 },
            kind: TileKind::Page,
            fence: Fence(1),
            slice: 0,
            first: 0,
            pages: 1,
            status: Status::Done,
            columns: Vec::new(),
            results: vec![vec![0; result]],
        }
    }

    fn at(ms: u64) -> Boot {
        Boot(Duration::from_millis(ms))
    }

    #[test]
    fn single_outcome_goes_out_at_once() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.due(at(1)), Due::No);
        outbox.add(1, vec![entry(0)]);
        assert_eq!(outbox.due(at(1)), Due::Now);
        assert_eq!(outbox.take(at(1)).len(), 1);
        outbox.add(2, vec![entry(0)]);
        assert_eq!(outbox.due(at(1)), Due::No);
        outbox.landed();
        assert_eq!(outbox.due(at(1)), Due::Now);
        outbox.take(at(1));
        outbox.landed();
        assert!(outbox.is_idle());
    }

    #[test]
    fn third_record_of_a_stream_gathers_for_a_while_whatever_its_answer() {
        let mut outbox = Outbox::default();
        let mut taken = |ms, tile| {
            outbox.add(tile, vec![entry(0)]);
            let due = outbox.due(at(ms));
            if due == Due::Now {
                outbox.take(at(ms));
                outbox.landed();
            }
            due
        };
        assert_eq!([taken(10, 1), taken(11, 2)], [Due::Now; 2]);
        assert_eq!(taken(12, 3), Due::At(at(16)));
        assert_eq!(taken(16, 4), Due::Now);
        assert_eq!(taken(17, 5), Due::At(at(21)));
        // Over, and so is the next one's wait.
        assert_eq!([taken(40, 6), taken(60, 7)], [Due::Now; 2]);
    }

    #[test]
    fn many_outcomes_gather_between_records() {
        let mut outbox = Outbox::default();
        (0..20).for_each(|n| {
            outbox.add(n, vec![entry(0)]);
        });
        assert_eq!(outbox.take(at(10)).len(), 20);
        outbox.landed();
        outbox.add(20, vec![entry(0)]);
        assert_eq!(outbox.due(at(11)), Due::At(at(12)));
        assert_eq!(outbox.due(at(12)), Due::Now);
    }

    #[test]
    fn full_records_do_not_wait_for_an_answer_but_only_four_are_on_their_way() {
        let mut outbox = Outbox::default();
        (0..3_000).for_each(|n| {
            outbox.add(n, vec![entry(0)]);
        });
        for _ in 0..4 {
            assert_eq!(outbox.due(at(0)), Due::Now);
            assert_eq!(outbox.take(at(0)).len(), 500);
        }
        assert_eq!(outbox.due(at(0)), Due::No);
        outbox.landed();
        assert_eq!(outbox.due(at(0)), Due::Now);
    }

    #[test]
    fn tile_with_more_than_a_record_holds_is_spread_over_several() {
        let mut outbox = Outbox::default();
        let parts = outbox.add(1, (0..700).map(|_| entry(1_000)).collect());
        assert_eq!(parts as usize, 700_000_usize.div_ceil(OUTCOMES_BYTES));
        let taken: usize = (0..parts)
            .map(|_| {
                outbox
                    .take(at(0))
                    .iter()
                    .map(|part| part.entries.len())
                    .sum::<usize>()
            })
            .sum();
        assert_eq!(taken, 700);
        assert_eq!(outbox.due(at(0)), Due::No);
        (0..parts).for_each(|_| outbox.landed());
        assert!(outbox.is_idle());
    }
}
