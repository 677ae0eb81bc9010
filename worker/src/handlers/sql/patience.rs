//! How long an attempt of which a step did not succeed is tried again, and how it waits in between.

use std::time::{Duration, Instant};

use gridloom_shared::id::Nonce;
use tokio::sync::MutexGuard;

use super::super::lacking::HOLDS_MAX;
use super::codes::Verdict;
use super::database::Database;
use super::trouble::Trouble;
use crate::failure::Failure;
use crate::shard::Shard;

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
        // No timer runs beside each transaction for this.
        let began = Instant::now();
        self.database.calm().met(self.shard.job().as_str()).await;
        if self.turn.is_some() || began.elapsed() > YOUNG {
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
            reason = text,
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
    fn bounds_are_as_the_documentation_says() {
        let of = |seconds| Duration::from_secs(seconds);
        assert_eq!([CONTENTION_MAX, AWAY_MAX, HOLD_MIN], [of(60), of(5), of(1)]);
        assert_eq!([HOLD_MAX, 4 * HOLD_MIN], [of(30), of(4)]);
        assert_eq!(
            [YOUNG, MET_WAIT * 5, YIELDS_AFTER * 2],
            [of(10), of(1), of(1)]
        );
    }
}
