//! One mistake in a definition, and how it is shown.

use std::fmt;

/// One mistake in a job file, or in what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where: keys joined by dots (`grid.pages.count`). Empty when it is about the whole text.
    pub path: String,
    /// What is wrong, and how to mend it.
    pub message: String,
}

impl Fault {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Fault {
        Fault {
            path: path.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}
