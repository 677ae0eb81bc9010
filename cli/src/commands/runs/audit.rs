//! `gridloom audit`: the proof of coverage, folded from the raw ledger and never from a summary.

use gridloom_shared::id::RunId;
use gridloom_shared::ledger::audit::{GridCell, Report};
use gridloom_shared::ledger::record::EndState;
use gridloom_shared::reads;

use crate::context::Context;
use crate::fault::Verdict;
use crate::output::{Output, Table, counted, grouped};

/// Cells that a breach lists for people before it says how many more there are.
const CELLS_SHOWN: usize = 10;

/// Proves the coverage of one run.
///
/// # Errors
/// When there is none, or the broker does not answer.
pub async fn audit(context: &Context, run: &RunId) -> anyhow::Result<Verdict> {
    let broker = context.ask().await?;
    let report = reads::runs::audit(&broker, run).await?;
    context
        .output
        .show(&report, |output| show_report(output, &report));
    Ok(if report.ok {
        Verdict::Fine
    } else {
        Verdict::Failed
    })
}

/// Prints an audit for people.
pub fn show_report(output: &Output, report: &Report) {
    let mut table = Table::facts();
    table.fact("run", report.run.as_str());
    table.fact("planned", grouped(report.planned));
    table.fact("committed", grouped(report.committed));
    table.fact("dead", grouped(report.dead));
    if report.dead_questions > 0 {
        table.fact("dead probes", grouped(report.dead_questions));
    }
    if report.cancelled > 0 {
        table.fact("cancelled", grouped(report.cancelled));
    }
    table.fact("takeovers", grouped(report.takeovers));
    table.fact("repeated", grouped(report.repeated));
    table.fact(
        "lost",
        if report.ended.is_some() {
            cells(report.lost_cells, &report.lost)
        } else {
            format!("{} so far", grouped(report.lost_cells))
        },
    );
    table.fact("twice", cells(report.twice_cells, &report.twice));
    table.fact(
        "unexpected",
        cells(report.unexpected_cells, &report.unexpected),
    );
    output.say(table.render(None));
    output.say(verdict(report));
}

fn verdict(report: &Report) -> String {
    match (report.ok, report.ended) {
        (true, _) if report.cancelled > 0 => format!(
            "ok: the run was stopped before {} had an outcome; the others are accounted for, {} dead",
            counted(report.cancelled, "cell"),
            grouped(report.dead)
        ),
        (true, _) if report.dead_questions > 0 => format!(
            "ok: every cell that is known is accounted for, {} dead; {} dead, so the pages of their slices are not known",
            grouped(report.dead),
            counted(report.dead_questions, "probe")
        ),
        (true, Some(EndState::Cancelled)) => format!(
            "ok: the run was stopped; every cell that was known by then is accounted for, {} dead",
            grouped(report.dead)
        ),
        (true, Some(_)) if report.dead == 0 => {
            "ok: every cell of the grid is committed exactly once".to_owned()
        }
        (true, _) => format!(
            "ok: every cell of the grid is accounted for; {} dead",
            counted(report.dead, "cell")
        ),
        (false, None) if report.twice_cells == 0 && report.unexpected_cells == 0 => {
            "not ok yet: the run goes on, cells without an outcome count as lost until it is over"
                .to_owned()
        }
        (false, _) => {
            let odd = match report.unexpected_records {
                0 => String::new(),
                n => format!(
                    "; {} could not be read or did not belong there",
                    counted(n, "record")
                ),
            };
            format!(
                "NOT OK: the ledger does not prove that every cell was committed exactly once{odd}"
            )
        }
    }
}

fn cells(count: u64, first: &[GridCell]) -> String {
    if count == 0 {
        return "0".to_owned();
    }
    let shown: Vec<_> = first
        .iter()
        .take(CELLS_SHOWN)
        .map(|cell| format!("slice {} page {}", cell.slice, cell.page))
        .collect();
    let more = if count > shown.len() as u64 {
        ", ..."
    } else {
        ""
    };
    format!("{}: {}{more}", grouped(count), shown.join(", "))
}

#[cfg(test)]
mod tests {
    use gridloom_shared::ledger::audit::Audit;

    use super::*;

    fn ended(state: EndState) -> Report {
        let run = RunId::new("job_r_1").unwrap();
        Report {
            ok: true,
            ended: Some(state),
            ..Audit::new(run).report()
        }
    }

    #[test]
    fn run_that_was_stopped_or_whose_probes_died_is_not_said_to_be_committed() {
        let committed = verdict(&ended(EndState::Succeeded));
        assert!(committed.contains("committed exactly once"), "{committed}");
        let stopped = verdict(&ended(EndState::Cancelled));
        assert!(stopped.contains("was stopped"), "{stopped}");
        let unknown = verdict(&Report {
            dead_questions: 2,
            ..ended(EndState::Failed)
        });
        assert!(unknown.contains("2 probes dead"), "{unknown}");
        assert!(unknown.contains("not known"), "{unknown}");
    }
}
