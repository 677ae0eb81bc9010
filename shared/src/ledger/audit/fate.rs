//! What became of a cell, in as little as decides it.

use std::collections::BTreeSet;

use crate::id::Fence;
use crate::ledger::outcomes::Retry;
use crate::limits::SUCCESSES_MAX;

/// What became of a cell that was issued.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    /// Fences of the holders that reported its successes, while all of them are explained.
    pub(super) successes: Vec<Fence>,
    /// Whether a success is not: its fence is not one of its tile, or reported it before.
    pub(super) twice: bool,
    /// Attempts that failed.
    pub(super) failed: BTreeSet<u32>,
    never: bool,
    /// Attempts that it may have, where it was reopened.
    most: Option<u32>,
    pub(super) dropped: bool,
}

impl Fate {
    pub(super) fn is_done(&self) -> bool {
        self.twice || !self.successes.is_empty()
    }

    fn last_failed(&self) -> u32 {
        self.failed.last().copied().unwrap_or(0)
    }

    /// Whether it has no success and no attempts left, of the `most` that its job allows.
    pub(super) fn is_dead(&self, most: u32) -> bool {
        let most = self.most.unwrap_or(most);
        !self.is_done() && !self.failed.is_empty() && (self.never || self.last_failed() >= most)
    }

    /// A holder under `fence` reports success; `None`: there was no such holder.
    pub(super) fn succeed(&mut self, fence: Option<Fence>) {
        match fence.filter(|fence| !self.successes.contains(fence)) {
            Some(fence) if !self.twice && self.successes.len() < SUCCESSES_MAX => {
                self.successes.push(fence);
            }
            Some(_) | None => {
                self.twice = true;
                self.successes = Vec::new();
            }
        }
    }

    /// An attempt failed, of the `most` that its job allows.
    pub(super) fn fail(&mut self, attempt: u32, retry: Retry, most: u32) {
        if !self.failed.insert(attempt) {
            return;
        }
        match retry {
            Retry::Never => self.never = true,
            // It uses up no attempt: one more may follow.
            Retry::Hold(_) => self.most = Some(self.most.unwrap_or(most).saturating_add(1)),
            Retry::Backoff | Retry::AfterMs(_) => {}
        }
    }

    pub(super) fn reopen(&mut self, most: u32) {
        self.most = Some(self.last_failed().saturating_add(most));
        self.never = false;
        self.dropped = false;
    }
}
