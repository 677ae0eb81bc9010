use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::{Namespace, Session, Term};
use gridloom_shared::tile::TileRef;

use super::*;
use crate::Trial;
use crate::handlers::noop::Noop;

const OPENED: u64 = 7;

fn none() -> Runs {
    let namespace = Namespace::new("gridloom").unwrap();
    Runs::new(Telling::default(), Callbacks::new(&namespace, Session(1)))
}

fn key(index: u32) -> TileKey {
    let place = TileRef { wave: 0, index };
    TileKey {
        opened: OPENED,
        place,
    }
}

fn record(nonce: u64) -> Option<Box<Opened>> {
    let job = Trial::new("a", "b").shard().spec().clone();
    Some(Box::new(Opened {
        nonce: Nonce(nonce),
        job,
        scheduled_at: UnixMs(1),
        content: 1,
        term: Term(1),
        first: Vec::new(),
        traceparent: None,
        reports: 1,
    }))
}

fn handlers() -> Handlers {
    let noop: SharedHandler = Arc::new(Noop);
    HashMap::from([(HandlerName::new("b").unwrap(), noop)])
}

fn runs() -> Runs {
    let mut runs = none();
    let lane = Lane::of(Trial::new("a", "b").shard().spec());
    assert!(!runs.touch(OPENED, &RunId::new("a_s_1").unwrap(), &lane));
    runs
}

fn came(runs: &mut Runs, index: u32, nonce: u64, carried: Option<Box<Opened>>) -> Next {
    runs.came(key(index), Nonce(nonce), || carried, &handlers())
}

#[test]
fn record_is_read_once_for_all_tiles_that_wait_for_it() {
    let mut runs = runs();
    assert_eq!(came(&mut runs, 0, 1, None), Next::Read);
    assert_eq!(came(&mut runs, 1, 1, record(1)), Next::Wait);
    let learned = runs.learn(OPENED, record(1), &handlers());
    assert_eq!(learned, (vec![key(0), key(1)], true));
    assert_eq!(came(&mut runs, 2, 1, None), Next::Admit);
    assert_eq!(came(&mut runs, 3, 1, None), Next::Admit);
}

#[test]
fn what_the_ledger_says_is_read_again_once_where_a_tile_says_something_else() {
    let mut runs = runs();
    came(&mut runs, 0, 1, None);
    runs.learn(OPENED, record(1), &handlers());
    assert_eq!(came(&mut runs, 1, 2, record(2)), Next::Read);
    let learned = runs.learn(OPENED, record(1), &handlers());
    assert_eq!(learned, (vec![key(1)], true));
    assert_eq!(came(&mut runs, 2, 2, record(2)), Next::Admit);
    // The ledger may have lost it with the connection.
    runs.doubt();
    assert_eq!(came(&mut runs, 3, 2, None), Next::Read);
    let learned = runs.learn(OPENED, record(2), &handlers());
    assert_eq!(learned, (vec![key(3)], true));
    assert_eq!(runs.get(OPENED).unwrap().job().unwrap().0.nonce, Nonce(2));
}

#[test]
fn run_whose_place_in_the_ledger_is_another_ones_by_now_is_forgotten() {
    let mut runs = runs();
    let lane = Lane::of(Trial::new("a", "b").shard().spec());
    let other = RunId::new("a_s_2").unwrap();
    came(&mut runs, 0, 1, None);
    assert_eq!(
        runs.stranger(OPENED, &other, &lane),
        Some(Stranger::Unknown)
    );
    runs.learn(OPENED, record(1), &handlers());
    assert_eq!(runs.stranger(OPENED, &other, &lane), Some(Stranger::Read));
    assert_eq!(
        runs.stranger(OPENED, &other, &lane),
        Some(Stranger::Unknown)
    );
    runs.learn(OPENED, record(1), &handlers());
    assert_eq!(runs.stranger(OPENED, &other, &lane), Some(Stranger::Known));
    runs.doubt();
    assert_eq!(runs.stranger(OPENED, &other, &lane), Some(Stranger::Read));
    runs.learn(OPENED, None, &handlers());
    // A tile of it was under way meanwhile: what ends is looked for again.
    assert!(!runs.forget(OPENED));
    runs.went(OPENED);
    assert_eq!(runs.stranger(OPENED, &other, &lane), Some(Stranger::Read));
    runs.learn(OPENED, None, &handlers());
    assert!(runs.forget(OPENED));
    assert_eq!(runs.stranger(OPENED, &other, &lane), None);
}

#[test]
fn record_that_a_tile_carries_is_enough_for_its_like_and_is_read_for_others() {
    let mut runs = runs();
    assert_eq!(came(&mut runs, 0, 1, record(1)), Next::Admit);
    assert_eq!(came(&mut runs, 1, 2, None), Next::Read);
    // Those that are on their way go on meanwhile.
    assert!(runs.get(OPENED).unwrap().job().is_some());
    assert_eq!(came(&mut runs, 2, 1, None), Next::Admit);
    let learned = runs.learn(OPENED, record(2), &handlers());
    assert_eq!(learned, (vec![key(1)], true));
}

#[test]
fn run_of_another_handler_is_none_of_the_lane() {
    let mut runs = runs();
    came(&mut runs, 0, 1, None);
    let mut other = record(1);
    if let Some(opened) = &mut other {
        opened.job.handler = HandlerName::new("c").unwrap();
    }
    assert!(!runs.learn(OPENED, other, &handlers()).1);
    assert!(runs.get(OPENED).unwrap().job().is_none());
}

#[test]
fn record_of_another_nonce_that_a_tile_carries_is_not_believed() {
    assert_eq!(came(&mut runs(), 0, 1, record(2)), Next::Read);
}

#[test]
fn run_is_forgotten_when_no_tile_is_left_and_nothing_is_awaited() {
    let mut runs = runs();
    came(&mut runs, 0, 1, None);
    runs.went(OPENED);
    assert!(!runs.forget(OPENED) && !runs.are_idle());
    let (waiting, known) = runs.learn(OPENED, None, &handlers());
    assert_eq!((waiting.len(), known), (1, false));
    assert!(runs.forget(OPENED) && runs.get(OPENED).is_none());
}

/// Touches a run, as a tile of it that comes does, and forgets those that are too many.
fn touch(runs: &mut Runs, opened: u64) {
    let lane = Lane {
        queue: QueueName::new("default").unwrap(),
        handler: HandlerName::new("b").unwrap(),
    };
    let id = RunId::new(format!("a_s_{opened}")).unwrap();
    runs.touch(opened, &id, &lane);
    for surplus in runs.surplus(|_| true) {
        assert!(runs.forget(surplus));
    }
}

#[test]
fn run_whose_tile_is_just_coming_is_never_forgotten_however_many_are_busy() {
    let mut runs = none();
    for opened in 1..=3 * IDLE_RUNS_MAX as u64 {
        touch(&mut runs, opened);
        runs.get_mut(opened).expect("it is known").held += 1;
    }
}

#[test]
fn runs_longest_unused_are_forgotten_and_busy_ones_are_not() {
    let mut runs = none();
    let many = 10 * IDLE_RUNS_MAX as u64;
    touch(&mut runs, 1);
    runs.get_mut(1).unwrap().held += 1;
    (2..=many).for_each(|opened| touch(&mut runs, opened));
    assert!(runs.runs.len() <= IDLE_RUNS_MAX + 1, "{}", runs.runs.len());
    assert!(runs.get(1).is_some() && runs.get(2).is_none());
    assert!(runs.get(many).is_some() && runs.get(many - 100).is_some());
}
