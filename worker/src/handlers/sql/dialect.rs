//! What the three kinds of database call things. Sends nothing.

use std::time::Duration;

pub(super) use gridloom_shared::job::handlers::sql::Dialect;

use super::literal::{digits, quoted};

/// The commit table, seen: fails where there is none.
pub(super) const SEE_TABLE: &str =
    "SELECT run_nonce, slice, page, outcome, at FROM gridloom_commit LIMIT 0";

/// How long a shard waits for a row where its job had deadlocks.
pub(super) const YIELDS_AFTER: Duration = Duration::from_millis(500);

/// Statements of MySQL that read or change rows, and nothing else.
const ROWS: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE"];

/// How often PostgreSQL looks whether we are still there while it works for us.
pub(super) const CONNECTION_LOOK: Duration = Duration::from_millis(500);

/// A shard's key in the commit table. Neither part can hold a quote, so it may stand in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommitKey {
    pub(super) nonce: u64,
    pub(super) slice: u32,
    pub(super) page: u32,
}

impl CommitKey {
    fn row(self) -> String {
        let CommitKey { nonce, slice, page } = self;
        format!("run_nonce = '{nonce:016x}' AND slice = {slice} AND page = {page}")
    }
}

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Write,
    Read,
}

/// What a session of PostgreSQL is told about its limits as a transaction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "postgres"),
    allow(dead_code, reason = "no other database has such sessions")
)]
pub(super) enum Limits {
    /// Nothing: it is ours alone and was told when it was opened.
    Told,
    /// The same, but for how long to wait for a lock and for us.
    Waits(Duration),
    /// Everything, for this transaction alone: behind a pooler the next one may be another session.
    /// `notices` says whether the server can look whether we are still there while it works.
    All { waits: Duration, notices: bool },
}

impl Limits {
    fn statements(self) -> Vec<String> {
        let waits = |waits: Duration| {
            let ms = waits.as_millis();
            ["lock_timeout", "idle_in_transaction_session_timeout"]
                .map(|name| format!("SET LOCAL {name} = {ms}"))
                .to_vec()
        };
        let (mut statements, notices) = match self {
            Limits::Told => return Vec::new(),
            Limits::Waits(longest) => return waits(longest),
            Limits::All {
                waits: longest,
                notices,
            } => (waits(longest), notices),
        };
        if notices {
            let look = CONNECTION_LOOK.as_millis();
            statements.push(format!(
                "SET LOCAL client_connection_check_interval = {look}"
            ));
        }
        // What the driver asks for when it connects, and what a reset of the session loses where a
        // pooler connected.
        let driver = [
            "SET LOCAL TimeZone = 'UTC'",
            "SET LOCAL DateStyle = 'ISO, MDY'",
            "SET LOCAL client_encoding = 'UTF8'",
        ];
        statements.extend(driver.map(str::to_owned));
        statements
    }
}

/// How each kind of database says it.
pub(super) trait Speaks: Sized {
    /// The feature that its driver comes with.
    #[cfg(not(all(feature = "sqlite", feature = "postgres", feature = "mysql")))]
    fn feature(self) -> &'static str;

    /// Opens a transaction, in PostgreSQL under `limits`.
    fn begin(self, purpose: Purpose, limits: Limits) -> Vec<String>;

    /// Takes away what the statements told their session, still inside the transaction: the outcome
    /// is then written where the key was, whatever search path or role they chose. What was deferred
    /// to the end comes first, as whoever the statements were.
    fn settle(self) -> &'static [&'static str];

    /// The same behind a transaction that was not settled.
    fn reset(self) -> &'static [&'static str];

    /// Then leaves a session as a new one, behind the end of a transaction: in PostgreSQL the other parts
    /// of `DISCARD ALL`, which may stand in one text with others. The other two have nothing of the kind.
    fn tidy(self) -> &'static [&'static str];

    /// Makes the commit table where it is missing.
    fn create_table(self) -> &'static str;

    /// Whether a statement may end the transaction that it runs in: somebody then sees the shard's key before our own
    /// commit. Procedures of MySQL may, and what changes tables there; what reads or changes rows cannot, and no trigger
    /// or function of it either (error 1422).
    fn may_end(self, verb: &str, text: &str) -> bool;

    /// Inserts a key, with the outcome that is expected or an empty one. One that is there already shows in SQLite as no row affected, elsewhere as an
    /// error: in PostgreSQL it ends the question, so that nothing of the shard runs behind it; MySQL's
    /// way of ignoring duplicates would ignore every other error too. Waits for a transaction that has
    /// inserted the same key and is still open.
    fn insert_key(self, key: CommitKey, outcome: &str) -> String;

    /// Lets the shards of a job that had deadlocks go one at a time in all workers, where a deadlock
    /// costs a second. Job names have no quotes.
    fn line_up(self, job: &str) -> Option<String>;

    /// Lets the statements of such a shard wait for a row for less time than the database waits before
    /// it looks for a deadlock: that is then found at one whose worker does not know of it yet.
    fn yields(self) -> Option<String>;

    /// Marks the transaction as ours, where statements could end it without a word ([`Speaks::may_end`]).
    fn mark(self) -> Option<&'static str>;

    /// Fails where the transaction is no longer the one that was marked.
    fn unmark(self) -> Option<&'static str>;

    /// An outcome as it stands in a statement. Where it is not plain that is the hexadecimal digits of its bytes:
    /// counters have the names of columns, and those any character.
    fn outcome(self, outcome: &str) -> String;

    /// Completes a key that this transaction inserted.
    fn store_outcome(self, key: CommitKey, outcome: &str) -> String;

    /// What is stored for a key.
    fn read_outcome(key: CommitKey) -> String;
}

impl Speaks for Dialect {
    #[cfg(not(all(feature = "sqlite", feature = "postgres", feature = "mysql")))]
    fn feature(self) -> &'static str {
        match self {
            Dialect::Sqlite => "sqlite",
            Dialect::Postgres => "postgres",
            Dialect::MySql => "mysql",
        }
    }

    fn begin(self, purpose: Purpose, limits: Limits) -> Vec<String> {
        let begin = match (self, purpose) {
            // The write lock at once: a transaction that begins by reading may be refused later,
            // without waiting, because another wrote meanwhile.
            (Dialect::Sqlite, Purpose::Write) => "BEGIN IMMEDIATE",
            (Dialect::Sqlite, Purpose::Read) => "BEGIN",
            (Dialect::Postgres | Dialect::MySql, _) => "START TRANSACTION",
        };
        let mut statements = vec![begin.to_owned()];
        if self == Dialect::Postgres {
            statements.extend(limits.statements());
        }
        statements
    }

    fn settle(self) -> &'static [&'static str] {
        match self {
            Dialect::Postgres => &[
                "SET CONSTRAINTS ALL IMMEDIATE",
                "SET SESSION AUTHORIZATION DEFAULT",
                "RESET ALL",
            ],
            Dialect::MySql | Dialect::Sqlite => &[],
        }
    }

    fn reset(self) -> &'static [&'static str] {
        match self {
            Dialect::Postgres => &["SET SESSION AUTHORIZATION DEFAULT", "RESET ALL"],
            Dialect::MySql | Dialect::Sqlite => &[],
        }
    }

    fn tidy(self) -> &'static [&'static str] {
        match self {
            Dialect::Postgres => &[
                "CLOSE ALL",
                "UNLISTEN *",
                "SELECT pg_advisory_unlock_all()",
                "DISCARD TEMP",
                "DISCARD SEQUENCES",
                "DEALLOCATE ALL",
            ],
            Dialect::MySql | Dialect::Sqlite => &[],
        }
    }

    fn create_table(self) -> &'static str {
        match self {
            Dialect::Sqlite => {
                "CREATE TABLE IF NOT EXISTS gridloom_commit (\
                 run_nonce TEXT NOT NULL, slice INTEGER NOT NULL, page INTEGER NOT NULL, \
                 outcome TEXT NOT NULL, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, \
                 PRIMARY KEY (run_nonce, slice, page)) WITHOUT ROWID"
            }
            Dialect::Postgres => {
                "CREATE TABLE IF NOT EXISTS gridloom_commit (\
                 run_nonce CHAR(16) NOT NULL, slice BIGINT NOT NULL, page BIGINT NOT NULL, \
                 outcome TEXT NOT NULL, at TIMESTAMPTZ NOT NULL DEFAULT now(), \
                 PRIMARY KEY (run_nonce, slice, page))"
            }
            Dialect::MySql => {
                "CREATE TABLE IF NOT EXISTS gridloom_commit (\
                 run_nonce CHAR(16) CHARACTER SET ascii NOT NULL, slice BIGINT NOT NULL, \
                 page BIGINT NOT NULL, outcome TEXT NOT NULL, \
                 at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, \
                 PRIMARY KEY (run_nonce, slice, page)) ENGINE=InnoDB"
            }
        }
    }

    fn may_end(self, verb: &str, text: &str) -> bool {
        // What stands in such a comment is executed.
        let says_more = || text.contains("/*!") || text.contains("/*M!");
        self == Dialect::MySql && (!ROWS.contains(&verb) || says_more())
    }

    fn insert_key(self, key: CommitKey, outcome: &str) -> String {
        let CommitKey { nonce, slice, page } = key;
        let outcome = self.outcome(outcome);
        let ignore = match self {
            Dialect::Sqlite => " ON CONFLICT DO NOTHING",
            Dialect::Postgres | Dialect::MySql => "",
        };
        format!(
            "INSERT INTO gridloom_commit (run_nonce, slice, page, outcome) \
             VALUES ('{nonce:016x}', {slice}, {page}, {outcome}){ignore}"
        )
    }

    fn line_up(self, job: &str) -> Option<String> {
        let name = format!("'gridloom {job}'");
        (self == Dialect::Postgres)
            .then(|| format!("SELECT pg_advisory_xact_lock(hashtextextended({name}, 0))"))
    }

    fn yields(self) -> Option<String> {
        let ms = YIELDS_AFTER.as_millis();
        (self == Dialect::Postgres).then(|| format!("SET LOCAL lock_timeout = {ms}"))
    }

    fn mark(self) -> Option<&'static str> {
        (self == Dialect::MySql).then_some("SAVEPOINT gridloom")
    }

    fn unmark(self) -> Option<&'static str> {
        (self == Dialect::MySql).then_some("RELEASE SAVEPOINT gridloom")
    }

    fn outcome(self, outcome: &str) -> String {
        match self {
            _ if outcome.is_empty() => "''".to_owned(),
            Dialect::Sqlite => format!("CAST(X'{}' AS TEXT)", digits(outcome)),
            Dialect::Postgres => quoted(outcome),
            Dialect::MySql => format!("CONVERT(X'{}' USING utf8mb4)", digits(outcome)),
        }
    }

    fn store_outcome(self, key: CommitKey, outcome: &str) -> String {
        let outcome = self.outcome(outcome);
        format!(
            "UPDATE gridloom_commit SET outcome = {outcome} WHERE {}",
            key.row()
        )
    }

    fn read_outcome(key: CommitKey) -> String {
        format!("SELECT outcome FROM gridloom_commit WHERE {}", key.row())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_mysql_only_what_reads_or_changes_rows_cannot_end_its_transaction() {
        let may_end = |verb, text| Dialect::MySql.may_end(verb, text);
        for verb in ["SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE"] {
            assert!(!may_end(verb, "... /* as ever */"));
            for comment in ["/*! CALL */", "/*!50000 CALL */", "/*M!100100 CALL */"] {
                assert!(may_end(verb, comment));
            }
        }
        for verb in [
            "CALL", "CREATE", "LOCK", "SET", "LOAD", "BEGIN", "DO", "WITH", "",
        ] {
            assert!(may_end(verb, "..."), "{verb}");
        }
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            assert!(!dialect.may_end("CALL", "..."));
        }
    }
}
