//! Where a statement has its named parameters, and what kind of statement it is.
//!
//! A reader of words and quotes, no parser of SQL: it leaves string literals, quoted identifiers,
//! comments and casts (`::`) as they are, writes a placeholder of the dialect for each `:name`, and
//! refuses what would bind nothing or end the statement.

use std::ops::Range;
use std::sync::Arc;

use super::Dialect;
use super::traces::Traces;

mod words;

use words::{CONVERSIONS, NEVER_OF_AN_INTEGER, NO_VALUES, TEXTS, VERBS, is_bound, is_one_of};

/// A statement as a database takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// With the dialect's placeholders.
    pub text: Arc<str>,
    /// The names to bind, in the order of the placeholders.
    pub names: Vec<String>,
    /// Where PostgreSQL's placeholders stand in the text, and which name each is of.
    pub places: Vec<(Range<usize>, usize)>,
    /// What it does, in capitals: the first word, or for `WITH` the word after the named queries.
    pub verb: String,
    /// Whether it may leave something on its connection that no reset takes away. Always `false` in
    /// PostgreSQL, which has one that takes everything.
    pub traces: bool,
    /// Whether it has a cast `::`, which no database but PostgreSQL has.
    pub casts: bool,
    /// Whether it casts anything, in whatever words.
    pub converts: bool,
    /// Whether it casts anything but what a name stands for: a column, say.
    pub converts_columns: bool,
    /// The bound of a page that it takes for something that no integer is, and what that is:
    /// `id::text > :after`, `:page_from::uuid`.
    pub not_integer: Option<(String, String)>,
    /// Its words in capitals, its names with their colon, its casts, each of its other signs, and a quote for
    /// whatever is quoted: what stands beside what.
    pub tokens: Vec<String>,
}

/// Why a text is no statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Nothing but space, comments and a semicolon.
    #[error("is empty")]
    Empty,
    /// A quote or a comment, with the text that it begins with.
    #[error("has a quote or comment that does not end: it begins at {0:?}")]
    Unclosed(String),
    /// Something stands behind a semicolon.
    #[error("has more than one statement: give a list, one statement an item")]
    Several,
    /// A placeholder of the database's own, which nothing would bind.
    #[error("has the placeholder {0:?}: use named parameters such as :slice")]
    Placeholder(String),
}

/// How the placeholder of a name is written where that is not the dialect's usual way (MySQL).
pub type Written<'w> = &'w dyn Fn(&str) -> Option<String>;

/// In the dialect's usual way.
pub fn as_usual(_name: &str) -> Option<String> {
    None
}

impl Statement {
    /// Reads one statement. `written` says how the placeholder of a name is written in MySQL.
    ///
    /// # Errors
    /// When it would bind nothing where it should, or is not one statement.
    pub fn read(
        text: &str,
        dialect: Dialect,
        written: Written<'_>,
    ) -> Result<Statement, StatementError> {
        let mut reader = Reader {
            rest: text.trim(),
            dialect,
            written,
            out: String::with_capacity(text.len() + 8),
            names: Vec::new(),
            places: Vec::new(),
            verb: String::new(),
            depth: 0,
            brackets: 0,
            ended: false,
            seen: 0,
            bound: None,
            traces: Traces::default(),
            casts: false,
            converts: false,
            converts_columns: false,
            not_integer: None,
            tokens: Vec::new(),
        };
        while let Some(next) = reader.rest.chars().next() {
            reader.step(next)?;
        }
        if reader.seen == 0 {
            return Err(StatementError::Empty);
        }
        let traces = match dialect {
            Dialect::Postgres => false,
            Dialect::Sqlite => !VERBS.contains(&reader.verb.as_str()),
            Dialect::MySql => reader.traces.found || !VERBS.contains(&reader.verb.as_str()),
        };
        Ok(Statement {
            text: reader.out.trim_end().into(),
            names: reader.names,
            places: reader.places,
            verb: reader.verb,
            traces,
            casts: reader.casts,
            converts: reader.converts,
            converts_columns: reader.converts_columns,
            not_integer: reader.not_integer,
            tokens: reader.tokens,
        })
    }
}

struct Reader<'t> {
    rest: &'t str,
    dialect: Dialect,
    written: Written<'t>,
    out: String,
    names: Vec<String>,
    places: Vec<(Range<usize>, usize)>,
    verb: String,
    depth: u32,
    /// Square brackets that are open.
    brackets: u32,
    /// A semicolon at the end was seen.
    ended: bool,
    /// How much was written up to the end of what is neither space nor comment.
    seen: usize,
    /// The name that came last, if nothing but space came behind it.
    bound: Option<String>,
    traces: Traces,
    casts: bool,
    converts: bool,
    converts_columns: bool,
    not_integer: Option<(String, String)>,
    tokens: Vec<String>,
}

impl Reader<'_> {
    fn step(&mut self, next: char) -> Result<(), StatementError> {
        let space = next.is_whitespace().then_some(next.len_utf8());
        if let Some(length) = self.comment()?.or(space) {
            self.traces.comment(&self.rest[..length]);
            self.copy(length);
            return Ok(());
        }
        if self.ended {
            return Err(StatementError::Several);
        }
        let bound = self.bound.take();
        if let Some(length) = self.quoted(next)? {
            self.traces.quoted(next);
            self.tokens.push("'".to_owned());
            self.copy(length);
            self.seen = self.out.len();
            return Ok(());
        }
        self.traces.sign(next);
        if !is_word(next) && next != ':' {
            self.tokens.push(next.to_string());
        }
        match next {
            ';' => {
                self.ended = true;
                self.rest = &self.rest[1..];
                return Ok(());
            }
            ':' => self.colon(bound),
            '[' | ']' => {
                self.brackets = if next == '[' {
                    self.brackets + 1
                } else {
                    self.brackets.saturating_sub(1)
                };
                self.copy(1);
            }
            '(' | ')' => {
                self.depth = if next == '(' {
                    self.depth + 1
                } else {
                    self.depth.saturating_sub(1)
                };
                self.copy(1);
            }
            '?' | '@' | '$' => self.sign(next)?,
            _ if is_word(next) => self.word(),
            _ => self.copy(next.len_utf8()),
        }
        self.seen = self.out.len();
        Ok(())
    }

    fn copy(&mut self, length: usize) {
        let (taken, rest) = self.rest.split_at(length);
        self.out.push_str(taken);
        self.rest = rest;
    }

    /// Length of the comment that begins here.
    fn comment(&self) -> Result<Option<usize>, StatementError> {
        let rest = self.rest;
        let mysql = self.dialect == Dialect::MySql;
        // In MySQL two dashes begin a comment only before a space: `5--3` is a sum.
        let dashes = rest
            .strip_prefix("--")
            .is_some_and(|after| !mysql || after.chars().next().is_none_or(char::is_whitespace));
        if dashes || (mysql && rest.starts_with('#')) {
            return Ok(Some(rest.find('\n').unwrap_or(rest.len())));
        }
        if !rest.starts_with("/*") {
            return Ok(None);
        }
        let mut depth = 1;
        let mut at = 2;
        while depth > 0 {
            let close = find_from(rest, at, "*/").ok_or_else(|| unclosed(rest))?;
            let open = find_from(rest, at, "/*").filter(|open| *open < close);
            match open {
                // Only PostgreSQL's comments nest.
                Some(open) if self.dialect == Dialect::Postgres => {
                    depth += 1;
                    at = open + 2;
                }
                Some(_) | None => {
                    depth -= 1;
                    at = close + 2;
                }
            }
        }
        Ok(Some(at))
    }

    /// Length of the quoted piece that begins here.
    fn quoted(&self, next: char) -> Result<Option<usize>, StatementError> {
        let rest = self.rest;
        let close = match (next, self.dialect) {
            ('\'' | '"', _) | ('`', Dialect::Sqlite | Dialect::MySql) => next,
            ('[', Dialect::Sqlite) => ']',
            ('$', Dialect::Postgres) => return self.dollar_quoted(),
            _ => return Ok(None),
        };
        let escapes = match self.dialect {
            Dialect::MySql => next != '`',
            // E'...'
            Dialect::Postgres => next == '\'' && self.after_word("E"),
            Dialect::Sqlite => false,
        };
        let mut chars = rest.char_indices().skip(1).peekable();
        while let Some((at, found)) = chars.next() {
            if escapes && found == '\\' {
                chars.next();
            } else if found == close {
                // A doubled quote stands for itself; brackets have no such way.
                if close != ']' && chars.peek().is_some_and(|(_, after)| *after == close) {
                    chars.next();
                } else {
                    return Ok(Some(at + close.len_utf8()));
                }
            }
        }
        Err(unclosed(rest))
    }

    /// `$tag$ ... $tag$`.
    fn dollar_quoted(&self) -> Result<Option<usize>, StatementError> {
        let rest = self.rest;
        let Some(tag) = rest[1..].find('$').map(|end| &rest[..end + 2]) else {
            return Ok(None);
        };
        let word = &tag[1..tag.len() - 1];
        if !word.chars().all(is_word) || word.starts_with(|first: char| first.is_ascii_digit()) {
            return Ok(None);
        }
        let end = find_from(rest, tag.len(), tag).ok_or_else(|| unclosed(rest))?;
        Ok(Some(end + tag.len()))
    }

    /// Whether what was copied last is the word `word` in either case.
    fn after_word(&self, word: &str) -> bool {
        let start = self.out.rfind(|c| !is_word(c)).map_or(0, |at| {
            at + self.out[at..].chars().next().map_or(0, char::len_utf8)
        });
        self.out[start..].eq_ignore_ascii_case(word)
    }

    /// A cast (of the name `bound`, if one stands before it), an assignment, or a name.
    fn colon(&mut self, bound: Option<String>) {
        if self.rest.starts_with("::") {
            self.casts = true;
            self.converts = true;
            self.converts_columns |= bound.is_none();
            let kind = self.rest[2..].trim_start().split(|c| !is_word(c)).next();
            if let (Some(name), Some(kind)) = (bound.filter(|name| is_bound(name)), kind)
                && is_one_of(NEVER_OF_AN_INTEGER, kind)
            {
                self.not_integer = Some((name, kind.to_lowercase()));
            }
            self.tokens.push("::".to_owned());
            return self.copy(2);
        }
        if self.rest.starts_with(":=") {
            return self.copy(2);
        }
        if self.is_between_bounds() {
            return self.copy(1);
        }
        let after = &self.rest[1..];
        let length = after.find(|c| !is_name(c)).unwrap_or(after.len());
        if length == 0 || after.starts_with(|first: char| first.is_ascii_digit()) {
            return self.copy(1);
        }
        let (name, rest) = after.split_at(length);
        self.rest = rest;
        self.placeholder(name);
    }

    /// Whether the colon that comes next stands between the bounds of an array's slice, `a[1:n]`: behind a value and
    /// within brackets, where no name can stand.
    fn is_between_bounds(&self) -> bool {
        let behind = self.out.chars().next_back();
        self.dialect == Dialect::Postgres
            && self.brackets > 0
            && behind.is_some_and(|c| is_word(c) || matches!(c, ')' | ']' | '"'))
    }

    fn placeholder(&mut self, name: &str) {
        self.bound = Some(name.to_owned());
        self.tokens.push(format!(":{name}"));
        if is_bound(name)
            && let Some(kind) = self.compared_with()
        {
            self.not_integer = Some((name.to_owned(), kind));
        }
        if self.dialect == Dialect::MySql {
            self.names.push(name.to_owned());
            match (self.written)(name) {
                Some(written) => self.out.push_str(&written),
                None => self.out.push('?'),
            }
            return;
        }
        let known = self.names.iter().position(|known| known == name);
        let place = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        let sign = if self.dialect == Dialect::Postgres {
            '$'
        } else {
            '?'
        };
        let begins = self.out.len();
        self.out.push(sign);
        self.out.push_str(&(place + 1).to_string());
        self.places.push((begins..self.out.len(), place));
    }

    /// The type of the value that what comes next is compared with, if it was cast to one that is no number.
    fn compared_with(&self) -> Option<String> {
        let before = self.before();
        let value = before.trim_end_matches(['<', '>', '=']);
        let value = if value.len() < before.len() {
            value
        } else {
            let word = last_word(before);
            if !word.eq_ignore_ascii_case("BETWEEN") {
                return None;
            }
            &before[..before.len() - word.len()]
        };
        let value = value.trim_end();
        let kind = last_word(value);
        let is_cast = value[..value.len() - kind.len()].trim_end().ends_with("::");
        (is_cast && (is_one_of(TEXTS, kind) || is_one_of(NEVER_OF_AN_INTEGER, kind)))
            .then(|| kind.to_lowercase())
    }

    /// What was written, without space and comments at its end.
    fn before(&self) -> &str {
        self.out[..self.seen].trim_end()
    }

    /// Whether nothing stands before what comes next that an operator could take.
    fn is_without_left(&self) -> bool {
        let before = self.before();
        let sign = before.chars().next_back();
        sign.is_none_or(|sign| "=<>(,+-*/%|".contains(sign))
            || is_one_of(NO_VALUES, last_word(before))
    }

    /// A sign that is a placeholder in some dialects and an operator or a variable in others.
    fn sign(&mut self, sign: char) -> Result<(), StatementError> {
        let after = self.rest[1..].chars().next();
        let binds = match (sign, self.dialect) {
            // PostgreSQL has operators with it, of two values but for `?-` and `?|`.
            ('?', Dialect::Postgres) => !matches!(after, Some('-' | '|')) && self.is_without_left(),
            ('@', Dialect::Postgres | Dialect::MySql) => false,
            ('?', Dialect::Sqlite | Dialect::MySql) => true,
            ('$', Dialect::Postgres | Dialect::MySql) => after.is_some_and(|c| c.is_ascii_digit()),
            (_, Dialect::Sqlite) => after.is_some_and(is_name),
            _ => false,
        };
        if binds {
            let name = self.rest[1..].chars().take_while(|c| is_name(*c));
            return Err(StatementError::Placeholder(
                std::iter::once(sign).chain(name).collect(),
            ));
        }
        self.copy(1);
        Ok(())
    }

    fn word(&mut self) {
        let length = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        let word = &self.rest[..length];
        if self.depth == 0 && (self.verb.is_empty() || self.verb == "WITH") {
            let word = word.to_ascii_uppercase();
            if self.verb.is_empty() || VERBS.contains(&word.as_str()) {
                self.verb = word;
            }
        }
        let inside = self.rest[length..].trim_start().strip_prefix('(');
        if let Some(inside) = inside.filter(|_| is_one_of(CONVERSIONS, word)) {
            self.converts = true;
            self.converts_columns |= !inside.trim_start().starts_with(':');
        }
        self.traces.word(word);
        self.tokens.push(word.to_uppercase());
        self.copy(length);
    }
}

/// Part of a parameter's name, in whatever language it is written.
fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Part of a word of SQL: `$` may stand inside one.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// The word that `text` ends with; empty if it ends with none.
fn last_word(text: &str) -> &str {
    text.rsplit(|c| !is_word(c)).next().unwrap_or_default()
}

fn find_from(text: &str, from: usize, what: &str) -> Option<usize> {
    text.get(from..)?.find(what).map(|at| from + at)
}

fn unclosed(rest: &str) -> StatementError {
    StatementError::Unclosed(rest.chars().take(20).collect())
}

#[cfg(test)]
mod tests;
