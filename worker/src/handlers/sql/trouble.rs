//! What an error does to an attempt: it is tried again inside the attempt, given up for a while
//! without using the attempt up, or fails the attempt, or the shard for good. Which errors are which
//! stands in [`codes`], how long is tried in [`super::patience`].

use sqlx::Error;
use sqlx::error::DatabaseError;

use super::codes::{self, Row, Verdict};
use crate::failure::Failure;

/// What follows each hint to mend a statement: a run keeps the one that it was opened with.
const THEN: &str = "; a changed job takes a new run (gridloom retry runs the old one)";

/// Why a step did not succeed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nothing is wrong with the statement: it is tried again.
    Again(Verdict, String),
    /// The attempt failed.
    Failed(Failure),
}

impl Trouble {
    /// What is wrong.
    pub(super) fn text(&self) -> &str {
        match self {
            Trouble::Again(_, text) => text,
            Trouble::Failed(failure) => failure.text(),
        }
    }

    /// What `error` means when it came while the engine tried to `doing` ("run the statement").
    pub(super) fn of(error: &Error, doing: &str) -> Trouble {
        let row = row(error);
        let text = format!("{doing}: {}", text(error));
        match row.verdict {
            verdict
            @ (Verdict::Deadlock | Verdict::Contention | Verdict::Away | Verdict::Setup) => {
                Trouble::Again(verdict, text)
            }
            Verdict::Data => Trouble::Failed(Failure::retry(text)),
            Verdict::Statement => {
                let hint = row.hint;
                Trouble::Failed(Failure::permanent(format!("{text}: {hint}{THEN}")))
            }
        }
    }

    /// The same before the job has said anything: nothing that comes up there is its fault.
    pub(super) fn of_setup(error: &Error, doing: &str) -> Trouble {
        let verdict = match row(error).verdict {
            Verdict::Away | Verdict::Deadlock | Verdict::Contention => Verdict::Away,
            Verdict::Setup | Verdict::Data | Verdict::Statement => Verdict::Setup,
        };
        Trouble::Again(verdict, format!("{doing}: {}", text(error)))
    }

    /// Whether another connection may do what this one could not.
    pub(super) fn wants_fresh(&self) -> bool {
        matches!(self, Trouble::Again(Verdict::Away | Verdict::Setup, _))
    }
}

/// The error as people should read it.
fn text(error: &Error) -> String {
    match error {
        Error::Database(error) => match error.code() {
            Some(code) => format!("{} ({code})", error.message()),
            None => error.message().to_owned(),
        },
        Error::PoolTimedOut => "no answer in time".to_owned(),
        other => other.to_string(),
    }
}

fn row(error: &Error) -> Row {
    let of = |what, verdict, hint| Row {
        codes: &[],
        what,
        verdict,
        hint,
    };
    match error {
        Error::Database(error) => own(error.as_ref()),
        Error::Io(_)
        | Error::Protocol(_)
        | Error::PoolTimedOut
        | Error::PoolClosed
        | Error::WorkerCrashed
        | Error::BeginFailed => of("connection", Verdict::Away, ""),
        Error::Configuration(_) | Error::Tls(_) => of("configuration", Verdict::Setup, ""),
        Error::InvalidArgument(_) | Error::Encode(_) | Error::TypeNotFound { .. } => of(
            "a value that the database does not take",
            Verdict::Statement,
            "mend the job's statement",
        ),
        _ => of("an answer that is not understood", Verdict::Data, ""),
    }
}

/// A database's own error.
fn own(error: &dyn DatabaseError) -> Row {
    #[cfg(feature = "postgres")]
    if let Some(error) = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        return postgres(error.code(), error.message(), error.routine());
    }
    #[cfg(feature = "mysql")]
    if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return codes::mysql(error.number(), error.code());
    }
    // SQLite's, by its number; of a driver that is not built in there is none.
    let code = error.code().and_then(|code| code.parse().ok());
    codes::sqlite(code.unwrap_or(1), error.message())
}

#[cfg(feature = "postgres")]
fn postgres(code: &str, message: &str, routine: Option<&str>) -> Row {
    // The message may be in any language, the routine's name is not.
    let stale = routine == Some("RevalidateCachedQuery") || message.contains("cached plan");
    if code == "0A000" && stale {
        return codes::STALE_PLAN;
    }
    // The statements of jobs have no name; those of others behind a pooler have one.
    if code == "26000" && (routine == Some("exec_bind_message") || message.contains("unnamed")) {
        return codes::TYPE_LOOKED_UP;
    }
    codes::sqlstate(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plan_from_before_a_migration_is_no_fault_of_the_statement() {
        let verdict = |message, routine| postgres("0A000", message, routine).verdict;
        let stale = "cached plan must not change result type";
        assert_eq!(verdict(stale, None), Verdict::Away);
        let other = "le plan en cache ne doit pas modifier le type";
        assert_eq!(verdict(other, Some("RevalidateCachedQuery")), Verdict::Away);
        assert_eq!(verdict("no FOR UPDATE here", None), Verdict::Statement);
    }

    #[test]
    fn statement_without_a_name_that_is_gone_is_tried_again_on_its_connection() {
        let verdict = |message, routine| postgres("26000", message, routine).verdict;
        let ours = "unnamed prepared statement does not exist";
        assert_eq!(verdict(ours, None), Verdict::Contention);
        let ours = "die unbenannte vorbereitete Anweisung existiert nicht";
        assert_eq!(
            verdict(ours, Some("exec_bind_message")),
            Verdict::Contention
        );
        let others = "prepared statement \"s1\" does not exist";
        assert_eq!(
            verdict(others, Some("FetchPreparedStatement")),
            Verdict::Away
        );
    }

    #[test]
    fn whatever_comes_up_while_connecting_is_not_the_jobs_fault() {
        for error in [Error::PoolTimedOut, Error::RowNotFound] {
            assert!(Trouble::of_setup(&error, "connect").wants_fresh());
        }
    }
}
