//! That each name in a statement has a value, and each value a name.

use super::{Order, Pages, Place, Read};
use crate::job::Allowed;
use crate::job::handlers::Findings;
use crate::suggest;

/// Names that the engine gives; a job's own value may not take one.
pub const GIVEN: &[&str] = &[
    "slice",
    "slices",
    "page",
    "page_from",
    "page_to",
    "offset",
    "limit",
    "after",
];

impl Order {
    /// A name that nothing gives a value is a slip of the pen, unless submissions bring it.
    pub(super) fn check_names(&self, read: &Read<'_>, place: Place<'_>, found: &mut Findings) {
        let of_pages: &[&str] = match place.pages {
            Pages::Counted => &[],
            Pages::Windows => &["offset", "limit"],
            Pages::Probed => &["page_from", "page_to"],
        };
        let in_statements = [&["slice", "slices", "page"], of_pages].concat();
        let in_probe = ["slice", "slices", "after"];
        for (path, statement) in &read.statements {
            self.check_each(path, &statement.names, &in_statements, place, found);
        }
        // Nobody asks where the pages are known.
        let asked = read.probe.iter().filter(|_| place.pages == Pages::Probed);
        for (path, probe) in asked {
            self.check_each(path, &probe.names, &in_probe, place, found);
        }
    }

    fn check_each(
        &self,
        path: &str,
        names: &[String],
        given: &[&str],
        place: Place<'_>,
        found: &mut Findings,
    ) {
        let mut told: Vec<&String> = Vec::new();
        for name in names {
            let is_known = given.contains(&name.as_str()) || self.values.contains_key(name);
            if is_known || told.contains(&name) {
                continue;
            }
            told.push(name);
            self.unknown(path, name, given, place, found);
        }
    }

    fn unknown(
        &self,
        path: &str,
        name: &str,
        given: &[&str],
        place: Place<'_>,
        found: &mut Findings,
    ) {
        if let Some(mend) = elsewhere(name, given.contains(&"after")) {
            found.fault(
                path,
                format!("names :{name}, which has no value here: {mend}"),
            );
            return;
        }
        let own = self.values.keys().map(String::as_str);
        let known: Vec<&str> = given.iter().copied().chain(own).collect();
        let own = self.values.keys().map(String::as_str);
        let slip = suggest::slip(name, GIVEN.iter().copied().chain(own));
        let slip = slip.map_or_else(String::new, |near| format!("; did you mean :{near}?"));
        let may_come = place.submit.is_some_and(|submit| submit.allows_param(name));
        if may_come && slip.is_empty() {
            let named = Allowed::Param(name.to_owned());
            // Whoever names it there has said that runs bring it.
            if place
                .submit
                .is_none_or(|submit| !submit.allow.contains(&named))
            {
                let message = format!(
                    "names :{name}, which has no value: each run has to bring one (--param {name}=...). Give it \
                     one in [params], or say that runs bring it: [submit] allow = [\"params.{name}\"]"
                );
                found.warning(path, message);
            }
            return;
        }
        let known: Vec<String> = known.iter().map(|name| format!(":{name}")).collect();
        let message = format!(
            "names :{name}, which has no value{slip}; known here are {}. Give it one in [params], or with the run \
             (--param {name}=...)",
            known.join(", ")
        );
        found.fault(path, message);
    }

    /// A value that nothing uses is a slip of the pen: running without it would do something else
    /// than was asked for.
    pub(super) fn check_values(&self, read: &Read<'_>, found: &mut Findings) {
        for name in self.values.keys() {
            if !read.statements_name(name) && !read.probe_names(name) {
                let message = format!(
                    "is used by no statement: write :{name} where it belongs, or leave it out"
                );
                found.fault(format!("params.{name}"), message);
            }
        }
    }
}

/// What to do where a name is not given that the engine gives in other places.
fn elsewhere(name: &str, is_probe: bool) -> Option<&'static str> {
    Some(match (name, is_probe) {
        ("page_from" | "page_to", true) => {
            "a probe finds the pages; where the last one ended is :after"
        }
        ("page_from" | "page_to", false) => {
            "it has one where the pages are probed; say grid.pages = { probe = true } and give a probe"
        }
        ("offset" | "limit", _) => {
            "it has one where the grid has rows; say grid.pages = { rows = 1000000, page_size = 1000 }"
        }
        ("page", _) => "a probe finds the pages, which have no numbers yet",
        ("after", _) => "it has one in a probe; a statement has :page_from and :page_to there",
        _ => return None,
    })
}
