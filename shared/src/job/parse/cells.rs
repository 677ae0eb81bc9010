//! Which cells a grid may have, and how its rows are written.

use serde_json::Value;

use super::fault::Faults;
use super::node::{Fields, Node};
use super::{ROWS_MAX, SHARDS_MAX};
use crate::job::{GridSpec, PAGES_MAX, PagesSpec, SLICES_MAX, TILE_MAX};

const FORMS: &str = "{ count = 100 }, { rows = 1000000, page_size = 1000 } or { probe = true }";
/// The keys of `[grid]`.
pub(super) const KEYS: &[&str] = &["slices", "pages", "tile"];
/// The keys of its `pages`.
pub(super) const PAGE_KEYS: &[&str] = &["count", "rows", "page_size", "probe"];
const LATER_PAGES: &[(&str, &str)] = &[
    (
        "until_empty",
        "leave it out and say `count`, `rows` or `probe`",
    ),
    ("ahead", "leave it out"),
    ("chained", "leave it out and say `count`, `rows` or `probe`"),
];

/// The grid of a job that says nothing of it: one slice with one page.
pub(super) fn whole() -> GridSpec {
    GridSpec {
        slices: 1,
        pages: PagesSpec::Count { count: 1 },
        tile: None,
    }
}

pub(super) fn read(node: &Node<'_>, faults: &mut Faults) -> Option<GridSpec> {
    let fields = node.fields(KEYS, &[], faults)?;
    let slices = fields
        .get("slices")
        .map_or(Some(1), |node| whole_number(&node, SLICES_MAX, faults));
    let tile = fields.get("tile").map_or(Some(None), |node| {
        whole_number(&node, TILE_MAX, faults).map(Some)
    });
    let pages = fields
        .get("pages")
        .map_or_else(|| Some(whole().pages), |node| pages(&node, slices, faults));
    let grid = GridSpec {
        slices: slices?,
        pages: pages?,
        tile: tile?,
    };
    check_size(node, &grid, faults);
    Some(grid)
}

fn whole_number(node: &Node<'_>, max: u32, faults: &mut Faults) -> Option<u32> {
    let found = node.integer(1..=u64::from(max), faults)?;
    u32::try_from(found).ok()
}

/// `slices` is `None` when that key is faulty itself.
fn pages(node: &Node<'_>, slices: Option<u32>, faults: &mut Faults) -> Option<PagesSpec> {
    if !node.value().is_object() {
        node.refuse(format_args!("a table such as {FORMS}"), faults);
        return None;
    }
    let fields = node.fields(PAGE_KEYS, LATER_PAGES, faults)?;
    let sized = fields.has("rows") || fields.has("page_size");
    match (fields.get("count"), sized, fields.get("probe")) {
        (Some(count), false, None) => {
            let count = count.integer(1..=PAGES_MAX, faults)?;
            let count = u32::try_from(count).ok()?;
            Some(PagesSpec::Count { count })
        }
        (None, true, None) => sized_pages(&fields, slices, faults),
        (None, false, Some(probe)) if *probe.value() == Value::Bool(true) => Some(PagesSpec::Probe),
        (None, false, Some(probe)) => {
            probe.refuse("true (or left out, with `count` or `rows` instead)", faults);
            None
        }
        (None, false, None) => {
            // A key of a later version was refused already; that says enough.
            if !LATER_PAGES.iter().any(|(key, _)| fields.has(key)) {
                node.refuse(format_args!("one of {FORMS}"), faults);
            }
            None
        }
        (Some(_), _, _) | (None, true, Some(_)) => {
            let message = format!("says several kinds of pages; must be only one of {FORMS}");
            faults.add(node.path().to_owned(), message);
            None
        }
    }
}

fn sized_pages(fields: &Fields<'_>, slices: Option<u32>, faults: &mut Faults) -> Option<PagesSpec> {
    let why = "say how many rows there are, all in all or as a list with one number a slice";
    let rows = fields.need("rows", why, faults);
    let rows = rows.and_then(|node| rows_of(&node, slices, faults));
    let why = "say how many rows make a page";
    let page_size = fields.need("page_size", why, faults);
    let page_size = page_size.and_then(|node| node.integer(1..=ROWS_MAX, faults));
    Some(PagesSpec::Rows {
        rows: rows?,
        page_size: page_size?,
    })
}

fn rows_of(node: &Node<'_>, slices: Option<u32>, faults: &mut Faults) -> Option<Vec<u64>> {
    let Value::Array(list) = node.value() else {
        let total = node.integer(0..=ROWS_MAX, faults)?;
        return Some(spread(total, slices?));
    };
    let slices = slices?;
    if list.len() != slices as usize {
        let must = format!("one number, or a list of {slices}: one for each slice");
        node.refuse(must, faults);
        return None;
    }
    let before = faults.0.len();
    let places = list.iter().enumerate();
    let rows: Vec<u64> = places
        .filter_map(|(place, value)| node.item(place, value).integer(0..=ROWS_MAX, faults))
        .collect();
    let total: u128 = rows.iter().map(|rows| u128::from(*rows)).sum();
    if total > u128::from(ROWS_MAX) {
        let message = format!("must be at most {ROWS_MAX} rows together, found {total}");
        faults.add(node.path().to_owned(), message);
    }
    (faults.0.len() == before).then_some(rows)
}

/// `total` rows over `slices` as evenly as whole numbers allow, the longer slices first.
pub(super) fn spread(total: u64, slices: u32) -> Vec<u64> {
    let slices = u64::from(slices.max(1));
    (0..slices)
        .map(|slice| total / slices + u64::from(slice < total % slices))
        .collect()
}

/// The bounds that no key has by itself.
fn check_size(node: &Node<'_>, grid: &GridSpec, faults: &mut Faults) {
    let most = grid.most_pages();
    if most > PAGES_MAX {
        let message =
            format!("must be larger: a slice would have {most} pages, more than {PAGES_MAX}");
        faults.add(node.path_of("pages") + ".page_size", message);
        return;
    }
    let pages = grid.shards().unwrap_or(0);
    if pages > SHARDS_MAX {
        let message = format!("has {pages} shards, more than {SHARDS_MAX}: make the pages larger");
        faults.add(node.path().to_owned(), message);
    }
}
