//! Whether the broker's memory stays flat over a long run whose tiles come and go by the million: the most it had in the
//! last third of the run beside the first. Fails where it grows.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::ensure;
use gridloom_cli::output::{Align, Output, Table, grouped};
use serde::Serialize;
use serde_json::json;

use crate::args::{FlatFlags, Kept};
use crate::engine::{Engine, Step};
use crate::stack::{self, Stack};
use crate::usage::{self, Hardware, Watch};

/// Parts of the run that are compared.
const THIRDS: usize = 3;
/// How often its memory is read.
const LOOK: Duration = Duration::from_millis(200);
/// Tiles that the worker runs at once.
const SLOTS: u32 = 1_000;
/// The run before that is not measured: its first blocks are there, its heap has grown.
const WARM_UP: u64 = 500_000;
/// The last third may have so much more than the first: what a garbage collector's heap swings by.
const MORE: f64 = 1.2;
const MORE_MIB: f64 = 32.0;

#[derive(Debug, Serialize)]
struct Report {
    machine: Hardware,
    broker: String,
    storage: Kept,
    shards: u64,
    seconds: f64,
    /// Part of the machine that something else used, 0 to 1.
    others: f64,
    /// The most that each had in each third of the run, in MiB.
    broker_mib: [f64; THIRDS],
    planner_mib: [f64; THIRDS],
    worker_mib: [f64; THIRDS],
    /// Of the queue's stream at the end.
    queue_bytes: u64,
}

/// Measures, and prints the report.
///
/// # Errors
/// When a process cannot be started, the run does not end, or memory grows.
pub(crate) async fn run(output: &Output, flags: &FlatFlags) -> anyhow::Result<()> {
    let stack = Stack::start(output, &flags.jetstream).await?;
    let planner = stack.planner(flags.storage.word()).await?;
    let worker = stack.worker(0, SLOTS).await?;
    let broker = stack.connect().await?;
    stack::workers_are_there(&broker, 1).await?;
    let mut engine = Engine::new(broker.clone()).await?;
    let warm = engine.apply(WARM_UP, 1).await?;
    engine.measure(&warm, |_| {}).await?;
    let grid = engine.apply(flags.shards.get().into(), 1).await?;
    output.note(format!("one run of {} shards", grouped(grid.shards)));

    let pids = [stack.pid()?, planner.pid(), worker.pid()];
    let mut most = [[0.0; THIRDS]; 3];
    let (watch, begun) = (Watch::begin()?, Instant::now());
    let run = engine.submit(&grid, json!({})).await?;
    let planned = Cell::new(0);
    let over = engine.until_closed(&run, |step| {
        if let Step::Planned(so_far) = step {
            planned.set(so_far);
        }
    });
    tokio::pin!(over);
    loop {
        tokio::select! {
            ended = &mut over => break ended?,
            () = tokio::time::sleep(LOOK) => {
                let third = (planned.get() * THIRDS as u64 / grid.shards) as usize;
                for (most, pid) in most.iter_mut().zip(pids) {
                    let most = &mut most[third.min(THIRDS - 1)];
                    *most = usage::memory(pid)?.resident_mib.max(*most);
                }
            }
        }
    }
    let [broker_mib, planner_mib, worker_mib] = most;
    let report = Report {
        machine: Hardware::here(),
        broker: stack.version(),
        storage: flags.storage,
        shards: grid.shards,
        seconds: begun.elapsed().as_secs_f64(),
        others: watch.others()?,
        broker_mib,
        planner_mib,
        worker_mib,
        queue_bytes: broker.info(&broker.subjects().shards()).await?.bytes,
    };
    drop((planner, worker));
    stack.stop().await?;
    report.show(output);
    report.judge()
}

impl Report {
    fn each(&self) -> [(&'static str, &[f64; THIRDS]); 3] {
        [
            ("broker", &self.broker_mib),
            ("planner", &self.planner_mib),
            ("worker", &self.worker_mib),
        ]
    }

    fn judge(&self) -> anyhow::Result<()> {
        for (who, mib) in self.each() {
            ensure!(is_flat(mib), "the memory of the {who} grows: {mib:.0?} MiB");
        }
        Ok(())
    }

    fn show(&self, output: &Output) {
        output.show(self, |output| {
            output.say(format!(
                "{}; nats-server {}; one run of {} shards, one a tile, queue in {}: {:.0} s; others had {:.0} % of the machine",
                self.machine,
                self.broker,
                grouped(self.shards),
                self.storage,
                self.seconds,
                self.others * 100.0,
            ));
            output.say("");
            let right = Align::Right;
            let mut table = Table::new([
                ("most MiB in the", Align::Left),
                ("first third", right),
                ("second", right),
                ("last", right),
            ]);
            for (who, mib) in self.each() {
                let mib = mib.map(|mib| format!("{mib:.0}"));
                let [first, second, last] = mib;
                table.row([who.to_owned(), first, second, last]);
            }
            output.table(&table, "nothing was measured");
        });
    }
}

/// Whether the last third had no more than the first, but for what a heap swings by.
fn is_flat(mib: &[f64; THIRDS]) -> bool {
    mib[THIRDS - 1] <= mib[0] * MORE + MORE_MIB
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_with_the_run_is_not_flat() {
        assert!(is_flat(&[200.0, 230.0, 260.0]));
        assert!(!is_flat(&[200.0, 400.0, 600.0]));
        assert!(!is_flat(&[20.0, 40.0, 60.0]));
    }
}
