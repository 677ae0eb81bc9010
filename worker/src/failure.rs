//! Why an attempt did not succeed, and whether another one is worth the while.

use std::fmt;
use std::time::Duration;

use gridloom_shared::chain;
use gridloom_shared::ledger::outcomes::{ERROR_MAX, Failed, Retry};
use gridloom_shared::limits::WAIT_MAX;

/// How an attempt failed. Made by [`Failure::retry`], [`Failure::retry_after`], [`Failure::hold`] or
/// [`Failure::permanent`]; `?` on any [`std::error::Error`] makes one that is tried again, with the
/// whole chain of causes in its text.
///
/// It is no `std::error::Error` itself: that is what lets `?` take every error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    text: String,
    next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Backoff,
    After(Duration),
    Hold(Duration),
    Never,
    /// The attempt was told to stop: no outcome at all.
    Stopped,
}

impl Failure {
    /// Another attempt follows after the job's backoff, up to its `max_attempts`.
    pub fn retry(cause: impl fmt::Display) -> Failure {
        Failure::new(format!("{cause:#}"), Next::Backoff)
    }

    /// Another attempt follows after `wait` instead of the job's backoff, up to its `max_attempts`. At most
    /// 30 days: a longer wait is taken for that.
    pub fn retry_after(wait: Duration, cause: impl fmt::Display) -> Failure {
        Failure::new(format!("{cause:#}"), Next::After(wait))
    }

    /// What the shard needs cannot serve for now: a rate limit (a 429), a replica that lags, a service that
    /// is being restarted. The planner issues nothing of the whole job, or of any job that names the same
    /// `limits.resource`, before `wait` is over; then this shard is tried again, and the attempt counts as
    /// none of its `max_attempts`. From a tenth of a second to 30 days.
    pub fn hold(wait: Duration, cause: impl fmt::Display) -> Failure {
        Failure::new(format!("{cause:#}"), Next::Hold(wait))
    }

    /// No other attempt follows: the shard is dead.
    pub fn permanent(cause: impl fmt::Display) -> Failure {
        Failure::new(format!("{cause:#}"), Next::Never)
    }

    /// The attempt was told to stop; what it says is not recorded.
    pub(crate) fn stopped(why: &str) -> Failure {
        Failure::new(why.to_owned(), Next::Stopped)
    }

    fn new(mut text: String, next: Next) -> Failure {
        text.truncate(text.floor_char_boundary(ERROR_MAX));
        Failure { text, next }
    }

    /// What went wrong, at most 1 KiB.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether no other attempt is to follow.
    pub fn is_permanent(&self) -> bool {
        self.next == Next::Never
    }

    /// Whether the attempt counts as none ([`Failure::hold`]).
    pub fn is_hold(&self) -> bool {
        matches!(self.next, Next::Hold(_))
    }

    /// Whether this came from [`crate::Shard::check`]: the attempt was told to stop.
    pub fn is_stop(&self) -> bool {
        self.next == Next::Stopped
    }

    /// A word for what follows.
    pub(crate) fn kind(&self) -> &'static str {
        match self.next {
            Next::Backoff | Next::After(_) | Next::Stopped => "retry",
            Next::Hold(_) => "hold",
            Next::Never => "permanent",
        }
    }

    /// What goes into the ledger.
    pub(crate) fn into_failed(self) -> Failed {
        let retry = match self.next {
            Next::Backoff | Next::Stopped => Retry::Backoff,
            Next::After(wait) => Retry::AfterMs(milliseconds(wait)),
            Next::Hold(wait) => Retry::Hold(milliseconds(wait)),
            Next::Never => Retry::Never,
        };
        Failed {
            error: self.text,
            retry,
        }
    }
}

fn milliseconds(wait: Duration) -> u64 {
    u64::try_from(wait.min(WAIT_MAX).as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::new(chain(&error).to_string(), Next::Backoff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_between_characters() {
        let failure = Failure::permanent("é".repeat(1_000));
        assert_eq!(failure.text().len(), ERROR_MAX);
        let odd = Failure::retry(format!("x{}", "é".repeat(1_000)));
        assert_eq!(odd.text().len(), ERROR_MAX - 1);
    }

    #[test]
    fn question_mark_keeps_the_chain_of_causes_and_tries_again() {
        #[derive(Debug, thiserror::Error)]
        #[error("read the list")]
        struct Outer(#[source] std::num::ParseIntError);
        fn parse() -> Result<(), Failure> {
            "x".parse::<u8>().map_err(Outer)?;
            Ok(())
        }
        let failure = parse().unwrap_err();
        assert_eq!(
            failure.text(),
            "read the list: invalid digit found in string"
        );
        assert_eq!(failure.into_failed().retry, Retry::Backoff);
    }

    #[test]
    fn what_follows_is_what_the_handler_said() {
        let after = Failure::retry_after(Duration::from_millis(70), "busy").into_failed();
        assert_eq!(after.retry, Retry::AfterMs(70));
        let hold = Failure::hold(Duration::from_secs(2), "429").into_failed();
        assert_eq!(hold.retry, Retry::Hold(2_000));
        let ever = Failure::retry_after(Duration::MAX, "later").into_failed();
        assert_eq!(ever.retry, Retry::AfterMs(30 * 24 * 3_600 * 1_000));
        assert_eq!(Failure::permanent("no").into_failed().retry, Retry::Never);
    }
}
