//! The rules about crashes that can be taken out one by one, and how much may go wrong in a case.

/// The rules. [`Rules::KEPT`] is the protocol; every other value of a field is a mutation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) accusing: Accusing,
    pub(crate) sign: Sign,
    pub(crate) announcing: Announcing,
    pub(crate) second: Second,
}

impl Rules {
    /// The protocol as it is.
    pub(crate) const KEPT: Rules = Rules {
        accusing: Accusing::Count,
        sign: Sign::CountWins,
        announcing: Announcing::Before,
        second: Second::Alone,
    };
}

/// Which reasons of a takeover accuse the page that was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accusing {
    Count,
    /// `floor` as well.
    CountAndFloor,
}

/// Which sign of a delivery becomes the reason, where there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    CountWins,
    FloorWins,
}

/// When a page that is run carefully is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announcing {
    Before,
    Never,
}

/// How a tile is run of which a page stands accused of a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Second {
    Alone,
    BesideOthers,
}

/// How often each thing may go wrong in a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    /// A lease ends although its holder lives: it was frozen, or cut off.
    pub(crate) freezes: u8,
    /// A worker is killed from outside.
    pub(crate) worker_crashes: u8,
    /// The broker restarts, and with it all workers connect anew. It keeps its counts, or forgets its
    /// deliveries.
    pub(crate) broker_restarts: u8,
    /// Broker and workers die at once, and the broker forgets its deliveries.
    pub(crate) power_cuts: u8,
    /// A tile is purged and published again.
    pub(crate) refills: u8,
}
