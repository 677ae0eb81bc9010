//! Records of few bytes that name ever so much.

use super::*;

/// Entries of as many pages as one may name, each beginning a page further and under any tile's name.
fn staggered(status: &Status, entries: u32) -> Vec<Entry> {
    let of = |n: u32| Entry {
        columns: Vec::new(),
        ..entry((0, n % 97), 2, 0, n, 1_000, status.clone())
    };
    (0..entries).map(of).collect()
}

// Gone through page by page, or searched for among all open tiles each time, they do not end within minutes.
#[test]
fn entries_that_overlap_cost_what_they_say_and_not_the_pages_that_they_name() {
    let grid = [
        opened(PagesSpec::Count { count: 100_000 }),
        wave(0, vec![tiles(0, 0, 100, 1_000, 1)]),
    ];
    for status in [Status::Done, failure(Retry::Never)] {
        // As many as a block holds that is looked at.
        let entries = staggered(&status, 50_000);
        let bombs = entries.chunks(2_000).zip(1..);
        let bombs: Vec<_> = bombs.map(|(part, n)| outcome(1, n, part)).collect();
        let fold = folded(&[&grid[..], &bombs].concat());
        assert!(fold.counts().done + fold.counts().dead > 9_000);
    }
}
