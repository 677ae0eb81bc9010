//! `gridloom audit`: the proof of coverage, folded from the raw ledger and never from a summary.

use gridloom_shared::id::RunId;
use gridloom_shared::ledger::audit::{GridCell, Report};
use gridloom_shared::reads;

use crate::commands::Context;
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
