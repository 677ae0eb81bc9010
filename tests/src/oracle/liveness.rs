//! Decides whether shards came to their end soon enough after the last fault.

use std::collections::HashMap;
use std::time::Duration;

use gridloom_shared::clock::UnixMs;

use super::Breach;
use super::ledger::Ledger;
use super::trace::Trace;

/// Shards that were issued before `healed` and were neither committed nor dead `within` that time
/// after it.
pub fn judge(ledger: &Ledger, healed: UnixMs, within: Duration) -> Vec<Breach> {
    let trace = Trace::of(ledger);
    let at: HashMap<u64, UnixMs> = ledger
        .entries
        .iter()
        .map(|entry| (entry.seq, entry.at))
        .collect();
    let when = |seq: u64| at.get(&seq).copied().unwrap_or_default();
    let due = healed + within;
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
            && when(*seq) > due
        {
            let late = when(*seq).0 - healed.0;
            let what = format!("committed only {late} ms after the last fault");
            breaches.push(Breach::of_cell(*cell, what));
        }
    }
    breaches
}

/// Shards of a run whose first success was stored between two moments.
pub fn committed_between(ledger: &Ledger, from: UnixMs, until: UnixMs) -> u64 {
    let trace = Trace::of(ledger);
    let inside: std::collections::HashSet<u64> = ledger
        .entries
        .iter()
        .filter(|entry| (from..until).contains(&entry.at))
        .map(|entry| entry.seq)
        .collect();
    let committed = trace.cells().values().filter(|shard| {
        shard
            .done
            .first()
            .is_some_and(|(seq, ..)| inside.contains(seq))
    });
    committed.count() as u64
}
