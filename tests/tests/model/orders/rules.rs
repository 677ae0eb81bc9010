//! The rules of orders that can be taken out one by one, and how much may go wrong in a case.

/// The rules. [`Rules::KEPT`] is the protocol; every other value of a field is a mutation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) writing: Writing,
    pub(crate) number: Number,
}

impl Rules {
    /// The protocol as it is.
    pub(crate) const KEPT: Rules = Rules {
        writing: Writing::CompareAndSwap,
        number: Number::Kept,
    };
}

/// How planner records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    CompareAndSwap,
    /// Orders without it.
    OrdersAppended,
    /// Waves without it.
    WavesAppended,
}

/// Under which number an order is given again when its answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Kept,
    New,
}

/// How often each thing may go wrong in a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    /// Another planner becomes leader beside one that does not know.
    pub(crate) depositions: u8,
    pub(crate) planner_crashes: u8,
    /// An answer of the broker to the leader is lost, or one of the leader to whoever gave the order.
    pub(crate) lost_answers: u8,
    /// Attempts that fail: the page is dead then.
    pub(crate) failures: u8,
}
