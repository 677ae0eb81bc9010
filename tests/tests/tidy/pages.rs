//! A page that is named has to be there: in the comments of the code, in messages to people and in the pages
//! themselves. A reason that stands elsewhere is lost to whoever reads this alone.

use crate::{files, root};

/// Names pages that are not there, to see that they are told.
const OWN: &str = "tests/tests/tidy/pages.rs";

#[test]
fn every_page_that_is_named_is_there_with_its_section() {
    let mut missing = Vec::new();
    let all = files(&[".rs", ".md", ".toml", ".txt"]);
    for (path, text) in all.iter().filter(|(path, _)| path != OWN) {
        for (line, words) in text.lines().zip(1..) {
            for (page, rest) in pages(line) {
                if let Some(fault) = fault(path, page, rest) {
                    missing.push(format!("{path}:{words}: {fault}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// The pages that a line names, each with what stands behind it.
fn pages(line: &str) -> Vec<(&str, &str)> {
    let of_path = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let ends = line.match_indices(".md").map(|(at, _)| at + 3);
    let found = ends.filter_map(|end| {
        let rest = &line[end..];
        if rest.starts_with(of_path) && !rest.starts_with('.') {
            return None;
        }
        let before = line[..end].char_indices().rev();
        let start = before.take_while(|(_, c)| of_path(*c)).last()?.0;
        Some((&line[start..end], rest))
    });
    found.collect()
}

/// What is wrong with a page that is named in the file at `path`: seen from there, from the root, or one of docs/.
fn fault(path: &str, page: &str, rest: &str) -> Option<String> {
    if page.trim_matches(['.', '/']) == "md" {
        return None; // an ending, not a page
    }
    let root = root();
    let beside = root.join(path).with_file_name(page);
    let places = [beside, root.join(page), root.join("docs").join(page)];
    let mut texts = places.iter().flat_map(std::fs::read_to_string);
    let Some(text) = texts.next() else {
        return Some(format!("{page} is not in the repository"));
    };
    let numbered = |number: &str| text.contains(&format!("\n## {number}. "));
    let lost = sections(rest).into_iter().find(|number| !numbered(number));
    lost.map(|number| format!("{page} has no section {number}"))
}

/// The numbers of the sections behind the name of a page: ` §3, §5`, `) §2 to §5`.
fn sections(rest: &str) -> Vec<&str> {
    let mut rest = rest.trim_start_matches(')').trim_start();
    let mut numbers = Vec::new();
    while let Some(after) = rest.strip_prefix('§') {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        numbers.push(&after[..digits]);
        rest = after[digits..].trim_start_matches([',', ' ', 't', 'o']);
    }
    numbers
}

#[test]
fn pages_and_sections_that_are_not_there_are_told() {
    let told = |line: &str| {
        let found = pages(line).into_iter();
        found
            .filter_map(|(page, rest)| fault("docs/TESTING.md", page, rest))
            .collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(told("see docs/PROTOCOL.md §3, and PROTOCOL.md"), none);
    assert_eq!(
        told("([protocol](PROTOCOL.md) §5), [a](../README.md)"),
        none
    );
    assert_eq!(told("files like *.md"), none);
    assert_eq!(told("see plan.md."), ["plan.md is not in the repository"]);
    assert_eq!(
        told("(docs/PROTOCOL.md §99)"),
        ["docs/PROTOCOL.md has no section 99"]
    );
    assert_eq!(
        told("(PROTOCOL.md §2 to §99)"),
        ["PROTOCOL.md has no section 99"]
    );
}
