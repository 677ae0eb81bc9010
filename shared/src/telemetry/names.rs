//! The name, unit and meaning of every metric: dashboards and alerts are built on them, so a name
//! changes only with a line in the change log.

#[cfg(feature = "telemetry")]
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Seconds, counted in these buckets.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name; durations are in seconds.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// For people.
    pub help: &'static str,
}

/// Runs by `state` (planner). Gauge.
pub const RUNS: &str = "gridloom_runs";
/// Runs that ended, by `state` (planner). Counter.
pub const RUNS_CLOSED: &str = "gridloom_runs_closed_total";
/// Open runs that are lost: their records were removed from the ledger (planner). Counter.
pub const RUNS_LOST: &str = "gridloom_runs_lost_total";
/// Runs whose records were kept long enough (planner). Counter.
pub const RUNS_PURGED: &str = "gridloom_runs_purged_total";
/// Dead shards that were purged before anybody had retried them or given them up (planner). Counter.
pub const DEAD_PURGED: &str = "gridloom_dead_purged_total";
/// 1 where as many runs are open as one queue may have, so that its submissions wait, by `queue`
/// (planner). Gauge.
pub const QUEUE_CLOSED: &str = "gridloom_queue_closed";
/// Submissions on the stream that are not answered yet (planner). Gauge.
pub const SUBMISSIONS_WAITING: &str = "gridloom_submissions_waiting";
/// 1 while the broker's clock is not gone by, since it jumped (planner). Gauge.
pub const CLOCK_DOUBT: &str = "gridloom_clock_doubt";
/// Submissions by `answer`: opened, repeated, refused (planner). Counter.
pub const SUBMISSIONS: &str = "gridloom_submissions_total";
/// Nominal times that were answered for, by `job` and `decision` (planner). Counter.
pub const FIRES: &str = "gridloom_fires_total";
/// Alarms of fires that no planner answered for, by `job` (worker). Counter.
pub const FIRES_LATE: &str = "gridloom_fires_late_total";
/// Runs that were not over by their deadline, by `job` (worker). Counter.
pub const RUNS_OVERDUE: &str = "gridloom_runs_overdue_total";
/// When the next fire of a `job` opens, or the pause that holds it back ends, in seconds since 1970; 0: nothing is
/// foreseen (planner). Gauge.
pub const NEXT_FIRE: &str = "gridloom_next_fire_timestamp_seconds";
/// Fires that have come and have no open run yet, by `job` (planner). Gauge.
pub const FIRES_PENDING: &str = "gridloom_fires_pending";
/// From a nominal time to the decision to open its run (planner). Seconds.
pub const FIRE_LATENESS: &str = "gridloom_fire_lateness_seconds";
/// Shards issued for the first time (planner). Counter.
pub const SHARDS_PLANNED: &str = "gridloom_shards_planned_total";
/// Shards committed: first successes (planner). Counter.
pub const SHARDS_DONE: &str = "gridloom_shards_done_total";
/// Failed attempts that counted (planner). Counter.
pub const SHARDS_FAILED: &str = "gridloom_shards_failed_total";
/// Shards that used up their attempts (planner). Counter.
pub const SHARDS_DEAD: &str = "gridloom_shards_dead_total";
/// Outcomes that came after the first success and changed nothing (planner). Counter.
pub const SHARDS_LATE: &str = "gridloom_shards_late_total";
/// Attempts of shards that this worker ended, by `outcome`: done or failed (worker). Counter.
pub const WORKER_SHARDS: &str = "gridloom_worker_shards_total";
/// 0 while a database cannot be used, 1 when it can again, by `database` (worker). Gauge.
pub const DATABASE_SERVES: &str = "gridloom_database_serves";
/// Tiles that a worker took over, by `reason` (worker). Counter.
pub const TILES_TAKEN_OVER: &str = "gridloom_tiles_taken_over_total";
/// Tiles published again from the ledger (planner). Counter.
pub const TILES_REFILLED: &str = "gridloom_tiles_refilled_total";
/// Workers that were found dead (planner). Counter.
pub const WORKERS_DEAD: &str = "gridloom_workers_dead_total";
/// Tiles handed back on behalf of dead workers (planner). Counter.
pub const TILES_FREED: &str = "gridloom_tiles_freed_total";
/// Execution of one shard by `handler` (worker). Seconds.
pub const SHARD_DURATION: &str = "gridloom_shard_duration_seconds";
/// Appending one batch of outcomes to the ledger (worker). Seconds.
pub const LEDGER_APPEND: &str = "gridloom_ledger_append_seconds";
/// Publishing one wave to the queue (planner). Seconds.
pub const WAVE_PUBLISH: &str = "gridloom_wave_publish_seconds";
/// Leases that ended before their tile did, by `reason` (worker). Counter.
pub const LEASES_LOST: &str = "gridloom_leases_lost_total";
/// Slots whose handlers do not end (worker). Gauge.
pub const SLOTS_LOST: &str = "gridloom_slots_lost";
/// Tiles that this worker runs (worker). Gauge.
pub const TILES_RUNNING: &str = "gridloom_tiles_running";
/// Tiles that nobody pulled yet, by `queue` and `handler` (planner, from JetStream). Gauge.
pub const QUEUE_PENDING: &str = "gridloom_queue_pending";
/// Tiles pulled and not acknowledged, by `queue` and `handler` (planner, from JetStream). Gauge.
pub const QUEUE_IN_FLIGHT: &str = "gridloom_queue_in_flight";
/// Tiles in flight that were delivered more than once, by `queue` and `handler` (planner, from JetStream). Gauge.
pub const QUEUE_REDELIVERED: &str = "gridloom_queue_redelivered";

/// 1 while the queue's stream has no room for tiles, 0 when it has some again (planner that leads). Gauge.
pub const QUEUE_FULL: &str = "gridloom_queue_full";
/// Bytes that the queue's stream holds, of all queues (planner, from JetStream). Gauge.
pub const QUEUE_BYTES: &str = "gridloom_queue_bytes";

/// From a no-op to an hour.
const WORK: &[f64] = &[
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0,
];
/// Answers of the broker: from one on the same machine to the longest that is waited for.
const BROKER: &[f64] = &[
    0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric {
        name,
        kind: Kind::Counter,
        help,
    }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric {
        name,
        kind: Kind::Gauge,
        help,
    }
}

const fn seconds(name: &'static str, buckets: &'static [f64], help: &'static str) -> Metric {
    Metric {
        name,
        kind: Kind::Histogram(buckets),
        help,
    }
}

/// Every metric.
pub const ALL: &[Metric] = &[
    gauge(
        DATABASE_SERVES,
        "0 while a database cannot be used, 1 when it can again, by database.",
    ),
    gauge(RUNS, "Runs by state."),
    counter(RUNS_CLOSED, "Runs that ended, by state."),
    gauge(
        QUEUE_CLOSED,
        "1 where as many runs are open as one queue may have: its submissions wait.",
    ),
    gauge(
        SUBMISSIONS_WAITING,
        "Ad-hoc job messages on the submit stream that are not answered yet.",
    ),
    gauge(
        CLOCK_DOUBT,
        "1 while the broker's clock is not gone by, since it jumped: nothing is due, nothing is removed.",
    ),
    counter(
        RUNS_LOST,
        "Open runs that are lost: their records were removed from the ledger.",
    ),
    counter(
        RUNS_PURGED,
        "Runs whose records were kept long enough and are gone.",
    ),
    counter(
        DEAD_PURGED,
        "Dead shards that were purged before anybody retried them or gave them up.",
    ),
    counter(
        SUBMISSIONS,
        "Ad-hoc job messages by answer: opened, repeated or refused.",
    ),
    counter(
        FIRES,
        "Nominal times of schedules that were answered for, by job and decision; most jobs are told as _others.",
    ),
    gauge(
        NEXT_FIRE,
        "When a job's next fire opens or its pause ends, in seconds since 1970; 0: nothing is foreseen.",
    ),
    gauge(
        FIRES_PENDING,
        "Fires of schedules that have come and have no open run yet, by job.",
    ),
    counter(
        FIRES_LATE,
        "Alarms of fires that no planner answered for, by job: one of the workers counts each.",
    ),
    counter(
        RUNS_OVERDUE,
        "Runs that were not over by their deadline, by job: one of the workers counts each.",
    ),
    seconds(
        FIRE_LATENESS,
        BROKER,
        "From a nominal time of a schedule to the decision to open its run.",
    ),
    counter(SHARDS_PLANNED, "Shards issued for the first time."),
    counter(SHARDS_DONE, "Shards committed: first successes."),
    counter(SHARDS_FAILED, "Failed attempts of shards."),
    counter(SHARDS_DEAD, "Shards that used up their attempts."),
    counter(
        SHARDS_LATE,
        "Successes that came after the one that counted, and changed nothing.",
    ),
    counter(
        WORKER_SHARDS,
        "Attempts of shards that this worker ended, by outcome.",
    ),
    counter(
        TILES_TAKEN_OVER,
        "Tiles that a worker took over from another, by reason.",
    ),
    counter(TILES_REFILLED, "Tiles published again from the ledger."),
    counter(WORKERS_DEAD, "Workers that were found dead."),
    counter(TILES_FREED, "Tiles handed back on behalf of dead workers."),
    seconds(SHARD_DURATION, WORK, "Execution of one shard, by handler."),
    seconds(
        LEDGER_APPEND,
        BROKER,
        "Appending one batch of outcomes to the ledger.",
    ),
    seconds(WAVE_PUBLISH, BROKER, "Publishing one wave to the queue."),
    counter(
        LEASES_LOST,
        "Leases that ended before their tile did, by reason.",
    ),
    gauge(
        SLOTS_LOST,
        "Slots whose handlers block their threads past their limit, or ignore that they are told to stop.",
    ),
    gauge(TILES_RUNNING, "Tiles that this worker runs."),
    gauge(
        QUEUE_PENDING,
        "Tiles that no worker pulled yet, by queue and handler.",
    ),
    gauge(
        QUEUE_IN_FLIGHT,
        "Tiles pulled and not yet acknowledged, by queue and handler.",
    ),
    gauge(
        QUEUE_REDELIVERED,
        "Tiles in flight that were delivered more than once, by queue and handler.",
    ),
    gauge(
        QUEUE_FULL,
        "1 while the stream of the queues has no room for tiles.",
    ),
    gauge(
        QUEUE_BYTES,
        "Bytes that the stream of the queues holds, all queues together.",
    ),
];

/// Tells the recorder of this process what every metric means.
#[cfg(feature = "telemetry")]
pub(super) fn describe() {
    for metric in ALL {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, Unit::Count, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, Unit::Count, metric.help),
            Kind::Histogram(_) => describe_histogram!(metric.name, Unit::Seconds, metric.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_prometheus() {
        for metric in ALL {
            let counts = matches!(metric.kind, Kind::Counter);
            assert_eq!(counts, metric.name.ends_with("_total"), "{}", metric.name);
            if let Kind::Histogram(buckets) = metric.kind {
                assert!(metric.name.ends_with("_seconds"));
                assert!(buckets.is_sorted(), "{}", metric.name);
            }
        }
    }
}
