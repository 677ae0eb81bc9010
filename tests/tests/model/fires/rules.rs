//! The rules of fires that can be taken out one by one, and how much may go wrong in a case.

/// The rules. [`Rules::KEPT`] is the protocol; every other value of a field is a mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rules {
    pub(crate) writing: Writing,
    pub(crate) order: Order,
    pub(crate) takeover: Takeover,
    pub(crate) unopened: Unopened,
    pub(crate) confirmed: Confirmed,
    pub(crate) opening: Opening,
    pub(crate) found: Found,
    pub(crate) begin: Begin,
    pub(crate) reading: Reading,
}

impl Rules {
    /// The protocol as it is.
    pub(crate) const KEPT: Rules = Rules {
        writing: Writing::CompareAndSwap,
        order: Order::RecordFirst,
        takeover: Takeover::OpensAgain,
        unopened: Unopened::UntilOpen,
        confirmed: Confirmed::Recorded,
        opening: Opening::ById,
        found: Found::Asked,
        begin: Begin::Whole,
        reading: Reading::WithRuns,
    };
}

/// How decisions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Writing {
    CompareAndSwap,
    Appended,
}

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    RecordFirst,
    /// The run is opened, then its decision is written.
    OpenFirst,
}

/// What a leader does with what stood there before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Takeover {
    OpensAgain,
    /// It opens what it has decided itself.
    OpensItsOwn,
}

/// How long a record names a run that was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Unopened {
    UntilOpen,
    /// The next record says no more of it.
    Once,
}

/// Whether it is recorded that what was decided is open, where no other record comes soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Confirmed {
    Recorded,
    Never,
}

/// What keeps a run from being opened twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Opening {
    /// Its id is made of the nominal time, and nothing may stand under it.
    ById,
    /// Nothing.
    Anew,
}

/// What a leader makes of a run that it wants to open, and that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Found {
    /// It asks whether it is over.
    Asked,
    TakenForOpen,
}

/// What a new leader knows when it decides for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Begin {
    Whole,
    WithoutPauses,
    /// What it has not seen yet it takes for deleted.
    WithoutDefinition,
    /// Which runs are open it hears only of those that it opens itself.
    WithoutRuns,
}

/// What a leader does that finds a record of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reading {
    /// It hears of all runs that the other may have known of before it decides anything.
    WithRuns,
    /// It decides by what it knows of them.
    Alone,
}

/// How often each thing may happen in a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    /// Another planner becomes leader beside one that does not know.
    pub(crate) depositions: u8,
    /// A leader dies.
    pub(crate) crashes: u8,
    /// An answer of the broker to a leader is lost.
    pub(crate) lost_answers: u8,
    /// The schedule is paused, to be resumed later.
    pub(crate) pauses: u8,
    /// Days pass in which nothing is due, and the ids of runs that are over are forgotten.
    pub(crate) forgettings: u8,
}
