//! Which kinds of database there are, and what ends a transaction in each.

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MySQL, MariaDB.
    MySql,
}

impl Dialect {
    /// All of them: which one a job's database is, only the worker's configuration says.
    pub const ALL: [Dialect; 3] = [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql];

    /// By the beginning of a URL.
    pub fn of_scheme(scheme: &str) -> Option<Dialect> {
        match scheme {
            "sqlite" => Some(Dialect::Sqlite),
            "postgres" | "postgresql" => Some(Dialect::Postgres),
            "mysql" | "mariadb" => Some(Dialect::MySql),
            _ => None,
        }
    }

    /// Why a statement that begins with the word `verb` (in capitals) would leave the transaction,
    /// if it would.
    pub fn leaves_transaction(self, verb: &str) -> Option<&'static str> {
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
