//! Which dead shards an order is for.

use super::*;

#[test]
fn shards_that_were_given_up_stay_dead_and_are_reopened_only_by_name() {
    let mut records = whole_grid();
    let dead = [entry((0, 0), 2, 0, 0, 2, failure(Retry::Never))];
    let first = Which::These(vec![page_cell(0, 0), page_cell(1, 5)]);
    records.extend([outcome(1, 0, &dead), dropped(1, first.clone())]);
    let fold = folded(&records);
    assert_eq!(fold.counts().dead, 2);
    let kept = fold.dead().filter(|dead| !dead.dropped);
    assert_eq!(
        kept.map(|dead| dead.cell).collect::<Vec<_>>(),
        [page_cell(0, 1)]
    );
    assert_eq!((fold.dead_kept(), fold.given_up()), (1, 1));
    assert_eq!(fold.count_of(&Chosen::default()), 1);
    let of = |page, given_up| {
        let chosen = Chosen {
            slice: Some(0),
            page,
            given_up,
            ..Chosen::default()
        };
        let cells: Vec<Cell> = fold.dead_of(&chosen).map(|dead| dead.cell).collect();
        assert_eq!(fold.count_of(&chosen), cells.len() as u64);
        cells
    };
    assert_eq!(of(Some(0), true), [page_cell(0, 0)]);
    assert_eq!(of(Some(0), false), []);
    assert_eq!(of(None, true), [page_cell(0, 0), page_cell(0, 1)]);
    assert_eq!(of(Some(2), true), []);
    let like = |text: &str| {
        let chosen = Chosen {
            error_like: Some(text.to_owned()),
            ..Chosen::default()
        };
        fold.count_of(&chosen)
    };
    let error = fold.dead().next().map(|dead| dead.error.to_uppercase());
    assert_eq!(like(&error.unwrap_or_default()), 1);
    assert_eq!(like("something else"), 0);
    records.push(reopened(2, first));
    let fold = folded(&records);
    assert_eq!((fold.counts().dead, fold.retrying()), (1, 1));
    assert_eq!(
        fold.due(UnixMs(u64::MAX)).next().map(|due| due.cell),
        Some(page_cell(0, 0))
    );
}

#[test]
fn order_is_remembered_with_how_many_dead_shards_it_concerned() {
    let mut records = whole_grid();
    let dead = [entry((0, 0), 2, 0, 0, 2, failure(Retry::Never))];
    let one = Which::These(vec![page_cell(0, 0), page_cell(1, 5)]);
    records.extend([outcome(1, 0, &dead), dropped(1, one.clone())]);
    records.extend([dropped(2, Which::All), dropped(3, Which::All)]);
    // One that was given up is tried again by name; nothing else is left to try.
    records.extend([reopened(4, one), reopened(5, Which::All)]);
    let fold = folded(&records);
    let concerned = [1, 2, 3, 4, 5, 6].map(|order| fold.concerned_by(order));
    assert_eq!(
        concerned,
        [Some(1), Some(1), Some(0), Some(1), Some(0), None]
    );
    // Said again under its number, it is answered as the first time.
    records.push(reopened(4, Which::All));
    assert_eq!(folded(&records).concerned_by(4), Some(1));
}
