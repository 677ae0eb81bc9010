//! Whether flow control does what it is for: limits that hold and cost nothing, fair shares, small runs
//! beside long ones, tiles that the planner sizes.
//!
//! Each part has a broker and processes of its own. What ran when is read from the handlers' own log,
//! on the boot clock of this machine, not from what the engine says.

use gridloom_cli::output::{Align, Output, Table};
use serde::Serialize;

use crate::args::{LimitsFlags, Part};
use crate::usage::{Hardware, Machine};

mod at_once;
mod installation;
mod log;
mod shares;
mod tiles;
pub(crate) mod worker;

/// One number, and what it should be.
#[derive(Clone, Debug, Serialize)]
struct Figure {
    what: &'static str,
    wanted: &'static str,
    reached: String,
}

impl Figure {
    fn new(what: &'static str, wanted: &'static str, reached: impl Into<String>) -> Figure {
        Figure {
            what,
            wanted,
            reached: reached.into(),
        }
    }
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    machine: Hardware,
    /// Part of the machine that was busy meanwhile with anything, 0 to 1.
    busy: f64,
    figures: Vec<Figure>,
}

/// Measures, and prints the report.
///
/// # Errors
/// When a process cannot be started, ends, or does not do what was asked of it.
pub(crate) async fn run(output: &Output, flags: &LimitsFlags) -> anyhow::Result<()> {
    let before = Machine::now()?;
    let mut figures = Vec::new();
    for part in &flags.parts {
        output.note(format!("{part:?}"));
        let found = match part {
            Part::Unbound => Box::pin(tiles::unbound(output, flags)).await?,
            Part::Concurrency => Box::pin(at_once::concurrency(output)).await?,
            Part::Rate => Box::pin(at_once::rate(output, flags)).await?,
            Part::Fair => Box::pin(shares::fair(output, flags)).await?,
            Part::Small => Box::pin(shares::small(output, flags)).await?,
            Part::Auto => Box::pin(tiles::auto(output)).await?,
            Part::Makespan => Box::pin(tiles::makespan(output, flags)).await?,
        };
        for figure in &found {
            output.note(format!("{}: {}", figure.what, figure.reached));
        }
        figures.extend(found);
    }
    let report = Report {
        machine: Hardware::here(),
        busy: Machine::now()?.others(before, 0.0),
        figures,
    };
    report.show(output);
    Ok(())
}

impl Report {
    fn show(&self, output: &Output) {
        output.show(self, |output| {
            let machine = &self.machine;
            output.say(format!(
                "{}; busy to {:.0} % meanwhile",
                machine,
                self.busy * 100.0,
            ));
            output.say("");
            let mut table = Table::new([
                ("", Align::Left),
                ("wanted", Align::Left),
                ("reached", Align::Left),
            ]);
            for figure in &self.figures {
                table.row([
                    figure.what.to_owned(),
                    figure.wanted.to_owned(),
                    figure.reached.clone(),
                ]);
            }
            output.table(&table, "nothing was measured");
        });
    }
}
