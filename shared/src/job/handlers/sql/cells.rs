//! That statements tell slices and pages apart: the engine counts shards, not rows, so a statement that does
//! not would do every row as often as there are slices, or pages, and the run would be green.

use super::{Pages, Place, Read, STATEMENT};
use crate::job::handlers::Findings;

/// The condition that is right on all three kinds of database (docs/HANDLERS.md says for which columns).
const CONDITION: &str = "(id % :slices + :slices) % :slices = :slice";

pub(super) fn check(read: &Read<'_>, place: Place<'_>, found: &mut Findings) {
    slices(read, place, found);
    if place.several {
        pages(read, place.pages, found);
    }
}

fn slices(read: &Read<'_>, place: Place<'_>, found: &mut Findings) {
    if place.slices < 2 || read.statements_name("slice") {
        return;
    }
    let slices = place.slices;
    if place.pages == Pages::Probed && read.probe_names("slice") {
        let message = format!(
            "names no :slice, as the probe does: a row is done by each of the {slices} slices that has a page over \
             it. Repeat the probe's condition, unless no page reaches into another slice"
        );
        found.warning(STATEMENT, message);
        return;
    }
    let too = if place.pages == Pages::Probed {
        ", in the probe too"
    } else {
        ""
    };
    let message = format!(
        "names no :slice, and the grid has {slices} slices: each would do the same rows again. Add the condition \
         `{CONDITION}`{too} (or one on another column that every row has), or say grid.slices = 1"
    );
    found.fault(STATEMENT, message);
}

fn pages(read: &Read<'_>, pages: Pages, found: &mut Findings) {
    let any = |names: &[&str]| names.iter().any(|name| read.statements_name(name));
    match pages {
        Pages::Counted if any(&["page"]) => {}
        Pages::Counted => found.warning(
            STATEMENT,
            "names no :page, and a slice has several pages: each does the same again. Tell them apart by :page, or \
             say grid.pages = { count = 1 }",
        ),
        Pages::Windows if any(&["offset", "limit", "page"]) => {}
        Pages::Windows => found.fault(
            STATEMENT,
            "names neither :offset nor :limit, and the grid has rows: each page would do the same rows again. Add \
             `ORDER BY id LIMIT :limit OFFSET :offset` to what it reads, or say grid.pages = { count = 1 }",
        ),
        Pages::Probed if any(&["page_from", "page_to", "page"]) => {}
        Pages::Probed => found.fault(
            STATEMENT,
            "names neither :page_from nor :page_to, and the pages are probed: each would do the same rows again. \
             Add the condition `id BETWEEN :page_from AND :page_to`",
        ),
    }
}
