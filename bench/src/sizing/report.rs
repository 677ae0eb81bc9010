//! How it is shown: everything of a million shards.

use std::collections::BTreeMap;
use std::time::Duration;

use gridloom_cli::output::{Align, Output, Table, counted, grouped};
use serde::Serialize;

use super::taken::Taken;
use super::{Setting, Shape};
use crate::usage::Hardware;

const MIB: f64 = 1_048_576.0;

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Hardware,
    pub(super) broker: String,
    pub(super) cells: Vec<Cell>,
}

/// What was found in one setting.
#[derive(Debug, Serialize)]
pub(super) struct Cell {
    brokers: usize,
    queue: &'static str,
    sync_interval: &'static str,
    /// How the shards came.
    shape: String,
    shards: u64,
    shards_per_second: f64,
    /// Processor seconds of a million shards: of all brokers, the planner, the worker.
    cpu_seconds: [f64; 3],
    /// What the brokers have written for a million shards, all together, in MiB.
    written_mib: f64,
    /// What the ledger's records of a million shards take, one copy, in MiB.
    ledger_mib: f64,
    /// What the files of each stream have grown by for a million shards, all brokers together, in MiB.
    on_disk_mib: BTreeMap<String, f64>,
    /// Most memory of a broker, the planner, the worker, in MiB.
    peak_mib: [f64; 3],
    /// Part of the machine that something else used, 0 to 1.
    others: f64,
}

impl Cell {
    pub(super) fn of(
        setting: Setting,
        shape: Shape,
        shards: u64,
        took: Duration,
        (before, after): (&Taken, &Taken),
        others: f64,
    ) -> Cell {
        let million = shards as f64 / 1e6;
        let grown = |before: u64, after: u64| (after as f64 - before as f64) / MIB / million;
        let mut cpu_seconds = after.cpu;
        for (cpu, before) in cpu_seconds.iter_mut().zip(before.cpu) {
            *cpu = (*cpu - before) / million;
        }
        let on_disk = after.on_disk.iter().map(|(stream, bytes)| {
            let earlier = before.on_disk.get(stream).copied().unwrap_or(0);
            (stream.clone(), grown(earlier, *bytes))
        });
        Cell {
            brokers: setting.brokers,
            queue: setting.queue,
            sync_interval: if setting.always {
                "always"
            } else {
                "two minutes"
            },
            shape: match shape {
                Shape::Tiles(pages) => format!("{pages} a tile"),
                Shape::Runs => "a run each".to_owned(),
            },
            shards,
            shards_per_second: shards as f64 / took.as_secs_f64(),
            cpu_seconds,
            written_mib: grown(before.written, after.written),
            ledger_mib: grown(before.ledger, after.ledger),
            on_disk_mib: on_disk.collect(),
            peak_mib: after.peak_mib,
            others,
        }
    }

    /// For people who wait.
    pub(super) fn told(&self) -> String {
        format!(
            "{}, queue in {}, {}, {}: {} shards/s",
            counted(self.brokers as u64, "broker"),
            self.queue,
            self.sync_interval,
            self.shape,
            grouped(self.shards_per_second as u64)
        )
    }

    /// What stays on the disks until it is purged: ledger and summaries. What the files of a queue take that are empty
    /// by now goes with the next blocks.
    fn stays_mib(&self) -> f64 {
        let stay = |name: &str| ["-ledger", "-runs"].iter().any(|end| name.ends_with(end));
        let kept = self.on_disk_mib.iter().filter(|(name, _)| stay(name));
        kept.map(|(_, mib)| mib).sum()
    }

    fn row(&self) -> [String; 13] {
        let seconds = |seconds: f64| match seconds {
            small if small < 10.0 => format!("{small:.2}"),
            large => format!("{large:.0}"),
        };
        let [brokers, planner, worker] = self.cpu_seconds.map(seconds);
        let [of_broker, of_planner, of_worker] = self.peak_mib.map(|mib| format!("{mib:.0}"));
        [
            self.brokers.to_string(),
            self.queue.to_owned(),
            self.sync_interval.to_owned(),
            self.shape.clone(),
            brokers,
            planner,
            worker,
            seconds(self.written_mib),
            seconds(self.ledger_mib),
            seconds(self.stays_mib()),
            format!("{of_broker}, {of_planner}, {of_worker}"),
            grouped(self.shards_per_second as u64),
            format!("{:.0} %", self.others * 100.0),
        ]
    }
}

impl Report {
    pub(super) fn show(&self, output: &Output) {
        output.show(self, |output| {
            output.say(format!(
                "{}; nats-server {}; processor seconds and MiB of a million shards",
                self.machine, self.broker
            ));
            output.say("");
            let right = Align::Right;
            let mut table = Table::new([
                ("brokers", right),
                ("queue", Align::Left),
                ("sync_interval", Align::Left),
                ("shards", Align::Left),
                ("cpu: brokers", right),
                ("planner", right),
                ("worker", right),
                ("written", right),
                ("ledger", right),
                ("stays on disk", right),
                ("peak mib", right),
                ("shards/s", right),
                ("others", right),
            ]);
            for cell in &self.cells {
                table.row(cell.row());
            }
            output.table(&table, "nothing was measured");
        });
    }
}
