//! The label `job` of metrics. The registry of a process keeps each label for ever, and jobs come and go: so only so
//! many have one of their own, those that came first, and the others are told together.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::limits::JOB_LABELS_MAX;

/// The label of all jobs that have none of their own. No job is called so.
pub const OTHERS: &str = "_others";

/// Jobs with a label of their own: as long as the process lasts, like the registry.
static LABELS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// The label of a job; `None`: it is told with the others.
pub fn own_label(job: &str) -> Option<String> {
    let mut labels = LABELS.lock().unwrap_or_else(PoisonError::into_inner);
    let has_one =
        labels.contains(job) || labels.len() < JOB_LABELS_MAX && labels.insert(job.to_owned());
    has_one.then(|| job.to_owned())
}

/// The label under which a job is told.
pub fn label(job: &str) -> String {
    own_label(job).unwrap_or_else(|| OTHERS.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::JobName;

    #[test]
    fn only_so_many_jobs_have_a_label_and_keep_it() {
        let job = |n: usize| format!("job-{n}");
        let all = 0..JOB_LABELS_MAX + 50;
        let labels: BTreeSet<String> = all.map(|n| label(&job(n))).collect();
        assert_eq!(labels.len(), JOB_LABELS_MAX + 1);
        assert_eq!(own_label(&job(0)).as_deref(), Some("job-0"));
        assert_eq!(label(&job(JOB_LABELS_MAX + 1)), OTHERS);
        assert!(JobName::new(OTHERS).is_err());
    }
}
