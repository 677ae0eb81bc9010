//! Decides whether a delivery is certainly the first of its tile. All others go the takeover way
//! (docs/PROTOCOL.md §3, §5): a record that says so, then a [`reading`] of the ledger up to it.
//!
//! | count above 1 | again | sequence above the floor | |
//! |---|---|---|---|
//! | no | no | yes | certainly first |
//! | yes | any | any | `count`: it wins, since only it suggests a crash |
//! | no | yes | any | `again` |
//! | no | no | no, or the floor is not known | `floor` |
//!
//! A delivery that is certainly first by these signs is dropped when somebody else's takeover of it was heard, and
//! taken over too (`floor`) when that may have been forgotten: see [`heard`].

use gridloom_shared::ledger::record::Reason;

mod claims;
pub(crate) mod heard;
pub(crate) mod reading;

/// What tells whether a delivery is the first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signs {
    /// The consumer's delivery count.
    pub(crate) count: u64,
    /// Whether the tile is a refill.
    pub(crate) again: bool,
    /// The message's sequence in the queue's stream.
    pub(crate) sequence: u64,
    /// Up to which sequence an earlier life of the broker may have delivered.
    pub(crate) floor: Option<u64>,
    /// Whether this very worker had handed the tile back.
    pub(crate) returned: bool,
}

/// Why the delivery may not be the first; `None` when it certainly is.
pub(crate) fn reason(signs: Signs) -> Option<Reason> {
    match signs.floor {
        _ if signs.returned => Some(Reason::Returned),
        _ if signs.count > 1 => Some(Reason::Count),
        _ if signs.again => Some(Reason::Again),
        Some(floor) if signs.sequence > floor => None,
        Some(_) | None => Some(Reason::Floor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Signs = Signs {
        count: 1,
        again: false,
        sequence: 11,
        floor: Some(10),
        returned: false,
    };

    #[test]
    fn only_a_delivery_without_any_sign_is_certainly_the_first() {
        assert_eq!(reason(FIRST), None);
        assert_eq!(
            reason(Signs {
                sequence: 10,
                ..FIRST
            }),
            Some(Reason::Floor)
        );
        assert_eq!(
            reason(Signs {
                floor: None,
                ..FIRST
            }),
            Some(Reason::Floor)
        );
        assert_eq!(
            reason(Signs {
                again: true,
                ..FIRST
            }),
            Some(Reason::Again)
        );
        assert_eq!(
            reason(Signs {
                returned: true,
                count: 2,
                ..FIRST
            }),
            Some(Reason::Returned)
        );
    }

    #[test]
    fn count_wins_over_every_other_sign_of_the_broker() {
        let all = Signs {
            count: 2,
            again: true,
            sequence: 3,
            ..FIRST
        };
        assert_eq!(reason(all), Some(Reason::Count));
    }
}
