//! Remembers takeovers by others that were heard of tiles that this worker does not hold: a first
//! delivery of such a tile lay in the socket while somebody else took it (docs/PROTOCOL.md §3).
//!
//! Each is kept for one ack deadline; what is forgotten then can only have been delivered with an expired
//! lease. Beyond [`HEARD_MAX`] the oldest are forgotten before: of whatever was pulled until the last of those
//! was heard it is no longer known whether somebody took it, so it is not certainly first.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use gridloom_shared::clock::Boot;
use gridloom_shared::id::RunId;
use gridloom_shared::limits::HEARD_MAX;
use gridloom_shared::tile::TileRef;

#[derive(Debug, Default)]
pub(crate) struct Heard {
    latest: HashMap<RunId, HashMap<TileRef, Boot>>,
    order: VecDeque<(Boot, RunId, TileRef)>,
    /// When the last one was heard that was forgotten too early.
    blind: Option<Boot>,
}

impl Heard {
    /// A takeover of `tile` was heard at `now`.
    pub(crate) fn note(&mut self, run: &RunId, tile: TileRef, now: Boot) {
        self.latest
            .entry(run.clone())
            .or_default()
            .insert(tile, now);
        self.order.push_back((now, run.clone(), tile));
        if self.order.len() > HEARD_MAX {
            self.blind = self.forget_oldest();
        }
    }

    /// Whether a takeover of the tile was heard lately.
    pub(crate) fn contains(&self, run: &RunId, tile: TileRef) -> bool {
        !self.order.is_empty()
            && self
                .latest
                .get(run)
                .is_some_and(|tiles| tiles.contains_key(&tile))
    }

    /// Whether a takeover of a tile that was pulled at `pulled` may have been heard and forgotten. A tile is
    /// delivered before it is taken over, and pulled before that.
    pub(crate) fn may_have_forgotten(&self, pulled: Boot) -> bool {
        self.blind.is_some_and(|heard| pulled <= heard)
    }

    /// Forgets what is older than `keep`.
    pub(crate) fn forget(&mut self, now: Boot, keep: Duration) {
        while let Some((at, ..)) = self.order.front()
            && now.since(*at) > keep
        {
            self.forget_oldest();
        }
    }

    /// When that was heard.
    fn forget_oldest(&mut self) -> Option<Boot> {
        let (at, run, tile) = self.order.pop_front()?;
        if let Some(tiles) = self.latest.get_mut(&run) {
            if tiles.get(&tile) == Some(&at) {
                tiles.remove(&tile);
            }
            if tiles.is_empty() {
                self.latest.remove(&run);
            }
        }
        Some(at)
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

    #[test]
    fn beyond_the_bound_what_was_pulled_before_may_be_anothers() {
        let at = |ms| Boot(Duration::from_millis(ms));
        let run = RunId::new("a_s_1").unwrap();
        let tile = |index| TileRef { wave: 0, index };
        let mut heard = Heard::default();
        for index in 0..HEARD_MAX as u32 {
            heard.note(&run, tile(index), at(u64::from(index)));
        }
        assert!(heard.contains(&run, tile(0)) && !heard.may_have_forgotten(at(0)));
        let (more, last) = (1_000, HEARD_MAX as u64);
        for index in 0..more {
            heard.note(&run, tile(HEARD_MAX as u32 + index), at(last));
        }
        assert_eq!(heard.order.len(), HEARD_MAX);
        assert_eq!(heard.latest[&run].len(), HEARD_MAX);
        // Exactly what may be among the forgotten is no longer certain.
        assert!(!heard.contains(&run, tile(more - 1)) && heard.may_have_forgotten(at(999)));
        assert!(heard.contains(&run, tile(more)) && !heard.may_have_forgotten(at(1_000)));
        // Time forgets what cannot come any more, and nobody is blind for that.
        heard.forget(at(last + 11_000), Duration::from_secs(10));
        assert!(heard.order.is_empty() && !heard.may_have_forgotten(at(1_000)));
    }
}
