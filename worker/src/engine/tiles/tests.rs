use std::time::Duration;

use gridloom_shared::broker::Subject;
use gridloom_shared::clock::UnixMs;

use super::*;
use crate::Trial;
use crate::shard::Hold;

const DEADLINE: Duration = Duration::from_secs(30);

fn at(seconds: u64) -> Boot {
    Boot(Duration::from_secs(seconds))
}

pub(in crate::engine) fn taken(tiles: &mut Tiles, page: u32) -> TileKey {
    let tile = Tile {
        index: page,
        ..(*Trial::new("a", "b").tile_context().tile).clone()
    };
    let lease = Lease::new(tile.fence, at(0), DEADLINE);
    let receipt = Receipt {
        reply: Subject::from("reply"),
        epoch: 1,
        stream_seq: 1,
        delivered: 1,
        stored_at: UnixMs(0),
    };
    tiles.take(Arc::new(tile), 0, receipt, lease, None, at(0))
}

fn counted(tiles: &Tiles) -> [u32; 4] {
    [
        tiles.occupied(),
        tiles.running(),
        tiles.unacked(),
        tiles.paused(),
    ]
}

#[test]
fn tile_takes_a_slot_until_its_handler_has_ended_and_is_unacked_until_it_goes() {
    let mut tiles = Tiles::new(Boot(Duration::ZERO));
    let key = taken(&mut tiles, 0);
    assert_eq!(counted(&tiles), [1, 0, 0, 0]);
    let held = tiles.enter(key, Phase::Running).unwrap().holding();
    assert_eq!(counted(&tiles), [1, 1, 0, 0]);
    assert_eq!(tiles.ended(held), Ended::Held);
    tiles.enter(key, Phase::Reporting);
    assert_eq!(counted(&tiles), [0, 0, 1, 0]);
    tiles.release(key);
    assert_eq!(counted(&tiles), [0; 4]);
}

#[test]
fn lost_tile_keeps_its_slot_while_its_handler_runs_even_if_it_comes_back() {
    let mut tiles = Tiles::new(Boot(Duration::ZERO));
    let key = taken(&mut tiles, 0);
    let first = tiles.enter(key, Phase::Running).unwrap().holding();
    tiles.release(key);
    assert_eq!(counted(&tiles), [1, 1, 0, 0]);
    taken(&mut tiles, 0);
    assert!(tiles.is_haunted(key) && tiles.has_any_of(key.opened));
    assert_eq!(counted(&tiles), [2, 1, 0, 0]);
    assert_eq!(tiles.ended(first), Ended::Zombie);
    assert_eq!(tiles.ended(first), Ended::Nobody);
    assert_eq!(counted(&tiles), [1, 0, 0, 0]);
}

#[test]
fn time_ends_leases_and_pauses_and_asks_for_renewals() {
    let mut tiles = Tiles::new(Boot(Duration::ZERO));
    let (paused, running) = (taken(&mut tiles, 0), taken(&mut tiles, 1));
    tiles.enter(paused, Phase::Paused(at(5)));
    tiles.enter(running, Phase::Running);
    assert_eq!(counted(&tiles), [1, 1, 0, 1]);
    assert_eq!(tiles.tick(at(4)).back, []);
    assert_eq!(tiles.tick(at(5)).back, [paused]);
    let due = tiles.tick(at(10));
    assert_eq!((due.renew, due.lost.len()), (vec![running], 0));
    assert_eq!(tiles.tick(at(27)).lost.len(), 2);
}

#[test]
fn tile_beyond_the_slots_goes_back_when_no_slot_frees_or_it_waited_for_long() {
    let ms = |ms| Boot(Duration::from_millis(ms));
    let mut tiles = Tiles::new(ms(0));
    let (waits, other) = (taken(&mut tiles, 0), taken(&mut tiles, 1));
    tiles.enter(waits, Phase::Blocked);
    tiles.enter(other, Phase::Blocked);
    tiles.note_surplus(waits, ms(10));
    tiles.note_surplus(waits, ms(60));
    assert_eq!(tiles.tick(ms(100)).back, []);
    assert_eq!(tiles.tick(ms(110)).back, [waits]);
    tiles.note_start(ms(110));
    assert_eq!(tiles.tick(ms(200)).back, []);
    tiles.note_start(ms(1_000));
    assert_eq!(tiles.tick(ms(1_009)).back, []);
    assert_eq!(tiles.tick(ms(1_010)).back, [waits]);
}

#[test]
fn handler_that_ignores_a_lost_lease_costs_a_slot_and_its_tile_waits_for_it_no_longer() {
    let mut tiles = Tiles::new(at(1));
    let key = taken(&mut tiles, 0);
    let first = tiles.enter(key, Phase::Running).unwrap().holding();
    tiles.release(key);
    tiles.tick(at(1));
    assert_eq!(tiles.lost_slots(), 0);
    taken(&mut tiles, 0);
    tiles.enter(key, Phase::Blocked);
    let due = tiles.tick(at(2));
    assert_eq!((due.haunted, tiles.lost_slots()), (vec![key], 1));
    tiles.ended(first);
    assert_eq!(tiles.tick(at(3)).haunted, []);
    assert_eq!(tiles.lost_slots(), 0);
}

#[test]
fn handler_that_began_after_a_rest_and_whose_tile_was_lost_at_once_is_not_late_yet() {
    let mut tiles = Tiles::new(at(1));
    let key = taken(&mut tiles, 0);
    tiles.note_start(at(9));
    tiles.enter(key, Phase::Running);
    tiles.release(key);
    tiles.tick(at(9) + Duration::from_millis(50));
    assert_eq!(tiles.lost_slots(), 0);
    tiles.tick(at(10));
    assert_eq!(tiles.lost_slots(), 1);
}

#[test]
fn tile_that_is_left_behind_takes_a_slot_until_its_handler_ends_and_haunts_nobody() {
    let mut tiles = Tiles::new(at(1));
    let key = taken(&mut tiles, 0);
    let first = tiles.enter(key, Phase::Running).unwrap().holding();
    tiles.leave_behind(key);
    tiles.release(key);
    assert_eq!((tiles.lost_slots(), counted(&tiles)), (1, [1, 1, 0, 0]));
    assert!(!tiles.is_haunted(key) && tiles.executing() == 0);
    assert_eq!(tiles.ended(first), Ended::Nobody);
    assert_eq!((tiles.lost_slots(), counted(&tiles)), (0, [0; 4]));
}

#[test]
fn attempt_is_out_of_time_only_when_the_crew_had_the_chance_to_end_it() {
    let limit = Duration::from_secs(1);
    let mut tiles = Tiles::new(at(1));
    let key = taken(&mut tiles, 0);
    let hold = Arc::new(Hold::new(at(99), at(1)));
    hold.begin();
    hold.lend(Lent {
        page: 7,
        since: at(1),
        limit,
        grace: Duration::ZERO,
        entries: Vec::new(),
    });
    tiles.enter(key, Phase::Running).unwrap().hold = Some(hold);
    // The whole process was frozen until now.
    assert!(tiles.tick(at(10)).overdue.is_empty());
    let soon = |ms| at(10) + Duration::from_millis(ms);
    assert!(tiles.tick(soon(200)).overdue.is_empty());
    tiles.tick(soon(400));
    let overdue = tiles.tick(soon(600)).overdue;
    assert_eq!(overdue.first().map(|(_, lent)| lent.page), Some(7));
    assert!(tiles.tick(soon(800)).overdue.is_empty());
}
