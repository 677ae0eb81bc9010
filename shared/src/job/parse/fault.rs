//! How faults are collected: shown one line each, the key's path first.

use std::fmt;

pub use crate::job::Fault;

/// All that is wrong with a text, in the order of the documentation. Shown one a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, fault) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl Faults {
    /// A text with one fault.
    pub(super) fn one(path: impl Into<String>, message: impl Into<String>) -> Self {
        let mut faults = Faults::default();
        faults.add(path, message);
        faults
    }

    pub(super) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Fault::new(path, message));
    }

    /// What was read, unless there was a fault. A reader that gives nothing has said why.
    pub(super) fn or<T>(self, read: Option<T>) -> Result<T, Faults> {
        match read {
            Some(read) if self.0.is_empty() => Ok(read),
            Some(_) | None => Err(self),
        }
    }
}
