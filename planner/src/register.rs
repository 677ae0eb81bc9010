//! When the term register is written anew, and which listings of the queue may be believed. Pure.
//!
//! | | batch or listing under the register as it stands | under an older one |
//! |---|---|---|
//! | answer lost, or refused | claim | was claimed since: nothing |
//! | queue listed, nothing being claimed | kept until the ledger was read so far | run is refilled anew |
//! | claimed | all listings so far are void, and so is what is known of the queue | |
//! | claimed, the queue being made anew for it | the same, and runs that may lack tiles need not be listed | |

use std::collections::{HashMap, HashSet};

use gridloom_shared::broker::term::{ClaimError, Register};
use gridloom_shared::chain;
use gridloom_shared::id::{RunId, Term};

use crate::failover::refill::Listing;

/// The register as one leadership knows it.
#[derive(Debug)]
pub struct Claims {
    term: Term,
    register: Register,
    claiming: bool,
    deposed: Option<Term>,
    /// Listings that wait until the ledger was read far enough.
    listings: HashMap<RunId, Listing>,
    /// The register that stands alone on a queue that was made anew.
    alone: Option<Register>,
    /// Runs of which nothing was published since: their listings would be empty.
    bare: HashSet<RunId>,
}

impl Claims {
    /// The register was just written, under `term`.
    pub fn new(term: Term, register: Register) -> Claims {
        Claims {
            term,
            register,
            claiming: false,
            deposed: None,
            listings: HashMap::new(),
            alone: None,
            bare: HashSet::new(),
        }
    }

    /// The term of this leadership.
    pub fn term(&self) -> Term {
        self.term
    }

    /// The register as it stands.
    pub fn register(&self) -> Register {
        self.register
    }

    /// Whether the register is being written: until then a batch whose answer was lost may still land,
    /// beside a refill that was listed before it (docs/PROTOCOL.md §2), and nothing may be issued.
    pub fn is_claiming(&self) -> bool {
        self.claiming
    }

    /// The term of somebody else, once the broker refused this one; or this one, if it has to be given
    /// up for another reason.
    pub fn deposed(&self) -> Option<Term> {
        self.deposed
    }

    /// The leadership has to be given up.
    pub fn give_up(&mut self) {
        self.deposed = Some(self.term);
    }

    /// The register has to be written anew. Whether that is to be begun.
    pub fn claim(&mut self) -> bool {
        !std::mem::replace(&mut self.claiming, true)
    }

    /// What expected `register` may have been lost. Whether a claim is to be begun: not if that was
    /// done since.
    pub fn lost(&mut self, register: Register) -> bool {
        register == self.register && self.claim()
    }

    /// The queue was listed under `register`. Whether that is of use.
    pub fn listed(&mut self, run: RunId, listing: Listing, register: Register) -> bool {
        let valid = register == self.register && !self.claiming;
        if valid {
            self.listings.insert(run, listing);
        }
        valid
    }

    /// A run is over: nothing of it is listed any more.
    pub fn forget(&mut self, run: &RunId) {
        self.listings.remove(run);
        self.bare.remove(run);
    }

    /// The queue was made anew, and holds nothing but this register.
    pub fn stands_alone(&mut self, register: Register) {
        self.alone = Some(register);
    }

    /// These runs may lack tiles since the last claim. They need not be listed where the queue was made anew for it: of a
    /// run that may lack tiles nothing is issued before it was refilled.
    pub fn doubted(&mut self, runs: &[RunId]) {
        let is_bare = self.alone.take() == Some(self.register);
        self.bare = runs.iter().filter(|_| is_bare).cloned().collect();
    }

    /// Whether a listing of a run would surely be empty; once.
    pub fn is_bare(&mut self, run: &RunId) -> bool {
        self.bare.remove(run)
    }

    /// A claim has ended. Returns the runs whose listings are void now.
    pub fn claimed(&mut self, result: Result<Register, ClaimError>) -> Vec<RunId> {
        match result {
            Ok(register) => {
                self.claiming = false;
                self.register = register;
                std::mem::take(&mut self.listings).into_keys().collect()
            }
            Err(ClaimError::Deposed { holder, .. }) => {
                self.deposed = Some(holder.term);
                Vec::new()
            }
            Err(error) => {
                tracing::error!(error = %chain(&error), "the term register cannot be written");
                self.give_up();
                Vec::new()
            }
        }
    }

    /// Listings that may be judged now that the ledger was read up to `position`.
    pub fn ripe(&mut self, position: u64) -> Vec<(RunId, Listing)> {
        if self.listings.is_empty() {
            return Vec::new();
        }
        let ripe = self
            .listings
            .extract_if(|_, listing| listing.ledger <= position);
        let mut ripe: Vec<_> = ripe.collect();
        ripe.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        ripe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(ledger: u64) -> Listing {
        Listing {
            queued: HashSet::new(),
            newer: false,
            ledger,
            held: None,
        }
    }

    fn run(n: u64) -> RunId {
        RunId::new(format!("a_s_{n}")).unwrap()
    }

    #[test]
    fn register_is_claimed_once_for_all_that_was_lost_under_it() {
        let mut claims = Claims::new(Term(1), Register { seq: 7 });
        assert!(claims.lost(Register { seq: 7 }));
        assert!(!claims.lost(Register { seq: 7 }));
        claims.claimed(Ok(Register { seq: 9 }));
        assert!(!claims.lost(Register { seq: 7 }), "it was claimed since");
        assert!(claims.lost(Register { seq: 9 }));
    }

    #[test]
    fn listing_from_before_a_claim_is_void() {
        let mut claims = Claims::new(Term(1), Register { seq: 7 });
        assert!(claims.listed(run(1), listing(5), Register { seq: 7 }));
        assert!(claims.claim());
        assert!(!claims.listed(run(2), listing(5), Register { seq: 7 }));
        assert_eq!(claims.claimed(Ok(Register { seq: 9 })), [run(1)]);
        assert!(claims.ripe(99).is_empty());
        assert!(!claims.listed(run(1), listing(5), Register { seq: 7 }));
    }

    #[test]
    fn runs_of_a_queue_that_was_made_anew_need_no_listing_once_and_under_that_register_alone() {
        let mut claims = Claims::new(Term(1), Register { seq: 7 });
        claims.claim();
        claims.stands_alone(Register { seq: 9 });
        claims.claimed(Ok(Register { seq: 9 }));
        claims.doubted(&[run(1), run(2)]);
        assert!(claims.is_bare(&run(1)) && !claims.is_bare(&run(1)));
        assert!(!claims.is_bare(&run(3)), "it had nothing to lack");
        claims.claim();
        claims.claimed(Ok(Register { seq: 11 }));
        claims.doubted(&[run(1), run(2)]);
        assert!(!claims.is_bare(&run(2)), "something may be there by now");
        // A register that was written by somebody in between is another.
        claims.claim();
        claims.stands_alone(Register { seq: 12 });
        claims.claimed(Ok(Register { seq: 13 }));
        claims.doubted(&[run(1)]);
        assert!(!claims.is_bare(&run(1)));
    }

    #[test]
    fn listing_is_judged_once_the_ledger_was_read_so_far() {
        let mut claims = Claims::new(Term(1), Register { seq: 7 });
        claims.listed(run(2), listing(5), Register { seq: 7 });
        claims.listed(run(1), listing(8), Register { seq: 7 });
        assert!(claims.ripe(4).is_empty());
        let ripe = claims.ripe(7);
        assert_eq!(ripe.len(), 1);
        assert_eq!((&ripe[0].0, ripe[0].1.ledger), (&run(2), 5));
    }
}
