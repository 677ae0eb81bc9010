//! The rules of retention that can be taken out one by one, and how much may go wrong in a case.

/// The rules. [`Rules::KEPT`] is the protocol; every other value of a field is a mutation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) decision: Decision,
    pub(crate) bound: Bound,
    pub(crate) memory: Memory,
    pub(crate) opening: Opening,
}

impl Rules {
    /// The protocol as it is.
    pub(crate) const KEPT: Rules = Rules {
        decision: Decision::CompareAndSwap,
        bound: Bound::Decided,
        memory: Memory::First,
        opening: Opening::WholeRun,
    };
}

/// How it is decided that a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    CompareAndSwap,
    /// `retired` is appended without it.
    Appended,
    /// By a look alone: there is no such record.
    Looked,
}

/// What a purge reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Decided,
    /// Whatever stands there when it arrives.
    Missing,
}

/// When the id is written to where it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Before the plan goes.
    First,
    /// After that.
    Last,
}

/// What the first record of a run expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// That nothing came of the run, on no subject.
    WholeRun,
    /// The same of its plan.
    PlanAlone,
}

/// How often each thing may go wrong in a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    pub(crate) planner_crashes: u8,
    /// An answer of the broker to a planner is lost.
    pub(crate) lost_answers: u8,
    /// A purge that arrives later, or never, of which its sender knows nothing.
    pub(crate) late_purges: u8,
    /// A worker says something about the run when it may be gone.
    pub(crate) strays: u8,
}
