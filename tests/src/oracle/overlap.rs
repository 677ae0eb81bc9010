//! Finds two executions of one shard at the same time, from the logs of the handlers: a wrong
//! refill, a wrong NAK or register does not show in what is committed.
//!
//! Allowed only where the earlier one's lease had been lost (a takeover of its tile stands in the
//! ledger) and it ended within one ack deadline of that, not counting time in which its process was
//! stopped.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::ledger::fold::Cell;

use super::Breach;
use super::ledger::Ledger;
use super::trace::Trace;
use crate::logged::now_us;

/// Time beyond the deadline that a busy machine gets.
const SLACK: Duration = Duration::from_millis(1_000);

/// One execution of one shard by one process.
#[derive(Clone, Debug)]
pub struct Execution {
    /// The process.
    pub pid: u32,
    /// The shard.
    pub cell: Cell,
    /// Its attempt.
    pub attempt: u32,
    /// Under which it ran.
    pub fence: u64,
    /// Begin, microseconds on the boot clock.
    pub start: u64,
    /// End, likewise; of one without an end: the death of its process, or now.
    pub end: u64,
    /// How it ended.
    pub how: String,
}

/// What a test did to processes, as it matters here.
#[derive(Clone, Debug, Default)]
pub struct Lives {
    /// When processes were certainly gone.
    pub died: HashMap<u32, u64>,
    /// When processes stood still: from and until.
    pub frozen: HashMap<u32, Vec<(u64, u64)>>,
}

impl Lives {
    /// How much of a span a process stood still.
    fn still(&self, pid: u32, from: u64, until: u64) -> u64 {
        let spans = self.frozen.get(&pid).into_iter().flatten();
        spans
            .map(|(begun, ended)| until.min(*ended).saturating_sub(from.max(*begun)))
            .sum()
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Executions at the same time that nothing explains.
    pub breaches: Vec<Breach>,
    /// Those that a lost lease explains, each with its cause.
    pub explained: Vec<String>,
}

/// Judges the executions of one run. Shards of `excused` tiles were published twice by the test.
pub fn judge(
    ledger: &Ledger,
    executions: &[Execution],
    lives: &Lives,
    ack_deadline: Duration,
    excused: &HashSet<Cell>,
) -> Found {
    let trace = Trace::of(ledger);
    // The boot clock at the wall clock's zero: both are of this machine.
    let zero = (UnixMs::now().0 * 1_000).saturating_sub(now_us());
    let at: HashMap<u64, u64> = ledger
        .entries
        .iter()
        .map(|entry| (entry.seq, (entry.at.0 * 1_000).saturating_sub(zero)))
        .collect();
    let mut cells: BTreeMap<Cell, Vec<&Execution>> = BTreeMap::new();
    for execution in executions {
        cells.entry(execution.cell).or_default().push(execution);
    }
    let mut found = Found::default();
    for (cell, mut of_cell) in cells {
        of_cell.sort_by_key(|execution| (execution.fence, execution.start));
        for (n, older) in of_cell.iter().enumerate() {
            for newer in &of_cell[n + 1..] {
                if older.start >= newer.end || newer.start >= older.end || excused.contains(&cell) {
                    continue;
                }
                match explain(&trace, &at, lives, ack_deadline, older, newer) {
                    Ok(cause) => found.explained.push(format!("{cell:?}: {cause}")),
                    Err(why) => found.breaches.push(Breach::of_cell(
                        cell,
                        format!("executed twice at once, {why}: {older:?} and {newer:?}"),
                    )),
                }
            }
        }
    }
    found
}

fn explain(
    trace: &Trace,
    at: &HashMap<u64, u64>,
    lives: &Lives,
    ack_deadline: Duration,
    older: &Execution,
    newer: &Execution,
) -> Result<String, String> {
    if older.fence == newer.fence {
        return Err("under the same fence".to_owned());
    }
    let issued = trace.cell(older.cell).map(|cell| cell.issued.as_slice());
    let tile = issued
        .into_iter()
        .flatten()
        .find(|(attempt, _)| *attempt == older.attempt)
        .and_then(|(_, place)| trace.tiles().get(place));
    let lost = tile
        .into_iter()
        .flat_map(|tile| &tile.takeovers)
        .find(|(fence, _)| fence.0 > older.fence);
    let Some((fence, by)) = lost else {
        return Err("the earlier one's lease was never lost".to_owned());
    };
    let lost_at = at.get(&fence.0).copied().unwrap_or(0);
    let still = lives.still(older.pid, lost_at, older.end);
    let outlasted = older.end.saturating_sub(lost_at).saturating_sub(still);
    let outlasted = Duration::from_micros(outlasted);
    if outlasted > ack_deadline + SLACK {
        return Err(format!(
            "the earlier one went on for {outlasted:?} after the takeover {}",
            fence.0
        ));
    }
    Ok(format!(
        "fence {} of process {} ({}) beside fence {} of process {}: takeover {} by {by}, ended {outlasted:?} later, stood still for {:?} of it",
        older.fence,
        older.pid,
        older.how,
        newer.fence,
        newer.pid,
        fence.0,
        Duration::from_micros(still)
    ))
}

#[cfg(test)]
mod tests {
    use gridloom_shared::tile::TileKind;

    use super::*;
    use crate::oracle::made_up::{ANN, BOB, FIRST, done, ledger, taken, wave};

    const ACK_DEADLINE: Duration = Duration::from_secs(2);
    const CELL: Cell = Cell {
        kind: TileKind::Page,
        slice: 0,
        page: 0,
    };

    fn ms(ms: u64) -> u64 {
        ms * 1_000
    }

    /// An execution by process `pid` from one millisecond after `begun` to another.
    fn execution(pid: u32, fence: u64, begun: u64, from: u64, until: u64) -> Execution {
        Execution {
            pid,
            cell: CELL,
            attempt: 1,
            fence,
            start: begun + ms(from),
            end: begun + ms(until),
            how: "done".to_owned(),
        }
    }

    /// Judges two executions of a shard: one by process 1 under the wave, one by process 2. Times count
    /// in milliseconds from a minute ago; Bob's takeover stands at 1,000, if there is one.
    fn found(
        takeover: bool,
        first: (u64, u64),
        second: (u64, u64, u64),
        frozen: Option<(u64, u64)>,
    ) -> Found {
        let begun = now_us() - ms(60_000);
        let wall = UnixMs::now().0 - 60_000;
        let mut records = vec![(UnixMs(wall), wave(0, 0, 2, 1))];
        if takeover {
            records.push((UnixMs(wall + 1_000), taken((BOB, 1), FIRST)));
        }
        records.push((UnixMs(wall + 5_000), done((ANN, 1), FIRST, 2)));
        let frozen = frozen.map(|(from, until)| (1, vec![(begun + ms(from), begun + ms(until))]));
        let lives = Lives {
            frozen: frozen.into_iter().collect(),
            ..Lives::default()
        };
        let (fence, from, until) = second;
        let executions = [
            execution(1, 2, begun, first.0, first.1),
            execution(2, fence, begun, from, until),
        ];
        judge(
            &ledger(records),
            &executions,
            &lives,
            ACK_DEADLINE,
            &HashSet::new(),
        )
    }

    /// A breach that says `what`, and nothing explained.
    fn is_breach(found: &Found, what: &str) {
        let [breach] = found.breaches.as_slice() else {
            panic!("{found:?}")
        };
        assert!(breach.what.contains(what), "{breach}");
        assert_eq!((breach.cell, found.explained.len()), (Some(CELL), 0));
    }

    #[test]
    fn overlap_without_a_takeover_is_found() {
        is_breach(
            &found(false, (0, 1_500), (3, 1_100, 1_400), None),
            "never lost",
        );
    }

    #[test]
    fn overlap_under_one_fence_is_found() {
        is_breach(
            &found(true, (0, 1_500), (2, 1_100, 1_400), None),
            "same fence",
        );
    }

    #[test]
    fn earlier_one_that_goes_on_after_the_takeover_for_too_long_is_found() {
        is_breach(
            &found(true, (0, 4_500), (3, 1_100, 4_400), None),
            "went on for",
        );
    }

    #[test]
    fn earlier_one_that_ends_soon_after_the_takeover_is_explained() {
        let found = found(true, (0, 1_500), (3, 1_100, 1_400), None);
        assert_eq!(
            (found.breaches.len(), found.explained.len()),
            (0, 1),
            "{found:?}"
        );
    }

    #[test]
    fn time_in_which_the_earlier_one_was_stopped_does_not_count() {
        let found = found(true, (0, 6_000), (3, 1_100, 4_400), Some((500, 5_500)));
        assert_eq!(
            (found.breaches.len(), found.explained.len()),
            (0, 1),
            "{found:?}"
        );
    }

    #[test]
    fn one_after_the_other_is_no_overlap() {
        let found = found(false, (0, 1_000), (3, 1_000, 1_400), None);
        assert_eq!(
            (found.breaches.len(), found.explained.len()),
            (0, 0),
            "{found:?}"
        );
    }

    #[test]
    fn only_what_lies_inside_counts_as_standing_still() {
        let lives = Lives {
            frozen: HashMap::from([(7, vec![(10, 20), (30, 50)])]),
            ..Lives::default()
        };
        assert_eq!(lives.still(7, 15, 40), 15);
        assert_eq!(lives.still(8, 15, 40), 0);
        assert_eq!(lives.still(7, 20, 30), 0);
    }
}
