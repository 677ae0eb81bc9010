//! The rules of the protocol that can be taken out one by one, and how much may go wrong in a case.

/// The rules. [`Rules::KEPT`] is the protocol; every other value of a field is a mutation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) append: Append,
    pub(crate) floor: Floor,
    pub(crate) first: First,
    pub(crate) sequences: Sequences,
    pub(crate) waves: Waves,
    pub(crate) register: Register,
    pub(crate) answer: LostAnswer,
    pub(crate) refused: Refused,
    pub(crate) refill: Refill,
    pub(crate) period: Period,
    pub(crate) reading: Reading,
    pub(crate) failure: Failure,
}

impl Rules {
    /// The protocol as it is.
    pub(crate) const KEPT: Rules = Rules {
        append: Append::BeforeAck,
        floor: Floor::Kept,
        first: First::AllSigns,
        sequences: Sequences::NeverAgain,
        waves: Waves::CompareAndSwap,
        register: Register::BeforeReading,
        answer: LostAnswer::RegisterFirst,
        refused: Refused::Refilled,
        refill: Refill::Marked,
        period: Period::Periodic,
        reading: Reading::FromFoldedToOwn,
        failure: Failure::NewestFence,
    };
}

/// Whether outcomes stand in the ledger before the tile is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Append {
    BeforeAck,
    AfterAck,
}

/// Whether a message from before a broker's restart may be anything but the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Floor {
    Kept,
    Ignored,
}

/// What makes a delivery certainly the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// Count 1, not marked, above the floor.
    AllSigns,
    /// Count 1.
    CountAlone,
}

/// Sequences of a queue that was deleted and made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sequences {
    NeverAgain,
    FromOne,
}

/// How a wave is written to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waves {
    CompareAndSwap,
    Appended,
}

/// When a new leader rewrites the term register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Register {
    BeforeReading,
    AfterReading,
    /// There is none: every batch lands.
    Missing,
}

/// What follows when the answer to a publish was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LostAnswer {
    RegisterFirst,
    RefillAtOnce,
}

/// What follows when a batch was refused, once the register is the leader's own again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The queue is listed, and what it lacks is published marked: between the refusal and the
    /// rewriting another leader may have published it.
    Refilled,
    /// The batch is sent again as it was.
    AsItWas,
}

/// Whether a refill, or a predecessor's wave, is marked `again`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refill {
    Marked,
    Unmarked,
}

/// When the queue is compared with the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Period {
    Periodic,
    /// Only at a change of leader and when an answer was lost.
    OnChange,
}

/// Which part of the ledger a takeover reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    FromFoldedToOwn,
    FromWaveToOwn,
    /// From `folded`, by a replica that has nothing after the wave yet.
    EndsEarly,
}

/// Which failures count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    NewestFence,
    AnyFence,
}

/// How often each thing may go wrong in a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    /// A living worker's lease ends: it was paused, or cut off, at whatever it was doing.
    pub(crate) expiries: u8,
    /// The leader takes a living worker for dead and hands its tile back.
    pub(crate) naks: u8,
    pub(crate) worker_crashes: u8,
    /// The broker forgets its consumer's state; or the consumer was deleted and made again.
    pub(crate) broker_crashes: u8,
    /// The queue is emptied, register and all.
    pub(crate) purges: u8,
    /// The queue is deleted and made again.
    pub(crate) recreations: u8,
    /// Another planner becomes leader beside one that does not know.
    pub(crate) depositions: u8,
    pub(crate) planner_crashes: u8,
    /// The answer to a publish is lost; the batch may land later, or never.
    pub(crate) lost_answers: u8,
    /// Attempts that fail; one more than these is allowed, so that the shard ends committed.
    pub(crate) failures: u8,
}
