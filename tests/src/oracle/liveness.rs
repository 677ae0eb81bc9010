//! Decides whether shards came to their end soon enough after the last fault.

use std::collections::HashMap;
use std::time::Duration;

use gridloom_shared::clock::UnixMs;

use super::Breach;
use super::ledger::Ledger;
use super::trace::Trace;
use crate::pulse::Lost;

/// Shards that were issued before `healed` and were neither committed nor dead `within` that time
/// after it, not counting what the machine `lost` meanwhile.
pub fn judge(ledger: &Ledger, healed: UnixMs, within: Duration, lost: &Lost) -> Vec<Breach> {
    let trace = Trace::of(ledger);
    let at = times(ledger);
    let when = |seq: u64| at.get(&seq).copied().unwrap_or_default();
    let mut breaches = Vec::new();
    for (cell, shard) in trace.cells() {
        let first = shard
            .issued
            .first()
            .and_then(|(_, place)| trace.tiles().get(place));
        if first.is_none_or(|tile| when(tile.fence.0) > healed) {
            continue;
        }
        if let Some((seq, ..)) = shard.done.first()
            && when(*seq) > healed + within + lost.allowance(healed, when(*seq))
        {
            let late = when(*seq).0 - healed.0;
            let what = format!("committed only {late} ms after the last fault");
            breaches.push(Breach::of_cell(*cell, what));
        }
    }
    breaches
}

/// When the first success of each shard of a run was stored.
pub fn commits(ledger: &Ledger) -> Vec<UnixMs> {
    let at = times(ledger);
    let trace = Trace::of(ledger);
    let first = trace
        .cells()
        .values()
        .filter_map(|shard| shard.done.first());
    first.filter_map(|(seq, ..)| at.get(seq).copied()).collect()
}

fn times(ledger: &Ledger) -> HashMap<u64, UnixMs> {
    let entries = ledger.entries.iter();
    entries.map(|entry| (entry.seq, entry.at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::made_up::{ANN, FIRST, done, ledger, wave};

    const HEALED: UnixMs = UnixMs(5_000);
    const WITHIN: Duration = Duration::from_millis(2_000);

    /// Breaches of two shards that were issued and committed at these times.
    fn breaches(issued: u64, committed: u64) -> usize {
        let records = [
            (UnixMs(issued), wave(0, 0, 2, 1)),
            (UnixMs(committed), done((ANN, 1), FIRST, 2)),
        ];
        judge(&ledger(records), HEALED, WITHIN, &Lost::default()).len()
    }

    #[test]
    fn shards_that_are_committed_too_late_after_the_last_fault_are_found() {
        assert_eq!(breaches(4_000, 7_001), 2);
        assert_eq!(breaches(4_000, 7_000), 0);
        assert_eq!(breaches(4_000, 4_500), 0);
    }

    #[test]
    fn what_was_issued_after_the_last_fault_has_its_time() {
        assert_eq!(breaches(5_001, 9_000), 0);
    }

    #[test]
    fn only_the_first_success_of_each_shard_is_a_commit() {
        let records = [
            (UnixMs(10), wave(0, 0, 2, 1)),
            (UnixMs(20), done((ANN, 1), FIRST, 2)),
            (UnixMs(30), done((ANN, 2), FIRST, 2)),
        ];
        assert_eq!(commits(&ledger(records)), [UnixMs(20), UnixMs(20)]);
    }
}
