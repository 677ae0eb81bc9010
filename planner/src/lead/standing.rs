//! How a leadership stands, in numbers for people.

use super::*;
use crate::admission::{Holds, QueueStanding};

/// How a leadership stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Open runs, all of them.
    pub runs: usize,
    /// Those whose plan makes no sense.
    pub aside: usize,
    /// Those of which a newer build wrote some records.
    pub newer: usize,
    /// Runs, open or over, of which it wrote the last.
    pub unread: usize,
    /// About the bytes that their folds take.
    pub memory: usize,
    /// Whether the queues' stream takes no tiles.
    pub no_room: bool,
    /// Queues that open no runs, since as many are open there as may be.
    pub full: Vec<QueueName>,
    /// The queues.
    pub queues: Vec<QueueStanding>,
    /// What is on hold.
    pub holds: Holds,
}

impl Lead {
    /// How it stands at `now`. Costs what lanes, workers and jobs there are, not what runs.
    pub fn standing(&mut self, now: Now) -> Standing {
        let no_room = self.no_room.is_some();
        Standing {
            runs: self.book.len(),
            aside: self.book.aside().len(),
            newer: self.book.newer().len(),
            unread: self.book.unread().len(),
            memory: self.book.memory(),
            no_room,
            full: self.full().iter().cloned().collect(),
            queues: self.admission.standing(&self.crew, no_room, now),
            holds: self.admission.held(now),
        }
    }
}
