//! Where a statement has its named parameters, and what kind of statement it is.
//!
//! A reader of words and quotes, no parser of SQL: it leaves string literals, quoted identifiers,
//! comments and casts (`::`) as they are, writes a placeholder of the dialect for each `:name`, and
//! refuses what would bind nothing or end the statement.

use std::sync::Arc;

use super::dialect::Dialect;
use super::traces::Traces;

/// A statement as a database takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// With the dialect's placeholders.
    pub(super) text: Arc<str>,
    /// The names to bind, in the order of the placeholders.
    pub(super) names: Vec<String>,
    /// What it does, in capitals: the first word, or for `WITH` the word after the named queries.
    pub(super) verb: String,
    /// Whether it may leave something on its connection that no reset takes away. Always `false` in
    /// PostgreSQL, which has one that takes everything.
    pub(super) traces: bool,
}

/// Why a text is no statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StatementError {
    #[error("is empty")]
    Empty,
    #[error("has a quote or comment that does not end: it begins at {0:?}")]
    Unclosed(String),
    #[error("has more than one statement: give a list, one statement an item")]
    Several,
    #[error("has the placeholder {0:?}: use named parameters such as :slice")]
    Placeholder(String),
}

/// Words that say what a statement does after its named queries.
const VERBS: &[&str] = &[
    "SELECT", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE",
];

/// How the placeholder of a name is written where that is not the dialect's usual way (MySQL).
pub(super) type Written<'w> = &'w dyn Fn(&str) -> Option<String>;

/// In the dialect's usual way.
pub(super) fn as_usual(_name: &str) -> Option<String> {
    None
}

impl Statement {
    pub(super) fn read(
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
            verb: String::new(),
            depth: 0,
            brackets: 0,
            ended: false,
            traces: Traces::default(),
        };
        while let Some(next) = reader.rest.chars().next() {
            reader.step(next)?;
        }
        if reader.out.trim().is_empty() {
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
            verb: reader.verb,
            traces,
        })
    }
}

struct Reader<'t> {
    rest: &'t str,
    dialect: Dialect,
    written: Written<'t>,
    out: String,
    names: Vec<String>,
    verb: String,
    depth: u32,
    /// Square brackets that are open.
    brackets: u32,
    /// A semicolon at the end was seen.
    ended: bool,
    traces: Traces,
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
        if let Some(length) = self.quoted(next)? {
            self.traces.quoted(next);
            self.copy(length);
            return Ok(());
        }
        self.traces.sign(next);
        match next {
            ';' => {
                self.ended = true;
                self.rest = &self.rest[1..];
            }
            ':' => self.colon(),
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
            '?' | '@' | '$' => return self.sign(next),
            _ if is_word(next) => self.word(),
            _ => self.copy(next.len_utf8()),
        }
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

    /// A cast, an assignment, or a name.
    fn colon(&mut self) {
        if self.rest.starts_with("::") || self.rest.starts_with(":=") {
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
        self.out.push(sign);
        self.out.push_str(&(place + 1).to_string());
    }

    /// A sign that is a placeholder in some dialects and an operator or a variable in others.
    fn sign(&mut self, sign: char) -> Result<(), StatementError> {
        let after = self.rest[1..].chars().next();
        let binds = match (sign, self.dialect) {
            ('?', Dialect::Postgres) | ('@', Dialect::Postgres | Dialect::MySql) => false,
            ('?', Dialect::Sqlite | Dialect::MySql) => true,
            ('$', Dialect::Postgres) => after.is_some_and(|c| c.is_ascii_digit()),
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
        self.traces.word(&self.rest[..length]);
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

fn find_from(text: &str, from: usize, what: &str) -> Option<usize> {
    text.get(from..)?.find(what).map(|at| from + at)
}

fn unclosed(rest: &str) -> StatementError {
    StatementError::Unclosed(rest.chars().take(20).collect())
}

#[cfg(test)]
mod tests {
    use super::Dialect::{MySql, Postgres, Sqlite};
    use super::*;

    fn text(sql: &str, dialect: Dialect) -> String {
        Statement::read(sql, dialect, &as_usual)
            .unwrap()
            .text
            .to_string()
    }

    fn verb(sql: &str) -> String {
        Statement::read(sql, Postgres, &as_usual).unwrap().verb
    }

    #[test]
    fn names_become_placeholders_of_the_dialect() {
        let sql = "SELECT :slice, :page_from, :slice";
        assert_eq!(text(sql, Sqlite), "SELECT ?1, ?2, ?1");
        assert_eq!(text(sql, Postgres), "SELECT $1, $2, $1");
        assert_eq!(text(sql, MySql), "SELECT ?, ?, ?");
        let names = |dialect| Statement::read(sql, dialect, &as_usual).unwrap().names;
        assert_eq!(names(Postgres), ["slice", "page_from"]);
        assert_eq!(names(MySql), ["slice", "page_from", "slice"]);
    }

    #[test]
    fn quotes_comments_and_casts_are_left_as_they_are() {
        for sql in [
            "SELECT ':a', 'it''s :b', \"q :c\"",
            "SELECT 1 -- :a\n, 2",
            "SELECT /* :a */ 1",
            "SELECT '1'::int, x::text",
            "SELECT '' , ':a'",
        ] {
            for dialect in [Sqlite, Postgres, MySql] {
                assert_eq!(text(sql, dialect), sql);
            }
        }
        for (sql, dialect) in [
            ("SELECT `:a`, '\\':b'", MySql),
            ("SELECT 1 # :a\n", MySql),
            ("SELECT @x := 5, 5--3", MySql),
            ("SELECT [:a], `b`", Sqlite),
            ("SELECT E'\\':a', '\\'", Postgres),
            ("SELECT $$ :a $$, $t$ $$ :b $t$", Postgres),
            ("SELECT /* a /* :b */ :c */ x ? 'k', @ -5", Postgres),
        ] {
            assert_eq!(text(sql, dialect), sql.trim());
        }
    }

    #[test]
    fn casts_of_names_keep_the_cast() {
        assert_eq!(text("SELECT :a::int", Postgres), "SELECT $1::int");
        assert_eq!(text("SELECT a[1:2], :b", Postgres), "SELECT a[1:2], $1");
        for (sql, bound) in [
            ("SELECT a[1:n], a[i:n]", "SELECT a[1:n], a[i:n]"),
            ("SELECT a[1 + f(:x):n]", "SELECT a[1 + f($1):n]"),
            ("SELECT a[:from:to], a[:from]", "SELECT a[$1:to], a[$1]"),
            (
                "SELECT ARRAY[1, :x], a[1: :n]",
                "SELECT ARRAY[1, $1], a[1: $2]",
            ),
        ] {
            assert_eq!(text(sql, Postgres), bound);
        }
    }

    #[test]
    fn names_of_every_language_are_whole_names() {
        let read = Statement::read("SELECT :größe, :день", Postgres, &as_usual).unwrap();
        assert_eq!(read.names, ["größe", "день"]);
        assert_eq!(&*read.text, "SELECT $1, $2");
    }

    #[test]
    fn verb_is_the_word_after_the_named_queries() {
        assert_eq!(verb("  -- hello\n update t set a = 1"), "UPDATE");
        assert_eq!(
            verb("WITH gone AS (DELETE FROM t RETURNING 1) SELECT count(*) FROM gone"),
            "SELECT"
        );
        assert_eq!(
            verb("with a as (select 1) insert into t select * from a"),
            "INSERT"
        );
        assert_eq!(verb("(SELECT 1)"), "");
    }

    #[test]
    fn what_would_bind_nothing_or_end_the_statement_is_refused() {
        let error = |sql, dialect| Statement::read(sql, dialect, &as_usual).unwrap_err();
        assert_eq!(error(" ; ", Postgres), StatementError::Empty);
        assert_eq!(error("SELECT 1; SELECT 2", Sqlite), StatementError::Several);
        assert!(Statement::read("SELECT 1; -- done\n", Sqlite, &as_usual).is_ok());
        assert_eq!(
            error("a = ?", Sqlite),
            StatementError::Placeholder("?".into())
        );
        assert_eq!(
            error("a = $x", Sqlite),
            StatementError::Placeholder("$x".into())
        );
        assert_eq!(
            error("a = $1", Postgres),
            StatementError::Placeholder("$1".into())
        );
        for open in ["SELECT 'a", "SELECT \"a", "/* a", "SELECT $q$ a $$"] {
            assert!(
                matches!(error(open, Postgres), StatementError::Unclosed(_)),
                "{open}"
            );
        }
    }

    #[test]
    fn any_text_is_answered() {
        // A small generator of hostile texts: every string of four pieces.
        let pieces = [
            "'", "\"", "$", "$$", ":", "::", ":a", "/*", "*/", "--", "\n", "é", "[", "\\", ";",
            "?", "E'", "(", ")",
        ];
        let total = pieces.len().pow(4);
        for number in 0..total {
            let picks = (0..4).map(|place| pieces[number / pieces.len().pow(place) % pieces.len()]);
            let sql: String = picks.collect();
            for dialect in [Sqlite, Postgres, MySql] {
                let _ = Statement::read(&sql, dialect, &as_usual);
            }
        }
    }
}
