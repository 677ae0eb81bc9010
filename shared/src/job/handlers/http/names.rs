//! That each placeholder has a value, and that shards ask for different things.

use serde_json::{Map, Value};

use super::content::Content;
use super::order::Order;
use super::template::Placeholder;
use crate::job::handlers::{Findings, Said};
use crate::job::{Allowed, GridSpec, PagesSpec};
use crate::suggest;

/// What the engine gives: the words of `exec`, and the shard's key.
pub const GIVEN: &[&str] = &[
    "run", "job", "slice", "slices", "page", "attempt", "fence", "offset", "limit", "params", "key",
];
/// What it gives only where the grid has rows.
const OF_ROWS: &[&str] = &["offset", "limit"];
/// What it would give where pages are probed.
const OF_PROBES: &[&str] = &["page_from", "page_to", "after"];

/// What is wrong with what an order names.
pub(super) fn check(order: &Order, said: Said<'_>, found: &mut Findings) {
    let nothing = Map::new();
    let params = said.params.as_object().unwrap_or(&nothing);
    let mut told: Vec<&Placeholder> = Vec::new();
    let all = order.placeholders();
    for (path, placeholder) in &all {
        if told.contains(placeholder) {
            continue;
        }
        told.push(placeholder);
        match placeholder {
            Placeholder::Secret(_) => {}
            Placeholder::OfSlice(name) => match params.get(name) {
                None => unknown(path, placeholder, name, params, said, found),
                Some(Value::Object(_) | Value::Array(_)) => {}
                Some(_) => found.fault(
                    path,
                    format!("names {placeholder}, and params.{name} is neither a list nor a table by numbers"),
                ),
            },
            Placeholder::Named(name) if GIVEN.contains(&name.as_str()) => {
                given(path, name, params, said.grid, found);
            }
            Placeholder::Named(name) if params.contains_key(name) => {}
            Placeholder::Named(name) => unknown(path, placeholder, name, params, said, found),
        }
    }
    let apart = all.iter().any(|(_, name)| tells_apart(name));
    if said.grid.shards() != Some(1) && !apart && !order.tells_the_shard() {
        found.warning(
            "http",
            "all shards ask for the same: write {slice} (and {page}) where they differ, or leave the body out, which \
             then is the shard as JSON",
        );
    }
    check_body(order, found);
}

/// Whether shards are told apart by it.
fn tells_apart(placeholder: &Placeholder) -> bool {
    match placeholder {
        Placeholder::OfSlice(_) => true,
        Placeholder::Named(name) => ["slice", "page", "key", "offset"].contains(&name.as_str()),
        Placeholder::Secret(_) => false,
    }
}

/// A text that is JSON with values in it that may break out of their quotes.
fn check_body(order: &Order, found: &mut Findings) {
    let Some(Content::Text(template)) = &order.body else {
        return;
    };
    let is_json = match order.header("content-type") {
        Some(Content::Text(kind)) => kind.beginning().to_ascii_lowercase().contains("json"),
        Some(Content::Json(_)) => false,
        None => template.beginning().trim_start().starts_with(['{', '[']),
    };
    let has_others = template
        .placeholders()
        .any(|name| !matches!(name, Placeholder::Named(name) if GIVEN.contains(&name.as_str())));
    if is_json && has_others {
        found.warning(
            "http.body",
            "is JSON as a text, in which values stand as they are, with their quotes: say it as a table, [http.body], in \
             which they are what they are",
        );
    }
}

/// A name of the engine's.
fn given(
    path: &str,
    name: &str,
    params: &Map<String, Value>,
    grid: &GridSpec,
    found: &mut Findings,
) {
    if params.contains_key(name) {
        found.fault(
            format!("params.{name}"),
            format!("must be called otherwise: the engine gives {{{name}}}"),
        );
    }
    if OF_ROWS.contains(&name) && !matches!(grid.pages, PagesSpec::Rows { .. }) {
        found.fault(
            path,
            format!(
                "names {{{name}}}, which has no value here: it has one where the grid has rows; say grid.pages = \
                 {{ rows = 1000000, page_size = 1000 }}"
            ),
        );
    }
}

/// A name that nothing gives a value is a slip of the pen, unless submissions bring it.
fn unknown(
    path: &str,
    placeholder: &Placeholder,
    name: &str,
    params: &Map<String, Value>,
    said: Said<'_>,
    found: &mut Findings,
) {
    if OF_PROBES.contains(&name) {
        let message =
            format!("names {placeholder}, which has no value here: pages of http are not probed");
        found.fault(path, message);
        return;
    }
    let own = || params.keys().map(String::as_str);
    let slip = suggest::slip(name, GIVEN.iter().copied().chain(own()));
    let slip = slip.map_or_else(String::new, |near| format!("; did you mean {{{near}}}?"));
    let may_come = said.submit.is_some_and(|submit| submit.allows_param(name));
    if may_come && slip.is_empty() {
        let named = Allowed::Param(name.to_owned());
        // Whoever names it there has said that runs bring it.
        if said
            .submit
            .is_none_or(|submit| !submit.allow.contains(&named))
        {
            let message = format!(
                "names {placeholder}, which has no value: each run has to bring one (--param {name}=...). Give it one in \
                 [params], or say that runs bring it: [submit] allow = [\"params.{name}\"]"
            );
            found.warning(path, message);
        }
        return;
    }
    let known: Vec<String> = GIVEN
        .iter()
        .copied()
        .chain(own())
        .map(|name| format!("{{{name}}}"))
        .collect();
    let message = format!(
        "names {placeholder}, which has no value{slip}; known here are {}. Give it one in [params], or with the run \
         (--param {name}=...)",
        known.join(", ")
    );
    found.fault(path, message);
}
