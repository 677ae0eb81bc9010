//! What each share has used of a queue's worker-time, over all its lanes. Pure.
//!
//! Only differences between shares matter: a share that was away is neither owed nor owes what others
//! have used meanwhile.

use std::collections::HashMap;

use gridloom_shared::id::ShareName;

/// The accounts of one queue.
#[derive(Debug, Default)]
pub(super) struct Dues {
    /// Worker-time that each share has used or was given, in microseconds divided by its weight.
    used: HashMap<ShareName, u64>,
    /// What the share had used that was served last: one that comes back is not owed more than that.
    served: u64,
    /// Shares with something waiting or outstanding, and how much.
    active: HashMap<ShareName, usize>,
}

impl Dues {
    /// What a share has used.
    pub(super) fn of(&self, share: &ShareName) -> u64 {
        self.used.get(share).copied().unwrap_or(0)
    }

    /// A share is served that has used so much.
    pub(super) fn serve(&mut self, used: u64) {
        self.served = self.served.max(used);
    }

    /// A share was given worker-time, or it turned out to be another amount. Returns what it had used
    /// before and has used now.
    pub(super) fn charge(&mut self, share: &ShareName, microseconds: i64) -> (u64, u64) {
        let before = self.of(share);
        let after = before.saturating_add_signed(microseconds);
        self.used.insert(share.clone(), after);
        (before, after)
    }

    /// `count` more things of a share wait or are outstanding. One that comes back from a pause starts
    /// level with the others.
    pub(super) fn activate(&mut self, share: &ShareName, count: usize) {
        if count == 0 {
            return;
        }
        let active = self.active.entry(share.clone()).or_insert(0);
        *active += count;
        if *active == count {
            let used = self.used.entry(share.clone()).or_insert(0);
            *used = (*used).max(self.served);
        }
    }

    /// They do not any more.
    pub(super) fn release(&mut self, share: &ShareName, count: usize) {
        if let Some(active) = self.active.get_mut(share) {
            *active = active.saturating_sub(count);
            if *active == 0 {
                self.active.remove(share);
                // Only what is above the others is worth remembering.
                if self.used.get(share).is_none_or(|used| *used <= self.served) {
                    self.used.remove(share);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_that_comes_back_is_owed_nothing_for_its_pause() {
        let mut dues = Dues::default();
        let [a, b] = ["a", "b"].map(|name| ShareName::new(name).unwrap());
        dues.activate(&a, 1);
        dues.charge(&a, 1_000_000);
        dues.serve(1_000_000);
        dues.charge(&a, 50);
        dues.activate(&b, 1);
        assert_eq!((dues.of(&a), dues.of(&b)), (1_000_050, 1_000_000));
    }

    #[test]
    fn only_what_is_above_the_others_is_remembered_of_a_share_that_is_away() {
        let mut dues = Dues::default();
        let [a, b] = ["a", "b"].map(|name| ShareName::new(name).unwrap());
        for (share, used) in [(&a, 100), (&b, 300)] {
            dues.activate(share, 2);
            dues.charge(share, used);
        }
        dues.serve(200);
        dues.release(&a, 2);
        dues.release(&b, 2);
        assert_eq!((dues.of(&a), dues.of(&b)), (0, 300));
    }
}
