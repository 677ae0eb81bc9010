//! Decides which rules the queue keeps or breaks: nothing is stored that no wave decided, nothing
//! twice without the mark, and nothing leaves before its outcomes are in the ledger.

use std::collections::{BTreeMap, HashSet};

use gridloom_shared::broker::Broker;
use gridloom_shared::id::RunId;
use gridloom_shared::tile::{Tile, TileRef};

use super::Breach;
use super::trace::{TileTrace, Trace};
use crate::observer::Stored;

/// Sequences of the messages that the queue holds of a run, delivered or not.
///
/// # Errors
/// When the broker does not answer.
pub async fn list(broker: &Broker, run: &RunId) -> anyhow::Result<HashSet<u64>> {
    let subjects = broker.subjects();
    let stream = subjects.shards();
    let last = broker.info(&stream).await?.last_seq;
    let records = broker
        .read(&stream, subjects.all_shards(), 1, Some(last))
        .await?;
    let own = |subject: &str| {
        subjects
            .parse_shard(subject)
            .is_some_and(|(_, of)| of == *run)
    };
    Ok(records
        .iter()
        .filter(|record| own(&record.subject))
        .map(|record| record.seq)
        .collect())
}

/// Judges everything that was ever stored. `whole` says that nothing of it went unseen.
pub fn stored(trace: &Trace, stored: &[Stored], whole: bool) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut copies: BTreeMap<TileRef, (u32, u32)> = BTreeMap::new();
    for Stored { seq, term, tile } in stored {
        let copies = copies.entry(tile.place()).or_default();
        if tile.again {
            copies.1 += 1;
        } else {
            copies.0 += 1;
        }
        match trace.tiles().get(&tile.place()) {
            None => breaches.push(Breach::of_tile(
                tile.place(),
                format!("stored at {seq} and never decided"),
            )),
            Some(decided) if !same(decided, tile) => {
                breaches.push(Breach::of_tile(
                    tile.place(),
                    format!("stored at {seq} otherwise than decided: {tile:?}"),
                ));
            }
            Some(decided) if !tile.again && *term != 0 && *term != decided.term => {
                breaches.push(Breach::of_tile(
                    tile.place(),
                    format!(
                        "stored at {seq} in term {term} without a mark, decided in term {}",
                        decided.term
                    ),
                ));
            }
            Some(_) => {}
        }
    }
    for (place, (plain, _)) in &copies {
        if *plain > 1 {
            breaches.push(Breach::of_tile(
                *place,
                format!("stored {plain} times without the mark of a refill"),
            ));
        }
    }
    if whole && !trace.is_cancelled() {
        let first = trace.tiles().iter().filter(|(_, tile)| tile.attempt == 1);
        let missing = first.filter(|(place, _)| !copies.contains_key(place));
        breaches
            .extend(missing.map(|(place, _)| Breach::of_tile(*place, "decided and never stored")));
    }
    breaches
}

/// Judges what left the queue. `stored` was taken before `queued`, and `trace` after both.
pub fn removed(trace: &Trace, stored: &[Stored], queued: &HashSet<u64>) -> Vec<Breach> {
    if trace.is_cancelled() {
        return Vec::new(); // it was purged
    }
    let gone = stored.iter().filter(|stored| !queued.contains(&stored.seq));
    let unfinished = gone.filter(|stored| {
        trace
            .tiles()
            .get(&stored.tile.place())
            .is_some_and(|tile| !trace.is_finished(tile))
    });
    unfinished
        .map(|stored| {
            Breach::of_tile(
                stored.tile.place(),
                "left the queue before its outcomes were in the ledger",
            )
        })
        .collect()
}

fn same(decided: &TileTrace, tile: &Tile) -> bool {
    (decided.kind, decided.slice, decided.first) == (tile.kind, tile.slice, tile.first)
        && (decided.pages, decided.attempt, decided.fence) == (tile.pages, tile.attempt, tile.fence)
}
