//! The rules of open batches that can be taken out one by one, and how much may go wrong in a case.

/// The rules. [`Rules::KEPT`] is the protocol; every other value of a field is a mutation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) barrier: Barrier,
    pub(crate) cut: Cut,
    pub(crate) answer: LostAnswer,
}

impl Rules {
    /// The protocol as it is.
    pub(crate) const KEPT: Rules = Rules {
        barrier: Barrier::UntilQuiet,
        cut: Cut::Refilled,
        answer: LostAnswer::RegisterFirst,
    };
}

/// How a claim ends the batches that were opened under an older register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Barrier {
    /// Off, and the register once more, until nothing was stored between two writings of it; then on.
    UntilQuiet,
    /// Off, the register once more, off, on: as decision 3 had it first.
    Twice,
    /// Off, on.
    Once,
    /// Not at all.
    Missing,
}

/// What follows when a batch was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// As when its answer was lost.
    Refilled,
    /// The register is rewritten, and the batch sent again as it was.
    AsItWas,
    /// Nothing: a part is taken for the whole.
    Ignored,
}

/// What follows when the answer to a batch was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LostAnswer {
    RegisterFirst,
    RefillAtOnce,
}

/// How often each thing may go wrong in a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    /// Another planner becomes leader beside one that does not know.
    pub(crate) depositions: u8,
    pub(crate) planner_crashes: u8,
    /// A planner waits no longer for a batch, which goes on, or never does.
    pub(crate) lost_answers: u8,
    /// The broker restarts: every batch ends where it is.
    pub(crate) broker_crashes: u8,
}
