//! What is played: one room a part of the protocol.

use serde_json::{Value, json};

use super::answer::Fault;
use super::engine::{Engine, Start, USUAL};
use super::{SLOTS, Situation};
use crate::Trial;

mod ends;
mod frames;
mod hello;
mod outcomes;
mod params;
mod probes;
mod stops;
mod tiles;

/// All of them, in the order in which they are played.
pub fn all() -> impl Iterator<Item = &'static Situation> {
    let parts = [
        hello::ALL,
        frames::ALL,
        params::ALL,
        tiles::ALL,
        outcomes::ALL,
        probes::ALL,
        stops::ALL,
        ends::ALL,
    ];
    parts.into_iter().flatten()
}

/// Whose process is to end with its worker.
const MORTAL: Start = Start {
    as_child: Some("a program decides itself what it does when its worker is gone"),
    ..USUAL
};

/// One that begins as most do.
const fn usual(
    name: &'static str,
    clause: &'static str,
    about: &'static str,
    script: fn(&mut Engine) -> Result<(), Fault>,
) -> Situation {
    begun(USUAL, name, clause, about, script)
}

/// One that begins so.
const fn begun(
    start: Start,
    name: &'static str,
    clause: &'static str,
    about: &'static str,
    script: fn(&mut Engine) -> Result<(), Fault>,
) -> Situation {
    Situation {
        name,
        clause,
        about,
        start,
        script,
    }
}

/// A shard of this handler of the program.
fn of(handler: &str) -> Trial {
    Trial::new("sizes", handler)
}

/// Likewise, with parameters.
fn with(handler: &str, params: Value) -> Trial {
    of(handler).params(params)
}

/// It still does what it is given.
fn goes_on(engine: &mut Engine) -> Result<(), Fault> {
    let answer = engine.run(&with("result", json!({"text": "goes on"})))?;
    answer.says("goes on")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PROTOCOL: &str = include_str!("../../../../docs/CHILD-PROTOCOL.md");
    const PAGE: &str = include_str!("../../../../docs/SDK-TEST.md");

    #[test]
    fn names_are_words_and_each_is_there_once() {
        let mut names = BTreeSet::new();
        for one in all() {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(
                !one.name.is_empty() && one.name.chars().all(plain),
                "{one:?}"
            );
            assert!(names.insert(one.name), "{} is there twice", one.name);
        }
        assert!(names.len() >= 40);
    }

    #[test]
    fn page_has_each_situation_with_its_clause_and_no_other() {
        let (_, table) = PAGE.split_once("## The situations").unwrap();
        let rows = table.lines().filter(|line| line.starts_with("| `"));
        let rows: Vec<String> = rows.map(str::to_owned).collect();
        let wanted =
            all().map(|one| format!("| `{}` | {} | {} |", one.name, one.clause, one.about));
        assert_eq!(rows, wanted.collect::<Vec<_>>());
    }

    #[test]
    fn each_clause_is_a_place_of_the_protocol() {
        for one in all() {
            let rest = one.clause.strip_prefix('§').unwrap();
            let (number, word) = rest.split_once(' ').unwrap_or((rest, ""));
            let (_, chapter) = PROTOCOL.split_once(&format!("\n## {number}. ")).unwrap();
            let chapter = chapter.split("\n## ").next().unwrap();
            assert!(chapter.contains(word), "{one:?}: {}", one.clause);
        }
    }

    #[test]
    fn each_handler_of_the_page_is_used_and_each_that_is_used_is_on_it() {
        let (_, table) = PAGE.split_once("## The program").unwrap();
        let table = table.split("\n## ").next().unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let named: BTreeSet<&str> = rows.filter_map(|row| row.split('`').next()).collect();
        assert_eq!(named, hello::HANDLERS.iter().copied().collect());
    }
}
