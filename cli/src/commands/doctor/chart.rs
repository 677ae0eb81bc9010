//! What `doctor` found, check by check, and how it is shown.

use serde::Serialize;

use super::lines::Line;
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
    /// Which line it is, for programs and the runbook; of one that is ok there is none.
    key: Option<&'static str>,
    found: String,
    advice: String,
}

impl Check {
    /// Where there is no terminal: one line of what was found, and one of what to do. As columns they were wider than
    /// anybody's window.
    fn lines(&self) -> String {
        let found = self.found.replace('\n', " ");
        let line = format!("{:<15} {:<5} {found}", self.check, self.result.word());
        match self.to_do().replace('\n', " ").as_str() {
            "" => line,
            to_do => format!("{line}\n                what to do: {to_do}"),
        }
    }

    /// The advice, and where the runbook has more.
    fn to_do(&self) -> String {
        match (self.advice.as_str(), self.key) {
            ("", _) | (_, None) => self.advice.clone(),
            (advice, Some(key)) => format!("{advice} [{key}]"),
        }
    }
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Mark::Ok => "ok",
            Mark::Note => "note",
            Mark::Bad => "BAD",
        }
    }
}

#[derive(Default)]
pub(super) struct Chart(Vec<Check>);

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

    /// Whether a check went wrong.
    pub(super) fn is_bad(&self) -> bool {
        self.0.iter().any(|check| check.result == Mark::Bad)
    }

    /// All of it, a line or two each.
    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        let lines: Vec<String> = self.0.iter().map(Check::lines).collect();
        lines.join("\n")
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
                table.row([
                    check.check.to_owned(),
                    check.result.word().to_owned(),
                    check.found.clone(),
                    check.to_do(),
                ]);
            }
            match output.is_terminal() {
                true => output.table(&table, "nothing was checked"),
                false => self.0.iter().for_each(|check| output.say(check.lines())),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines;
    use super::*;

    #[test]
    fn check_is_a_line_and_its_advice_another() {
        let mut chart = Chart::default();
        chart.ok("broker", "there");
        chart.bad(lines::NO_WORKERS, "none\nof them", "start one");
        let lines: Vec<String> = chart.0.iter().map(Check::lines).collect();
        assert_eq!(
            lines,
            [
                "broker          ok    there",
                "workers         BAD   none of them\n                what to do: start one [no-workers]"
            ]
        );
    }
}
