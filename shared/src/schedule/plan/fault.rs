//! Why a schedule is none, and how it is told.

use std::fmt;

use crate::job::parse::{Fault, Faults};

/// Why a schedule is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecError {
    /// Its keys say what cannot be.
    Keys(Faults),
    /// A calendar that is not there.
    Calendar {
        /// `only` or `except`.
        key: &'static str,
        /// The name that stands there.
        name: String,
        /// A calendar that is there, and may be meant.
        near: Option<String>,
    },
    /// No time of it is within `start` and `end`.
    Outside,
    /// Calendars and dates leave nothing of it.
    Barred,
}

impl SpecError {
    /// What is told of it: which key, and what to change.
    pub fn faults(&self) -> Faults {
        match self {
            SpecError::Keys(faults) => faults.clone(),
            SpecError::Calendar { key, name, near } => {
                let near = near.as_ref();
                let hint = near.map(|near| format!("; did you mean \"{near}\"?"));
                let hint = hint.unwrap_or_default();
                fault(
                    &format!("schedule.{key}"),
                    format!(
                        "calendar \"{name}\" is not known: apply it first (`gridloom calendar apply FILE`), or leave it out{hint}"
                    ),
                )
            }
            SpecError::Outside => fault(
                "schedule",
                "never fires: it has no time from `start` until `end`: change one of them".to_owned(),
            ),
            SpecError::Barred => fault(
                "schedule",
                "never fires: `only` and `except` take out each of its times that can be foreseen: change one of them".to_owned(),
            ),
        }
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.faults().fmt(f)
    }
}

impl std::error::Error for SpecError {}

fn fault(path: &str, message: String) -> Faults {
    Faults(vec![Fault {
        path: path.to_owned(),
        message,
    }])
}

pub(super) fn wrong(key: &str, error: &dyn std::error::Error) -> SpecError {
    let message = crate::chain(error).to_string();
    SpecError::Keys(fault(&format!("schedule.{key}"), message))
}
