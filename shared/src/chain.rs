//! Decides how an error is told: its own words, then those of each of its causes.
//!
//! An error of this workspace says what it failed at and nothing of its cause, which it gives as
//! `source()`. So whoever shows one to a person, to a log or in an answer tells the chain; the words of
//! one level alone would hide why.

use std::error::Error;
use std::fmt;

/// `error` and its causes, joined by colons: `read stream gl-ledger: no answer on $JS.API.INFO within 5s`.
pub fn chain<E: Error + ?Sized>(error: &E) -> Chain<'_, E> {
    Chain(error)
}

/// What [`chain`] gives: shown as the whole chain.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a, E: ?Sized>(&'a E);

impl<E: Error + ?Sized> fmt::Display for Chain<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            let words = cause.to_string();
            // Errors of other crates often end with the words of their cause.
            if !said.ends_with(&words) {
                write!(f, ": {words}")?;
            }
            said = words;
            next = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::api::{ApiError, Fault};
    use crate::broker::batch::BatchError;
    use crate::broker::kv::WriteError;
    use crate::broker::log::{AppendError, FollowError, ReadError};
    use crate::broker::term::ClaimError;
    use crate::broker::topology::TopologyError;
    use crate::broker::{PublishError, RequestError};
    use crate::id::{RunId, Term};
    use crate::presence::PresenceError;
    use crate::reads;
    use crate::telemetry::ServeError;
    use crate::wire::WireError;

    const MARK: &str = "the mark of the cause";

    fn fault() -> Fault {
        Fault {
            description: MARK.into(),
            ..Fault::default()
        }
    }

    fn refused() -> ApiError {
        ApiError::Fault(fault())
    }

    fn silent() -> RequestError {
        RequestError::NoResponders {
            subject: MARK.into(),
        }
    }

    fn read() -> ReadError {
        ReadError {
            stream: "s".into(),
            cause: refused(),
        }
    }

    /// Each error of this crate that has a cause.
    fn with_causes() -> Vec<Box<dyn Error>> {
        let text = String::new;
        vec![
            Box::new(BatchError::Full(fault())),
            Box::new(BatchError::Fault(fault())),
            Box::new(AppendError::Full {
                subject: text(),
                fault: fault(),
            }),
            Box::new(FollowError::Unavailable {
                stream: text(),
                cause: refused(),
            }),
            Box::new(read()),
            Box::new(WriteError::Unknown {
                bucket: text(),
                key: text(),
                cause: silent(),
            }),
            Box::new(WriteError::Failed {
                bucket: text(),
                key: text(),
                cause: refused(),
            }),
            Box::new(ClaimError::Unavailable {
                term: Term(1),
                cause: refused(),
            }),
            Box::new(TopologyError::Create {
                what: text(),
                cause: refused(),
            }),
            Box::new(TopologyError::Look {
                what: text(),
                cause: refused(),
            }),
            Box::new(ServeError::Listen {
                listen: ([127, 0, 0, 1], 1).into(),
                cause: std::io::Error::other(MARK),
            }),
        ]
    }

    /// Those that say only what their cause says.
    fn transparent() -> Vec<Box<dyn Error>> {
        vec![
            Box::new(refused()),
            Box::new(ApiError::Request(silent())),
            Box::new(reads::RunError::Api(refused())),
            Box::new(reads::RunError::Read(read())),
            Box::new(reads::ListError::Ask(PublishError {
                subject: String::new(),
                cause: MARK.into(),
            })),
            Box::new(PresenceError::Wire(WireError::Malformed {
                reason: MARK.into(),
            })),
        ]
    }

    #[test]
    fn each_error_gives_its_cause_and_says_only_its_own_level() {
        for error in with_causes() {
            let mut level: &dyn Error = error.as_ref();
            assert!(level.source().is_some(), "{level:?} gives its cause");
            while let Some(cause) = level.source() {
                let (own, causes) = (level.to_string(), cause.to_string());
                assert!(!own.contains(&causes), "{own:?} repeats {causes:?}");
                level = cause;
            }
            assert!(
                level.to_string().contains(MARK),
                "{error:?} ends at {level}"
            );
        }
    }

    #[test]
    fn chain_tells_each_cause_once() {
        for error in with_causes().into_iter().chain(transparent()) {
            let told = chain(error.as_ref()).to_string();
            assert_eq!(told.matches(MARK).count(), 1, "{told}");
        }
        let run = RunId::new("a_s_1").unwrap();
        let alone = reads::RunError::Purged { run };
        assert_eq!(chain(&alone).to_string(), alone.to_string());
        assert_eq!(
            chain(&read()).to_string(),
            format!("read stream s: {MARK} (0)")
        );
    }

    #[test]
    fn cause_that_an_error_of_another_crate_says_already_is_told_once() {
        #[derive(Debug)]
        struct Foreign(std::num::ParseIntError);
        impl fmt::Display for Foreign {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "read it: {}", self.0)
            }
        }
        impl Error for Foreign {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let foreign = Foreign("x".parse::<u8>().unwrap_err());
        assert_eq!(
            chain(&foreign).to_string(),
            "read it: invalid digit found in string"
        );
    }
}
