//! Log lines: the sentence of each stands fast, so that it can be searched for, and what it is about stands in fields, by
//! names that docs/OPERATIONS.md has. Whoever asks for one run finds every line about it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{files, root};

/// The crates whose lines people read.
const CRATES: &[&str] = &["shared/src/", "planner/src/", "worker/src/", "cli/src/"];
/// What writes a line, or makes a span that lines stand in.
const MACROS: &[&str] = &[
    "error!",
    "warn!",
    "info!",
    "debug!",
    "trace!",
    "event!",
    "span!",
    "error_span!",
    "warn_span!",
    "info_span!",
    "debug_span!",
    "trace_span!",
];
/// What belongs together: whoever names the first names the others.
const TOGETHER: &[(&str, &[&str])] = &[
    ("slice", &["run", "page", "attempt"]),
    ("page", &["slice"]),
    ("attempt", &["slice"]),
    ("session", &["worker"]),
];

/// One use of such a macro.
struct Line {
    place: String,
    message: Option<String>,
    /// What follows the message: values that would be written into it.
    rest: usize,
    fields: Vec<String>,
}

/// The text up to the parenthesis that closes what was opened before it.
fn inside(text: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..at];
        }
    }
    text
}

/// Its parts between commas.
fn parts(text: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let mut parts = vec![String::new()];
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    let parts = parts.iter().map(|part| part.trim().to_owned());
    parts.filter(|part| !part.is_empty()).collect()
}

fn read(place: String, text: &str) -> Line {
    let mut line = Line {
        place,
        message: None,
        rest: 0,
        fields: Vec::new(),
    };
    for part in parts(text) {
        if line.message.is_some() && !part.contains(" = ") && !part.starts_with(['%', '?']) {
            line.rest += 1;
        } else if part.starts_with('"') {
            line.message = Some(part);
        } else if !part.starts_with("target:") && !part.starts_with("parent:") {
            let name = part.split(" = ").next().unwrap_or_default();
            line.fields
                .push(name.trim_start_matches(['%', '?']).to_owned());
        }
    }
    line
}

/// All of them, outside of tests.
fn lines() -> Vec<(bool, Line)> {
    let mut found = Vec::new();
    for (path, text) in files(&[".rs"]) {
        let is_test = path.ends_with("tests.rs") || path.contains("/tests/");
        if is_test || !CRATES.iter().any(|part| path.starts_with(part)) {
            continue;
        }
        let code = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        for (at, _) in code.match_indices("tracing::") {
            let after = &code[at + "tracing::".len()..];
            let Some(named) = MACROS.iter().find(|named| after.starts_with(**named)) else {
                continue;
            };
            let number = code[..at].matches('\n').count() + 1;
            let text = inside(&after[named.len() + 1..]);
            let line = read(format!("{path}:{number}"), text);
            found.push((named.contains("span"), line));
        }
    }
    assert!(found.len() > 150, "{} lines are found", found.len());
    found
}

/// The fields of the page.
fn known() -> BTreeSet<String> {
    let page =
        std::fs::read_to_string(root().join("docs/OPERATIONS.md")).expect("the page is read");
    let section = page.split("\n## ").find(|text| text.starts_with("Logs\n"));
    let section = section.expect("docs/OPERATIONS.md has a section Logs");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let names = rows.flat_map(|row| row.split('|').nth(1).unwrap_or_default().split(','));
    names
        .map(|name| name.trim().trim_matches('`').to_owned())
        .collect()
}

#[test]
fn message_of_a_log_line_is_one_sentence_that_stands_fast() {
    let mut told = Vec::new();
    for (is_span, line) in lines() {
        let fine = line
            .message
            .as_ref()
            .is_some_and(|text| !text.contains('{'));
        if !fine || line.rest > 0 {
            let what = if is_span { "span" } else { "message" };
            told.push(format!("{}: {what} {:?}", line.place, line.message));
        }
    }
    assert!(
        told.is_empty(),
        "write a message without values, and what it is about as fields:\n{}",
        told.join("\n")
    );
}

#[test]
fn fields_of_log_lines_are_those_of_the_page() {
    let known = known();
    let mut used = BTreeMap::new();
    for (_, line) in lines() {
        for field in line.fields {
            used.entry(field).or_insert(line.place.clone());
        }
    }
    let told: Vec<String> = used
        .iter()
        .filter(|(field, _)| !known.contains(*field))
        .map(|(field, place)| format!("{place}: {field}"))
        .collect();
    assert!(
        told.is_empty(),
        "use a name of docs/OPERATIONS.md, Logs, or tell of the new one there:\n{}",
        told.join("\n")
    );
    let unused: Vec<&String> = known
        .iter()
        .filter(|field| !used.contains_key(*field))
        .collect();
    assert!(unused.is_empty(), "no line has {unused:?}");
}

#[test]
fn line_about_a_shard_names_its_run_and_attempt_and_one_about_a_session_its_worker() {
    let mut told = Vec::new();
    for (_, line) in lines() {
        let has = |field: &str| line.fields.iter().any(|known| known == field);
        for (first, others) in TOGETHER {
            let lacks: Vec<&&str> = others.iter().filter(|other| !has(other)).collect();
            if has(first) && !lacks.is_empty() {
                told.push(format!("{}: {first} without {lacks:?}", line.place));
            }
        }
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn reader_of_log_lines_sees_what_is_wrong_with_them() {
    let line = read(
        String::new(),
        inside(
            r#"target: "x", %run, ?key.place, n = f(a, b), error = %chain(&e), "a, {b} \" (", c) + 1"#,
        ),
    );
    assert_eq!(line.fields, ["run", "key.place", "n", "error"]);
    assert_eq!(line.message.as_deref(), Some(r#""a, {b} \" (""#));
    assert_eq!(line.rest, 1);
}
