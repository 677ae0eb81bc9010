//! What the queue lacks (docs/PROTOCOL.md §6): tiles that the ledger says are open and that no message on
//! the queue carries. They are published again, marked so.
//!
//! The order matters: the queue is listed first, then the ledger is read to its end. A tile that
//! left the queue in between has its outcomes in what is read then. If something is missing, the
//! workers are asked what they hold, and the ledger is read to its end once more: a tile that was held
//! no more when its worker answered has its outcomes in what is read then. A queue that was just made anew need not be
//! listed.

use std::collections::HashSet;

use gridloom_shared::broker::Broker;
use gridloom_shared::broker::api::ApiError;
use gridloom_shared::id::{QueueName, RunId};
use gridloom_shared::ledger::fold::Fold;
use gridloom_shared::tile::{Tile, TileRef};

/// What the queue held of one run, and how far the ledger must be read before that may be judged.
#[derive(Debug)]
pub struct Listing {
    /// The tiles on the queue, delivered or not.
    pub queued: HashSet<TileRef>,
    /// Whether some of them were published by a newer build: which, is not known.
    pub newer: bool,
    /// The ledger's last sequence after the listing.
    pub ledger: u64,
    /// The tiles that workers hold, asked after the listing; `None`: not asked yet.
    pub held: Option<HashSet<TileRef>>,
}

impl Listing {
    /// Of a queue on which nothing is: the workers are to be asked at once, and the ledger is read after they were.
    pub fn of_nothing() -> Listing {
        Listing {
            queued: HashSet::new(),
            newer: false,
            ledger: 0,
            held: None,
        }
    }
}

/// Lists what the queue holds of `run`.
pub async fn list(broker: &Broker, queue: &QueueName, run: &RunId) -> Result<Listing, ApiError> {
    let subjects = broker.subjects();
    let shards = subjects.shards();
    let last = broker.info(&shards).await?.last_seq;
    let records = broker
        .read(&shards, &subjects.shards_of_run(queue, run), 1, Some(last))
        .await;
    let records = records.map_err(|error| error.cause)?;
    let (mut queued, mut newer) = (HashSet::new(), false);
    for record in &records {
        match broker.decode::<Tile>(&record.subject, &record.payload) {
            Ok(tile) => {
                queued.insert(tile.place());
            }
            // A worker tells what cannot be understood.
            Err(error) => newer |= error.is_newer(),
        }
    }
    let ledger = broker.info(&subjects.ledger()).await?.last_seq;
    Ok(Listing {
        queued,
        newer,
        ledger,
        held: None,
    })
}

/// Whether somebody holds a tile of which the queue has no message.
pub fn is_held_apart(fold: &Fold, listing: &Listing) -> bool {
    let held = listing.held.iter().flatten();
    let mut apart = held.filter(|place| !listing.queued.contains(*place));
    apart.any(|place| fold.open_tiles().contains_key(place))
}

/// The tiles to publish again. `fold` must have been read up to the listing's `ledger`.
pub fn missing(fold: &Fold, listing: &Listing) -> Vec<Tile> {
    let Some(opening) = fold.opening() else {
        return Vec::new();
    };
    let open = fold
        .open_tiles()
        .iter()
        .filter(|(place, _)| !listing.queued.contains(place))
        .filter(|(place, _)| !matches!(&listing.held, Some(held) if held.contains(place)));
    let mut tiles: Vec<Tile> = open
        .map(|(place, tile)| tile.again(*place, fold.run(), opening))
        .collect();
    tiles.sort_unstable_by_key(Tile::place);
    tiles
}
