//! A command that a page shows is one that can be typed: its words and its flags are there.

use clap::{Command, CommandFactory};
use gridloom_cli::args::Line;

use crate::files;

/// The pages of this program: those of SDKs are read by their own tests.
fn is_of_it(path: &str) -> bool {
    // This one tells of flags that are gone.
    path.starts_with("docs/") && path != "docs/CHANGELOG.md" || path == "README.md"
}

#[test]
fn every_command_that_a_page_shows_can_be_typed() {
    let mut faults = Vec::new();
    let pages = files(&[".md"]);
    for (path, text) in pages.iter().filter(|(path, _)| is_of_it(path)) {
        for (line, number) in text.lines().zip(1..) {
            for shown in shown(line) {
                if let Some(fault) = fault(shown) {
                    faults.push(format!("{path}:{number}: gridloom {shown}: {fault}"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What stands behind the program's name, in a line of a script and in what is set apart.
fn shown(line: &str) -> Vec<&str> {
    let alone = line.trim_start_matches("$ ").strip_prefix("gridloom ");
    let alone = alone.map(|rest| rest.split(" #").next().unwrap_or_default());
    let apart = line.split('`').skip(1).step_by(2);
    let apart = apart.filter_map(|words| words.strip_prefix("gridloom "));
    alone.into_iter().chain(apart).collect()
}

/// What is wrong with it.
fn fault(shown: &str) -> Option<String> {
    let whole = Line::command();
    let mut at = &whole;
    let mut seen: Vec<&Command> = vec![&whole];
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    for word in shown
        .split([' ', '[', ']', '|'])
        .filter(|word| !word.is_empty())
    {
        if word == "--" {
            break;
        }
        if let Some(flag) = word.strip_prefix("--") {
            let flag = flag.split('=').next().unwrap_or_default();
            let known = |of: &&Command| of.get_arguments().any(|one| one.get_long() == Some(flag));
            if !["help", "version"].contains(&flag) && !seen.iter().any(known) {
                return Some(format!("it has no --{flag}"));
            }
            continue;
        }
        let next = at.get_subcommands().find(|one| one.get_name() == word);
        match next {
            Some(next) => {
                at = next;
                seen.push(next);
            }
            // A command of its own has one of them behind it.
            None if at.has_subcommands() && is_word(word) => {
                return Some(format!("there is no {word}"));
            }
            None => {}
        }
    }
    None
}

#[test]
fn what_cannot_be_typed_is_told() {
    for fine in [
        "doctor",
        "job pause JOB --note TEXT",
        "dead retry RUN [--slice N [--page N]]",
        "COMMAND --help",
        "run JOB --json",
        "worker -- python worker.py",
    ] {
        assert_eq!(fault(fine), None, "{fine}");
    }
    for strange in [
        "runs --job JOB",
        "docter",
        "job paws JOB",
        "site --domain first",
    ] {
        assert!(fault(strange).is_some(), "{strange}");
    }
    assert_eq!(
        shown("as `gridloom show RUN` and `gridloom x` say"),
        ["show RUN", "x"]
    );
    assert_eq!(shown("gridloom backup DIR   # a note"), ["backup DIR  "]);
}
