//! What `path` found: medians over the rounds, as a table for people and as JSON.

use std::time::Duration;

use gridloom_cli::output::{Align, Output, Table, grouped};
use serde::Serialize;

use crate::args::{Kept, PathFlags};
use crate::stats::median;
use crate::usage::{Hardware, Memory};

/// One way, measured once.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    /// Shards, or messages of the hand-written loop.
    pub(crate) shards: u64,
    /// From the submission to the closed run.
    pub(crate) seconds: f64,
    /// Processor seconds of the planner, or the publisher.
    pub(crate) planner_cpu: f64,
    /// Of all workers together, or the consumer.
    pub(crate) worker_cpu: f64,
    /// Of the broker.
    pub(crate) broker_cpu: f64,
    /// Most memory that the planner, or the publisher, had meanwhile.
    pub(crate) planner_peak_mib: f64,
    /// Most that one worker, or the consumer, had.
    pub(crate) worker_peak_mib: f64,
    /// Most that the broker had.
    pub(crate) broker_peak_mib: f64,
    /// Part of the machine that was busy with anything else, 0 to 1.
    pub(crate) others: f64,
}

impl Sample {
    fn rate(&self) -> f64 {
        self.shards as f64 / self.seconds
    }

    /// For people.
    pub(crate) fn spoken(&self) -> String {
        let others = self.others * 100.0;
        format!(
            "{}/s (others used {others:.0} % of the machine)",
            grouped(self.rate() as u64)
        )
    }
}

/// One way over all rounds.
#[derive(Debug, Serialize)]
struct Way {
    /// Pages a tile; null for the hand-written loop.
    tile: Option<u32>,
    shards_per_second: f64,
    /// To the hand-written loop: median of the ratios inside each round.
    ratio: f64,
    median: Option<Sample>,
    samples: Vec<Sample>,
}

/// The planner's and a worker's memory over one long run.
#[derive(Debug, Serialize)]
pub(crate) struct LongRun {
    shards: u64,
    seconds: f64,
    shards_per_second: f64,
    /// When so much was planned.
    at: Vec<Moment>,
    planner_peak_mib: f64,
    worker_peak_mib: f64,
}

#[derive(Debug, Serialize)]
struct Moment {
    percent: u64,
    planner_mib: f64,
    worker_mib: f64,
}

type Seen = (u64, anyhow::Result<Memory>, anyhow::Result<Memory>);

impl LongRun {
    pub(crate) fn new(
        shards: u64,
        took: Duration,
        seen: Vec<Seen>,
        planner: Memory,
        worker: Memory,
    ) -> anyhow::Result<LongRun> {
        let moment = |(percent, planner, worker): Seen| {
            anyhow::Ok(Moment {
                percent,
                planner_mib: planner?.resident_mib,
                worker_mib: worker?.resident_mib,
            })
        };
        Ok(LongRun {
            shards,
            seconds: took.as_secs_f64(),
            shards_per_second: shards as f64 / took.as_secs_f64(),
            at: seen
                .into_iter()
                .map(moment)
                .collect::<anyhow::Result<_>>()?,
            planner_peak_mib: planner.peak_mib,
            worker_peak_mib: worker.peak_mib,
        })
    }
}

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Hardware,
    broker: String,
    rounds: u32,
    workers: u32,
    concurrency: u32,
    /// Where the queue is kept.
    storage: Kept,
    ways: Vec<Way>,
    /// The long run, if there was one.
    pub(crate) long_run: Option<LongRun>,
}

impl Report {
    /// Nothing yet.
    pub(crate) fn new(machine: Hardware, broker: String, flags: &PathFlags) -> Report {
        let tiles = flags.tiles.iter().map(|tile| Some(tile.get()));
        let way = |tile| Way {
            tile,
            shards_per_second: 0.0,
            ratio: 0.0,
            median: None,
            samples: Vec::new(),
        };
        Report {
            machine,
            broker,
            rounds: flags.rounds.get(),
            workers: flags.stack.workers.get(),
            concurrency: flags.stack.concurrency.get(),
            storage: flags.stack.storage,
            ways: [None].into_iter().chain(tiles).map(way).collect(),
            long_run: None,
        }
    }

    /// Adds a sample of the way with `tile` pages a tile; `None`: by hand.
    pub(crate) fn add(&mut self, tile: Option<u32>, sample: Sample) {
        if let Some(way) = self.ways.iter_mut().find(|way| way.tile == tile) {
            way.samples.push(sample);
        }
    }

    /// Prints it.
    pub(crate) fn show(mut self, output: &Output) {
        self.conclude();
        output.show(&self, |output| {
            let machine = &self.machine;
            output.say(format!(
                "{} cores of {}, {} GiB, Linux {}; nats-server {}; {} worker with {} slots; queue in {}; medians of {} rounds",
                machine.cores,
                machine.processor,
                machine.memory_gib,
                machine.kernel,
                self.broker,
                self.workers,
                self.concurrency,
                self.storage,
                self.rounds,
            ));
            output.say("");
            output.table(&self.table(), "nothing was measured");
            if let Some(long) = &self.long_run {
                output.say("");
                output.say(long_run(long));
            }
        });
    }

    fn conclude(&mut self) {
        let by_hand: Vec<f64> = self.ways[0].samples.iter().map(Sample::rate).collect();
        for way in &mut self.ways {
            way.shards_per_second = median(way.samples.iter().map(Sample::rate));
            way.ratio = median(
                way.samples
                    .iter()
                    .zip(&by_hand)
                    .map(|(sample, hand)| sample.rate() / hand),
            );
            way.median = way
                .samples
                .first()
                .map(|first| middle(first.shards, &way.samples));
        }
    }

    fn table(&self) -> Table {
        let right = Align::Right;
        let mut table = Table::new([
            ("way", Align::Left),
            ("shards", right),
            ("seconds", right),
            ("shards/s", right),
            ("ratio", right),
            ("cpu s: planner", right),
            ("worker", right),
            ("broker", right),
            ("peak mib: planner", right),
            ("worker", right),
            ("broker", right),
            ("others", right),
        ]);
        for way in &self.ways {
            let Some(median) = &way.median else { continue };
            let name = match way.tile {
                None => "written by hand".to_owned(),
                Some(1) => "1 page a tile".to_owned(),
                Some(tile) => format!("{tile} pages a tile"),
            };
            table.row([
                name,
                grouped(median.shards),
                format!("{:.2}", median.seconds),
                grouped(way.shards_per_second as u64),
                format!("{:.2}", way.ratio),
                format!("{:.2}", median.planner_cpu),
                format!("{:.2}", median.worker_cpu),
                format!("{:.2}", median.broker_cpu),
                format!("{:.1}", median.planner_peak_mib),
                format!("{:.1}", median.worker_peak_mib),
                format!("{:.1}", median.broker_peak_mib),
                format!("{:.0} %", median.others * 100.0),
            ]);
        }
        table
    }
}

/// A sample with the median of each number.
fn middle(shards: u64, samples: &[Sample]) -> Sample {
    let of = |get: fn(&Sample) -> f64| median(samples.iter().map(get));
    Sample {
        shards,
        seconds: of(|sample| sample.seconds),
        planner_cpu: of(|sample| sample.planner_cpu),
        worker_cpu: of(|sample| sample.worker_cpu),
        broker_cpu: of(|sample| sample.broker_cpu),
        planner_peak_mib: of(|sample| sample.planner_peak_mib),
        worker_peak_mib: of(|sample| sample.worker_peak_mib),
        broker_peak_mib: of(|sample| sample.broker_peak_mib),
        others: of(|sample| sample.others),
    }
}

fn long_run(long: &LongRun) -> String {
    let moments: Vec<String> = long
        .at
        .iter()
        .map(|at| {
            format!(
                "{} %: planner {:.1}, worker {:.1}",
                at.percent, at.planner_mib, at.worker_mib
            )
        })
        .collect();
    format!(
        "one run of {} shards, one page a tile: {:.1} s, {}/s; MiB in use when planned {}; peaks {:.1} and {:.1}",
        grouped(long.shards),
        long.seconds,
        grouped(long.shards_per_second as u64),
        moments.join("; "),
        long.planner_peak_mib,
        long.worker_peak_mib,
    )
}
