//! What a metric is, and how its series are made. Each crate names those that it records in one file of its own
//! (`metrics.rs`): dashboards and alerts are built on them, so a name changes only with a line in the change log.
//!
//! A handle is made where something is recorded seldom, or once and kept: making one costs more than recording.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label};

use super::labels;

/// A gauge that nobody has set for so long is not shown any more.
pub const IDLE: Duration = Duration::from_secs(300);

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counted in these buckets.
    Histogram(&'static [f64]),
}

impl Kind {
    /// As Prometheus calls it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What is counted or measured: `seconds`, `bytes`, or a noun; `0 or 1` for what is so or not.
    pub unit: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// For people.
    pub help: &'static str,
}

/// The metrics that one kind of service records.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// `planner` or `worker`.
    pub service: &'static str,
    /// All of them.
    pub metrics: &'static [Metric],
}

/// Work: from a no-op to an hour. Few, since there is a series of each for every job.
pub const WORK: &[f64] = &[
    0.0001, 0.0005, 0.0025, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0,
];
/// Answers of the broker: from one on the same machine to the longest that is waited for.
pub const BROKER: &[f64] = &[
    0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Being late: from what a loop takes to a day.
pub const LATE: &[f64] = &[
    0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0, 86_400.0,
];
/// How many at once.
pub const MANY: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0,
];

/// A metric that only grows.
pub const fn counter(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind: Kind::Counter,
        unit,
        labels,
        help,
    }
}

/// A metric that goes up and down. Whoever records it sets it again within [`IDLE`], as long as it is so.
pub const fn gauge(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind: Kind::Gauge,
        unit,
        labels,
        help,
    }
}

/// A metric that is counted in `buckets`.
pub const fn histogram(
    name: &'static str,
    unit: &'static str,
    buckets: &'static [f64],
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind: Kind::Histogram(buckets),
        unit,
        labels,
        help,
    }
}

impl Metric {
    /// The series of a counter with these values of its labels, in their order.
    pub fn counter(&self, values: &[&str]) -> Counter {
        debug_assert_eq!(self.kind.word(), "counter", "{}", self.name);
        metrics::counter!(self.name, self.labelled(values))
    }

    /// The series of a gauge, likewise.
    pub fn gauge(&self, values: &[&str]) -> Gauge {
        debug_assert_eq!(self.kind.word(), "gauge", "{}", self.name);
        metrics::gauge!(self.name, self.labelled(values))
    }

    /// The series of a histogram, likewise.
    pub fn histogram(&self, values: &[&str]) -> Histogram {
        debug_assert_eq!(self.kind.word(), "histogram", "{}", self.name);
        metrics::histogram!(self.name, self.labelled(values))
    }

    fn labelled(&self, values: &[&str]) -> Vec<Label> {
        let values = labels::bounded(self.labels, values);
        let names = self.labels.iter();
        names
            .zip(values)
            .map(|(name, value)| Label::new(*name, value.to_owned()))
            .collect()
    }
}
