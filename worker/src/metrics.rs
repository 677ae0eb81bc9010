//! The metrics that workers record: dashboards and alerts are built on them, and docs/METRICS.md lists them.

use gridloom_shared::telemetry::metric::{
    BROKER, Described, MANY, Metric, WORK, counter, gauge, histogram,
};

/// Attempts.
pub const WORKER_SHARDS: Metric = counter(
    "gridloom_worker_shards_total",
    "attempts",
    &["outcome"],
    "Attempts of shards that this worker ended, by outcome: done or failed.",
);
/// How long shards take.
pub const SHARD_DURATION: Metric = histogram(
    "gridloom_shard_duration_seconds",
    "seconds",
    WORK,
    &["job", "handler"],
    "Execution of one shard, the mean of its tile.",
);
/// How long tiles wait.
pub const TILE_WAIT: Metric = histogram(
    "gridloom_tile_wait_seconds",
    "seconds",
    WORK,
    &["job", "handler"],
    "From a tile's place on the queue to its start, of tiles that were delivered once; by two clocks, the broker's and this worker's.",
);
/// Rows.
pub const ROWS: Metric = counter(
    "gridloom_rows_total",
    "rows",
    &["job"],
    "Rows that successful attempts of this worker have told of; a shard that is executed twice counts twice, show RUN has the exact sum.",
);
/// Counters of handlers.
pub const COUNTED: Metric = counter(
    "gridloom_handler_counted_total",
    "whatever the handler counts",
    &["job", "counter"],
    "What handlers count beside rows, by job and the counter's name; as exact as rows.",
);
/// Appending records.
pub const LEDGER_APPEND: Metric = histogram(
    "gridloom_ledger_append_seconds",
    "seconds",
    BROKER,
    &[],
    "Appending one record to the ledger.",
);
/// What is in a record.
pub const LEDGER_BATCH: Metric = histogram(
    "gridloom_ledger_append_tiles",
    "tiles",
    MANY,
    &[],
    "Tiles whose outcomes one record of the ledger has.",
);
/// Whether the ledger has room.
pub const LEDGER_FULL: Metric = gauge(
    "gridloom_ledger_full",
    "0 or 1",
    &[],
    "1 while the ledger takes no records of this worker, for want of room: it begins nothing new.",
);
/// Leases that are held.
pub const LEASES_HELD: Metric = gauge(
    "gridloom_leases_held",
    "tiles",
    &[],
    "Tiles that this worker holds.",
);
/// Leases that were lost.
pub const LEASES_LOST: Metric = counter(
    "gridloom_leases_lost_total",
    "tiles",
    &["reason"],
    "Leases that ended before their tile did, by reason.",
);
/// Tiles taken over.
pub const TILES_TAKEN_OVER: Metric = counter(
    "gridloom_tiles_taken_over_total",
    "tiles",
    &["reason"],
    "Tiles that this worker took over from another, by reason: count, floor, again or returned.",
);
/// Tiles that a newer build issued.
pub const TILES_NEWER: Metric = counter(
    "gridloom_newer_tiles_total",
    "tiles",
    &[],
    "Deliveries of tiles that this worker put off, since a newer build issued them or wrote what it needs of their run: they wait for a worker of that build; upgrade this one.",
);
/// Tiles that run.
pub const TILES_RUNNING: Metric = gauge(
    "gridloom_tiles_running",
    "tiles",
    &[],
    "Tiles that this worker runs.",
);
/// Slots.
pub const SLOTS: Metric = gauge(
    "gridloom_slots",
    "slots",
    &[],
    "Tiles that this worker may run at once.",
);
/// Slots that are lost.
pub const SLOTS_LOST: Metric = gauge(
    "gridloom_slots_lost",
    "slots",
    &[],
    "Slots whose handlers block their threads past their limit, or ignore that they are told to stop.",
);
/// Whether a database serves.
pub const DATABASE_SERVES: Metric = gauge(
    "gridloom_database_serves",
    "0 or 1",
    &["database"],
    "0 while a database cannot be used, 1 when it can again; not there where nothing was ever wrong.",
);
/// Children that run.
pub const CHILDREN: Metric = gauge(
    "gridloom_children",
    "children",
    &[],
    "Child processes that run shards of this worker; 0 while all of them are being started again.",
);
/// Children that ended as they should not.
pub const CHILD_DEATHS: Metric = counter(
    "gridloom_child_deaths_total",
    "children",
    &[],
    "Child processes that died, broke the protocol, or were killed as a shard did not stop in time: what they ran has failed.",
);
/// Answers that belong to nothing.
pub const CHILD_ODD_ANSWERS: Metric = counter(
    "gridloom_child_odd_answers_total",
    "answers",
    &[],
    "Answers of children for shards that they do not have, or have answered before: none of them counts.",
);
/// Fires that nobody answered for.
pub const FIRES_LATE: Metric = counter(
    "gridloom_fires_late_total",
    "fires",
    &["job"],
    "Alarms of fires that no planner answered for: one of the workers counts each.",
);
/// Runs past their deadline.
pub const RUNS_OVERDUE: Metric = counter(
    "gridloom_runs_overdue_total",
    "runs",
    &["job"],
    "Runs that were not over by their deadline: one of the workers counts each.",
);

/// All of them.
pub const ALL: &[Metric] = &[
    WORKER_SHARDS,
    SHARD_DURATION,
    TILE_WAIT,
    ROWS,
    COUNTED,
    LEDGER_APPEND,
    LEDGER_BATCH,
    LEDGER_FULL,
    LEASES_HELD,
    LEASES_LOST,
    TILES_TAKEN_OVER,
    TILES_NEWER,
    TILES_RUNNING,
    SLOTS,
    SLOTS_LOST,
    DATABASE_SERVES,
    CHILDREN,
    CHILD_DEATHS,
    CHILD_ODD_ANSWERS,
    FIRES_LATE,
    RUNS_OVERDUE,
];

/// What a worker serves.
pub const DESCRIBED: Described = Described {
    service: "worker",
    metrics: ALL,
};
