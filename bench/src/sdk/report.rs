//! What `sdk` found: medians over the rounds, as a table for people and as JSON.

use gridloom_cli::output::{Align, Output, Table, grouped};
use serde::Serialize;

use crate::stats::median;
use crate::usage::Hardware;

/// One way, measured once.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Sample {
    pub(super) shards: u64,
    /// From the submission to the closed run.
    pub(super) seconds: f64,
    /// Processor seconds of the planner.
    pub(super) planner_cpu: f64,
    /// Of the broker.
    pub(super) broker_cpu: f64,
    /// Of the worker, the bridge with it.
    pub(super) worker_cpu: f64,
    /// Of all its children.
    pub(super) children_cpu: f64,
    /// The most memory that one child had.
    pub(super) child_peak_mib: f64,
    /// Part of the machine that was busy with anything else, 0 to 1.
    pub(super) others: f64,
}

impl Sample {
    pub(super) fn rate(&self) -> f64 {
        self.shards as f64 / self.seconds
    }

    /// Microseconds of a processor for one shard.
    fn each(&self, seconds: f64) -> f64 {
        seconds * 1e6 / self.shards as f64
    }

    /// For people.
    pub(super) fn spoken(&self) -> String {
        let (rate, others) = (grouped(self.rate() as u64), self.others * 100.0);
        format!("{rate}/s (others used {others:.0} % of the machine)")
    }
}

/// One way over all rounds.
#[derive(Debug, Serialize)]
pub(super) struct Way {
    pub(super) name: &'static str,
    #[serde(skip)]
    pub(super) handler: &'static str,
    /// Which of the workers runs it.
    #[serde(skip)]
    pub(super) worker: usize,
    /// Pages a tile; null where the planner chooses.
    pub(super) tile: Option<u32>,
    shards_per_second: f64,
    /// To the worker's own handler with the same tiles: median of the ratios inside each round.
    ratio: f64,
    pub(super) samples: Vec<Sample>,
}

impl Way {
    /// Nothing yet.
    pub(super) fn new(
        name: &'static str,
        handler: &'static str,
        worker: usize,
        tile: Option<u32>,
    ) -> Way {
        Way {
            name,
            handler,
            worker,
            tile,
            shards_per_second: 0.0,
            ratio: 0.0,
            samples: Vec::new(),
        }
    }

    fn tiles(&self) -> String {
        self.tile
            .map_or_else(|| "automatic".to_owned(), |tile| tile.to_string())
    }

    /// For people.
    pub(super) fn spoken(&self) -> String {
        format!("{}, tiles {}", self.name, self.tiles())
    }

    fn middle(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(of))
    }
}

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Hardware,
    pub(super) broker: String,
    /// What runs the programs.
    pub(super) languages: Vec<String>,
    pub(super) rounds: u32,
    /// Children of each language, and tiles that each runs at once.
    pub(super) processes: u32,
    pub(super) slots: u32,
    pub(super) jetstream: String,
    pub(super) ways: Vec<Way>,
    /// What could not be measured, and why.
    pub(super) missing: Vec<String>,
}

impl Report {
    /// Prints it.
    pub(super) fn show(mut self, output: &Output) {
        self.conclude();
        output.show(&self, |output| {
            output.say(format!(
                "{}; nats-server {}, {}; {}; {} children with {} slots each; medians of {} rounds",
                self.machine,
                self.broker,
                match self.jetstream.as_str() {
                    "" => "its own interval of flushes",
                    lines => lines,
                },
                self.languages.join(", "),
                self.processes,
                self.slots,
                self.rounds,
            ));
            output.say("");
            output.table(&self.table(), "nothing was measured");
            for missing in &self.missing {
                output.say(format!("not measured: {missing}"));
            }
        });
    }

    fn conclude(&mut self) {
        let own: Vec<(Option<u32>, Vec<f64>)> = self.ways[..2]
            .iter()
            .map(|way| (way.tile, way.samples.iter().map(Sample::rate).collect()))
            .collect();
        for way in &mut self.ways {
            way.shards_per_second = way.middle(Sample::rate);
            let beside = own.iter().filter(|(tile, _)| *tile == way.tile);
            let rates = beside.flat_map(|(_, rates)| rates);
            let samples = way.samples.iter().zip(rates);
            way.ratio = median(samples.map(|(sample, own)| sample.rate() / own));
        }
    }

    fn table(&self) -> Table {
        let right = Align::Right;
        let mut table = Table::new([
            ("handler", Align::Left),
            ("pages a tile", right),
            ("shards", right),
            ("shards/s", right),
            ("ratio", right),
            ("µs a shard: worker", right),
            ("children", right),
            ("planner", right),
            ("broker", right),
            ("mib a child", right),
            ("others", right),
        ]);
        for way in &self.ways {
            let is_own = way.handler == "noop";
            let child = |text: String| if is_own { String::new() } else { text };
            let memory = way.samples.iter().map(|sample| sample.child_peak_mib);
            table.row([
                way.name.to_owned(),
                way.tiles(),
                grouped(way.middle(|sample| sample.shards as f64) as u64),
                grouped(way.shards_per_second as u64),
                format!("{:.3}", way.ratio),
                format!("{:.2}", way.middle(|it| it.each(it.worker_cpu))),
                child(format!("{:.2}", way.middle(|it| it.each(it.children_cpu)))),
                format!("{:.2}", way.middle(|it| it.each(it.planner_cpu))),
                format!("{:.2}", way.middle(|it| it.each(it.broker_cpu))),
                child(format!("{:.0}", memory.fold(0.0, f64::max))),
                format!("{:.0} %", way.middle(|it| it.others) * 100.0),
            ]);
        }
        table
    }
}
