//! Which errors are tried again inside the attempt, which fail it, and which fail the shard for
//! good. Also how long is tried.

use std::time::{Duration, Instant};

use gridloom_shared::chain;

use sqlx::Error;
use sqlx::error::DatabaseError;

use crate::failure::Failure;
use crate::shard::Shard;

/// Why a step did not succeed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nothing is wrong with the statement: a deadlock, a lock that was not free in time, a lost
    /// connection.
    Again(Error),
    /// The attempt failed.
    Failed(Failure),
}

/// What kind of error a database's own is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Passing,
    /// The statement fits neither the database nor its rights: no attempt will differ.
    Statement,
    /// What it found in the tables: another time that may differ.
    Data,
}

impl Trouble {
    /// What `error` means when it came while the engine tried to `doing` ("run the statement").
    pub(super) fn of(error: Error, doing: &str) -> Trouble {
        match kind(&error) {
            Kind::Passing => Trouble::Again(error),
            Kind::Statement => Trouble::Failed(Failure::permanent(format!(
                "{doing}: {}: mend the job or the database",
                text(&error)
            ))),
            Kind::Data => Trouble::Failed(Failure::retry(format!("{doing}: {}", text(&error)))),
        }
    }
}

/// The error as people should read it.
pub(super) fn text(error: &Error) -> String {
    match error {
        Error::Database(error) => match error.code() {
            Some(code) => format!("{} ({code})", error.message()),
            None => error.message().to_owned(),
        },
        other => other.to_string(),
    }
}

fn kind(error: &Error) -> Kind {
    match error {
        Error::Database(error) => own(error.as_ref()),
        Error::Io(_)
        | Error::Tls(_)
        | Error::Protocol(_)
        | Error::PoolTimedOut
        | Error::PoolClosed
        | Error::WorkerCrashed
        | Error::BeginFailed => Kind::Passing,
        Error::Configuration(_)
        | Error::InvalidArgument(_)
        | Error::Encode(_)
        | Error::TypeNotFound { .. } => Kind::Statement,
        _ => Kind::Data,
    }
}

/// A database's own error.
fn own(error: &dyn DatabaseError) -> Kind {
    #[cfg(feature = "postgres")]
    if let Some(error) = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        return postgres(error.code());
    }
    #[cfg(feature = "mysql")]
    if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return mysql(error.number());
    }
    #[cfg(feature = "sqlite")]
    if error
        .try_downcast_ref::<sqlx::sqlite::SqliteError>()
        .is_some()
    {
        let code = error.code().and_then(|code| code.parse().ok());
        return sqlite(code.unwrap_or(1), error.message());
    }
    // Of a driver that is not built in there is none.
    let _ = error;
    Kind::Data
}

/// By SQLSTATE.
#[cfg(feature = "postgres")]
fn postgres(code: &str) -> Kind {
    match code {
        // Serialisation, deadlock, lock timeout, idle too long, shutdown, start, no free slot.
        "40001" | "40P01" | "55P03" | "25P03" | "25P04" | "57P01" | "57P02" | "57P03" | "57P05"
        | "53300" => Kind::Passing,
        // Invalid password and no such database: the configuration, which may be mended.
        "28000" | "28P01" | "3D000" => Kind::Data,
        _ => match code.get(..2) {
            Some("08" | "40") => Kind::Passing,
            Some("42" | "3F" | "0A") => Kind::Statement,
            _ => Kind::Data,
        },
    }
}

/// By number.
#[cfg(feature = "mysql")]
fn mysql(number: u16) -> Kind {
    match number {
        // Too many connections, shutdown, network, lock wait, deadlock, killed, gone, idle too long.
        1040 | 1053 | 1158..=1161 | 1205 | 1213 | 1927 | 2006 | 2013 | 3572 | 4031 => Kind::Passing,
        // Syntax, unknown table, column, function; rights on tables; columns and values differ.
        1051 | 1054 | 1064 | 1109 | 1136 | 1142 | 1143 | 1146 | 1149 | 1305 | 1370 => {
            Kind::Statement
        }
        _ => Kind::Data,
    }
}

/// By result code; what a statement lacks has no code of its own.
#[cfg(feature = "sqlite")]
fn sqlite(code: i32, message: &str) -> Kind {
    const STATEMENT: &[&str] = &[
        "no such ",
        "near \"",
        "incomplete input",
        "unrecognized token",
        "ambiguous column",
        "has no column named",
        "wrong number of arguments",
        "misuse of ",
    ];
    match code & 0xff {
        // Busy, locked, and a disk that failed: whether a commit got through must be looked up.
        5 | 6 | 10 => Kind::Passing,
        1 if STATEMENT.iter().any(|words| message.contains(words)) => Kind::Statement,
        1 if message.contains("values for ") && message.contains("columns") => Kind::Statement,
        _ => Kind::Data,
    }
}

/// How long an attempt goes on trying: until its shard is to stop, and no longer than this where
/// nothing is at stake.
const LONGEST: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// The waits between tries.
#[derive(Debug)]
pub(super) struct Patience {
    began: Instant,
    wait: Duration,
    /// A commit's answer was lost: whether it happened must be looked up, however long that takes.
    pub(super) commit_unknown: bool,
}

impl Patience {
    pub(super) fn new() -> Self {
        Patience {
            began: Instant::now(),
            wait: FIRST_WAIT,
            commit_unknown: false,
        }
    }

    /// Waits before the next try, or says that there is none.
    pub(super) async fn after(&mut self, trouble: Trouble, shard: &Shard) -> Result<(), Failure> {
        let error = match trouble {
            Trouble::Failed(failure) => return Err(failure),
            Trouble::Again(error) => error,
        };
        shard.check()?;
        let elapsed = self.began.elapsed();
        if elapsed >= LONGEST && !self.commit_unknown {
            let (seconds, text) = (elapsed.as_secs(), text(&error));
            let message = format!("get through to the database for {seconds} s: {text}");
            return Err(Failure::retry(message));
        }
        tracing::debug!(error = %chain(&error), unknown = self.commit_unknown, "sql shard is tried again");
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlocks_and_lost_connections_pass_and_wrong_statements_never_do() {
        assert_eq!(postgres("40P01"), Kind::Passing);
        assert_eq!(postgres("55P03"), Kind::Passing);
        assert_eq!(postgres("08006"), Kind::Passing);
        assert_eq!(postgres("42P01"), Kind::Statement);
        assert_eq!(postgres("23505"), Kind::Data);
        assert_eq!(mysql(1213), Kind::Passing);
        assert_eq!(mysql(1064), Kind::Statement);
        assert_eq!(mysql(1062), Kind::Data);
        assert_eq!(sqlite(5, "database is locked"), Kind::Passing);
        assert_eq!(sqlite(517, "database is locked"), Kind::Passing);
        assert_eq!(sqlite(1, "no such table: t"), Kind::Statement);
        assert_eq!(sqlite(1, "integer overflow"), Kind::Data);
        assert_eq!(sqlite(1555, "UNIQUE constraint failed"), Kind::Data);
        assert_eq!(kind(&Error::PoolTimedOut), Kind::Passing);
    }
}
