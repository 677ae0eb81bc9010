//! Remembers takeovers by others that were heard of tiles that this worker does not hold: a first
//! delivery of such a tile lay in the socket while somebody else took it (docs/PROTOCOL.md §3).
//!
//! Each is kept for one ack deadline; what it forgets can only have been delivered with an expired
//! lease.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::id::RunId;
use gridloom_shared::tile::TileRef;

#[derive(Debug, Default)]
pub(crate) struct Heard {
    latest: HashMap<RunId, HashMap<TileRef, Boot>>,
    order: VecDeque<(Boot, RunId, TileRef)>,
}

impl Heard {
    /// A takeover of `tile` was heard at `now`.
    pub(crate) fn note(&mut self, run: &RunId, tile: TileRef, now: Boot) {
        self.latest
            .entry(run.clone())
            .or_default()
            .insert(tile, now);
        self.order.push_back((now, run.clone(), tile));
    }

    /// Whether a takeover of the tile was heard lately.
    pub(crate) fn contains(&self, run: &RunId, tile: TileRef) -> bool {
        !self.order.is_empty()
            && self
                .latest
                .get(run)
                .is_some_and(|tiles| tiles.contains_key(&tile))
    }

    /// Forgets what is older than `keep`.
    pub(crate) fn forget(&mut self, now: Boot, keep: Duration) {
        while let Some((at, ..)) = self.order.front()
            && now.since(*at) > keep
        {
            let Some((at, run, tile)) = self.order.pop_front() else {
                return;
            };
            if let Some(tiles) = self.latest.get_mut(&run) {
                if tiles.get(&tile) == Some(&at) {
                    tiles.remove(&tile);
                }
                if tiles.is_empty() {
                    self.latest.remove(&run);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_kept_for_the_time_asked_and_no_longer() {
        let at = |seconds| Boot(Duration::from_secs(seconds));
        let run = RunId::new("a_s_1").unwrap();
        let (one, two) = (TileRef { wave: 0, index: 1 }, TileRef { wave: 0, index: 2 });
        let mut heard = Heard::default();
        heard.note(&run, one, at(0));
        heard.note(&run, two, at(0));
        heard.note(&run, one, at(5));
        heard.forget(at(11), Duration::from_secs(10));
        assert!(heard.contains(&run, one) && !heard.contains(&run, two));
        heard.forget(at(16), Duration::from_secs(10));
        assert!(!heard.contains(&run, one));
        assert!(heard.latest.is_empty() && heard.order.is_empty());
    }
}
