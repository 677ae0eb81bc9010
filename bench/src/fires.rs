//! How late schedules open their runs: one fire after the other, many at one instant, and over a change of leaders; and
//! what a hundred thousand of them cost.
//!
//! A fire is late by what lies between the time at which it is to open and the broker's stamp on the run's first
//! record, rounded up to whole milliseconds. Each fire that is expected has to be there, once.
//!
//! | room | what it measures |
//! |------|------------------|
//! | [`jobs`] | nothing: many jobs, and what came of their fires |
//! | [`steady`] | fires that come one after the other, or with each second |
//! | [`minute`] | many jobs that are due together |
//! | [`many`] | many schedules: loaded, idle, changed, and over a change of leaders |

use gridloom_cli::output::{Align, Output, Table, grouped};
use serde::Serialize;

use crate::args::{FiresFlags, FiresPart};
use crate::stats::Spread;
use crate::usage::{Hardware, Machine};

mod jobs;
mod many;
mod minute;
mod steady;

use many::Many;
use minute::Minute;
use steady::Steady;

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    machine: Hardware,
    /// What the broker was told besides.
    jetstream: String,
    /// Part of the machine that was busy meanwhile with anything, 0 to 1.
    busy: f64,
    steady: Vec<Steady>,
    minutes: Vec<Minute>,
    many: Option<Many>,
}

/// What, what was wanted, what was reached.
type Row = (String, &'static str, String);

/// Measures, and prints the report.
///
/// # Errors
/// When a process cannot be started or ends, or a fire has no run.
pub(crate) async fn run(output: &Output, flags: &FiresFlags) -> anyhow::Result<()> {
    let before = Machine::now()?;
    let mut report = Report {
        machine: Hardware::here(),
        jetstream: flags.jetstream.clone(),
        busy: 0.0,
        steady: Vec::new(),
        minutes: Vec::new(),
        many: None,
    };
    for part in &flags.parts {
        match part {
            FiresPart::Steady => {
                for rate in &flags.rates {
                    let found = Box::pin(steady::measure(output, flags, rate.get(), true)).await?;
                    report.steady.push(found);
                }
            }
            FiresPart::Burst => {
                let rate = flags.rates.first().map_or(300, |rate| rate.get());
                let found = Box::pin(steady::measure(output, flags, rate, false)).await?;
                report.steady.push(found);
            }
            FiresPart::Minute => {
                for is_spread in [false, true] {
                    let found = Box::pin(minute::measure(output, flags, is_spread)).await?;
                    report.minutes.push(found);
                }
            }
            FiresPart::Many => report.many = Some(Box::pin(many::measure(output, flags)).await?),
        }
    }
    report.busy = Machine::now()?.others(before, 0.0);
    report.show(output);
    Ok(())
}

impl Report {
    fn show(&self, output: &Output) {
        output.show(self, |output| {
            let machine = &self.machine;
            output.say(format!(
                "{machine}; {}; busy to {:.0} % meanwhile",
                match self.jetstream.as_str() {
                    "" => "nats-server's own interval of flushes",
                    lines => lines,
                },
                self.busy * 100.0,
            ));
            output.say("");
            let mut table = Table::new([
                ("", Align::Left),
                ("wanted", Align::Left),
                ("reached", Align::Left),
            ]);
            let steady = self.steady.iter().flat_map(Steady::rows);
            let minutes = self.minutes.iter().flat_map(Minute::rows);
            let many = self.many.iter().flat_map(Many::rows);
            for (what, wanted, reached) in steady.chain(minutes).chain(many) {
                table.row([what, wanted.to_owned(), reached]);
            }
            output.table(&table, "nothing was measured");
        });
    }
}

fn late(spread: &Spread) -> String {
    let Spread { p50, p90, p99, max } = spread;
    format!("p50 {p50:.0}, p90 {p90:.0}, p99 {p99:.0}, max {max:.0} ms")
}

fn percent(part: f64) -> String {
    format!("{:.1} % of a core", part * 100.0)
}

fn count(number: usize) -> String {
    grouped(number as u64)
}
