//! What a statement of MySQL may leave on its connection: user variables, locks by name, whatever a
//! stored function or a procedure does. MySQL has no statement that takes them away, so a connection
//! that may bear some is closed.
//!
//! Errs on the side of closing: what is not known to be harmless may leave something. What triggers
//! and views do stands in no statement and is not seen.

/// Words before a parenthesis that call nothing, and functions that leave nothing.
const HARMLESS: &[&str] = &[
    "ABS",
    "ADDDATE",
    "AGAINST",
    "ALL",
    "AND",
    "ANY",
    "AS",
    "ASCII",
    "AVG",
    "BETWEEN",
    "BIGINT",
    "BINARY",
    "BIT_AND",
    "BIT_OR",
    "BIT_XOR",
    "BY",
    "CASE",
    "CAST",
    "CEIL",
    "CEILING",
    "CHAR",
    "CHARACTER_LENGTH",
    "CHAR_LENGTH",
    "COALESCE",
    "CONCAT",
    "CONCAT_WS",
    "CONFLICT",
    "CONV",
    "CONVERT",
    "COUNT",
    "CRC32",
    "CURRENT_DATE",
    "CURRENT_TIMESTAMP",
    "DATE",
    "DATEDIFF",
    "DATE_ADD",
    "DATE_FORMAT",
    "DATE_SUB",
    "DAY",
    "DAYOFWEEK",
    "DAYOFYEAR",
    "DECIMAL",
    "DENSE_RANK",
    "DISTINCT",
    "DIV",
    "DUPLICATE",
    "ELSE",
    "ELT",
    "EXCEPT",
    "EXISTS",
    "EXTRACT",
    "FIELD",
    "FIRST_VALUE",
    "FLOOR",
    "FORCE",
    "FORMAT",
    "FROM",
    "FROM_UNIXTIME",
    "GREATEST",
    "GROUPING",
    "GROUP_CONCAT",
    "HAVING",
    "HEX",
    "HOUR",
    "IF",
    "IFNULL",
    "IGNORE",
    "IN",
    "INDEX",
    "INSERT",
    "INSTR",
    "INT",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "ISNULL",
    "JOIN",
    "JSON_ARRAY",
    "JSON_EXTRACT",
    "JSON_OBJECT",
    "JSON_TABLE",
    "JSON_UNQUOTE",
    "JSON_VALUE",
    "KEY",
    "LAG",
    "LAST_DAY",
    "LAST_VALUE",
    "LCASE",
    "LEAD",
    "LEAST",
    "LEFT",
    "LENGTH",
    "LIKE",
    "LN",
    "LOCATE",
    "LOG",
    "LOWER",
    "LPAD",
    "LTRIM",
    "MATCH",
    "MAX",
    "MD5",
    "MICROSECOND",
    "MID",
    "MIN",
    "MINUTE",
    "MOD",
    "MONTH",
    "NOT",
    "NOW",
    "NTILE",
    "NULLIF",
    "ON",
    "OR",
    "OVER",
    "PARTITION",
    "POSITION",
    "POW",
    "POWER",
    "RANK",
    "REGEXP",
    "REPEAT",
    "REPLACE",
    "REVERSE",
    "RIGHT",
    "RLIKE",
    "ROUND",
    "ROW",
    "ROW_NUMBER",
    "RPAD",
    "RTRIM",
    "SECOND",
    "SELECT",
    "SET",
    "SHA1",
    "SHA2",
    "SIGN",
    "SIGNED",
    "SOME",
    "SQRT",
    "STD",
    "STDDEV",
    "STRCMP",
    "STR_TO_DATE",
    "SUBDATE",
    "SUBSTR",
    "SUBSTRING",
    "SUBSTRING_INDEX",
    "SUM",
    "THEN",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPADD",
    "TIMESTAMPDIFF",
    "TO_DAYS",
    "TRIM",
    "TRUNCATE",
    "UCASE",
    "UNHEX",
    "UNION",
    "UNIX_TIMESTAMP",
    "UNSIGNED",
    "UPPER",
    "USE",
    "USING",
    "UTC_TIMESTAMP",
    "UUID",
    "VALUE",
    "VALUES",
    "VARIANCE",
    "WEEK",
    "WEEKDAY",
    "WHEN",
    "WHERE",
    "WITHIN",
    "XOR",
    "YEAR",
];
/// Words after which a name of a table or of a named query comes, whose parenthesis lists columns.
const NAMES_FOLLOW: &[&str] = &[
    "AS",
    "IGNORE",
    "INSERT",
    "INTO",
    "RECURSIVE",
    "REPLACE",
    "WITH",
];

/// Reads a statement word by word.
#[derive(Debug, Default)]
pub(super) struct Traces {
    pub(super) found: bool,
    /// The last word, in capitals, and the one before its name began.
    word: String,
    before: String,
    /// Whether the last word is a quoted one.
    quoted: bool,
    /// What came after the last word, but for space.
    between: bool,
    /// A dot came last: the next word goes on with the name.
    dotted: bool,
}

impl Traces {
    pub(super) fn word(&mut self, word: &str) {
        self.name(word.to_ascii_uppercase(), false);
    }

    /// A quoted piece; in backquotes it is a name.
    pub(super) fn quoted(&mut self, quote: char) {
        if quote == '`' {
            self.name(String::new(), true);
        } else {
            self.between = true;
        }
    }

    pub(super) fn comment(&mut self, comment: &str) {
        // MySQL and MariaDB execute these.
        self.found |= comment.starts_with("/*!") || comment.starts_with("/*M!");
    }

    pub(super) fn sign(&mut self, sign: char) {
        match sign {
            // A user's or the session's variable.
            '@' => self.found = true,
            '.' => self.dotted = true,
            '(' if !self.between && !self.word_is_harmless() => self.found = true,
            _ => {}
        }
        // A word does its own account after this.
        self.between |= !(sign.is_alphanumeric() || matches!(sign, '_' | '$' | '.'));
    }

    fn name(&mut self, word: String, quoted: bool) {
        if !std::mem::take(&mut self.dotted) {
            let last = std::mem::take(&mut self.word);
            self.before = if self.between { String::new() } else { last };
        }
        (self.word, self.quoted, self.between) = (word, quoted, false);
    }

    fn word_is_harmless(&self) -> bool {
        let is = |list: &[&str], word: &String| list.binary_search(&word.as_str()).is_ok();
        is(NAMES_FOLLOW, &self.before)
            || (!self.quoted && (self.word.is_empty() || is(HARMLESS, &self.word)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::super::names::Statement;
    use super::*;

    fn traces(sql: &str, dialect: Dialect) -> bool {
        Statement::read(sql, dialect, &|_| None).unwrap().traces
    }

    #[test]
    fn lists_are_in_order() {
        assert!(HARMLESS.is_sorted() && NAMES_FOLLOW.is_sorted());
    }

    #[test]
    fn plain_statements_leave_nothing() {
        for sql in [
            "UPDATE sums SET total = total + (SELECT sum(n) FROM items WHERE id IN (1, 2))",
            "INSERT INTO sums (id, total) VALUES (:slice, 1) ON DUPLICATE KEY UPDATE total = VALUES(total)",
            "INSERT INTO `grid`.`sums` (id) SELECT id FROM items",
            "INSERT IGNORE sums (id) VALUES ('x@y.z')",
            "WITH a (x) AS (SELECT 1) SELECT count(*) FROM a",
            "DELETE FROM t WHERE (a, b) IN ((1, 2)) -- @x",
            "SELECT 1 + (2)",
        ] {
            assert!(!traces(sql, Dialect::MySql), "{sql}");
        }
    }

    #[test]
    fn variables_locks_and_what_is_unknown_may_leave_something() {
        for sql in [
            "SELECT @seen := 1",
            "SELECT id INTO @x FROM items",
            "SELECT GET_LOCK('a', 1)",
            "SELECT ours(1)",
            "SELECT `ours` (1)",
            "SELECT grid.ours(1)",
            "SELECT REPLACE(ours(1), 'a', 'b')",
            "CALL p()",
            "DO sleep(1)",
            "UPDATE t SET a = 1 /*!50000 , b = @x */",
        ] {
            assert!(traces(sql, Dialect::MySql), "{sql}");
        }
    }

    #[test]
    fn sqlite_keeps_what_is_no_plain_statement_and_postgres_nothing() {
        assert!(traces("PRAGMA query_only = 1", Dialect::Sqlite));
        assert!(traces("CREATE TEMP TABLE t (a)", Dialect::Sqlite));
        assert!(!traces(
            "WITH a AS (SELECT 1) UPDATE t SET b = 1",
            Dialect::Sqlite
        ));
        assert!(!traces("SET search_path = other", Dialect::Postgres));
    }
}
