//! A writer without a broker: what it wants written, and what answers mean.

use std::collections::BTreeSet;

use gridloom_shared::broker::api::Fault;
use gridloom_shared::tile::TileRef;

use super::*;
use crate::engine::tiles::{Phase, TileKey, tests::taken};
use crate::outcomes::tally::Tally;
use crate::shard::Report;

const NOW: Boot = Boot(Duration::from_secs(1));
const MOST: usize = 1 << 20;

fn subjects() -> Subjects {
    Subjects::new(gridloom_shared::id::Namespace::new("n").unwrap())
}

fn stage() -> (LedgerWriter, Tiles, TileKey) {
    let mut tiles = Tiles::new(Boot(Duration::ZERO));
    let key = taken(&mut tiles, 0);
    let mut writer = LedgerWriter::new(Session(1), WorkerHealth::starting([]));
    open(&mut writer, key.opened, "a_s_1");
    (writer, tiles, key)
}

fn open(writer: &mut LedgerWriter, opened: u64, run: &str) {
    let queue = QueueName::new("default").unwrap();
    writer.open(opened, &RunId::new(run).unwrap(), &queue, &subjects());
}

/// Writes one record of the run, which stands at once. Its number.
fn said(writer: &mut LedgerWriter, tiles: &mut Tiles, opened: u64) -> u64 {
    let place = TileRef { wave: 0, index: 0 };
    let receipts = Vec::new();
    writer.give_back(opened, Return { place, receipts });
    let batch = writer.write(tiles, NOW, MOST).batches.pop().unwrap();
    let number = batch.signed.number;
    assert_eq!(batch.run, opened);
    writer.appended(answered(batch, Ok(9)), true);
    number
}

fn done(tiles: &Tiles, key: TileKey) -> (Holding, Vec<Entry>) {
    let held = tiles.get(key).unwrap();
    let mut tally = Tally::new(held.tile(), held.fence());
    tally.done(held.tile().first, &Report::default());
    (held.holding(), tally.into_entries())
}

fn answered(batch: Batch, result: Result<u64, AppendError>) -> Appended {
    Appended {
        batch,
        result,
        took: Duration::ZERO,
    }
}

fn full() -> AppendError {
    AppendError::Full {
        subject: "s".to_owned(),
        fault: Fault {
            code: 503,
            err_code: 10023,
            description: "no room".to_owned(),
        },
    }
}

#[test]
fn what_is_confirmed_is_said_once_and_leaves_nothing_behind() {
    let (mut writer, mut tiles, key) = stage();
    let (holding, entries) = done(&tiles, key);
    assert_eq!(writer.outcomes(holding, entries), 1);
    let mut written = writer.write(&mut tiles, NOW, MOST);
    let batch = written.batches.pop().unwrap();
    assert!(written.batches.is_empty() && writer.reports(key.opened));
    assert!(writer.write(&mut tiles, NOW, MOST).batches.is_empty());
    let answer = writer.appended(answered(batch, Ok(9)), true);
    let Fate::Confirmed(Content::Outcomes(parts), at) = answer else {
        panic!("not confirmed");
    };
    assert_eq!((parts[0].tile, at.sequence), (holding, 9));
    assert!(writer.is_idle(key.opened));
}

#[test]
fn nothing_is_written_past_the_end_of_the_lease_not_even_a_second_time() {
    let (mut writer, mut tiles, key) = stage();
    let late = Boot(Duration::from_secs(60));
    let (holding, entries) = done(&tiles, key);
    writer.outcomes(holding, entries.clone());
    assert!(writer.write(&mut tiles, late, MOST).batches.is_empty());
    assert!(writer.is_idle(key.opened));
    writer.outcomes(holding, entries);
    let batch = writer.write(&mut tiles, NOW, MOST).batches.remove(0);
    let Fate::Again(batch, _) = writer.appended(answered(batch, Err(full())), true) else {
        panic!("not tried again");
    };
    assert!(writer.again(batch, &tiles, late).is_none());
    assert!(writer.is_idle(key.opened));
}

#[test]
fn full_ledger_is_told_until_it_takes_a_record_again() {
    let (mut writer, mut tiles, key) = stage();
    let (holding, entries) = done(&tiles, key);
    writer.outcomes(holding, entries);
    let batch = writer.write(&mut tiles, NOW, MOST).batches.remove(0);
    let Fate::Again(batch, _) = writer.appended(answered(batch, Err(full())), true) else {
        panic!("not tried again");
    };
    assert!(writer.is_full());
    writer.appended(answered(batch, Ok(9)), true);
    assert!(!writer.is_full());
}

#[test]
fn probe_whose_answer_no_message_holds_fails_for_good() {
    let (mut writer, mut tiles, key) = stage();
    let holding = tiles.enter(key, Phase::Reporting).unwrap().holding();
    writer.answer(holding, ProbedPages::default());
    let batch = writer.write(&mut tiles, NOW, 1).batches.remove(0);
    assert!(matches!(batch.content, Content::Outcomes(_)));
    let held = tiles.get_mut(key).unwrap();
    assert!(!held.is_settled());
    held.confirmed();
    assert!(held.is_settled(), "one record and no more");
}

#[test]
fn each_of_two_runs_in_turn_has_numbers_that_follow_each_other() {
    let (_, mut tiles, _) = stage();
    let mut writer = LedgerWriter::new(Session(1), WorkerHealth::starting([]));
    let runs = [(50, "a_s_1"), (60, "b_s_1")];
    for (opened, run) in runs {
        open(&mut writer, opened, run);
    }
    let first = runs.map(|(opened, _)| said(&mut writer, &mut tiles, opened));
    for turn in 1..1_000 {
        for ((opened, _), first) in runs.into_iter().zip(first) {
            assert_eq!(said(&mut writer, &mut tiles, opened), first + turn);
        }
    }
}

#[test]
fn run_that_was_forgotten_goes_on_above_its_old_numbers() {
    let (_, mut tiles, _) = stage();
    let mut writer = LedgerWriter::new(Session(1), WorkerHealth::starting([]));
    let mut seen = BTreeSet::new();
    for time in 0..20 {
        for (opened, run) in [(50, "a_s_1"), (60, "b_s_1")] {
            open(&mut writer, opened, run);
            for _ in 0..=time {
                let number = said(&mut writer, &mut tiles, opened);
                assert!(seen.insert((opened, number)), "{number} of {opened} again");
            }
            writer.close(opened);
        }
    }
}

#[test]
fn two_lives_of_a_run_have_no_number_in_common() {
    let (_, mut tiles, _) = stage();
    let mut writer = LedgerWriter::new(Session(1), WorkerHealth::starting([]));
    open(&mut writer, 1_000, "a_s_1");
    open(&mut writer, 2_000, "a_s_1");
    let mut seen = BTreeSet::new();
    for opened in [1_000, 2_000].repeat(100) {
        assert!(seen.insert(said(&mut writer, &mut tiles, opened)));
    }
}

#[test]
fn answer_that_no_message_holds_takes_no_number() {
    let (mut writer, mut tiles, key) = stage();
    let before = said(&mut writer, &mut tiles, key.opened);
    let holding = tiles.enter(key, Phase::Reporting).unwrap().holding();
    writer.answer(holding, ProbedPages::default());
    let batch = writer.write(&mut tiles, NOW, 1).batches.remove(0);
    assert_eq!(batch.signed.number, before + 1);
}
