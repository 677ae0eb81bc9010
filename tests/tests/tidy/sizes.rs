//! A file is a room and a function a thought: large ones are told, and may only shrink.
//!
//! `sizes.txt` has those that were too large when this was written. Whoever makes one smaller lowers its
//! number there (`TIDY_LOWER=1` does so) and takes it out once it is within the bound, so that it does not grow
//! again. Nothing is ever added: what is too large is to be divided.

use std::collections::BTreeMap;

use crate::{files, root};

/// Most lines of a file.
const FILE_MAX: usize = 500;
/// Most lines of a function, from its first word to its last brace.
const FUNCTION_MAX: usize = 70;
/// Where the exceptions stand.
const TABLE: &str = "tests/tests/tidy/sizes.txt";

/// Lines of what is too large, by `path` or `path::function`.
type Sizes = BTreeMap<String, usize>;

#[test]
fn large_files_and_functions_only_shrink() {
    let text = std::fs::read_to_string(root().join(TABLE)).unwrap();
    let allowed: Sizes = text.lines().filter_map(entry).collect();
    let found: Sizes = files(&[".rs"])
        .iter()
        .flat_map(|(path, text)| too_large(path, text))
        .collect();
    let grown = grown(&allowed, &found);
    assert!(
        grown.is_empty(),
        "too large (a file may have {FILE_MAX} lines, a function {FUNCTION_MAX}); divide by what it decides:\n{}",
        grown.join("\n")
    );
    let lower = lowered(&allowed, &found);
    if std::env::var_os("TIDY_LOWER").is_some() {
        let head = text.lines().filter(|line| line.starts_with('#'));
        let rows = lower.iter().map(|(what, lines)| format!("{lines} {what}"));
        let lines: Vec<String> = head.map(str::to_owned).chain(rows).collect();
        std::fs::write(root().join(TABLE), lines.join("\n") + "\n").unwrap();
    } else {
        assert_eq!(
            lower, allowed,
            "smaller now, well done: lower them in {TABLE} with TIDY_LOWER=1 cargo test -p gridloom-tests --test tidy"
        );
    }
}

/// A line of the table: a number, then what has so many lines.
fn entry(line: &str) -> Option<(String, usize)> {
    let (lines, what) = line.split_once(' ')?;
    Some((what.to_owned(), lines.parse().ok()?))
}

/// What has more lines than the table allows it.
fn grown(allowed: &Sizes, found: &Sizes) -> Vec<String> {
    let more = found.iter().filter_map(|(what, lines)| {
        let most = allowed.get(what).copied();
        (most.is_none_or(|most| *lines > most)).then(|| match most {
            Some(most) => format!("{what}: {lines} lines, and had {most}"),
            None => format!("{what}: {lines} lines"),
        })
    });
    more.collect()
}

/// The table as it may be now: nothing that is within its bound.
fn lowered(allowed: &Sizes, found: &Sizes) -> Sizes {
    let still = allowed.iter().filter_map(|(what, most)| {
        let lines = found.get(what)?;
        Some((what.clone(), *lines.min(most)))
    });
    still.collect()
}

/// The file and its functions, as far as they are too large.
fn too_large(path: &str, text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut large = Vec::new();
    if lines.len() > FILE_MAX {
        large.push((path.to_owned(), lines.len()));
    }
    for (at, line) in lines.iter().enumerate() {
        let Some((indent, name)) = function(line) else {
            continue;
        };
        if !has_body(&lines[at..]) {
            continue;
        }
        // As rustfmt writes it: the last brace stands under the first word.
        let last = format!("{}}}", " ".repeat(indent));
        let behind = lines[at..].iter().position(|line| *line == last);
        let length = behind.map_or(1, |behind| behind + 1);
        if length > FUNCTION_MAX {
            large.push((format!("{path}::{name}"), length));
        }
    }
    // Of several with one name the largest counts.
    large.sort();
    large
}

/// Whether a declaration has a body below its head.
fn has_body(lines: &[&str]) -> bool {
    let mut ends = lines.iter().filter(|line| line.ends_with(['{', ';', '}']));
    ends.next().is_some_and(|line| line.ends_with('{'))
}

/// How far in a function begins on this line, and its name.
fn function(line: &str) -> Option<(usize, &str)> {
    let code = line.trim_start();
    let (before, rest) = code.split_once("fn ")?;
    let begins = ["pub", "const ", "async "];
    let fits = before.is_empty() || begins.iter().any(|word| before.starts_with(word));
    let name = rest.split(['(', '<']).next()?;
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (fits && plain && !before.contains(['"', '='])).then_some((line.len() - code.len(), name))
}

#[test]
fn functions_are_measured_from_their_first_word_to_their_last_brace() {
    let body = "        step();\n".repeat(80);
    let text = format!(
        "trait T {{\n    fn declared(&self);\n}}\nimpl T {{\n    pub(in crate::a) async fn long<'a>(\n        &self,\n    ) {{\n{body}    }}\n\n    fn short() {{}}\n    const fn fine() -> u8 {{\n        7\n    }}\n}}\n// fn told() {{\n"
    );
    assert_eq!(too_large("a.rs", &text), [("a.rs::long".to_owned(), 84)]);
    let file = "x\n".repeat(FILE_MAX + 1);
    assert_eq!(too_large("b.rs", &file), [("b.rs".to_owned(), 501)]);
    assert_eq!(too_large("b.rs", &"x\n".repeat(FILE_MAX)), []);
}

#[test]
fn what_grows_or_is_new_is_told_and_what_shrinks_is_lowered() {
    let sizes = |rows: &[(&str, usize)]| -> Sizes {
        let rows = rows
            .iter()
            .map(|(what, lines)| ((*what).to_owned(), *lines));
        rows.collect()
    };
    let allowed = sizes(&[("grows", 600), ("shrinks", 600), ("fine", 600)]);
    let found = sizes(&[("grows", 601), ("shrinks", 590), ("new", 501)]);
    assert_eq!(
        grown(&allowed, &found),
        ["grows: 601 lines, and had 600", "new: 501 lines"]
    );
    assert_eq!(
        lowered(&allowed, &found),
        sizes(&[("grows", 600), ("shrinks", 590)])
    );
}
