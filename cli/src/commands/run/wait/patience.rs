//! How long a tail may be without an answer of the broker before waiting for a run is given up.
//!
//! A member of a cluster that dies may lead what is followed: until another one does, and has noticed that a consumer
//! cannot be where the dead one was, a tail says that its stream cannot be read. The run goes on meanwhile.

use std::time::Duration;

use gridloom_shared::broker::log::{FollowError, Followed};
use gridloom_shared::chain;
use tokio::time::Instant;

/// What a tail gives out, without the faults that pass.
#[derive(Debug)]
pub(super) struct Patience {
    within: Duration,
    /// When the stream was last read. One that never was is no fault that passes: a permission may be missing.
    answered: Option<Instant>,
}

impl Patience {
    /// One that lasts so long from the last answer.
    pub(super) fn new(within: Duration) -> Patience {
        Patience {
            within,
            answered: None,
        }
    }

    /// What was given out by `now`; nothing where the stream cannot be read just now.
    ///
    /// # Errors
    /// When it could not be read for too long, is not there, or is another one.
    pub(super) fn take(
        &mut self,
        followed: Result<Followed, FollowError>,
        now: Instant,
    ) -> Result<Option<Followed>, FollowError> {
        match followed {
            Ok(followed) => {
                self.answered = Some(now);
                Ok(Some(followed))
            }
            Err(error) if self.passes(&error, now) => {
                tracing::debug!(error = %chain(&error), "the tail is asked again");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn passes(&self, error: &FollowError, now: Instant) -> bool {
        let is_recent = |answered| now.duration_since(answered) < self.within;
        matches!(error, FollowError::Unavailable { .. })
            && !error.is_stream_missing()
            && self.answered.is_some_and(is_recent)
    }
}

#[cfg(test)]
mod tests {
    use gridloom_shared::broker::RequestError;

    use super::*;

    fn silent() -> FollowError {
        let subject = "a".into();
        let cause = RequestError::TimedOut {
            subject,
            waited: Duration::from_secs(5),
        };
        FollowError::Unavailable {
            stream: "a".to_owned(),
            cause: cause.into(),
        }
    }

    #[test]
    fn election_is_waited_out_and_a_broker_that_stays_away_is_not() {
        let begun = Instant::now();
        let at = |s| begun + Duration::from_secs(s);
        let mut patience = Patience::new(Duration::from_secs(60));
        let quiet = patience.take(Ok(Followed::Quiet), begun);
        assert_eq!(quiet, Ok(Some(Followed::Quiet)));
        assert_eq!(patience.take(Err(silent()), at(15)), Ok(None));
        assert_eq!(patience.take(Err(silent()), at(59)), Ok(None));
        assert_eq!(patience.take(Err(silent()), at(60)), Err(silent()));
    }

    #[test]
    fn stream_that_could_never_be_read_is_told_at_once() {
        let mut patience = Patience::new(Duration::from_secs(60));
        let told = patience.take(Err(silent()), Instant::now());
        assert_eq!(told, Err(silent()));
    }

    #[test]
    fn stream_that_is_another_one_is_told_at_once() {
        let rewound = FollowError::Rewound {
            stream: "a".to_owned(),
            read: 7,
            found: 3,
        };
        let now = Instant::now();
        let mut patience = Patience::new(Duration::from_secs(60));
        let caught_up = patience.take(Ok(Followed::CaughtUp), now);
        assert_eq!(caught_up, Ok(Some(Followed::CaughtUp)));
        assert_eq!(patience.take(Err(rewound.clone()), now), Err(rewound));
    }
}
