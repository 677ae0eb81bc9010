//! Which shards of a run are held longest, and by whom: what hangs is found among them.
//!
//! The ledger says what is open and since when; who holds it, the workers say.

use std::collections::BTreeMap;

use serde::Serialize;

use super::workers;
use crate::broker::Broker;
use crate::id::Session;
use crate::ledger::fold::{Fold, OpenTile};
use crate::ledger::record::Author;
use crate::presence::Presence;
use crate::tile::{Cell, TileKind, TileRef};

/// So many are told of.
pub const TOLD_MAX: usize = 3;

/// A shard that a worker holds, as `show RUN --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldShard {
    /// Whether it is a page or a question of a probe.
    pub kind: TileKind,
    /// Row of the grid.
    pub slice: u32,
    /// Page, or number of the question; of a tile of several pages the first without an outcome.
    pub page: u32,
    /// The shard as `show RUN --shard` takes it.
    pub shard: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// When it was issued, or taken over last, RFC 3339; `None` where the ledger does not answer.
    pub since: Option<String>,
    /// Whether that was a takeover.
    pub taken_over: bool,
    /// Who holds it.
    pub worker: String,
    /// The worker's life.
    pub session: String,
}

/// The shards of an open run that the workers `here` hold longest, the longest first. Nobody who does not answer is
/// waited for.
pub async fn longest(broker: &Broker, fold: &Fold, here: &[Presence]) -> Vec<HeldShard> {
    let Some(opening) = fold.opening().filter(|_| !fold.open_tiles().is_empty()) else {
        return Vec::new();
    };
    let queue = &opening.record.job.queue;
    let of_queue: Vec<Presence> = here
        .iter()
        .filter(|worker| worker.queues.contains(queue))
        .cloned()
        .collect();
    let held = workers::held(broker, &of_queue, fold.run()).await;
    let mut longest = Vec::new();
    for (_, tile, session) in oldest(fold, &held) {
        let (author, taken_over) = match tile.is_taken_over() {
            true => (Author::Takeover, true),
            false => (Author::Plan, false),
        };
        let subject = broker.subjects().ledger_of(queue, fold.run(), author);
        let (ledger, fence) = (broker.subjects().ledger(), tile.fence.0);
        let record = broker.read(&ledger, subject, fence, Some(fence)).await;
        let record = record.ok().and_then(|records| records.into_iter().next());
        let cell = cell(tile);
        let worker = of_queue.iter().find(|worker| worker.session == session);
        longest.push(HeldShard {
            kind: cell.kind,
            slice: cell.slice,
            page: cell.page,
            shard: cell.to_string(),
            attempt: tile.attempt,
            since: record.map(|record| record.at.rfc3339()),
            taken_over,
            worker: worker.map_or_else(|| session.to_string(), |it| it.worker.to_string()),
            session: session.to_string(),
        });
    }
    longest
}

/// Of the open tiles that somebody holds those with the lowest fences.
fn oldest<'f>(
    fold: &'f Fold,
    held: &[(Session, Vec<TileRef>)],
) -> Vec<(TileRef, &'f OpenTile, Session)> {
    let by: BTreeMap<TileRef, Session> = held
        .iter()
        .flat_map(|(session, places)| places.iter().map(|place| (*place, *session)))
        .collect();
    let open = by.into_iter().filter_map(|(place, session)| {
        let tile = fold.open_tiles().get(&place)?;
        Some((place, tile, session))
    });
    let mut open: Vec<_> = open.collect();
    open.sort_by_key(|(place, tile, _)| (tile.fence, *place));
    open.truncate(TOLD_MAX);
    open
}

/// The first of the tile's shards that lack an outcome.
fn cell(tile: &OpenTile) -> Cell {
    let first = tile.left.iter().next().map_or(0, |pages| pages.start);
    Cell {
        kind: tile.kind,
        slice: tile.slice,
        page: first as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::Story;
    use super::*;
    use crate::ledger::outcomes::Status;
    use crate::ledger::record::Reason;

    #[test]
    fn longest_held_are_those_of_the_oldest_waves_and_takeovers_that_somebody_has() {
        let mut story = Story::of(1, 9);
        let first = story.wave(&[(0, 0, 4, 1)]);
        story.wave(&[(0, 4, 4, 1)]);
        story.outcome(7, (0, 0), first, 0, Status::Done);
        // Page 1 is begun anew by another.
        story.takeover(8, (0, 1), Reason::Count);
        let fold = story.fold();
        let at = |wave, index| TileRef { wave, index };
        // Of page 0 its holder has not heard yet that it is on record; page 3 waits on the queue.
        let held = [
            (Session(7), vec![at(0, 0), at(0, 2), at(1, 1)]),
            (Session(8), vec![at(0, 1), at(1, 0)]),
        ];
        let told: Vec<(String, u64)> = oldest(&fold, &held)
            .into_iter()
            .map(|(_, tile, session)| (cell(tile).to_string(), session.0))
            .collect();
        let wanted = [("0/2", 7), ("0/4", 8), ("0/5", 7)];
        assert_eq!(told, wanted.map(|(cell, who)| (cell.to_owned(), who)));
        let rest = oldest(&fold, &[(Session(8), vec![at(0, 1)])]);
        assert!(rest[0].1.is_taken_over() && cell(rest[0].1).page == 1);
    }
}
