//! Says in words what happened to the shards of a breach: every record and every message that
//! concerns them, in order.

use std::collections::BTreeSet;

use gridloom_shared::ledger::outcomes;
use gridloom_shared::ledger::record::{PlanRecord, Record, WorkRecord};
use gridloom_shared::tile::TileRef;

use super::Breach;
use super::ledger::{Entry, Ledger};
use super::trace::Trace;
use crate::observer::Stored;

/// Lines about the shard or the tile that `breach` is about.
pub fn of(breach: &Breach, ledger: &Ledger, trace: &Trace, stored: &[Stored]) -> Vec<String> {
    let mut tiles: BTreeSet<TileRef> = breach.tile.into_iter().collect();
    let cell = breach.cell;
    if let Some(trace) = cell.and_then(|cell| trace.cell(cell)) {
        tiles.extend(trace.issued.iter().map(|(_, place)| *place));
    }
    let mut lines = Vec::new();
    for entry in &ledger.entries {
        for words in about(entry, &tiles, breach) {
            lines.push(format!(
                "ledger {} at {}: {words}",
                entry.seq,
                entry.at.rfc3339()
            ));
        }
    }
    for Stored { seq, term, tile } in stored
        .iter()
        .filter(|stored| tiles.contains(&stored.tile.place()))
    {
        let mark = if tile.again { ", a refill" } else { "" };
        lines.push(format!(
            "queue {seq}: tile {}/{} stored in term {term}{mark}",
            tile.wave, tile.index
        ));
    }
    lines
}

/// What a planner's record says of these tiles, if anything.
fn about_plan(plan: &PlanRecord, tiles: &BTreeSet<TileRef>) -> Option<String> {
    Some(match plan {
        PlanRecord::Wave(wave) if tiles.iter().any(|place| place.wave == wave.n) => format!(
            "wave {} of term {}, had read up to {}",
            wave.n, wave.term.0, wave.folded
        ),
        PlanRecord::Wave(_) => return None,
        PlanRecord::Opened(opened) => format!("opened in term {}", opened.term.0),
        PlanRecord::Closed(closed) => format!("closed: {:?}", closed.state),
        PlanRecord::Cancelled(cancelled) => format!("cancelled: {:?}", cancelled.aborted),
        PlanRecord::Reopened(reopened) => format!("reopened: {:?}", reopened.which),
        PlanRecord::Retired(_) | PlanRecord::Forgotten(_) => "retired".to_owned(),
        PlanRecord::Dropped(dropped) => format!("dropped: {:?}", dropped.which),
    })
}

fn about(entry: &Entry, tiles: &BTreeSet<TileRef>, breach: &Breach) -> Vec<String> {
    let named = |list: &[TileRef]| -> Vec<String> {
        list.iter()
            .filter(|place| tiles.contains(place))
            .map(|place| format!("{}/{}", place.wave, place.index))
            .collect()
    };
    match &entry.record {
        Some(Record::Plan(plan)) => about_plan(plan, tiles).into_iter().collect(),
        Some(Record::Takeover(takeover)) => {
            let session = takeover.session;
            let line = |place| format!("takeover of {place} by {session} ({:?})", takeover.reason);
            named(&takeover.tiles).into_iter().map(line).collect()
        }
        Some(Record::Work(WorkRecord::Returned {
            session,
            tiles: list,
            ..
        })) => named(list)
            .into_iter()
            .map(|place| format!("{place} returned by {session}"))
            .collect(),
        Some(Record::Work(WorkRecord::Started {
            session,
            tile,
            page,
            fence,
            ..
        })) if tiles.contains(tile) => {
            vec![format!(
                "page {page} started by {session}, fence {}",
                fence.0
            )]
        }
        Some(Record::Work(WorkRecord::Probed(probed))) if tiles.contains(&probed.tile) => {
            vec![format!(
                "probed by {}, fence {}: {} pages",
                probed.session,
                probed.fence.0,
                probed.pages.len()
            )]
        }
        Some(Record::Work(WorkRecord::Outcomes {
            session,
            number,
            block,
        })) => {
            let entries = outcomes::decode(block).unwrap_or_default();
            let concerns = |one: &&outcomes::Entry| {
                breach.cell.map_or(tiles.contains(&one.tile), |cell| {
                    one.kind == cell.kind
                        && one.slice == cell.slice
                        && (one.first..one.first + one.pages).contains(&cell.page)
                })
            };
            let line = |one: &outcomes::Entry| {
                format!(
                    "record {number} of {session}: tile {}/{} fence {} pages {}+{} {:?}",
                    one.tile.wave, one.tile.index, one.fence.0, one.first, one.pages, one.status
                )
            };
            entries.iter().filter(concerns).map(line).collect()
        }
        Some(Record::Work(_)) | None => Vec::new(),
    }
}
