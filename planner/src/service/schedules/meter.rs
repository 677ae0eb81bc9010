//! What metrics say of schedules, by job as far as jobs have a label of their own.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use gridloom_shared::clock::{Boot, UnixMs};
use gridloom_shared::id::JobName;
use gridloom_shared::telemetry::labels::{OTHERS, own_label};

use crate::metrics::{FIRES, FIRES_PENDING, NEXT_FIRE};

/// How often all of it is told again: what is not told of for some minutes goes away.
const AGAIN: Duration = Duration::from_secs(60);

/// Counts nominal times that got their answer.
pub(super) fn count(job: &JobName, decision: &'static str, times: u64) {
    FIRES.counter(&[job.as_str(), decision]).increment(times);
}

/// Shows what is to come, as long as a leadership lasts.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Fires that have come and have no run yet, of jobs where there are any.
    pending: HashMap<JobName, u64>,
    /// Those of the others together.
    others: u64,
    /// What was told, by label. Of a job of which nothing is to come it was told last that there is nothing.
    told: BTreeMap<String, (Option<UnixMs>, u64)>,
    again: Option<Boot>,
}

impl Meter {
    /// So a job stands: when its next fire opens, and how many wait.
    pub(super) fn show(&mut self, job: &JobName, next: Option<UnixMs>, pending: u64) {
        let before = match pending {
            0 => self.pending.remove(job),
            _ => self.pending.insert(job.clone(), pending),
        };
        match own_label(job.as_str()) {
            Some(label) => self.tell(label, next, pending),
            None => self.others = (self.others + pending).saturating_sub(before.unwrap_or(0)),
        }
    }

    /// So the others stand: `next` is when the next fire of any of them opens.
    pub(super) fn show_others(&mut self, next: Option<UnixMs>) {
        if next.is_some() || self.told.contains_key(OTHERS) {
            self.tell(OTHERS.to_owned(), next, self.others);
        }
    }

    /// Tells all of it again, if that is due.
    pub(super) fn tell_again(&mut self, now: Boot) {
        if self.again.is_none_or(|at| now.since(at) >= AGAIN) {
            self.again = Some(now);
            let told = self.told.iter();
            told.for_each(|(label, (next, pending))| set(label, *next, *pending));
        }
    }

    fn tell(&mut self, label: String, next: Option<UnixMs>, pending: u64) {
        if next.is_some() || pending > 0 {
            set(&label, next, pending);
            self.told.insert(label, (next, pending));
        } else if self.told.remove(&label).is_some() {
            set(&label, None, 0);
        }
    }
}

/// Nothing is led any more: what comes is another's to show.
impl Drop for Meter {
    fn drop(&mut self) {
        self.told.keys().for_each(|label| set(label, None, 0));
    }
}

fn set(job: &str, next: Option<UnixMs>, pending: u64) {
    let seconds = next.map_or(0.0, |next| next.0 as f64 / 1_000.0);
    NEXT_FIRE.gauge(&[job]).set(seconds);
    FIRES_PENDING.gauge(&[job]).set(pending as f64);
}

#[cfg(test)]
mod tests {
    use gridloom_shared::limits::LABELS_MAX;

    use super::*;

    #[test]
    fn jobs_without_a_label_are_told_together() {
        let job = |n: usize| JobName::new(format!("job-{n}")).unwrap();
        let labels = (0..LABELS_MAX).filter_map(|n| own_label(job(n).as_str()));
        assert!(labels.count() <= LABELS_MAX);
        let other = job(LABELS_MAX + 1);
        let mut meter = Meter::default();
        meter.show(&other, None, 3);
        meter.show(&job(LABELS_MAX + 2), None, 2);
        meter.show(&other, None, 1);
        assert_eq!(meter.others, 3);
        meter.show(&other, None, 0);
        assert_eq!((meter.others, meter.pending.len()), (2, 1));
    }

    #[test]
    fn job_of_which_nothing_is_to_come_is_not_told_of_again() {
        let job = JobName::new("job-0").unwrap();
        let mut meter = Meter::default();
        meter.show(&job, Some(UnixMs(5)), 0);
        meter.show(&job, None, 1);
        assert_eq!(meter.told.len(), 1);
        meter.show(&job, None, 0);
        assert!(meter.told.is_empty());
    }
}
