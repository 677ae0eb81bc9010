//! What a job is told before anything is decided about it: its records, in order, then which of its runs are open.

use std::collections::BTreeSet;

use gridloom_shared::id::RunId;

use super::Job;

impl Job {
    /// A record of its fires that stands at `sequence`.
    pub(in super::super) fn catch_up(&mut self, sequence: u64, payload: &[u8]) {
        if sequence > self.sequence
            && let Some(record) = self.understand(payload)
        {
            self.sequence = sequence;
            self.recorded(record);
        }
    }

    /// A leadership begins, or hears of the job first, while these runs of it are open.
    pub(in super::super) fn lead(&mut self, open: BTreeSet<RunId>) {
        for run in open {
            self.is_open(run);
        }
        self.leads = true;
        self.complain();
    }
}
