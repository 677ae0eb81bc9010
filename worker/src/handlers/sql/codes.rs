//! What each error of the three databases means, as data: every class of SQLSTATE, the numbers of
//! MySQL and MariaDB, the result codes of SQLite. docs/SQL-ERRORS.md shows the same table, and a test
//! compares them.

/// What an error is, and so what is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Shards met at the same rows, and one had to give way.
    Deadlock,
    /// Others have what it needs.
    Contention,
    /// The database cannot serve just now, or this connection cannot.
    Away,
    /// The worker's configuration, or what the database makes of it.
    Setup,
    /// What the statement found in the tables: another time that may differ.
    Data,
    /// The statement fits neither the database nor its rights: no attempt will differ.
    Statement,
}

/// Errors that mean the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Codes; in SQLSTATE two characters are a whole class, but for those of its codes that stand
    /// apart.
    pub(super) codes: &'static [&'static str],
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the table of the docs shows it")
    )]
    pub(super) what: &'static str,
    pub(super) verdict: Verdict,
    /// How to mend it, for those that no attempt mends.
    pub(super) hint: &'static str,
}

const fn row(codes: &'static [&'static str], what: &'static str, verdict: Verdict) -> Row {
    Row {
        codes,
        what,
        verdict,
        hint: "",
    }
}

const fn told(codes: &'static [&'static str], what: &'static str, hint: &'static str) -> Row {
    Row {
        codes,
        what,
        verdict: Statement,
        hint,
    }
}

use Verdict::{Away, Contention, Data, Deadlock, Setup, Statement};

/// PostgreSQL, by SQLSTATE; for MySQL where its number is in no row of its own.
pub(super) const SQLSTATE: &[Row] = &[
    row(
        &["40", "72"],
        "serialisation failure, deadlock, snapshot too old",
        Deadlock,
    ),
    row(
        &["55P03", "55006"],
        "lock not available in time, object in use",
        Contention,
    ),
    row(
        &["08"],
        "connection lost or refused; what a pooler says of itself",
        Away,
    ),
    row(
        &["25006"],
        "the database takes no writes: a standby, or a failover that goes on",
        Away,
    ),
    row(
        &["25P02", "25P03"],
        "transaction lost: failed before, or idle for too long",
        Away,
    ),
    row(
        &["26", "42P05"],
        "prepared statement of another session, behind a pooler",
        Away,
    ),
    row(&["53"], "out of connections, memory or disk", Away),
    row(
        &["57"],
        "shut down, starting, session ended by an administrator",
        Away,
    ),
    row(
        &["58", "F0"],
        "failure of the server's system or of its configuration file",
        Away,
    ),
    row(
        &["28", "3D", "57P04"],
        "login refused, no such database",
        Setup,
    ),
    row(
        &["00", "01", "02", "03", "09", "0F", "20", "21", "27"],
        "what the rows are: several where one is allowed, no case for one",
        Data,
    ),
    row(
        &["22"],
        "value out of range, malformed, divided by zero",
        Data,
    ),
    row(
        &["23", "40002", "44"],
        "constraint violated: unique, foreign key, check, not null",
        Data,
    ),
    row(
        &["25P04", "57014"],
        "cancelled: the statement or transaction took longer than the database allows, or somebody cancelled it",
        Data,
    ),
    row(
        &["38", "39", "45", "HV", "HZ", "P0", "XA"],
        "raised by a function, a trigger or a foreign server",
        Data,
    ),
    row(
        &["55", "HY", "XX", "10", "70"],
        "object not in the state for that, internal error",
        Data,
    ),
    told(
        &["42", "2F", "3F", "0P", "0L"],
        "syntax, no such table, column, function, schema or role; a type that does not fit",
        "mend the job's statement or the schema",
    ),
    told(
        &["42883"],
        "no such operator or function for values of these types",
        "cast one side (day = :day::date); where it is the key of a page, say key = \"text\" in [sql]",
    ),
    told(
        &["42501"],
        "no right to do that",
        "grant the worker's user the right, or mend the job's statement",
    ),
    told(
        &[
            "0A", "07", "0K", "0N", "0S", "0T", "0U", "0V", "0W", "0X", "0Y", "0Z", "0E", "0D",
            "0M",
        ],
        "not supported by this database",
        "write the job's statement otherwise",
    ),
    told(
        &["25"],
        "not allowed inside a transaction, as VACUUM is not",
        "run it outside the job",
    ),
    told(
        &["0B", "2D", "3B"],
        "the statement begins, ends or rolls back a transaction",
        "take that out: the engine runs the statements in a transaction of its own",
    ),
    told(
        &["24", "34", "3C", "2B"],
        "no such cursor, or something depends on what is dropped",
        "mend the job's statement",
    ),
    told(
        &["54"],
        "too complex, too many columns or arguments",
        "write the job's statement smaller",
    ),
    told(
        &["55P02", "55P04"],
        "setting that only a restart changes, value of a type that was just added",
        "take that out of the job's statement",
    ),
];

/// PostgreSQL's error where a plan no longer fits its table after a migration: its code is one of
/// statements, but the next connection has no such plan.
pub(super) const STALE_PLAN: Row = row(
    &["0A000 *cached plan*"],
    "a plan from before a migration",
    Away,
);

/// PostgreSQL's error where the driver has asked for a type that it did not know (an enum, a type of an extension) between
/// reading a statement and running it: that question took the statement's place. The connection knows the type now.
pub(super) const TYPE_LOOKED_UP: Row = row(
    &["26000 *unnamed*"],
    "a type of the database's own, which the connection did not know yet",
    Contention,
);

/// MySQL and MariaDB, by number. Other numbers go by their SQLSTATE.
pub(super) const MYSQL: &[Row] = &[
    row(
        &["1020", "1180", "1213", "1613", "1614", "3058", "3101"],
        "deadlock, row changed meanwhile, conflict in a cluster",
        Deadlock,
    ),
    row(
        &["1205", "1637", "1689", "3572"],
        "lock wait timeout, too many transactions",
        Contention,
    ),
    row(
        &["1040", "1203", "1226", "1461"],
        "too many connections or prepared statements",
        Away,
    ),
    row(
        &["1021", "1037", "1038", "1041", "1114", "1135"],
        "out of disk, memory or threads",
        Away,
    ),
    row(
        &[
            "1042", "1043", "1047", "1152", "1158", "1159", "1160", "1161", "1184", "2002", "2003",
            "2006", "2013", "2055", "4031",
        ],
        "connection lost, not ready, idle for too long",
        Away,
    ),
    row(
        &["1053", "1077", "1079", "1080", "1927", "3168", "3169"],
        "shut down, session killed",
        Away,
    ),
    row(
        &["1290", "1792", "1836"],
        "the database takes no writes: a replica, or a failover that goes on",
        Away,
    ),
    row(
        &["1243", "1615"],
        "prepared statement gone or out of date",
        Away,
    ),
    row(
        &[
            "1045", "1129", "1130", "1251", "1275", "1698", "1820", "1862", "3118", "3159", "4151",
        ],
        "login refused, host blocked, password expired",
        Setup,
    ),
    row(
        &[
            "1022", "1048", "1062", "1169", "1216", "1217", "1451", "1452", "1557", "1586", "3819",
            "4025",
        ],
        "constraint violated: unique, foreign key, check, not null",
        Data,
    ),
    row(
        &[
            "1242", "1264", "1265", "1292", "1365", "1366", "1367", "1406", "1411", "1690", "3140",
            "3156",
        ],
        "value out of range, malformed, divided by zero; several rows where one is allowed",
        Data,
    ),
    row(
        &["1317", "1969", "3024"],
        "cancelled: took longer than the database allows, or somebody cancelled it",
        Data,
    ),
    row(
        &["1644", "1643"],
        "raised by a procedure or a trigger",
        Data,
    ),
    told(
        &["1142", "1143", "1227", "1370"],
        "no right to do that",
        "grant the worker's user the right, or mend the job's statement",
    ),
    told(
        &[
            "1044", "1049", "1051", "1054", "1064", "1109", "1136", "1146", "1149", "1176", "1193",
            "1267", "1270", "1271", "1305", "1318", "1356", "1364", "1449", "1582", "1584",
        ],
        "syntax, no such table, column, function or procedure; collations that do not mix; no default",
        "mend the job's statement or the schema",
    ),
    told(
        &["1192", "1295", "1399", "1400", "1422", "1568"],
        "not allowed here: commits, locks or cannot be prepared",
        "run it outside the job",
    ),
    told(
        &["1104", "1116", "1117", "1118", "1153", "1301", "1436"],
        "too large: packet, row, join, stack",
        "write the job's statement smaller, or raise the database's limit",
    ),
];

/// SQLite, by primary result code.
pub(super) const SQLITE: &[Row] = &[
    row(
        &["4", "5", "6", "15"],
        "ABORT, BUSY, LOCKED, PROTOCOL: another connection writes",
        Contention,
    ),
    row(
        &["7", "10", "13", "17"],
        "NOMEM, IOERR, FULL, SCHEMA: memory, disk, or a schema that just changed",
        Away,
    ),
    row(
        &["3", "8", "11", "14", "22", "24", "26"],
        "PERM, READONLY, CORRUPT, CANTOPEN, NOLFS, FORMAT, NOTADB: the file",
        Setup,
    ),
    row(
        &["1", "2", "9", "12", "16", "18", "19", "20", "27", "28"],
        "ERROR, INTERNAL, INTERRUPT, NOTFOUND, EMPTY, TOOBIG, CONSTRAINT, MISMATCH, NOTICE, WARNING",
        Data,
    ),
    told(
        &["21", "23", "25"],
        "MISUSE, AUTH, RANGE",
        "mend the job's statement",
    ),
];

/// SQLite's ERROR (1) by what it says: what a statement lacks has no code of its own.
pub(super) const SQLITE_WORDS: &[&str] = &[
    "no such ",
    "near \"",
    "incomplete input",
    "unrecognized token",
    "ambiguous column",
    "has no column named",
    "wrong number of arguments",
    "misuse of ",
    "already exists",
    "may not be ",
    "cannot ",
];
pub(super) const SQLITE_STATEMENT: Row = told(
    &["1 *no such ..., syntax*"],
    "ERROR of the statement, by its words",
    "mend the job's statement or the schema",
);

const UNKNOWN: Row = row(&[], "unknown", Data);

/// By SQLSTATE: a code's own row, or its class's.
pub(super) fn sqlstate(code: &str) -> Row {
    let of = |code: &str| SQLSTATE.iter().find(|row| row.codes.contains(&code));
    let class = || code.get(..2).and_then(of);
    of(code).or_else(class).copied().unwrap_or(UNKNOWN)
}

/// By MySQL's number, else by SQLSTATE.
pub(super) fn mysql(number: u16, state: Option<&str>) -> Row {
    let number = number.to_string();
    let own = MYSQL
        .iter()
        .find(|row| row.codes.contains(&number.as_str()));
    own.copied()
        .unwrap_or_else(|| sqlstate(state.unwrap_or_default()))
}

/// By SQLite's result code, extended or not.
pub(super) fn sqlite(code: i32, message: &str) -> Row {
    let primary = code & 0xff;
    let values = message.contains("values for ") && message.contains("columns");
    if primary == 1 && (values || SQLITE_WORDS.iter().any(|words| message.contains(words))) {
        return SQLITE_STATEMENT;
    }
    let primary = primary.to_string();
    let own = SQLITE
        .iter()
        .find(|row| row.codes.contains(&primary.as_str()));
    own.copied().unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> String {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        std::fs::read_to_string(root.join("docs/SQL-ERRORS.md")).unwrap()
    }

    fn line(row: &Row) -> String {
        let codes: Vec<String> = row.codes.iter().map(|code| format!("`{code}`")).collect();
        let verdict = match row.verdict {
            Deadlock => "deadlock",
            Contention => "contention",
            Away => "away",
            Setup => "setup",
            Data => "data",
            Statement => "statement",
        };
        format!(
            "| {} | {} | {verdict} | {} |",
            codes.join(" "),
            row.what,
            row.hint
        )
        .replace("|  |", "| |")
    }

    /// Each row stands in the documentation as it is here, and nothing else does.
    #[test]
    fn documentation_shows_the_table_that_the_code_goes_by() {
        let page = page();
        let shown: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        let rows = SQLSTATE
            .iter()
            .chain([&STALE_PLAN, &TYPE_LOOKED_UP])
            .chain(MYSQL);
        let rows = rows.chain(SQLITE).chain([&SQLITE_STATEMENT]);
        let expected: Vec<String> = rows.map(line).collect();
        assert_eq!(
            shown,
            expected,
            "docs/SQL-ERRORS.md should have\n{}",
            expected.join("\n")
        );
    }

    #[test]
    fn documentation_says_for_how_long() {
        let page = page();
        for words in super::super::patience::BOUNDS {
            assert!(page.contains(words), "docs/SQL-ERRORS.md lacks {words:?}");
        }
    }

    #[test]
    fn no_code_means_two_things() {
        for table in [SQLSTATE, MYSQL, SQLITE] {
            let mut codes: Vec<_> = table.iter().flat_map(|row| row.codes).collect();
            let all = codes.len();
            codes.sort_unstable();
            codes.dedup();
            assert_eq!(codes.len(), all);
        }
    }

    #[test]
    fn code_of_its_own_goes_before_its_class_and_a_number_before_its_state() {
        assert_eq!(sqlstate("40P01").verdict, Deadlock);
        assert_eq!(sqlstate("40002").verdict, Data);
        assert_eq!(sqlstate("25006").verdict, Away);
        assert_eq!(sqlstate("25001").verdict, Statement);
        assert_eq!(sqlstate("ZZ999").verdict, Data);
        assert_eq!(sqlstate("").verdict, Data);
        assert_eq!(mysql(1205, Some("HY000")).verdict, Contention);
        assert_eq!(mysql(1203, Some("42000")).verdict, Away);
        assert_eq!(mysql(1065, Some("42000")).verdict, Statement);
        assert_eq!(mysql(9_999, None).verdict, Data);
    }

    #[test]
    fn sqlite_says_in_words_what_it_has_no_code_for() {
        assert_eq!(sqlite(517, "database is locked").verdict, Contention);
        assert_eq!(sqlite(1, "no such table: t").verdict, Statement);
        assert_eq!(sqlite(1, "integer overflow").verdict, Data);
        assert_eq!(sqlite(1555, "UNIQUE constraint failed").verdict, Data);
        assert_eq!(sqlite(14, "unable to open database file").verdict, Setup);
    }

    /// A server may answer with any class of the standard, of PostgreSQL or of MySQL.
    #[test]
    fn every_class_stands_in_the_table() {
        const CLASSES: &str = "00 01 02 03 07 08 09 0A 0B 0D 0E 0F 0K 0L 0M 0N 0P 0S 0T 0U 0V 0W 0X 0Y 0Z \
            10 20 21 22 23 24 25 26 27 28 2B 2D 2F 34 38 39 3B 3C 3D 3F 40 42 44 45 53 54 55 57 58 70 72 F0 HV \
            HY HZ P0 XA XX";
        for class in CLASSES.split_whitespace() {
            assert!(
                SQLSTATE.iter().any(|row| row.codes.contains(&class)),
                "{class}"
            );
        }
    }
}
