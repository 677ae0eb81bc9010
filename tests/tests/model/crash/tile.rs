//! What the ledger says of one tile, read by the real `Suspicion` as the fold and a worker's takeover do.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use gridloom_shared::id::Session;
use gridloom_shared::ledger::crash::Suspicion;
use gridloom_shared::ledger::record::Reason;

use super::rules::{Accusing, Rules};

/// What tells no two states apart: only what follows from it does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unseen<T>(pub(crate) T);

impl<T> PartialEq for Unseen<T> {
    fn eq(&self, _: &Unseen<T>) -> bool {
        true
    }
}

impl<T> Eq for Unseen<T> {}

impl<T> Hash for Unseen<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl<T> PartialOrd for Unseen<T> {
    fn partial_cmp(&self, other: &Unseen<T>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Unseen<T> {
    fn cmp(&self, _: &Unseen<T>) -> Ordering {
        Ordering::Equal
    }
}

/// Why a delivery may not be the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Why {
    Count,
    Floor,
    Again,
}

impl Why {
    pub(crate) fn reason(self) -> Reason {
        match self {
            Why::Count => Reason::Count,
            Why::Floor => Reason::Floor,
            Why::Again => Reason::Again,
        }
    }
}

/// A record about the tile. Its fence is the number of takeovers before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Record {
    Takeover { by: u8, why: Why },
    Started { by: u8, page: u8, fence: u8 },
    Returned { by: u8 },
    Done { by: u8, page: u8 },
}

/// What they add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Takeovers so far.
    pub(crate) fence: u8,
    /// Pages without an outcome, one bit each.
    pub(crate) left: u8,
    /// Pages that were condemned and have no success.
    pub(crate) dead: u8,
    /// What is suspected.
    pub(crate) suspicion: Suspicion,
}

/// Reads the records of a tile with so many pages.
pub(crate) fn read(records: &[Record], pages: u8, rules: &Rules) -> Reading {
    let mut suspicion = Suspicion::default();
    let (mut fence, mut left, mut dead) = (0, (1_u8 << pages) - 1, 0);
    for record in records {
        match *record {
            Record::Takeover { why, .. } => {
                fence += 1;
                let accusing = rules.accusing == Accusing::CountAndFloor && why == Why::Floor;
                let why = if accusing { Why::Count } else { why };
                let lacks = |page: u64| left & 1 << page != 0;
                if let Some(page) = suspicion.taken_over(why.reason(), lacks) {
                    left &= !(1 << page);
                    dead |= 1 << page;
                }
            }
            Record::Started {
                by,
                page,
                fence: of,
            } if of == fence => {
                suspicion.started(Session(u64::from(by)), u64::from(page));
            }
            Record::Started { .. } => {}
            Record::Returned { by } => suspicion.returned(Session(u64::from(by))),
            Record::Done { page, .. } => {
                left &= !(1 << page);
                dead &= !(1 << page);
            }
        }
    }
    Reading {
        fence,
        left,
        dead,
        suspicion,
    }
}
