//! The values of labels. The registry of a process keeps each series of a counter for ever, and what people give names
//! to comes and goes: so only so many have a series of their own, those that came first, and the others are told
//! together. The only place that bounds: every series is made by [`Metric`](super::Metric).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::limits::LABELS_MAX;

/// The value for all that have none of their own. No job, queue or handler is called so.
pub const OTHERS: &str = "_others";

/// Labels whose values are names that people give. All others have a handful of values, which stand in the code.
pub const NAMED: &[&str] = &[
    "counter", "database", "handler", "job", "queue", "resource", "worker",
];

/// Values of such labels that have series of their own, by the labels that stand together: for as long as the process
/// lasts, like the registry.
static KNOWN: Mutex<BTreeMap<Vec<&'static str>, BTreeSet<Vec<String>>>> =
    Mutex::new(BTreeMap::new());

/// The values under which these are told.
pub(super) fn bounded<'a>(labels: &'static [&'static str], values: &[&'a str]) -> Vec<&'a str> {
    debug_assert_eq!(labels.len(), values.len(), "{labels:?} {values:?}");
    let named = |label: &&'static str| NAMED.contains(label);
    let both = labels.iter().copied().zip(values.iter().copied());
    let names: Vec<&'static str> = labels.iter().copied().filter(named).collect();
    let given = both.clone().filter(|(label, _)| named(label));
    let own = names.is_empty() || have_own(names, given.map(|(_, value)| value));
    let told = both.map(|(label, value)| if own || !named(&label) { value } else { OTHERS });
    told.collect()
}

/// Whether these have series of their own.
fn have_own<'a>(names: Vec<&'static str>, values: impl Iterator<Item = &'a str>) -> bool {
    let values: Vec<String> = values.map(str::to_owned).collect();
    if values.iter().any(|value| value == OTHERS) {
        return false;
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.entry(names).or_default();
    known.contains(&values) || known.len() < LABELS_MAX && known.insert(values)
}

/// The label of a job; `None`: it is told with the others.
pub fn own_label(job: &str) -> Option<String> {
    have_own(vec!["job"], [job].into_iter()).then(|| job.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::JobName;

    #[test]
    fn only_so_many_have_a_label_and_keep_it_whatever_they_are() {
        for labels in [&["resource"][..], &["database"], &["worker"]] {
            let name = |n: usize| format!("a-{n}");
            let all = 0..LABELS_MAX + 50;
            let told: BTreeSet<String> = all
                .map(|n| bounded(labels, &[&name(n)])[0].to_owned())
                .collect();
            assert_eq!(told.len(), LABELS_MAX + 1, "{labels:?}");
            assert_eq!(bounded(labels, &["a-0"]), ["a-0"]);
            assert_eq!(bounded(labels, &[&name(LABELS_MAX + 1)]), [OTHERS]);
        }
        assert!(JobName::new(OTHERS).is_err());
    }

    #[test]
    fn labels_that_stand_together_are_bounded_together() {
        const BOTH: &[&str] = &["queue", "reason", "handler"];
        let mut told = BTreeSet::new();
        for queue in 0..60 {
            for handler in 0..60 {
                let (queue, handler) = (format!("q{queue}"), format!("h{handler}"));
                let values = bounded(BOTH, &[&queue, "hold", &handler]);
                assert_eq!(values[1], "hold");
                told.insert((values[0].to_owned(), values[2].to_owned()));
            }
        }
        assert_eq!(told.len(), LABELS_MAX + 1);
        assert!(told.contains(&(OTHERS.to_owned(), OTHERS.to_owned())));
        assert_eq!(bounded(&["state"], &["running"]), ["running"]);
        assert!(bounded(&[], &[]).is_empty());
    }
}
