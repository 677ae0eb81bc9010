//! Why a run gets no further: what flow control says, and what the run itself waits for.

use super::*;

impl Lead {
    /// What an open run waits for, the first reason first; empty if it is not open, or being served.
    pub(super) fn explain(&mut self, name: &RunId, now: Now) -> Vec<Waiting> {
        let Some(run) = self.book.get(name) else {
            return Vec::new();
        };
        let fold = run.fold();
        let (open, issued) = (fold.open_tiles().len() as u64, fold.all_issued());
        let retries = fold.retrying();
        let due = run.next_retry();
        let mut waits = Vec::new();
        if let Some(why) = fold.aside().filter(|_| fold.cancelled().is_none()) {
            let why = match fold.is_newer() {
                true => why.to_owned(),
                false => format!("{why}; it can be cancelled"),
            };
            waits.push(Waiting::Aside { why });
        } else if self.no_room.is_some() && (!issued || open > 0) {
            waits.push(Waiting::NoRoom {});
        } else if issued && open > 0 {
            waits.extend(self.admission.why_open(name, &self.crew, now));
        } else if !issued || due.is_some_and(|due| due <= now.broker) {
            waits.extend(self.admission.why(name, &self.crew, now));
        }
        if let Some(due) = due.filter(|due| *due > now.broker) {
            if waits.is_empty() {
                waits.extend(self.admission.on_hold(name, now));
            }
            waits.push(Waiting::Retry {
                shards: retries,
                due,
            });
        }
        if open > 0 {
            waits.push(Waiting::Shards { tiles: open });
        }
        waits
    }
}
