//! Where attempts wait for callbacks, and where those come in. By the rules of outcomes: a success counts with the token of any
//! attempt at the shard, as the effect under its key has happened; a failure counts with that of the attempt which waits, as
//! another one has begun since.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use gridloom_shared::callback::{Awaited, Call, Heard, Said, Ticket, Token};
use gridloom_shared::id::{Namespace, Nonce, Session};
use tokio::sync::oneshot;

use crate::shard::Shard;

/// A shard, whatever its attempt.
type Cell = (Nonce, u32, u32);

/// The attempts of a worker that await a callback.
#[derive(Debug)]
pub(crate) struct Callbacks {
    namespace: Namespace,
    session: Session,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// How many there were ever.
    count: u64,
    entries: HashMap<Cell, Entry>,
}

struct Entry {
    number: u64,
    shard: Shard,
    awaited: Awaited,
    /// What tokens are made of.
    secret: String,
    /// To whom waits; `None` once something was said, of which that is the proof.
    said: Result<oneshot::Sender<Said>, Bytes>,
}

/// Without its secret.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("awaited", &self.awaited)
            .finish_non_exhaustive()
    }
}

/// A callback that an attempt awaits. When this is dropped nobody awaits it any more.
#[derive(Debug)]
pub(crate) struct Expected {
    desk: Arc<Callbacks>,
    cell: Cell,
    number: u64,
    ticket: Ticket,
    said: oneshot::Receiver<Said>,
}

impl Callbacks {
    pub(crate) fn new(namespace: &Namespace, session: Session) -> Callbacks {
        Callbacks {
            namespace: namespace.clone(),
            session,
            waiting: Mutex::default(),
        }
    }

    /// A callback that ends this attempt at the shard is awaited from now on.
    pub(crate) fn expect(self: &Arc<Self>, shard: &Shard, secret: String) -> Expected {
        let awaited = Awaited {
            run: shard.run().clone(),
            nonce: shard.nonce(),
            slice: shard.slice(),
            page: shard.page_number(),
            attempt: shard.attempt(),
        };
        let ticket = Ticket {
            session: self.session,
            token: Token::of(&secret, &self.namespace, &awaited),
            awaited: awaited.clone(),
        };
        let cell = (awaited.nonce, awaited.slice, awaited.page);
        let (tx, rx) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.count += 1;
        let number = waiting.count;
        // One before it, whose lease was lost, awaits nothing any more.
        let entry = Entry {
            number,
            shard: shard.clone(),
            awaited,
            secret,
            said: Ok(tx),
        };
        waiting.entries.insert(cell, entry);
        drop(waiting);
        Expected {
            desk: Arc::clone(self),
            cell,
            number,
            ticket,
            said: rx,
        }
    }

    /// A callback has come.
    pub(crate) fn hear(&self, call: &Call) -> Heard {
        let of = &call.awaited;
        let mut waiting = self.waiting();
        let Some(entry) = waiting.entries.get_mut(&(of.nonce, of.slice, of.page)) else {
            return Heard::Elsewhere;
        };
        if of.run != entry.awaited.run
            || !Token::of(&entry.secret, &self.namespace, of).proves(call)
        {
            return Heard::Unknown;
        }
        // A planner of a newer build may say what this one does not know.
        let Ok(said) = serde_json::from_slice::<Said>(&call.said) else {
            return Heard::Elsewhere;
        };
        let own = entry.awaited.attempt;
        let is_failure = matches!(said, Said::Failed { .. });
        match &entry.said {
            // Said once more, as an answer was lost.
            Err(proof) if *proof == call.proof => return Heard::Given,
            Err(_) => return Heard::Over,
            // A later holder awaits that one.
            Ok(_) if of.attempt > own || entry.shard.check().is_err() => return Heard::Elsewhere,
            Ok(_) if is_failure && of.attempt < own => return Heard::Over,
            Ok(_) => {}
        }
        let waits = std::mem::replace(&mut entry.said, Err(call.proof.clone())).ok();
        match waits.map(|tx| tx.send(said)) {
            Some(Ok(())) => Heard::Given,
            _ => Heard::Elsewhere,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Expected {
    /// What the service is to know.
    pub(crate) fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// What is said.
    pub(crate) async fn said(&mut self) -> Said {
        match (&mut self.said).await {
            Ok(said) => said,
            // A later attempt at the same shard took its place: this one will be stopped.
            Err(_) => pending().await,
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        let mut waiting = self.desk.waiting();
        let entry = waiting.entries.get(&self.cell);
        if entry.is_some_and(|entry| entry.number == self.number) {
            waiting.entries.remove(&self.cell);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use gridloom_shared::callback::Kind;
    use gridloom_shared::id::Fence;

    use super::*;
    use crate::Trial;

    const SECRET: &str = "a secret of the workers, and of no others";

    fn done() -> Said {
        Said::Done {
            rows: Some(1),
            counters: BTreeMap::new(),
            result: None,
        }
    }

    fn failed() -> Said {
        Said::Failed {
            error: "no".to_owned(),
            kind: Kind::Retry,
            after_ms: None,
        }
    }

    fn desk() -> Arc<Callbacks> {
        let namespace = Namespace::new("gridloom").unwrap();
        Arc::new(Callbacks::new(&namespace, Session(1)))
    }

    /// One that waits for the attempt of that number.
    fn waits(desk: &Arc<Callbacks>, trial: &Trial, attempt: u32) -> Expected {
        let shard = trial.clone().attempt(attempt, Fence(1)).shard();
        desk.expect(&shard, SECRET.to_owned())
    }

    #[tokio::test]
    async fn success_counts_with_the_token_of_each_attempt_and_a_failure_with_that_of_its_own() {
        let trial = Trial::new("charges", "http");
        // Of another worker, which has died.
        let first = waits(&desk(), &trial, 1).ticket().clone();
        let here = desk();
        let mut second = waits(&here, &trial, 2);
        assert_eq!(here.hear(&first.call(&failed())), Heard::Over);
        assert_eq!(here.hear(&first.call(&done())), Heard::Given);
        assert_eq!(second.said().await, done());
        drop(second);
        let mut second = waits(&here, &trial, 2);
        let ticket = second.ticket().clone();
        assert_eq!(here.hear(&ticket.call(&failed())), Heard::Given);
        assert_eq!(second.said().await, failed());
        // An attempt that waits behind its time ends by no token of a later one.
        drop(second);
        let _late = waits(&here, &trial, 1);
        assert_eq!(here.hear(&ticket.call(&done())), Heard::Elsewhere);
    }

    #[tokio::test]
    async fn one_outcome_is_taken_however_often_it_is_said_and_no_other_after_it() {
        let trial = Trial::new("charges", "http");
        let here = desk();
        let expected = waits(&here, &trial, 1);
        let ticket = expected.ticket().clone();
        for _ in 0..3 {
            assert_eq!(here.hear(&ticket.call(&done())), Heard::Given);
        }
        assert_eq!(here.hear(&ticket.call(&failed())), Heard::Over);
        drop(expected);
        assert_eq!(here.hear(&ticket.call(&done())), Heard::Elsewhere);
    }

    #[test]
    fn token_of_another_secret_or_of_another_shard_ends_nothing() {
        let trial = Trial::new("charges", "http");
        let here = desk();
        let mut own = waits(&here, &trial, 1);
        let other = desk().expect(&trial.shard(), "another secret".to_owned());
        assert_eq!(here.hear(&other.ticket().call(&done())), Heard::Unknown);
        let beside = waits(&here, &trial.clone().page(1), 1);
        let mut call = beside.ticket().call(&done());
        call.awaited = own.ticket().awaited.clone();
        assert_eq!(here.hear(&call), Heard::Unknown);
        assert!(own.said.try_recv().is_err());
    }

    #[test]
    fn token_of_another_run_of_the_same_number_ends_nothing() {
        let trial = Trial::new("charges", "http");
        let here = desk();
        let mut own = waits(&here, &trial, 1);
        let awaited = Awaited {
            run: gridloom_shared::id::RunId::new("charges_s_2").unwrap(),
            ..own.ticket().awaited.clone()
        };
        // Whoever has the secret may make one; it is of that run alone.
        let other = Ticket {
            session: Session(1),
            token: Token::of(SECRET, &here.namespace, &awaited),
            awaited,
        };
        assert_eq!(here.hear(&other.call(&done())), Heard::Unknown);
        assert!(own.said.try_recv().is_err());
    }

    #[test]
    fn shard_whose_lease_is_lost_is_ended_by_nobody() {
        let trial = Trial::new("charges", "http");
        let here = desk();
        let expected = waits(&here, &trial, 1);
        trial.lose_lease();
        let call = expected.ticket().call(&done());
        assert_eq!(here.hear(&call), Heard::Elsewhere);
    }

    #[test]
    fn later_attempt_at_the_same_shard_is_the_one_that_is_ended() {
        let trial = Trial::new("charges", "http");
        let here = desk();
        let first = waits(&here, &trial, 1);
        let mut second = waits(&here, &trial, 2);
        drop(first);
        let call = second.ticket().call(&done());
        assert_eq!(here.hear(&call), Heard::Given);
        assert_eq!(second.said.try_recv().ok(), Some(done()));
    }
}
