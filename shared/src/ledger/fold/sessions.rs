//! Which records of which sessions were read: one that is appended again counts once. Of sessions without end, and of
//! numbers without order, it remembers those that came last: a record that is repeated comes within seconds.

use std::collections::HashMap;

use crate::id::Session;
use crate::limits::{GAPS_MAX, SESSIONS_MAX};
use crate::ranges::Ranges;

/// The numbers of the records that were read, by session.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    /// Those that wrote since the others were put behind.
    lately: HashMap<Session, Ranges>,
    before: HashMap<Session, Ranges>,
}

impl Sessions {
    /// Whether the record is read for the first time.
    pub(super) fn is_new(&mut self, session: Session, number: u64) -> bool {
        if number == u64::MAX {
            return false;
        }
        if !self.lately.contains_key(&session) {
            let known = self.before.remove(&session).unwrap_or_default();
            if self.lately.len() >= SESSIONS_MAX {
                self.before = std::mem::take(&mut self.lately);
            }
            self.lately.insert(session, known);
        }
        let seen = self.lately.entry(session).or_default();
        if seen.contains(number) {
            return false;
        }
        seen.insert(number..number + 1);
        if seen.runs() > GAPS_MAX {
            let oldest = seen.iter().next();
            oldest.into_iter().for_each(|run| seen.remove(&run));
        }
        true
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.lately.len() + self.before.len()
    }

    /// What is remembered, of each session.
    #[cfg(test)]
    pub(super) fn seen(&self) -> impl Iterator<Item = &Ranges> {
        self.lately.values().chain(self.before.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_that_is_repeated_counts_once_however_many_sessions_write_beside_it() {
        let mut sessions = Sessions::default();
        assert!(sessions.is_new(Session(0), 1));
        for other in 1..SESSIONS_MAX as u64 {
            assert!(sessions.is_new(Session(other), 1));
        }
        assert!(!sessions.is_new(Session(0), 1));
        for other in 0..SESSIONS_MAX as u64 {
            sessions.is_new(Session(1_000_000 + other), 1);
        }
        assert!(!sessions.is_new(Session(0), 1), "it was put behind");
        assert!(!sessions.is_new(Session(0), u64::MAX));
    }

    #[test]
    fn sessions_without_end_and_numbers_without_order_take_so_much_and_no_more() {
        let mut sessions = Sessions::default();
        for session in 0..5 * SESSIONS_MAX as u64 {
            assert!(sessions.is_new(Session(session), 1));
        }
        assert!(sessions.seen().count() <= 2 * SESSIONS_MAX);
        for number in 0..3 * GAPS_MAX as u64 {
            assert!(sessions.is_new(Session(7), 2 * number));
        }
        assert!(
            !sessions.is_new(Session(7), 6 * GAPS_MAX as u64 - 2),
            "the newest is known"
        );
        assert!(sessions.lately[&Session(7)].runs() <= GAPS_MAX);
    }
}
