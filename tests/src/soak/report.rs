//! What is told in the end: the oracle's verdict, how soon runs were over, and what has grown.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Options;
use super::gauge::Gauges;
use super::growth::{self, Growth, Verdict};
use crate::oracle;

/// A store is judged from this part of the time on.
const FILLED: f64 = 0.5;
/// What is remembered of a run that was purged, its id, and of a fire: less than this many bytes.
const REMEMBERED: f64 = 512.0;
/// The same in a broker's memory, which knows where each stands: 400 to 500 bytes were measured (`bench/ids.py`).
const REMEMBERED_IN_MEMORY: f64 = 640.0;

/// When a run was judged, in seconds since the begin, and how long it took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// See [`Took`].
    pub at: f64,
    /// From asking to its last record.
    pub seconds: f64,
}

/// What became of a place or a store.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Processes that were in it, one after the other; 0 for a store.
    pub lives: usize,
    /// From when to when it is judged: the longest life.
    pub span: (f64, f64),
    /// How much.
    pub growth: Growth,
    /// Processor seconds of all lives; 0 for a store.
    pub cpu: f64,
}

/// Everything that was found.
#[derive(Clone, Debug)]
pub struct Report {
    options: Options,
    /// Runs of each job, and how long they took.
    jobs: BTreeMap<String, (u64, Vec<Took>)>,
    /// Shards that were committed.
    pub shards: u64,
    /// Tiles that were taken over.
    pub takeovers: u64,
    /// Executions.
    pub executions: u64,
    /// Executions at the same time that a lost lease explains.
    pub overlaps: u64,
    /// Executions that a process began which had just been woken, of runs that were judged.
    pub awoken: u64,
    /// Records of schedules.
    pub fires: u64,
    /// Records of workers after their run was judged.
    pub late: u64,
    /// Faults that there were.
    pub faults: u64,
    /// What the machine lost.
    pub lost: Duration,
    /// Processes, then stores.
    pub lines: Vec<Line>,
    /// What is wrong.
    pub breaches: Vec<String>,
}

impl Report {
    /// Of nothing yet.
    pub fn new(options: &Options) -> Report {
        Report {
            options: options.clone(),
            jobs: BTreeMap::new(),
            shards: 0,
            takeovers: 0,
            executions: 0,
            overlaps: 0,
            awoken: 0,
            fires: 0,
            late: 0,
            faults: 0,
            lost: Duration::ZERO,
            lines: Vec::new(),
            breaches: Vec::new(),
        }
    }

    /// Whether nothing is wrong.
    pub fn is_well(&self) -> bool {
        self.breaches.is_empty()
    }

    /// Runs that were judged.
    pub fn runs(&self) -> u64 {
        self.jobs.values().map(|(runs, _)| runs).sum()
    }

    /// Counts a run that was judged.
    pub fn judged(&mut self, job: &str, verdict: &oracle::Verdict, took: Option<Took>) {
        self.shards += verdict.audit.committed;
        self.takeovers += verdict.audit.takeovers;
        let (runs, times) = self.jobs.entry(job.to_owned()).or_default();
        *runs += 1;
        times.extend(took);
    }

    /// Judges what was measured.
    pub fn measured(&mut self, gauges: &Gauges) {
        let hours = self.options.lasts.as_secs_f64() / 3_600.0;
        let remembered = (self.runs() + self.fires) as f64 / 1_048_576.0 / hours;
        for (name, lives) in &gauges.places {
            let longest = lives.iter().max_by_key(|life| life.resident.len());
            let points = longest.map_or(&[][..], |life| life.resident.as_slice());
            let cpu = lives.iter().map(|life| life.cpu).sum();
            let expected = match name.starts_with("broker") {
                true => remembered * REMEMBERED_IN_MEMORY,
                false => 0.0,
            };
            let growth = growth::judge(points, growth::warm(points), expected);
            self.line(name, lives.len(), points, growth, cpu);
        }
        for (name, points) in &gauges.stores {
            // What an account holds are all copies.
            let copies = match self.options.cluster && name.starts_with("account") {
                true => 3.0,
                false => 1.0,
            };
            let growth = growth::judge(points, FILLED, remembered * REMEMBERED * copies);
            self.line(name, 0, points, growth, 0.0);
        }
    }

    fn line(
        &mut self,
        name: &str,
        lives: usize,
        points: &[growth::Point],
        growth: Option<Growth>,
        cpu: f64,
    ) {
        let Some(growth) = growth else { return };
        if growth.verdict == Verdict::Grown {
            let [_, half, end] = growth.levels;
            self.breaches.push(format!(
                "{name} has grown: {half:.1} MiB after a half, {end:.1} at the end, {:.1} MiB an hour",
                growth.slope
            ));
        }
        self.lines.push(Line {
            name: name.to_owned(),
            lives,
            span: (points[0].0, points[points.len() - 1].0),
            growth,
            cpu,
        });
    }

    /// The median time of a job's runs in the first quarter of the time and in the last.
    fn quarters(&self, times: &[Took]) -> [f64; 2] {
        let length = self.options.lasts.as_secs_f64();
        let median = |from: f64, until: f64| {
            let inside = times
                .iter()
                .filter(|took| took.at >= from && took.at < until);
            let mut all: Vec<f64> = inside.map(|took| took.seconds).collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or(0.0)
        };
        [median(0.0, length / 4.0), median(length * 0.75, length)]
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{} runs, {} shards committed, {} tiles taken over, {} executions, {} at the same time with cause, {} begun late by who was just woken, {} records of fires, {} late records, {} faults; the machine lost {:.1?}",
            self.runs(),
            self.shards,
            self.takeovers,
            self.executions,
            self.overlaps,
            self.awoken,
            self.fires,
            self.late,
            self.faults,
            self.lost
        )];
        lines.push(format!(
            "{:<20} {:>7} {:>22} {:>14}",
            "job", "runs", "s, first quarter: p50", "last quarter"
        ));
        for (job, (runs, times)) in &self.jobs {
            let [first, last] = self.quarters(times);
            lines.push(format!("{job:<20} {runs:>7} {first:>22.2} {last:>14.2}"));
        }
        lines.push(format!(
            "{:<20} {:>5} {:>12} {:>8} {:>8} {:>8} {:>8} {:>8}  verdict",
            "MiB of", "lives", "judged s", "10 %", "50 %", "100 %", "MiB/h", "cpu s"
        ));
        for line in &self.lines {
            let [tenth, half, end] = line.growth.levels;
            lines.push(format!(
                "{:<20} {:>5} {:>12} {tenth:>8.1} {half:>8.1} {end:>8.1} {:>8.1} {:>8.0}  {}",
                line.name,
                line.lives,
                format!("{:.0}-{:.0}", line.span.0, line.span.1),
                line.growth.slope,
                line.cpu,
                line.growth.verdict.word()
            ));
        }
        lines.extend(
            self.breaches
                .iter()
                .map(|breach| format!("BREACH {breach}")),
        );
        lines.push(format!("{} breaches", self.breaches.len()));
        lines
    }

    /// For programs.
    pub fn document(&self) -> Value {
        let jobs = self.jobs.iter().map(|(job, (runs, times))| {
            let [first, last] = self.quarters(times);
            let about =
                json!({ "runs": runs, "p50_s_first_quarter": first, "p50_s_last_quarter": last });
            (job.clone(), about)
        });
        let lines = self.lines.iter().map(|line| {
            let [tenth, half, end] = line.growth.levels;
            json!({
                "what": line.name, "lives": line.lives,
                "judged_from_s": line.span.0, "judged_until_s": line.span.1,
                "mib_at_10_percent": tenth, "mib_at_50_percent": half, "mib_at_100_percent": end,
                "mib_per_hour": line.growth.slope, "cpu_seconds": line.cpu,
                "verdict": line.growth.verdict.word(),
            })
        });
        let options = &self.options;
        json!({
            "seed": options.seed, "seconds": options.lasts.as_secs(),
            "cluster": options.cluster, "on_file": options.on_file,
            "faults_every_s": options.faults_every.map(|every| every.as_secs()),
            "faults": self.faults, "runs": self.runs(), "shards": self.shards,
            "takeovers": self.takeovers, "executions": self.executions, "overlaps": self.overlaps, "awoken": self.awoken,
            "fires": self.fires, "late": self.late, "machine_lost_seconds": self.lost.as_secs_f64(),
            "jobs": jobs.collect::<serde_json::Map<_, _>>(),
            "measured": lines.collect::<Vec<_>>(),
            "breaches": self.breaches,
        })
    }
}
