//! What `doctor` found, check by check, and how it is shown.

use serde::Serialize;

use crate::output::{Align, Output, Table};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mark {
    Ok,
    /// Works, but somebody should know.
    Note,
    Bad,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Check {
    check: &'static str,
    result: Mark,
    found: String,
    advice: String,
}

#[derive(Default)]
pub(super) struct Chart(Vec<Check>);

impl Chart {
    pub(super) fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.0.push(Check {
            check,
            result: Mark::Ok,
            found: found.into(),
            advice: String::new(),
        });
    }

    pub(super) fn note(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.0.push(Check {
            check,
            result: Mark::Note,
            found: found.into(),
            advice: advice.into(),
        });
    }

    pub(super) fn bad(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.0.push(Check {
            check,
            result: Mark::Bad,
            found: found.into(),
            advice: advice.into(),
        });
    }

    /// Whether a check went wrong.
    pub(super) fn is_bad(&self) -> bool {
        self.0.iter().any(|check| check.result == Mark::Bad)
    }

    /// Prints the chart.
    pub(super) fn show(&self, output: &Output) {
        output.show(&self.0, |output| {
            let columns = [
                ("check", Align::Left),
                ("", Align::Left),
                ("found", Align::Left),
                ("what to do", Align::Left),
            ];
            let mut table = Table::new(columns);
            for check in &self.0 {
                let mark = match check.result {
                    Mark::Ok => "ok",
                    Mark::Note => "note",
                    Mark::Bad => "BAD",
                };
                table.row([
                    check.check.to_owned(),
                    mark.to_owned(),
                    check.found.clone(),
                    check.advice.clone(),
                ]);
            }
            output.table(&table, "nothing was checked");
        });
    }
}
