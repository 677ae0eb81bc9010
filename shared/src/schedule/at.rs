//! Times that are named one by one.

use super::Fire;
use super::moment::Moment;
use super::zone::{Dst, Zone};
use crate::clock::UnixMs;

/// Fires at each of its times. An instant that several of them name is one fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// In order.
    fires: Vec<Fire>,
}

impl At {
    /// The schedule of these times.
    pub fn new(moments: &[Moment], zone: &Zone, dst: Dst) -> At {
        let fires = moments.iter().flat_map(|moment| moment.fires(zone, dst));
        let mut fires: Vec<Fire> = fires.collect();
        // Where one was moved onto another, the other is the one that stands there.
        fires.sort_unstable_by_key(|fire| (fire.at, fire.moved_from));
        fires.dedup_by_key(|fire| fire.at);
        At { fires }
    }

    pub(super) fn next_after(&self, after: UnixMs) -> Option<Fire> {
        let next = self.fires.partition_point(|fire| fire.at <= after);
        self.fires.get(next).copied()
    }
}
