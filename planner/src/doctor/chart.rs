//! What an examination found, check by check. How it is shown is for whoever shows it.

use serde::Serialize;
use utoipa::ToSchema;

use super::lines::Line;

/// How a check came out, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// As it should be.
    Ok,
    /// Works, but somebody should know.
    Note,
    /// Something does not work.
    Bad,
}

/// What one check found: a line of `gridloom doctor`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Check {
    /// What was looked at.
    pub check: &'static str,
    /// How it came out.
    pub result: Mark,
    /// Which line it is, for programs and the runbook (docs/OPERATIONS.md, What `doctor` says); of one that is ok there
    /// is none.
    pub key: Option<&'static str>,
    /// What is the case.
    pub found: String,
    /// What to do about it; empty where nothing is to be done.
    pub advice: String,
}

/// The lines of an examination, in the order in which they were found.
#[derive(Clone, Debug, Default)]
pub struct Chart(Vec<Check>);

impl Chart {
    pub(super) fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.0.push(Check {
            check,
            result: Mark::Ok,
            key: None,
            found: found.into(),
            advice: String::new(),
        });
    }

    pub(super) fn note(&mut self, line: Line, found: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Check {
            check: line.check,
            result: Mark::Note,
            key: Some(line.key),
            found: found.into(),
            advice: advice.into(),
        });
    }

    pub(super) fn bad(&mut self, line: Line, found: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Check {
            check: line.check,
            result: Mark::Bad,
            key: Some(line.key),
            found: found.into(),
            advice: advice.into(),
        });
    }

    /// All of them.
    pub fn checks(&self) -> &[Check] {
        &self.0
    }

    /// All of them.
    pub fn into_checks(self) -> Vec<Check> {
        self.0
    }

    /// Whether a check went wrong.
    pub fn is_bad(&self) -> bool {
        self.0.iter().any(|check| check.result == Mark::Bad)
    }

    /// All that is told of them.
    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        let told = self.0.iter();
        let told = told.map(|check| format!("{}: {} {}", check.check, check.found, check.advice));
        told.collect::<Vec<_>>().join("\n")
    }
}
