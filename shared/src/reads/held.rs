//! Which shards of a run are held longest, and by whom: what hangs is found among them.
//!
//! The ledger says what is open and when it was issued; who holds it and for how long, the workers say.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::workers::{self, Held};
use crate::broker::Broker;
use crate::clock::UnixMs;
use crate::id::{RunId, Session};
use crate::ledger::fold::{Fold, OpenTile};
use crate::ledger::record::Author;
use crate::presence::Presence;
use crate::tile::{Cell, TileKind, TileRef};

/// So many are told of.
pub const TOLD_MAX: usize = 3;

/// A shard that a worker holds, as `show RUN --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// Since when its worker holds it, RFC 3339, by this machine's clock; `None` where the worker does not say.
    pub since: Option<String>,
    /// When it was issued, or taken over last, RFC 3339; `None` where the ledger does not answer.
    pub issued_at: Option<String>,
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
    for Open { tile, session, age } in oldest(fold, &held) {
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
            since: age.map(|age| before(UnixMs::now(), age).rfc3339()),
            issued_at: record.map(|record| record.at.rfc3339()),
            taken_over,
            worker: worker.map_or_else(|| session.to_string(), |it| it.worker.to_string()),
            session: session.to_string(),
        });
    }
    longest
}

/// How many tiles of `run` each of the workers `here` holds, as they say. Nobody who does not answer is waited for.
pub async fn counts(broker: &Broker, run: &RunId, here: &[Presence]) -> BTreeMap<Session, usize> {
    let held = workers::held(broker, here, run).await.into_iter();
    let holders = held.filter(|held| !held.places.is_empty());
    holders
        .map(|held| (held.session, held.places.len()))
        .collect()
}

/// An open tile that somebody holds.
struct Open<'f> {
    tile: &'f OpenTile,
    session: Session,
    age: Option<Duration>,
}

/// Of the open tiles that somebody holds those that are held longest; where that is not said, those with the lowest
/// fences.
fn oldest<'f>(fold: &'f Fold, held: &[Held]) -> Vec<Open<'f>> {
    let by: BTreeMap<TileRef, (Session, Option<Duration>)> = held
        .iter()
        .flat_map(|held| {
            let of = |place: &TileRef| (held.session, held.ages.get(place).copied());
            held.places.iter().map(move |place| (*place, of(place)))
        })
        .collect();
    let open = by.into_iter().filter_map(|(place, (session, age))| {
        let tile = fold.open_tiles().get(&place)?;
        Some((place, Open { tile, session, age }))
    });
    let mut open: Vec<_> = open.collect();
    open.sort_by_key(|(place, open)| (Reverse(open.age), open.tile.fence, *place));
    open.truncate(TOLD_MAX);
    open.into_iter().map(|(_, open)| open).collect()
}

fn before(now: UnixMs, age: Duration) -> UnixMs {
    let ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    UnixMs(now.0.saturating_sub(ms))
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
    fn longest_held_are_those_of_the_greatest_age_and_then_of_the_oldest_waves_and_takeovers() {
        let mut story = Story::of(1, 9);
        let first = story.wave(&[(0, 0, 4, 1)]);
        story.wave(&[(0, 4, 4, 1)]);
        story.outcome(7, (0, 0), first, 0, Status::Done);
        // Page 1 is begun anew by another.
        story.takeover(8, (0, 1), Reason::Count);
        let fold = story.fold();
        let at = |wave, index| TileRef { wave, index };
        // Of page 0 its holder has not heard yet that it is on record; page 3 waits on the queue.
        let holding = |session, places: &[TileRef], ages: &[(TileRef, u64)]| Held {
            session: Session(session),
            places: places.to_vec(),
            ages: ages
                .iter()
                .map(|(place, seconds)| (*place, Duration::from_secs(*seconds)))
                .collect(),
        };
        let told = |held: &[Held]| -> Vec<(String, u64)> {
            let oldest = oldest(&fold, held).into_iter();
            let told = oldest.map(|open| (cell(open.tile).to_string(), open.session.0));
            told.collect()
        };
        let held = [
            holding(7, &[at(0, 0), at(0, 2), at(1, 1)], &[]),
            holding(8, &[at(0, 1), at(1, 0)], &[]),
        ];
        let wanted = [("0/2", 7), ("0/4", 8), ("0/5", 7)];
        assert_eq!(
            told(&held),
            wanted.map(|(cell, who)| (cell.to_owned(), who))
        );
        // What was issued first may be held for the shortest time.
        let aged = [
            holding(7, &[at(0, 2), at(1, 1)], &[(at(0, 2), 1), (at(1, 1), 9)]),
            holding(8, &[at(0, 1), at(1, 0)], &[(at(1, 0), 20)]),
        ];
        let wanted = [("0/4", 8), ("0/5", 7), ("0/2", 7)];
        assert_eq!(
            told(&aged),
            wanted.map(|(cell, who)| (cell.to_owned(), who))
        );
        let rest = oldest(&fold, &[holding(8, &[at(0, 1)], &[])]);
        assert!(rest[0].tile.is_taken_over() && cell(rest[0].tile).page == 1);
    }

    #[test]
    fn age_is_counted_back_from_now() {
        assert_eq!(before(UnixMs(9_000), Duration::from_secs(4)), UnixMs(5_000));
        assert_eq!(before(UnixMs(9_000), Duration::MAX), UnixMs(0));
    }
}
