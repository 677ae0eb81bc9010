//! What is wrong with files that are taken up when they change: the API finds it, and the planner tells whoever examines it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What is wrong now with the files of the API, for whoever examines the planner. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Faults {
    /// In words for people; empty where nothing is.
    pub(crate) fn told(&self) -> String {
        let faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = faults.iter().map(|(of, fault)| format!("{of}: {fault}"));
        told.collect::<Vec<_>>().join("; ")
    }

    pub(crate) fn set(&self, of: &'static str, fault: Option<&String>) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(fault) => faults.insert(of, fault.clone()),
            None => faults.remove(of),
        };
    }
}
