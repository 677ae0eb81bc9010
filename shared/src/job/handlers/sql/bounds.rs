//! That statements take a page whole, from its first key to its last, and nothing beyond: the engine counts shards,
//! not rows, so whatever a statement takes beside its page is done again by others, and what it leaves out is not
//! done at all; the run is green, and so is its audit.
//!
//! A reader of words, no parser of SQL: what it does not understand it says nothing of. What cannot be meant is a
//! fault, what is nearly always a slip a warning.

use super::names::Statement;
use super::{Pages, Place, Read};
use crate::job::handlers::Findings;

/// The condition that takes a page and nothing else.
const CONDITION: &str = "`id BETWEEN :page_from AND :page_to`";
const FROM: &str = ":page_from";
const TO: &str = ":page_to";
/// Words that take so many rows and no more, from some place on.
const SO_MANY: &[&str] = &["LIMIT", "FETCH", "TOP", "ROWNUM", "ROW_NUMBER"];

/// What a statement does with a bound of its page: a key that it takes is ...
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// ... this one or above.
    AtLeast,
    /// ... above this one.
    Above,
    /// ... this one or below.
    AtMost,
    /// ... below this one.
    Below,
    /// Something else.
    Other,
}

/// What one statement does with both.
struct Uses {
    from: Vec<Use>,
    to: Vec<Use>,
    by_between: bool,
}

pub(super) fn check(read: &Read<'_>, place: Place<'_>, found: &mut Findings) {
    if place.pages != Pages::Probed {
        return;
    }
    for (path, statement) in &read.statements {
        if !statement.names.iter().any(|name| name == "page") {
            of_statement(path, statement, found);
        }
    }
    if let Some((path, probe)) = &read.probe
        && let Some(rows) = constant_limit(&probe.tokens)
    {
        found.warning(
            *path,
            format!(
                "takes {rows} rows and no more: rows behind them are in no page, and the run succeeds without them. One \
                 answer has all pages of a slice, and is asked for more by :after only where they have no room. \
                 Leave it out, and set the size of a page where the keys are grouped (docs/HANDLERS.md)"
            ),
        );
    }
}

fn of_statement(path: &str, statement: &Statement, found: &mut Findings) {
    let uses = Uses::of(&statement.tokens);
    match (uses.from.is_empty(), uses.to.is_empty()) {
        (true, true) => {}
        (false, false) => both(path, &uses, found),
        (false, true) => one(path, statement, &uses.from, (FROM, TO), found),
        (true, false) => one(path, statement, &uses.to, (TO, FROM), found),
    }
}

/// A page that is bounded at one end.
fn one(
    path: &str,
    statement: &Statement,
    uses: &[Use],
    (named, other): (&str, &str),
    found: &mut Findings,
) {
    if !uses.iter().any(|one| one.is_lower() || one.is_upper()) {
        return;
    }
    let message = format!(
        "names {named} and not {other}: each page takes the rows of others too, so that they are done several times, and \
         the run succeeds all the same. Write {CONDITION}"
    );
    let tokens = &statement.tokens;
    let takes_so_many = tokens.iter().any(|token| SO_MANY.contains(&token.as_str()));
    // With a number of rows, or named twice, it may be bounded otherwise.
    if uses.len() == 1 && !takes_so_many {
        found.fault(path, message);
    } else {
        found.warning(
            path,
            format!("{message}, unless something else bounds it there"),
        );
    }
}

fn both(path: &str, uses: &Uses, found: &mut Findings) {
    let (from, to) = (&uses.from, &uses.to);
    if from.iter().all(|one| one.is_upper()) && to.iter().all(|one| one.is_lower()) {
        let message = format!(
            "takes {TO} for the first key of a page and {FROM} for the last: no row is between them. Write {CONDITION}"
        );
        match uses.by_between {
            true => found.fault(path, message),
            false => found.warning(path, message),
        }
        return;
    }
    if from.contains(&Use::Above) && !from.contains(&Use::AtLeast) {
        let message = format!(
            "leaves out the first key of each page, which is in the page: write `>= {FROM}`, or {CONDITION}"
        );
        found.warning(path, message);
    }
    if to.contains(&Use::Below) && !to.contains(&Use::AtMost) {
        let message = format!(
            "leaves out the last key of each page, which is in the page: write `<= {TO}`, or {CONDITION}"
        );
        found.warning(path, message);
    }
    let none = |uses: &[Use], is_that: fn(Use) -> bool| {
        !uses.iter().any(|one| is_that(*one) || *one == Use::Other)
    };
    if none(from, Use::is_lower) || none(to, Use::is_upper) {
        let message = format!(
            "compares {FROM} and {TO} in one direction: rows of other pages are taken too, so that they are done several \
             times, and the run succeeds all the same. Write {CONDITION}"
        );
        found.warning(path, message);
    }
}

impl Use {
    fn is_lower(self) -> bool {
        matches!(self, Use::AtLeast | Use::Above)
    }

    fn is_upper(self) -> bool {
        matches!(self, Use::AtMost | Use::Below)
    }

    /// `KEY sign BOUND`.
    fn behind(sign: &str) -> Use {
        match sign {
            ">=" => Use::AtLeast,
            ">" => Use::Above,
            "<=" => Use::AtMost,
            "<" => Use::Below,
            _ => Use::Other,
        }
    }

    /// `BOUND sign KEY`.
    fn before(sign: &str) -> Use {
        match sign {
            "<=" => Use::AtLeast,
            "<" => Use::Above,
            ">=" => Use::AtMost,
            ">" => Use::Below,
            _ => Use::Other,
        }
    }
}

impl Uses {
    fn of(tokens: &[String]) -> Uses {
        let mut uses = Uses {
            from: Vec::new(),
            to: Vec::new(),
            by_between: false,
        };
        for (at, token) in tokens.iter().enumerate() {
            let list = match token.as_str() {
                FROM => &mut uses.from,
                TO => &mut uses.to,
                _ => continue,
            };
            let between = between(&tokens[..start(tokens, at)]);
            list.push(match between {
                _ if is_calculated_with(tokens, at) => Use::Other,
                Some(between) => between,
                None => compared(tokens, at),
            });
            uses.by_between |= between.is_some();
        }
        uses
    }
}

/// Where the value at `at` begins: before `CAST(`, if it is one.
fn start(tokens: &[String], at: usize) -> usize {
    match tokens[..at] {
        [.., ref cast, ref open] if cast == "CAST" && open == "(" => at - 2,
        [.., ref open] if open == "(" && at > 1 && is_sign_of_comparison(&tokens[at - 2]) => at - 1,
        _ => at,
    }
}

/// What stands behind the value at `at` and its cast.
fn behind(tokens: &[String], at: usize) -> &[String] {
    match &tokens[at + 1..] {
        [cast, _kind, rest @ ..] if cast == "::" => rest,
        rest => rest,
    }
}

fn is_sign_of_comparison(token: &str) -> bool {
    matches!(token, "<" | ">" | "=" | "!")
}

/// Whether something is added to it, or the like.
fn is_calculated_with(tokens: &[String], at: usize) -> bool {
    let is_sign = |token: &String| matches!(token.as_str(), "+" | "-" | "*" | "/" | "%" | "|");
    behind(tokens, at).first().is_some_and(is_sign)
        || tokens[..start(tokens, at)].last().is_some_and(is_sign)
}

/// What the value behind `before` is to a `BETWEEN`; `None`: it belongs to none.
fn between(before: &[String]) -> Option<Use> {
    let (last, before) = before.split_last()?;
    match last.as_str() {
        "BETWEEN" => Some(Use::AtLeast),
        "AND" => {
            let mut depth = 0_u32;
            let mut back = before.iter().rev().peekable();
            while let Some(token) = back.next() {
                match token.as_str() {
                    ")" => depth += 1,
                    "(" => depth = depth.checked_sub(1)?,
                    "SYMMETRIC" if depth == 0 => return Some(Use::Other),
                    "BETWEEN" if depth == 0 => {
                        let is_not = back.peek().is_some_and(|token| *token == "NOT");
                        return Some(if is_not { Use::Other } else { Use::AtMost });
                    }
                    "AND" | "OR" | "WHERE" | "ON" | "HAVING" if depth == 0 => return None,
                    _ => {}
                }
            }
            None
        }
        _ => None,
    }
}

/// What the value at `at` is to a comparison beside it.
fn compared(tokens: &[String], at: usize) -> Use {
    let before = &tokens[..start(tokens, at)];
    let signs = |tokens: &mut dyn Iterator<Item = &String>| -> Vec<String> {
        let signs = tokens.take_while(|token| is_sign(token));
        signs.cloned().collect()
    };
    let mut left = signs(&mut before.iter().rev());
    left.reverse();
    let key = before.len().checked_sub(left.len() + 1);
    if !left.is_empty() {
        return match key.map(|key| &tokens[key]) {
            Some(key) if !is_bound(key) => Use::behind(&left.concat()),
            _ => Use::Other,
        };
    }
    let right = behind(tokens, at);
    let sign = signs(&mut right.iter());
    match right.get(sign.len()) {
        Some(key) if !sign.is_empty() && !is_bound(key) => Use::before(&sign.concat()),
        _ => Use::Other,
    }
}

fn is_bound(token: &str) -> bool {
    token == FROM || token == TO
}

/// Part of an operator.
fn is_sign(token: &str) -> bool {
    let is_plain = |c: char| {
        c.is_alphanumeric()
            || matches!(
                c,
                '_' | '$' | ':' | '\'' | '(' | ')' | ',' | '.' | ';' | '[' | ']'
            )
    };
    !token.starts_with(is_plain)
}

/// `LIMIT 1000`: the number, where it is more than a scalar's one.
fn constant_limit(tokens: &[String]) -> Option<&str> {
    let limits = tokens
        .windows(3)
        .chain(tokens.len().checked_sub(2).map(|at| &tokens[at..]));
    let numbers = limits.filter_map(|tokens| match tokens {
        [limit, number, ..] if limit == "LIMIT" => Some(number),
        [fetch, first, number] if fetch == "FETCH" && (first == "FIRST" || first == "NEXT") => {
            Some(number)
        }
        _ => None,
    });
    let mut numbers = numbers.map(String::as_str);
    numbers.find(|number| number.parse::<u64>().is_ok_and(|number| number > 1))
}
