//! What a session of PostgreSQL is told when it is opened, and whether it is ours alone.
//!
//! The limits of all transactions are part of the connection's start: setting a session back
//! (`RESET ALL`) leaves them, and no transaction has to say them. A pooler in transaction mode may stand
//! between: it refuses them, or accepts and forgets them. So the session is asked whether it knows
//! them; where it does not, each transaction says them for itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gridloom_shared::id::Nonce;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Error, PgConnection};

use super::dialect::{CONNECTION_LOOK, Limits};

/// Answers to a connection's start that mean its settings: a pooler's, and those of servers before 14.
const REFUSALS: &[&str] = &["08P01", "0A000", "22023", "42704", "55P02"];

/// A connection of PostgreSQL.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) link: PgConnection,
    /// For how long it waits at most, told at its start; `None` where it may be another each time.
    told: Option<Duration>,
}

impl Session {
    /// What a transaction that may wait for so long has to say.
    pub(super) fn limits(&self, waits: Duration) -> Limits {
        match self.told {
            // A lease is never quite as long as another.
            Some(told) if waits / 2 <= told && told <= waits * 2 => Limits::Told,
            Some(_) => Limits::Waits(waits),
            None => Limits::All {
                waits,
                notices: self.notices(),
            },
        }
    }

    /// Whether the server, told so, looks while it works whether we are still there.
    pub(super) fn notices(&self) -> bool {
        let version = self.link.server_version_num();
        version.is_some_and(|version| version >= 140_000)
    }
}

/// Opens sessions of one database.
pub(super) struct Opener {
    plain: PgConnectOptions,
    told: PgConnectOptions,
    waits: Duration,
    /// Whether settings at the start were refused, and connections without them were not.
    refused: AtomicBool,
}

/// Without its options: passwords stand in them.
impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener(...)")
    }
}

impl Opener {
    /// For sessions that wait for so long at most.
    pub(super) fn new(options: &PgConnectOptions, waits: Duration) -> Opener {
        // Not a number that anybody else would choose: when it comes back, it is ours.
        let odd = Duration::from_millis(1 + Nonce::random().0 % 999);
        let waits = Duration::from_secs(waits.as_secs()) + odd;
        let plain = options
            .clone()
            .application_name("gridloom")
            // A pooler refuses what it does not know.
            .extra_float_digits(None)
            .statement_cache_capacity(0)
            .disable_statement_logging();
        let told = plain.clone().options([
            ("lock_timeout", waits.as_millis()),
            ("idle_in_transaction_session_timeout", waits.as_millis()),
            (
                "client_connection_check_interval",
                CONNECTION_LOOK.as_millis(),
            ),
        ]);
        Opener {
            plain,
            told,
            waits,
            refused: AtomicBool::new(false),
        }
    }

    pub(super) async fn open(&self) -> Result<Session, Error> {
        if !self.refused.load(Ordering::Relaxed) {
            match self.told.connect().await {
                Ok(link) => return self.ask(link).await,
                Err(error) if !is_refusal(&error) => return Err(error),
                Err(_) => {}
            }
        }
        let link = self.plain.connect().await?;
        self.refused.store(true, Ordering::Relaxed);
        Ok(Session { link, told: None })
    }

    /// Whether the session knows what it was told.
    async fn ask(&self, mut link: PgConnection) -> Result<Session, Error> {
        let waits = self.waits.as_millis();
        let text = format!("SELECT 1 WHERE current_setting('lock_timeout') = '{waits}ms'");
        let answer = sqlx::raw_sql(AssertSqlSafe(text))
            .execute(&mut link)
            .await?;
        let told = (answer.rows_affected() == 1).then_some(self.waits);
        Ok(Session { link, told })
    }
}

fn is_refusal(error: &Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| REFUSALS.contains(&code.as_ref()))
}
