//! The queue's stream as it takes in open batches: message by message, each in two steps.
//!
//! A message is let in while its batch is open (the first: while the register is as it expects), and stored
//! after that. Between the two, batches may be ended: the message is stored all the same, and opens its
//! batch again. What is stored, batch or register, goes through one serial loop.

/// Whether tiles are marked `again`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Mark {
    None,
    Again,
}

/// How far a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Its first message has not come.
    Sent,
    Open,
    /// A message was let in and is not stored yet.
    Storing,
    /// The same, and the batch was ended meanwhile.
    StoringEnded,
    Ended,
}

/// A batch of which not every message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Batch {
    /// The planner that waits for its answer.
    pub(crate) from: Option<u8>,
    pub(crate) mark: Mark,
    /// Sequence of the term register that its first message expects.
    pub(crate) expected: u8,
    /// Tiles that have not come, one bit each, in their order.
    pub(crate) tiles: u16,
    /// All of its tiles.
    pub(crate) all: u16,
    pub(crate) stage: Stage,
}

/// The term register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) seq: u8,
    pub(crate) term: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Queue {
    pub(crate) register: Held,
    /// Last sequence that was used.
    pub(crate) last: u8,
    /// Whether open batches are permitted.
    pub(crate) permitted: bool,
    pub(crate) batches: Vec<Batch>,
    /// Tiles on the queue, by how many copies of each.
    pub(crate) once: u16,
    pub(crate) twice: u16,
    /// Tiles of which a copy was ever stored.
    stored: u16,
    /// Tiles of which an unmarked copy was ever stored.
    unmarked: u16,
    /// The newest register whose claim has returned.
    pub(crate) claimed: u8,
}

/// What is wrong with tiles that were stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Breaches {
    /// It expected an older register than that of a claim that had returned.
    pub(crate) late: bool,
    /// It is not marked and not the first copy.
    pub(crate) late_copy: bool,
    /// It is not marked and neither was another copy.
    pub(crate) second_copy: bool,
}

/// What a step of a batch means for the planner that waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Nothing,
    /// Every tile is stored.
    Whole,
    /// A part may be stored: so many, or nobody knows.
    Cut,
}

impl Queue {
    pub(crate) fn new() -> Queue {
        Queue {
            register: Held { seq: 0, term: 0 },
            last: 0,
            permitted: true,
            batches: Vec::new(),
            once: 0,
            twice: 0,
            stored: 0,
            unmarked: 0,
            claimed: 0,
        }
    }

    /// Whether the serial loop is about to store a message.
    pub(crate) fn is_storing(&self) -> bool {
        let storing = |batch: &Batch| matches!(batch.stage, Stage::Storing | Stage::StoringEnded);
        self.batches.iter().any(storing)
    }

    /// The next message of a batch comes: it is let in, or refused and with it the rest of the batch.
    pub(crate) fn arrive(&mut self, at: usize) -> Heard {
        let batch = &mut self.batches[at];
        let passes = match batch.stage {
            Stage::Sent => batch.expected == self.register.seq,
            Stage::Open => true,
            Stage::Storing | Stage::StoringEnded | Stage::Ended => false,
        };
        if passes && self.permitted {
            batch.stage = Stage::Storing;
            Heard::Nothing
        } else {
            self.batches.remove(at);
            Heard::Cut
        }
    }

    /// The message that was let in is stored.
    pub(crate) fn store(&mut self, at: usize, breaches: &mut Breaches) -> Heard {
        let batch = &mut self.batches[at];
        let tile = batch.tiles & batch.tiles.wrapping_neg();
        batch.tiles &= !tile;
        breaches.late |= batch.expected < self.claimed;
        if batch.mark == Mark::None {
            breaches.second_copy |= self.unmarked & tile != 0;
            breaches.late_copy |= self.stored & tile != 0;
            self.unmarked |= tile;
        }
        self.last += 1;
        self.stored |= tile;
        self.twice |= self.once & tile;
        self.once |= tile;
        let ended = batch.stage == Stage::StoringEnded;
        if batch.tiles != 0 {
            batch.stage = Stage::Open;
            return Heard::Nothing;
        }
        self.batches.remove(at);
        // The last message of a batch that was ended is stored without an answer.
        if ended { Heard::Cut } else { Heard::Whole }
    }

    /// Writes the term register.
    pub(crate) fn write(&mut self, term: u8) -> u8 {
        self.last += 1;
        self.register = Held {
            seq: self.last,
            term,
        };
        self.last
    }

    /// Switches open batches off, which ends those that are open.
    pub(crate) fn forbid(&mut self) {
        self.permitted = false;
        for batch in &mut self.batches {
            batch.stage = match batch.stage {
                Stage::Open => Stage::Ended,
                Stage::Storing => Stage::StoringEnded,
                Stage::Sent | Stage::StoringEnded | Stage::Ended => batch.stage,
            };
        }
    }

    /// A tile is acknowledged.
    pub(crate) fn remove(&mut self, tile: u16) {
        self.once &= !tile;
        self.twice &= !tile;
    }
}
