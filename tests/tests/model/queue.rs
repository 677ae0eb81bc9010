//! The `shards` stream and its consumer: messages, the term register, delivery counts, the floor.
//!
//! The broker matches acknowledgements by stream sequence alone and fences nobody.

use super::rules::Sequences;

/// Whether a message is marked `again`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Mark {
    None,
    Again,
}

/// Where a message stands with the consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    Waiting,
    /// Delivered, its lease running as far as the broker knows.
    Out,
}

/// One tile on the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Message {
    pub(crate) seq: u8,
    pub(crate) wave: u8,
    pub(crate) mark: Mark,
    pub(crate) place: Place,
    /// How often the consumer remembers having delivered it; 2 stands for more than once.
    pub(crate) count: u8,
}

/// The term register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) seq: u8,
    pub(crate) term: u8,
}

/// A wave's tile on its way to the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Batch {
    pub(crate) wave: u8,
    pub(crate) mark: Mark,
    /// Sequence of the term register that it expects.
    pub(crate) expected: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Queue {
    pub(crate) messages: Vec<Message>,
    pub(crate) register: Option<Held>,
    /// Last sequence that was used.
    pub(crate) last: u8,
    /// Up to here an earlier life of the broker or consumer may have delivered.
    pub(crate) floor: u8,
    /// Waves of which a copy was ever stored, one bit each.
    stored: u32,
    /// Waves of which an unmarked copy was ever stored.
    unmarked: u32,
}

/// What is wrong with a copy that was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copy {
    Fine,
    /// It is not marked and not the first of its tile.
    Late,
    /// It is not marked and neither was another of its tile.
    Second,
}

impl Queue {
    pub(crate) fn new() -> Queue {
        Queue {
            messages: Vec::new(),
            register: None,
            last: 0,
            floor: 0,
            stored: 0,
            unmarked: 0,
        }
    }

    pub(crate) fn message(&self, seq: u8) -> Option<&Message> {
        self.messages.iter().find(|message| message.seq == seq)
    }

    pub(crate) fn message_mut(&mut self, seq: u8) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| message.seq == seq)
    }

    pub(crate) fn lists(&self, wave: u8) -> bool {
        self.messages.iter().any(|message| message.wave == wave)
    }

    /// Stores a batch that the register let pass.
    pub(crate) fn store(&mut self, batch: Batch) -> Copy {
        self.last += 1;
        self.messages.push(Message {
            seq: self.last,
            wave: batch.wave,
            mark: batch.mark,
            place: Place::Waiting,
            count: 0,
        });
        let bit = 1 << batch.wave;
        let (stored, unmarked) = (self.stored & bit != 0, self.unmarked & bit != 0);
        self.stored |= bit;
        match batch.mark {
            Mark::Again => Copy::Fine,
            Mark::None => {
                self.unmarked |= bit;
                match (unmarked, stored) {
                    (true, _) => Copy::Second,
                    (false, true) => Copy::Late,
                    (false, false) => Copy::Fine,
                }
            }
        }
    }

    /// Writes the term register.
    pub(crate) fn claim(&mut self, term: u8) -> u8 {
        self.last += 1;
        self.register = Some(Held {
            seq: self.last,
            term,
        });
        self.last
    }

    /// Removes what was acknowledged. `None` when nothing stands at that sequence.
    pub(crate) fn remove(&mut self, seq: u8) -> Option<Message> {
        let at = self
            .messages
            .iter()
            .position(|message| message.seq == seq)?;
        Some(self.messages.remove(at))
    }

    /// The consumer's state rolls back to before every delivery; a new floor is read.
    pub(crate) fn forget_deliveries(&mut self) {
        for message in &mut self.messages {
            message.place = Place::Waiting;
            message.count = 0;
        }
        self.floor = self.last;
    }

    pub(crate) fn purge(&mut self) {
        self.messages.clear();
        self.register = None;
    }

    pub(crate) fn recreate(&mut self, rule: Sequences) {
        self.purge();
        if rule == Sequences::FromOne {
            self.last = 0;
        }
        self.floor = self.last;
    }
}
