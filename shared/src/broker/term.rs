//! Who holds the term register: one message in the queue's stream, rewritten by every new leader
//! before it reads anything. What an older leader publishes expects the older message and is refused
//! (docs/PROTOCOL.md §2).

use std::time::Duration;

use async_nats::Subject;
use bytes::Bytes;
use tokio::time::Instant;

use super::api::ApiError;
use super::connect::{Broker, jittered};
use super::log::Record;
use super::log::append::expecting;
use crate::chain;
use crate::id::{Session, Term};

/// An election or a restart of the broker lasts 5 to 7 s; nobody has failed before this.
const PATIENCE: Duration = Duration::from_secs(10);
/// Who claims makes a stream that is not there, once it is sure: at an election it is not found for a moment.
pub const PATIENCE_MISSING: Duration = Duration::from_secs(1);
const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// Once is the rule. More than twice takes other claimants at the same moment.
const ROUNDS_MAX: usize = 100;

/// The register as its holder wrote it: what its batches expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// Its sequence in the queue's stream.
    pub seq: u64,
}

/// A register that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The register.
    pub register: Register,
    /// Whether there was none before it: on a stream that was just made nobody can have published anything by then.
    pub first: bool,
}

/// What the register says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The term that was written.
    pub term: Term,
    /// Who wrote it.
    pub session: Session,
    /// Under which sequence.
    pub seq: u64,
}

/// What stands in the register's place.
enum Written {
    Nothing,
    By(Holder),
    /// Something that is no register, and why. It stands in nobody's way: the next claim overwrites it.
    Nonsense(Record, String),
}

/// Why the register was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Somebody has a higher term, or the same.
    #[error("claim term {}: term {} is held by {}", .term.0, .holder.term.0, .holder.session)]
    Deposed {
        /// The term that was to be written.
        term: Term,
        /// Who holds the register.
        holder: Holder,
    },
    /// The broker cannot, for more than ten seconds, or has not had the stream for a second; it may be written
    /// later.
    #[error("claim term {}", .term.0)]
    Unavailable {
        /// The term that was to be written.
        term: Term,
        /// What the last try saw.
        #[source]
        cause: ApiError,
    },
}

impl ClaimError {
    /// Whether the queue's stream is not there.
    pub fn is_stream_missing(&self) -> bool {
        matches!(self, ClaimError::Unavailable { cause, .. } if cause.is_stream_missing())
    }
}

impl Broker {
    /// Writes `term` into the register for the leader `session`. Only a lower term, the same of the same
    /// leader, or what is no register, is overwritten. The same leader calls it again when the answer to a publish
    /// was lost: what it sent before is refused from then on. Once this returns, nothing lands any more
    /// that expected an older register.
    pub async fn claim_term(&self, term: Term, session: Session) -> Result<Register, ClaimError> {
        let claimed = self.claim_within(term, session, PATIENCE_MISSING).await?;
        Ok(claimed.register)
    }

    /// The same, where a stream that was not found for as long as `missing` is gone.
    pub async fn claim_within(
        &self,
        term: Term,
        session: Session,
        missing: Duration,
    ) -> Result<Claimed, ClaimError> {
        let begun = Instant::now();
        let mut pause = PAUSE_FIRST;
        loop {
            let cause = match self.claim_once(term, session).await? {
                Ok(claimed) => {
                    self.forget_older(claimed.register).await;
                    return Ok(claimed);
                }
                Err(cause) => cause,
            };
            let again = matches!(&cause, ApiError::Fault(fault) if fault.is_wrong_last() || fault.is_busy());
            let patience = if cause.is_stream_missing() {
                missing
            } else {
                PATIENCE
            };
            if !(again || cause.is_passing()) || begun.elapsed() + pause >= patience {
                return Err(ClaimError::Unavailable { term, cause });
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Removes what stood in the register's place before: at the bottom of the stream, the broker has to keep account of
    /// all that is gone above it.
    async fn forget_older(&self, register: Register) {
        let (shards, term) = (self.subjects().shards(), self.subjects().term());
        if let Err(error) = self.purge_below(&shards, &term, register.seq).await {
            tracing::debug!(error = %chain(&error), "older registers stay");
        }
    }

    /// What the register says now; `None` when nobody wrote it, when it is gone with the queue, or when
    /// what stands there is none.
    pub async fn term_holder(&self) -> Result<Option<Holder>, ApiError> {
        Ok(match self.written().await? {
            Written::By(holder) => Some(holder),
            Written::Nothing | Written::Nonsense(..) => None,
        })
    }

    /// What stands in the register's place.
    async fn written(&self) -> Result<Written, ApiError> {
        let register = self.subjects().term();
        let record = self
            .last_of_leader(&self.subjects().shards(), &register)
            .await;
        Ok(match record.map_err(|error| error.cause)? {
            Some(record) => match parse(&record) {
                Ok(holder) => Written::By(holder),
                Err(reason) => Written::Nonsense(record, reason),
            },
            None => Written::Nothing,
        })
    }

    /// One try. The inner error may pass by itself.
    async fn claim_once(
        &self,
        term: Term,
        session: Session,
    ) -> Result<Result<Claimed, ApiError>, ClaimError> {
        let subject = self.subjects().term();
        let (expected, nonsense) = match self.written().await {
            Ok(Written::Nothing) => (0, None),
            Ok(Written::By(holder))
                if holder.term > term || holder.term == term && holder.session != session =>
            {
                return Err(ClaimError::Deposed { term, holder });
            }
            Ok(Written::By(holder)) => (holder.seq, None),
            Ok(Written::Nonsense(record, reason)) => (record.seq, Some((record, reason))),
            Err(cause) => return Ok(Err(cause)),
        };
        let payload = Bytes::from(format!("{} {session}", term.0));
        let rewritten = self
            .rewrite(&Subject::from(subject), payload, expected)
            .await;
        if let (Ok(_), Some((old, reason))) = (&rewritten, nonsense) {
            self.set_aside(&old.subject, old.seq, &reason, &old.payload)
                .await;
        }
        let first = expected == 0;
        Ok(rewritten.map(|register| Claimed { register, first }))
    }

    /// Writes the register, and ends the batches that were opened under an older one. A message of theirs
    /// that is just being stored when they end opens its batch again behind that, and another claimant may
    /// permit open batches at any moment. So the register is written once more, which the broker answers only
    /// when that message is stored, and all of that again until nothing was stored between two writings.
    async fn rewrite(
        &self,
        subject: &Subject,
        payload: Bytes,
        expected: u64,
    ) -> Result<Register, ApiError> {
        let write = async |expected| {
            let headers = Some(expecting(expected, None));
            let stored = self.store(subject, headers, payload.clone()).await?;
            Ok::<_, ApiError>(stored.seq)
        };
        let mut seq = write(expected).await?;
        if !self.has_open_batches() {
            return Ok(Register { seq });
        }
        for _ in 0..ROUNDS_MAX {
            self.permit_open_batches(false).await?;
            let again = write(seq).await?;
            let quiet = again == seq + 1;
            seq = again;
            if quiet {
                self.permit_open_batches(true).await?;
                return Ok(Register { seq });
            }
        }
        self.permit_open_batches(true).await?;
        let shards = self.subjects().shards();
        Err(ApiError::Answer(format!(
            "{shards} is never quiet; is another program publishing to it?"
        )))
    }
}

/// The holder that a record names, or why it names none.
fn parse(record: &Record) -> Result<Holder, String> {
    let holder = std::str::from_utf8(&record.payload).ok().and_then(|text| {
        let (term, session) = text.split_once(' ')?;
        Some(Holder {
            term: Term(term.parse().ok()?),
            session: Session(u64::from_str_radix(session, 16).ok()?),
            seq: record.seq,
        })
    });
    match holder {
        Some(holder) if holder.term.is_possible() => Ok(holder),
        Some(holder) => Err(format!("no leadership can have term {}", holder.term.0)),
        None => Err("no term register; is another program publishing there?".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMs;

    #[test]
    fn register_is_read_back_and_garbage_is_not() {
        let record = |payload: String| Record {
            seq: 9,
            at: UnixMs(0),
            subject: "grid.term".into(),
            payload: payload.into(),
            deletion: false,
        };
        let of = |term: u64| parse(&record(format!("{term} {}", Session(255))));
        let holder = of(7).unwrap();
        assert_eq!(
            (holder.term, holder.session, holder.seq),
            (Term(7), Session(255), 9)
        );
        for bad in ["", "7", "x 1", "7 zz", "-1 1", "18446744073709551616 1"] {
            assert!(parse(&record(bad.into())).is_err(), "{bad:?}");
        }
        assert!(of(Term::MAX.0).is_ok());
        assert!(of(Term::MAX.0 + 1).is_err() && of(u64::MAX).is_err());
    }
}
