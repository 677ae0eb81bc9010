//! What the three kinds of database call things. Sends nothing.

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
    MySql,
}

/// The commit table, seen: fails where there is none.
pub(super) const SEE_TABLE: &str =
    "SELECT run_nonce, slice, page, outcome, at FROM gridloom_commit LIMIT 0";
impl Dialect {
    /// By the beginning of a URL.
    pub(super) fn of_scheme(scheme: &str) -> Option<Dialect> {
        match scheme {
            "sqlite" => Some(Dialect::Sqlite),
            "postgres" | "postgresql" => Some(Dialect::Postgres),
            "mysql" | "mariadb" => Some(Dialect::MySql),
            _ => None,
        }
    }

    /// The feature that its driver comes with.
    #[cfg(not(all(feature = "sqlite", feature = "postgres", feature = "mysql")))]
    pub(super) fn feature(self) -> &'static str {
        match self {
            Dialect::Sqlite => "sqlite",
            Dialect::Postgres => "postgres",
            Dialect::MySql => "mysql",
        }
    }

    pub(super) fn begin(self) -> &'static str {
        match self {
            // The write lock at once: a transaction that begins by reading may be refused later,
            // without waiting, because another wrote meanwhile.
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres | Dialect::MySql => "START TRANSACTION",
        }
    }

    pub(super) fn create_table(self) -> &'static str {
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

    /// Inserts a key: nonce, slice, page. One that is there already shows as no row affected, or in
    /// MySQL as an error (its way of ignoring duplicates would ignore every other error too). Waits
    /// for a transaction that has inserted the same key and is still open.
    pub(super) fn insert_key(self) -> &'static str {
        match self {
            Dialect::Sqlite | Dialect::Postgres => {
                "INSERT INTO gridloom_commit (run_nonce, slice, page, outcome) \
                 VALUES ($1, $2, $3, '') ON CONFLICT DO NOTHING"
            }
            Dialect::MySql => {
                "INSERT INTO gridloom_commit (run_nonce, slice, page, outcome) \
                 VALUES (?, ?, ?, '')"
            }
        }
    }

    /// Completes a key that this transaction inserted: nonce, slice, page, outcome.
    pub(super) fn store_outcome(self) -> &'static str {
        match self {
            Dialect::Sqlite | Dialect::Postgres => {
                "UPDATE gridloom_commit SET outcome = $4 \
                 WHERE run_nonce = $1 AND slice = $2 AND page = $3"
            }
            Dialect::MySql => {
                "UPDATE gridloom_commit SET outcome = ? \
                 WHERE run_nonce = ? AND slice = ? AND page = ?"
            }
        }
    }

    /// What is stored for a key: nonce, slice, page.
    pub(super) fn read_outcome(self) -> &'static str {
        match self {
            Dialect::Sqlite | Dialect::Postgres => {
                "SELECT outcome FROM gridloom_commit \
                 WHERE run_nonce = $1 AND slice = $2 AND page = $3"
            }
            Dialect::MySql => {
                "SELECT outcome FROM gridloom_commit \
                 WHERE run_nonce = ? AND slice = ? AND page = ?"
            }
        }
    }

    /// Why a statement that begins with the word `verb` (in capitals) would leave the transaction,
    /// if it would.
    pub(super) fn leaves_transaction(self, verb: &str) -> Option<&'static str> {
        const CONTROL: &[&str] = &[
            "BEGIN",
            "START",
            "COMMIT",
            "END",
            "ROLLBACK",
            "ABORT",
            "SAVEPOINT",
            "RELEASE",
            "XA",
            "PREPARE",
            "EXECUTE",
            "DEALLOCATE",
        ];
        const COMMITS_IN_MYSQL: &[&str] = &[
            "CREATE",
            "ALTER",
            "DROP",
            "RENAME",
            "TRUNCATE",
            "GRANT",
            "REVOKE",
            "LOCK",
            "UNLOCK",
            "ANALYZE",
            "OPTIMIZE",
            "REPAIR",
            "CHECK",
            "FLUSH",
            "INSTALL",
            "UNINSTALL",
            "SET",
        ];
        if CONTROL.contains(&verb) {
            return Some("the engine runs the statements in a transaction of its own");
        }
        (self == Dialect::MySql && COMMITS_IN_MYSQL.contains(&verb))
            .then_some("MySQL may commit the transaction before it: run it outside the job")
    }
}
