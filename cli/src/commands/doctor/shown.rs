//! How what an examination found is printed.

use gridloom_planner::doctor::{Chart, Check, Mark};

use crate::output::{Align, Output, Table};

/// Where there is no terminal: one line of what was found, and one of what to do. As columns they were wider than
/// anybody's window.
fn lines(check: &Check) -> String {
    let found = check.found.replace('\n', " ");
    let line = format!("{:<15} {:<5} {found}", check.check, word(check.result));
    match to_do(check).replace('\n', " ").as_str() {
        "" => line,
        to_do => format!("{line}\n                what to do: {to_do}"),
    }
}

/// The advice, and where the runbook has more.
fn to_do(check: &Check) -> String {
    match (check.advice.as_str(), check.key) {
        ("", _) | (_, None) => check.advice.clone(),
        (advice, Some(key)) => format!("{advice} [{key}]"),
    }
}

fn word(mark: Mark) -> &'static str {
    match mark {
        Mark::Ok => "ok",
        Mark::Note => "note",
        Mark::Bad => "BAD",
    }
}

/// Prints the chart.
pub(super) fn show(chart: &Chart, output: &Output) {
    let checks = chart.checks();
    output.show(&checks, |output| {
        let columns = [
            ("check", Align::Left),
            ("", Align::Left),
            ("found", Align::Left),
            ("what to do", Align::Left),
        ];
        let mut table = Table::new(columns);
        for check in checks {
            table.row([
                check.check.to_owned(),
                word(check.result).to_owned(),
                check.found.clone(),
                to_do(check),
            ]);
        }
        match output.is_terminal() {
            true => output.table(&table, "nothing was checked"),
            false => checks.iter().for_each(|check| output.say(lines(check))),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_is_a_line_and_its_advice_another() {
        let check = |result, key, found: &str, advice: &str| Check {
            check: "workers",
            result,
            key,
            found: found.to_owned(),
            advice: advice.to_owned(),
        };
        let fine = check(Mark::Ok, None, "there", "");
        let bad = check(Mark::Bad, Some("no-workers"), "none\nof them", "start one");
        assert_eq!(
            [lines(&fine), lines(&bad)],
            [
                "workers         ok    there",
                "workers         BAD   none of them\n                what to do: start one [no-workers]"
            ]
        );
    }
}
