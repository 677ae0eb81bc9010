//! Which pages a query's rows mean.

use gridloom_shared::ledger::record::PROBE_PAGES_MAX;
use gridloom_shared::tile::{Bounds, KEY_MAX, Key};

use super::database::Database;
use super::link::{Cell, Returned, Rows};
use super::order::{Bound, KeyKind};
use super::patience::Patience;
use super::transaction::Transaction;
use super::trouble::Trouble;
use crate::failure::Failure;
use crate::handler::{ProbedPages, SharedKey, disjoint};
use crate::shard::{Probe, Shard};

/// Asks the database for the pages of the shard's slice.
pub(super) async fn pages(
    database: &Database,
    probe: &Probe,
    query: &Bound,
    kind: KeyKind,
) -> Result<ProbedPages, Failure> {
    let _slot = database.slot().await;
    let mut patience = Patience::new(database, probe);
    loop {
        match ask(database, probe, query).await {
            Ok(answer) => {
                patience.succeeded();
                return read(&answer, kind, query.goes_on, probe);
            }
            Err(trouble) => patience.after(trouble).await?,
        }
    }
}

async fn ask(database: &Database, shard: &Shard, query: &Bound) -> Result<Returned, Trouble> {
    let mut open = Transaction::look(database, shard.lease_remaining(), query.traces).await?;
    let answer = match open.run(query, Rows::Only(PROBE_PAGES_MAX)).await {
        Ok(answer) => answer,
        Err(error) => {
            let trouble = Trouble::of(&error, "run the probe");
            return Err(open.fail(trouble).await);
        }
    };
    let ended = open.end().await;
    ended.map_err(|error| Trouble::of(&error, "end the probe"))?;
    Ok(answer)
}

/// As many pages as one record has room for; the rest is for the next probe, if the query can go on.
fn read(
    answer: &Returned,
    kind: KeyKind,
    goes_on: bool,
    probe: &Probe,
) -> Result<ProbedPages, Failure> {
    let pages = bounds(answer, kind)?;
    disjoint(&pages).map_err(|shared| believe(&shared))?;
    if let (Some(after), Some(first)) = (probe.after(), pages.first()) {
        check_goes_on(after, first)?;
    }
    let mut fitting = ProbedPages::fitting(pages, probe);
    if answer.more && fitting.cursor.is_none() {
        fitting.cursor = fitting.pages.last().map(|Bounds(_, last)| last.clone());
    }
    if fitting.cursor.is_some() && !goes_on {
        return Err(Failure::permanent(format!(
            "read the probe's answer: a slice has more pages than the {} that one answer has room for: let the \
             query go on where it stopped (AND (:after IS NULL OR id > :after)), or make slices or pages \
             larger in number or size",
            fitting.pages.len()
        )));
    }
    Ok(fitting)
}

fn bounds(answer: &Returned, kind: KeyKind) -> Result<Vec<Bounds>, Failure> {
    let mut pages: Vec<Bounds> = Vec::with_capacity(answer.rows.len());
    for (place, row) in answer.rows.iter().enumerate() {
        let [from, to] = row.as_slice() else {
            let columns = match row.len() {
                1 => "one column".to_owned(),
                many => format!("{many} columns"),
            };
            return Err(fault(place, format!("has {columns}, not two")));
        };
        if (from, to) == (&Cell::Null, &Cell::Null) {
            // The first and the last key of nothing.
            if answer.rows.len() == 1 && !answer.more {
                continue;
            }
            return Err(fault(
                place,
                "has NULL for keys beside rows that have some: rows without a key are in no page. Leave them \
                 out on purpose (WHERE id IS NOT NULL), or take a key that every row has",
            ));
        }
        pages.push(Bounds(key(from, kind, place)?, key(to, kind, place)?));
    }
    Ok(pages)
}

/// Pages behind the cursor must not begin with it: the query would find the same pages for ever.
fn check_goes_on(after: &Key, first: &Bounds) -> Result<(), Failure> {
    let behind = match (after, first) {
        (Key::Int(after), Bounds(Key::Int(from), _)) => from > after,
        // How texts are ordered only the database knows.
        (Key::Text(after), Bounds(Key::Text(from), Key::Text(to))) => from != after && to != after,
        (_, _) => true,
    };
    if behind {
        return Ok(());
    }
    Err(Failure::permanent(
        "read the probe's answer: it begins at or before :after, the last key that is known already: compare \
         with `>` (AND (:after IS NULL OR id > :after))",
    ))
}

fn key(cell: &Cell, kind: KeyKind, place: usize) -> Result<Key, Failure> {
    match (cell, kind) {
        (Cell::Int(number), KeyKind::Integer) => Ok(Key::Int(*number)),
        (Cell::Text(text), KeyKind::Text) if text.len() <= KEY_MAX => Ok(Key::Text(text.clone())),
        (Cell::Text(text), KeyKind::Text) => {
            let message = format!("has a key of {} bytes, more than {KEY_MAX}", text.len());
            Err(fault(place, message))
        }
        (Cell::Other(of), KeyKind::Integer) => Err(fault(
            place,
            format!(
                "has a key of type {of}, which is no integer of 64 bits: cast it to one or to text, in the statement \
                 too, and say key = \"text\" for a text"
            ),
        )),
        (_, KeyKind::Integer) => Err(fault(
            place,
            "has a key that is no integer of 64 bits: cast it, or say key = \"text\"",
        )),
        (Cell::Other(of), KeyKind::Text) => Err(fault(
            place,
            format!(
                "has a key of type {of}, which is not compared as a plain text is: cast it to text wherever it \
                 stands, in ORDER BY and in the statement too"
            ),
        )),
        (_, KeyKind::Text) => Err(fault(
            place,
            "has a key that is no text: cast it, or say key = \"integer\"",
        )),
    }
}

fn believe(shared: &SharedKey) -> Failure {
    Failure::permanent(format!(
        "read the probe's answer (one row a page: its first and its last key): it has {shared}"
    ))
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
    use crate::Trial;

    fn answer(rows: &[[Cell; 2]], more: bool) -> Returned {
        Returned {
            rows: rows.iter().map(|row| row.to_vec()).collect(),
            more,
            ..Returned::default()
        }
    }

    fn ints(from: i64, to: i64) -> [Cell; 2] {
        [Cell::Int(from), Cell::Int(to)]
    }

    fn texts(from: &str, to: &str) -> [Cell; 2] {
        [Cell::Text(from.to_owned()), Cell::Text(to.to_owned())]
    }

    const NULLS: [Cell; 2] = [Cell::Null, Cell::Null];

    fn trial() -> Trial {
        Trial::new("sum", "sql")
    }

    fn read_all(rows: &[[Cell; 2]], kind: KeyKind) -> Result<ProbedPages, Failure> {
        read(&answer(rows, false), kind, false, &trial().probe())
    }

    #[test]
    fn each_row_is_a_page_and_an_empty_slice_has_none() {
        let pages = read_all(&[ints(1, 9), ints(10, 10)], KeyKind::Integer);
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
        let empty = read_all(&[NULLS], KeyKind::Text);
        assert_eq!(empty, Ok(ProbedPages::default()));
    }

    #[test]
    fn more_pages_are_asked_for_only_if_the_query_can_go_on() {
        let many = answer(&[ints(1, 9)], true);
        let probe = trial().probe();
        let pages = read(&many, KeyKind::Integer, true, &probe).unwrap();
        assert_eq!(pages.cursor, Some(Key::Int(9)));
        let failure = read(&many, KeyKind::Integer, false, &probe).unwrap_err();
        assert!(failure.is_permanent());
    }

    #[test]
    fn more_bytes_than_fit_are_left_to_the_next_probe() {
        let rows: Vec<[Cell; 2]> = (0..PROBE_PAGES_MAX)
            .map(|n| {
                let key = Cell::Text(format!("{n:0140}"));
                [key.clone(), key]
            })
            .collect();
        let probe = trial().room(100_000).probe();
        let first = read(&answer(&rows, false), KeyKind::Text, true, &probe).unwrap();
        assert_eq!(first.pages.len(), 100_000 / (1 + 2 * 145));
        let last = first.pages.len() - 1;
        assert_eq!(first.cursor, Some(Key::Text(format!("{last:0140}"))));
        let failure = read(&answer(&rows, false), KeyKind::Text, false, &probe).unwrap_err();
        assert!(failure.text().contains(":after"), "{failure}");
    }

    #[test]
    fn rows_that_are_no_pages_fail_for_good() {
        let other = || Cell::Other("DATE".to_owned());
        let long = "a".repeat(KEY_MAX + 1);
        let (integer, text) = (KeyKind::Integer, KeyKind::Text);
        for (kind, rows) in [
            (integer, vec![ints(1, 9), ints(9, 12)]),
            (integer, vec![ints(5, 4)]),
            (integer, vec![[Cell::Int(1), Cell::Null]]),
            (integer, vec![texts("a", "a")]),
            (integer, vec![[other(), other()]]),
            (text, vec![[other(), other()]]),
            (integer, vec![NULLS, ints(1, 9)]),
            (integer, vec![ints(1, 9), NULLS]),
            (text, vec![NULLS, NULLS]),
            (text, vec![texts("a", "b"), texts("b", "c")]),
            (text, vec![texts("a", "c"), NULLS]),
            (text, vec![texts(&long, &long)]),
        ] {
            let failure = read_all(&rows, kind).unwrap_err();
            assert!(failure.is_permanent(), "{rows:?}");
        }
    }

    #[test]
    fn query_that_does_not_go_on_behind_its_cursor_fails_for_good() {
        let after = |key: Key, kind, row| {
            let probe = trial().after(key).probe();
            read(&answer(&[row], false), kind, true, &probe)
        };
        let (integer, text) = (KeyKind::Integer, KeyKind::Text);
        assert!(after(Key::Int(9), integer, ints(10, 12)).is_ok());
        assert!(after(Key::Int(9), integer, ints(9, 12)).is_err());
        assert!(after(Key::Int(9), integer, ints(1, 12)).is_err());
        assert!(after(Key::Text("b".into()), text, texts("C", "d")).is_ok());
        assert!(after(Key::Text("b".into()), text, texts("b", "d")).is_err());
        assert!(after(Key::Text("b".into()), text, texts("a", "b")).is_err());
    }
}
