//! What an error does to an attempt: it is tried again inside the attempt, given up for a while
//! without using the attempt up, or fails the attempt, or the shard for good. Also how long is tried.
//! Which errors are which stands in [`codes`].

use std::time::{Duration, Instant};

use gridloom_shared::id::Nonce;
use sqlx::Error;
use sqlx::error::DatabaseError;
use tokio::sync::MutexGuard;
use tokio::time::timeout;

use super::codes::{self, Row, Verdict};
use super::database::Database;
use crate::failure::Failure;
use crate::shard::Shard;

/// Why a step did not succeed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nothing is wrong with the statement: it is tried again.
    Again(Verdict, String),
    /// The attempt failed.
    Failed(Failure),
}

impl Trouble {
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
                Trouble::Failed(Failure::permanent(format!("{text}: {}", row.hint)))
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
    codes::sqlstate(code)
}

/// How long an attempt goes on trying where others are at the same rows.
const CONTENTION_MAX: Duration = Duration::from_secs(60);
/// How long it does where the database is away: a slot that waits serves nobody.
const AWAY_MAX: Duration = Duration::from_secs(5);
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
const TURN_WAIT: Duration = Duration::from_millis(100);
/// A transaction is ended beside a deadlock while it is no older than this: little is lost.
const YOUNG: Duration = Duration::from_secs(10);
/// How long it may still take then.
const MET_WAIT: Duration = Duration::from_millis(200);
/// For how long the job is held when an attempt has tried for long enough.
const HOLD_MIN: Duration = Duration::from_secs(1);
const HOLD_MAX: Duration = Duration::from_secs(30);
/// So many attempts of a shard may end without being used up: hours, not for ever.
pub(super) const HOLDS_MAX: u32 = 1_000;

/// The same in words, for the documentation's test.
#[cfg(test)]
pub(super) const BOUNDS: &[&str] = &[
    "60 s",
    "5 s",
    "1 to 30 s",
    "1 to 4 s",
    "1,000",
    "less than 10 s",
    "0.2 s",
    "0.5 s",
];

/// The waits between tries.
#[derive(Debug)]
pub(super) struct Patience<'a> {
    database: &'a Database,
    shard: &'a Shard,
    /// When the first try failed.
    since: Option<Instant>,
    wait: Duration,
    looked: bool,
    /// Held from the first pass that began in line.
    turn: Option<MutexGuard<'a, ()>>,
    /// A commit's answer was lost: whether it happened must be looked up, however long that takes.
    pub(super) commit_unknown: bool,
}

impl<'a> Patience<'a> {
    pub(super) fn new(database: &'a Database, shard: &'a Shard) -> Self {
        Patience {
            database,
            shard,
            since: None,
            wait: FIRST_WAIT,
            looked: false,
            turn: None,
            commit_unknown: false,
        }
    }

    /// Waits for the shard's turn, where its job has deadlocks.
    pub(super) async fn line_up(&mut self) {
        if self.turn.is_none() {
            self.turn = self.database.calm().turn(self.shard.job().as_str()).await;
        }
    }

    /// Ends where a transaction that just began had better begin anew, in line: others of its job met,
    /// and it still is not done. Those of the line go on.
    pub(super) async fn met(&self) -> Trouble {
        let met = self.database.calm().met(self.shard.job().as_str());
        if self.turn.is_some() || timeout(YOUNG, met).await.is_err() {
            return std::future::pending().await;
        }
        // Most of those that wait for nobody are done by then.
        tokio::time::sleep(MET_WAIT).await;
        Trouble::Again(Verdict::Contention, "wait beside a deadlock".to_owned())
    }

    /// Whether something that seemed to be there may be looked for again: once.
    pub(super) fn looks_again(&mut self) -> bool {
        !std::mem::replace(&mut self.looked, true)
    }

    /// The shard's job, where its shards go one at a time.
    pub(super) fn in_line(&self) -> Option<&'a str> {
        self.turn.as_ref().map(|_| self.shard.job().as_str())
    }

    /// The database did what it was asked for.
    pub(super) fn succeeded(&self) {
        self.database.standing().serves();
    }

    /// Waits before the next try, or says that there is none.
    pub(super) async fn after(&mut self, trouble: Trouble) -> Result<(), Failure> {
        let (verdict, text) = match trouble {
            Trouble::Failed(failure) => return Err(failure),
            Trouble::Again(verdict, text) => (verdict, text),
        };
        self.shard.check()?;
        let tried = self.since.get_or_insert_with(Instant::now).elapsed();
        let enough = match verdict {
            Verdict::Away | Verdict::Setup => {
                self.database.doubt_all();
                tried >= AWAY_MAX || self.database.standing().is_away()
            }
            _ => tried >= CONTENTION_MAX,
        };
        if enough && !self.commit_unknown {
            return Err(self.give_up(verdict, &text));
        }
        tracing::debug!(
            text,
            unknown = self.commit_unknown,
            "sql shard is tried again"
        );
        // In line it waits for those of workers that have yet to learn of it.
        if verdict == Verdict::Deadlock || self.turn.is_some() && tried < YOUNG {
            self.database.calm().heat(self.shard.job().as_str());
        }
        // Anywhere in the wait: those that met once must not meet again.
        tokio::time::sleep(self.wait.mul_f64(random())).await;
        let longest = match self.turn {
            // The others wait for it.
            Some(_) => TURN_WAIT,
            None => LONGEST_WAIT,
        };
        self.wait = (self.wait * 2).min(longest);
        Ok(())
    }

    fn give_up(&self, verdict: Verdict, text: &str) -> Failure {
        let waits = match verdict {
            Verdict::Away | Verdict::Setup => self.database.standing().away(text) / 4,
            _ => 4 * HOLD_MIN,
        };
        if self.shard.attempt() > HOLDS_MAX {
            return Failure::retry(text);
        }
        let longest = waits.clamp(2 * HOLD_MIN, HOLD_MAX);
        Failure::hold(HOLD_MIN + (longest - HOLD_MIN).mul_f64(random()), text)
    }
}

/// From 0 to 1.
fn random() -> f64 {
    f64::from(u32::try_from(Nonce::random().0 & 0xffff_ffff).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::dialect::YIELDS_AFTER;
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
    fn bounds_are_as_the_documentation_says() {
        let of = |seconds| Duration::from_secs(seconds);
        assert_eq!([CONTENTION_MAX, AWAY_MAX, HOLD_MIN], [of(60), of(5), of(1)]);
        assert_eq!([HOLD_MAX, 4 * HOLD_MIN], [of(30), of(4)]);
        assert_eq!(HOLDS_MAX, 1_000);
        assert_eq!(
            [YOUNG, MET_WAIT * 5, YIELDS_AFTER * 2],
            [of(10), of(1), of(1)]
        );
    }

    #[test]
    fn whatever_comes_up_while_connecting_is_not_the_jobs_fault() {
        for error in [Error::PoolTimedOut, Error::RowNotFound] {
            assert!(Trouble::of_setup(&error, "connect").wants_fresh());
        }
    }
}
