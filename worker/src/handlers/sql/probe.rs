//! Which pages a query's rows mean.

use gridloom_shared::ledger::record::PROBE_PAGES_MAX;
use gridloom_shared::tile::{Bounds, KEY_MAX, Key};

use super::database::Database;
use super::link::{Answer, Cell, Rows};
use super::order::{Bound, KeyKind};
use super::trouble::{Patience, Trouble};
use crate::failure::Failure;
use crate::handler::ProbedPages;
use crate::shard::Shard;

/// Asks the database for the pages of the shard's slice.
pub(super) async fn pages(
    database: &Database,
    shard: &Shard,
    query: &Bound,
    kind: KeyKind,
) -> Result<ProbedPages, Failure> {
    let _slot = database.slot().await;
    let mut patience = Patience::new();
    loop {
        match ask(database, shard, query).await {
            Ok(answer) => return read(&answer, kind, query.goes_on),
            Err(trouble) => patience.after(trouble, shard).await?,
        }
    }
}

async fn ask(database: &Database, shard: &Shard, query: &Bound) -> Result<Answer, Trouble> {
    let mut link = database.connect(shard.lease_remaining()).await?;
    let rows = Rows::Only(PROBE_PAGES_MAX);
    let answer = link.run(&query.text, &query.values, rows).await;
    answer.map_err(|error| Trouble::of(error, "run the probe"))
}

fn read(answer: &Answer, kind: KeyKind, goes_on: bool) -> Result<ProbedPages, Failure> {
    let mut pages: Vec<Bounds> = Vec::with_capacity(answer.rows.len());
    for (place, row) in answer.rows.iter().enumerate() {
        let [from, to] = row.as_slice() else {
            return Err(fault(place, format!("has {} columns", row.len())));
        };
        // min and max of nothing.
        if (from, to) == (&Cell::Null, &Cell::Null) {
            continue;
        }
        let bounds = Bounds(key(from, kind, place)?, key(to, kind, place)?);
        check_order(pages.last(), &bounds, place)?;
        pages.push(bounds);
    }
    if answer.more && !goes_on {
        return Err(Failure::permanent(format!(
            "read the probe's answer: more than {PROBE_PAGES_MAX} pages in one slice: let the query \
             go on where it stopped (AND (:after IS NULL OR id > :after)), or make slices or pages \
             larger in number or size"
        )));
    }
    let last = pages.last().filter(|_| answer.more);
    let cursor = last.map(|Bounds(_, to)| to.clone());
    Ok(ProbedPages { pages, cursor })
}

fn key(cell: &Cell, kind: KeyKind, place: usize) -> Result<Key, Failure> {
    match (cell, kind) {
        (Cell::Int(number), KeyKind::Integer) => Ok(Key::Int(*number)),
        (Cell::Text(text), KeyKind::Text) if text.len() <= KEY_MAX => Ok(Key::Text(text.clone())),
        (Cell::Text(text), KeyKind::Text) => {
            let message = format!("has a key of {} bytes, more than {KEY_MAX}", text.len());
            Err(fault(place, message))
        }
        (_, KeyKind::Integer) => Err(fault(
            place,
            "has a key that is no integer of 64 bits: cast it, or say key = \"text\"",
        )),
        (_, KeyKind::Text) => Err(fault(
            place,
            "has a key that is no text: cast it, or say key = \"integer\"",
        )),
    }
}

/// Integer keys must rise: pages that overlap would do their common rows twice. How texts are
/// ordered only the database knows.
fn check_order(before: Option<&Bounds>, page: &Bounds, place: usize) -> Result<(), Failure> {
    let Bounds(Key::Int(from), Key::Int(to)) = page else {
        return Ok(());
    };
    let overlaps = matches!(before, Some(Bounds(_, Key::Int(last))) if last >= from);
    if overlaps || from > to {
        let message = "overlaps the row before it or ends before it begins: pages must be disjoint \
                       and in order (ORDER BY 1)";
        return Err(fault(place, message));
    }
    Ok(())
}

fn fault(place: usize, message: impl AsRef<str>) -> Failure {
    Failure::permanent(format!(
        "read the probe's answer (one row a page: its first and its last key): row {} {}",
        place + 1,
        message.as_ref()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rows: &[[Cell; 2]], more: bool) -> Answer {
        Answer {
            rows: rows.iter().map(|row| row.to_vec()).collect(),
            more,
            ..Answer::default()
        }
    }

    fn ints(from: i64, to: i64) -> [Cell; 2] {
        [Cell::Int(from), Cell::Int(to)]
    }

    #[test]
    fn each_row_is_a_page_and_an_empty_slice_has_none() {
        let pages = read(
            &answer(&[ints(1, 9), ints(10, 10)], false),
            KeyKind::Integer,
            false,
        );
        let expected = vec![
            Bounds(Key::Int(1), Key::Int(9)),
            Bounds(Key::Int(10), Key::Int(10)),
        ];
        assert_eq!(
            pages,
            Ok(ProbedPages {
                pages: expected,
                cursor: None
            })
        );
        let empty = read(
            &answer(&[[Cell::Null, Cell::Null]], false),
            KeyKind::Text,
            false,
        );
        assert_eq!(empty, Ok(ProbedPages::default()));
    }

    #[test]
    fn more_pages_are_asked_for_only_if_the_query_can_go_on() {
        let many = answer(&[ints(1, 9)], true);
        let pages = read(&many, KeyKind::Integer, true).unwrap();
        assert_eq!(pages.cursor, Some(Key::Int(9)));
        assert!(
            read(&many, KeyKind::Integer, false)
                .unwrap_err()
                .is_permanent()
        );
    }

    #[test]
    fn rows_that_are_no_pages_fail_for_good() {
        let text = || Cell::Text("a".to_owned());
        for rows in [
            vec![ints(1, 9), ints(9, 12)],
            vec![ints(5, 4)],
            vec![[Cell::Int(1), Cell::Null]],
            vec![[text(), text()]],
            vec![[Cell::Other, Cell::Other]],
        ] {
            let failure = read(&answer(&rows, false), KeyKind::Integer, false).unwrap_err();
            assert!(failure.is_permanent(), "{rows:?}");
        }
        let long = Cell::Text("a".repeat(KEY_MAX + 1));
        let rows = answer(&[[long.clone(), long]], false);
        assert!(
            read(&rows, KeyKind::Text, false)
                .unwrap_err()
                .is_permanent()
        );
    }
}
