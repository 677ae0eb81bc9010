//! What metrics say of schedules, by job as far as jobs have a label of their own.

use std::collections::{BTreeSet, HashMap};

use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::JobName;
use gridloom_shared::telemetry::labels::{OTHERS, label, own_label};
use gridloom_shared::telemetry::names;

/// Counts nominal times that got their answer.
pub(super) fn count(job: &JobName, decision: &'static str, times: u64) {
    metrics::counter!(names::FIRES, "job" => label(job.as_str()), "decision" => decision)
        .increment(times);
}

/// Shows what is to come, as long as a leadership lasts.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Fires that have come and have no run yet, of jobs where there are any.
    pending: HashMap<JobName, u64>,
    /// Those of the others together.
    others: u64,
    /// Labels that were told of.
    told: BTreeSet<String>,
}

impl Meter {
    /// So a job stands: when its next fire opens, and how many wait.
    pub(super) fn show(&mut self, job: &JobName, next: Option<UnixMs>, pending: u64) {
        let before = match pending {
            0 => self.pending.remove(job),
            _ => self.pending.insert(job.clone(), pending),
        };
        match own_label(job.as_str()) {
            Some(label) => {
                set(&label, next, pending);
                self.told.insert(label);
            }
            None => self.others = (self.others + pending).saturating_sub(before.unwrap_or(0)),
        }
    }

    /// So the others stand: `next` is when the next fire of any of them opens.
    pub(super) fn show_others(&mut self, next: Option<UnixMs>) {
        if next.is_some() || self.told.contains(OTHERS) {
            set(OTHERS, next, self.others);
            self.told.insert(OTHERS.to_owned());
        }
    }
}

/// Nothing is led any more: what comes is another's to show.
impl Drop for Meter {
    fn drop(&mut self) {
        self.told.iter().for_each(|label| set(label, None, 0));
    }
}

fn set(job: &str, next: Option<UnixMs>, pending: u64) {
    let seconds = next.map_or(0.0, |next| next.0 as f64 / 1_000.0);
    metrics::gauge!(names::NEXT_FIRE, "job" => job.to_owned()).set(seconds);
    metrics::gauge!(names::FIRES_PENDING, "job" => job.to_owned()).set(pending as f64);
}

#[cfg(test)]
mod tests {
    use gridloom_shared::limits::JOB_LABELS_MAX;

    use super::*;

    #[test]
    fn jobs_without_a_label_are_told_together() {
        let job = |n: usize| JobName::new(format!("job-{n}")).unwrap();
        let labels = (0..JOB_LABELS_MAX).filter_map(|n| own_label(job(n).as_str()));
        assert!(labels.count() <= JOB_LABELS_MAX);
        let other = job(JOB_LABELS_MAX + 1);
        let mut meter = Meter::default();
        meter.show(&other, None, 3);
        meter.show(&job(JOB_LABELS_MAX + 2), None, 2);
        meter.show(&other, None, 1);
        assert_eq!(meter.others, 3);
        meter.show(&other, None, 0);
        assert_eq!((meter.others, meter.pending.len()), (2, 1));
    }
}
