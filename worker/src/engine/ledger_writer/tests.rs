//! A writer without a broker: what it wants written, and what answers mean.

use gridloom_shared::broker::api::Fault;

use super::*;
use crate::engine::tiles::{Phase, TileKey, tests::taken};
use crate::outcomes::tally::Tally;
use crate::shard::Report;

const NOW: Boot = Boot(Duration::from_secs(1));
const MOST: usize = 1 << 20;

fn stage() -> (LedgerWriter, Tiles, TileKey) {
    let mut tiles = Tiles::new(Boot(Duration::ZERO));
    let key = taken(&mut tiles, 0);
    let mut writer = LedgerWriter::new(Session(1), WorkerHealth::starting([]));
    let run = RunId::new("a_s_1").unwrap();
    let queue = QueueName::new("default").unwrap();
    let subjects = Subjects::new(gridloom_shared::id::Namespace::new("n").unwrap());
    writer.open(key.opened, &run, &queue, &subjects);
    (writer, tiles, key)
}

fn done(tiles: &Tiles, key: TileKey) -> (Holding, Vec<Entry>) {
    let held = tiles.get(key).unwrap();
    let mut tally = Tally::new(&held.tile, held.fence());
    tally.done(held.tile.first, &Report::default());
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
    let Answer::Confirmed(Content::Outcomes(parts), at) = answer else {
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
    let Answer::Again(batch, _) = writer.appended(answered(batch, Err(full())), true) else {
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
    let Answer::Again(batch, _) = writer.appended(answered(batch, Err(full())), true) else {
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
    assert_eq!(tiles.get(key).unwrap().parts, 1);
}
