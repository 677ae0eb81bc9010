//! The metrics that planners record: dashboards and alerts are built on them, and docs/METRICS.md lists them.
//!
//! What only a leader knows is 0, or not there, where a planner does not lead: `max` and `sum` over all planners are
//! right whoever leads.

use gridloom_shared::telemetry::metric::{BROKER, LATE, Metric, counter, gauge, histogram};

mod all;

pub use all::{ALL, DESCRIBED};

/// Whether this planner leads.
pub const LEADER: Metric = gauge(
    "gridloom_leader",
    "0 or 1",
    &[],
    "1 on the planner that leads.",
);
/// Its term.
pub const TERM: Metric = gauge(
    "gridloom_term",
    "terms",
    &[],
    "Term under which this planner leads; 0 on one that does not.",
);
/// Leaderships.
pub const ELECTIONS: Metric = counter(
    "gridloom_elections_total",
    "leaderships",
    &[],
    "Leaderships that this planner has won.",
);
/// Whether the broker answers.
pub const BROKER_ANSWERS: Metric = gauge(
    "gridloom_broker_answers",
    "0 or 1",
    &[],
    "1 while JetStream tells this planner who leads; 0 while it is away, or without a quorum.",
);
/// Whether there is a connection.
pub const BROKER_CONNECTED: Metric = gauge(
    "gridloom_broker_connected",
    "0 or 1",
    &[],
    "1 while this planner is connected to a server.",
);
/// When a certificate of it is over.
pub const CERTIFICATE_END: Metric = gauge(
    "gridloom_certificate_end_timestamp_seconds",
    "seconds",
    &[],
    "When the first certificate is over of those that the broker's servers show, in seconds since 1970; not there where they show none.",
);
/// Whether the clock is in doubt.
pub const CLOCK_DOUBT: Metric = gauge(
    "gridloom_clock_doubt",
    "0 or 1",
    &[],
    "1 while the broker's clock is not gone by, since it jumped: nothing is due, nothing is removed.",
);
/// Jumps of it.
pub const CLOCK_JUMPS: Metric = counter(
    "gridloom_clock_jumps_total",
    "jumps",
    &[],
    "Jumps of the broker's clock that this planner has seen.",
);

/// What a newer build wrote.
pub const RECORDS_NEWER: Metric = gauge(
    "gridloom_newer_version",
    "version",
    &[],
    "The version of records that this planner has met and cannot read, the lowest of them; 0 where it met none. What they concern waits: upgrade it.",
);
/// How often.
pub const RECORDS_NEWER_MET: Metric = counter(
    "gridloom_newer_records_total",
    "records",
    &[],
    "How often this planner met a record that a newer build wrote; each counts as often as it is read.",
);

/// Open runs.
pub const RUNS: Metric = gauge(
    "gridloom_runs",
    "runs",
    &["state"],
    "Open runs by state: running; aside, whose plan makes no sense and that can only be cancelled; or newer, of which a newer build wrote some records: they wait for a planner that reads them.",
);
/// Runs that ended.
pub const RUNS_CLOSED: Metric = counter(
    "gridloom_runs_closed_total",
    "runs",
    &["job", "state"],
    "Runs that ended, by job and state: succeeded, failed or cancelled.",
);
/// Runs that are lost.
pub const RUNS_LOST: Metric = counter(
    "gridloom_runs_lost_total",
    "runs",
    &[],
    "Open runs that are lost: their records were removed from the ledger.",
);
/// Runs that are gone.
pub const RUNS_PURGED: Metric = counter(
    "gridloom_runs_purged_total",
    "runs",
    &[],
    "Runs whose records were kept long enough and are gone.",
);
/// Runs that wait.
pub const RUNS_WAITING: Metric = gauge(
    "gridloom_runs_waiting",
    "runs",
    &["queue", "reason"],
    "Runs with shards to issue that get no room, by queue and reason: no_worker, no_handler, queue_full, no_room, concurrency, rate, hold or behind.",
);
/// What folds take.
pub const FOLD_MEMORY: Metric = gauge(
    "gridloom_fold_memory_bytes",
    "bytes",
    &[],
    "About the memory that the folds of all open runs take.",
);
/// What is not read yet.
pub const LEDGER_LAG: Metric = gauge(
    "gridloom_ledger_lag_records",
    "records",
    &[],
    "Ledger records that the leader has not read yet.",
);

/// Shards issued.
pub const SHARDS_PLANNED: Metric = counter(
    "gridloom_shards_planned_total",
    "shards",
    &["job"],
    "Shards issued for the first time.",
);
/// Shards committed.
pub const SHARDS_DONE: Metric = counter(
    "gridloom_shards_done_total",
    "shards",
    &["job"],
    "Shards committed: first successes.",
);
/// Failed attempts.
pub const SHARDS_FAILED: Metric = counter(
    "gridloom_shards_failed_total",
    "attempts",
    &["job"],
    "Failed attempts of shards that counted.",
);
/// Dead shards.
pub const SHARDS_DEAD: Metric = counter(
    "gridloom_shards_dead_total",
    "shards",
    &["job"],
    "Shards that used up their attempts.",
);
/// Late successes.
pub const SHARDS_LATE: Metric = counter(
    "gridloom_shards_late_total",
    "successes",
    &["job"],
    "Successes that came after the one that counted, and changed nothing.",
);
/// What makes no sense of what workers say.
pub const RECORDS_ODD: Metric = counter(
    "gridloom_records_odd_total",
    "records",
    &["kind"],
    "Records, announcements and answers of workers that make no sense, by kind: work, takeover, subject, presence, registration, answer.",
);
/// Retries.
pub const SHARDS_RETRIED: Metric = counter(
    "gridloom_shards_retried_total",
    "shards",
    &["job"],
    "Shards issued again after a failed attempt, each time.",
);
/// Takeovers.
pub const SHARDS_TAKEN_OVER: Metric = counter(
    "gridloom_shards_taken_over_total",
    "shards",
    &["job"],
    "Shards without an outcome in tiles that a worker took over from another, each time.",
);
/// Unexpected records.
pub const SHARDS_UNEXPECTED: Metric = counter(
    "gridloom_shards_unexpected_total",
    "records",
    &["job"],
    "Outcomes and records of workers that were never asked for: passed over.",
);
/// Dead shards that are gone.
pub const DEAD_PURGED: Metric = counter(
    "gridloom_dead_purged_total",
    "shards",
    &[],
    "Dead shards that were purged before anybody retried them or gave them up.",
);
/// Refilled tiles.
pub const TILES_REFILLED: Metric = counter(
    "gridloom_tiles_refilled_total",
    "tiles",
    &[],
    "Tiles published again from the ledger.",
);
/// Freed tiles.
pub const TILES_FREED: Metric = counter(
    "gridloom_tiles_freed_total",
    "tiles",
    &[],
    "Tiles handed back on behalf of dead workers.",
);
/// Dead workers.
pub const WORKERS_DEAD: Metric = counter(
    "gridloom_workers_dead_total",
    "workers",
    &["worker"],
    "Workers that were found dead: silent without having said goodbye.",
);
/// Publishing waves.
pub const WAVE_PUBLISH: Metric = histogram(
    "gridloom_wave_publish_seconds",
    "seconds",
    BROKER,
    &[],
    "Publishing one wave to the queue.",
);

/// Submissions.
pub const SUBMISSIONS: Metric = counter(
    "gridloom_submissions_total",
    "messages",
    &["answer"],
    "Ad-hoc job messages by answer: opened, repeated or refused.",
);
/// Submissions that wait.
pub const SUBMISSIONS_WAITING: Metric = gauge(
    "gridloom_submissions_waiting",
    "messages",
    &[],
    "Ad-hoc job messages on the submit stream that are not answered yet.",
);
/// Fires.
pub const FIRES: Metric = counter(
    "gridloom_fires_total",
    "fires",
    &["job", "decision"],
    "Nominal times of schedules that were answered for, by job and decision.",
);
/// The next fire.
pub const NEXT_FIRE: Metric = gauge(
    "gridloom_next_fire_timestamp_seconds",
    "seconds",
    &["job"],
    "When a job's next fire opens or its pause ends, in seconds since 1970; 0: nothing is foreseen.",
);
/// Fires that wait.
pub const FIRES_PENDING: Metric = gauge(
    "gridloom_fires_pending",
    "fires",
    &["job"],
    "Fires of schedules that have come and have no open run yet.",
);
/// How late fires are.
pub const FIRE_LATENESS: Metric = histogram(
    "gridloom_fire_lateness_seconds",
    "seconds",
    LATE,
    &[],
    "From a nominal time of a schedule to the decision to open its run.",
);

/// Workers of a queue.
pub const QUEUE_WORKERS: Metric = gauge(
    "gridloom_queue_workers",
    "workers",
    &["queue"],
    "Workers that take work from the queue, heard lately; 0 where runs are open and nobody does.",
);
/// Workers of a lane.
pub const LANE_WORKERS: Metric = gauge(
    "gridloom_queue_handler_workers",
    "workers",
    &["queue", "handler"],
    "Workers of the queue that have the handler, where runs want it.",
);
/// Open runs of a lane.
pub const LANE_RUNS: Metric = gauge(
    "gridloom_queue_runs",
    "runs",
    &["queue", "handler"],
    "Open runs of the queue that want the handler.",
);
/// How much may be outstanding.
pub const LANE_WINDOW: Metric = gauge(
    "gridloom_queue_window_tiles",
    "tiles",
    &["queue", "handler"],
    "Most tiles that may lie before the workers of the queue that have the handler: admission's window.",
);
/// How much is.
pub const LANE_OUTSTANDING: Metric = gauge(
    "gridloom_queue_outstanding_tiles",
    "tiles",
    &["queue", "handler"],
    "Tiles of the queue for the handler that are issued and lack an outcome.",
);
/// Slots of its workers.
pub const LANE_SLOTS: Metric = gauge(
    "gridloom_queue_slots",
    "slots",
    &["queue", "handler"],
    "Tiles that the workers of the queue that have the handler run at once.",
);
/// Queues with as many runs as they may have.
pub const QUEUE_CLOSED: Metric = gauge(
    "gridloom_queue_closed",
    "0 or 1",
    &["queue"],
    "1 where as many runs are open as one queue may have: its submissions wait.",
);
/// Whether there is room for tiles.
pub const QUEUE_FULL: Metric = gauge(
    "gridloom_queue_full",
    "0 or 1",
    &[],
    "1 while the stream of the queues has no room for tiles.",
);
/// Jobs on hold.
pub const JOB_HOLD: Metric = gauge(
    "gridloom_job_hold_seconds",
    "seconds",
    &["job"],
    "How much longer nothing of the job is issued, since a shard of it asked for a hold.",
);
/// Resources on hold.
pub const RESOURCE_HOLD: Metric = gauge(
    "gridloom_resource_hold_seconds",
    "seconds",
    &["resource"],
    "How much longer nothing is issued of jobs that use the resource, since a shard asked for a hold.",
);

/// Tiles that wait.
pub const QUEUE_PENDING: Metric = gauge(
    "gridloom_queue_pending",
    "tiles",
    &["queue", "handler"],
    "Tiles that no worker pulled yet, from JetStream.",
);
/// Tiles in flight.
pub const QUEUE_IN_FLIGHT: Metric = gauge(
    "gridloom_queue_in_flight",
    "tiles",
    &["queue", "handler"],
    "Tiles pulled and not yet acknowledged, from JetStream.",
);
/// Redelivered ones.
pub const QUEUE_REDELIVERED: Metric = gauge(
    "gridloom_queue_redelivered",
    "tiles",
    &["queue", "handler"],
    "Tiles in flight that were delivered more than once, from JetStream.",
);
/// The oldest one.
pub const QUEUE_OLDEST: Metric = gauge(
    "gridloom_queue_oldest_seconds",
    "seconds",
    &["queue", "handler"],
    "Age of the oldest tile that no worker pulled yet, by the broker's clock; 0 where there is none.",
);
/// Bytes of a stream.
pub const STREAM_BYTES: Metric = gauge(
    "gridloom_stream_bytes",
    "bytes",
    &["stream"],
    "Bytes that a stream or bucket holds: shards (the queues), ledger, submit, history, alarm, jobs, runs, state, workers.",
);
/// How many it may hold.
pub const STREAM_LIMIT: Metric = gauge(
    "gridloom_stream_limit_bytes",
    "bytes",
    &["stream"],
    "Most bytes that the stream may hold; not there where it has no limit of its own.",
);
/// Its messages.
pub const STREAM_MESSAGES: Metric = gauge(
    "gridloom_stream_messages",
    "messages",
    &["stream"],
    "Messages that a stream or bucket holds.",
);
/// Its replicas.
pub const STREAM_REPLICAS: Metric = gauge(
    "gridloom_stream_replicas",
    "servers",
    &["stream"],
    "Servers that keep a copy of the stream.",
);
/// Those that are up to date.
pub const STREAM_REPLICAS_CURRENT: Metric = gauge(
    "gridloom_stream_replicas_current",
    "servers",
    &["stream"],
    "Servers whose copy of the stream is up to date.",
);
/// Bytes of the account.
pub const STORE_BYTES: Metric = gauge(
    "gridloom_store_bytes",
    "bytes",
    &["storage"],
    "Bytes that the account holds in JetStream, by storage: file or memory.",
);
/// How many it may hold.
pub const STORE_LIMIT: Metric = gauge(
    "gridloom_store_limit_bytes",
    "bytes",
    &["storage"],
    "Most bytes that the account may hold in JetStream; not there where it has no limit.",
);

/// Requests of the API.
pub const API_REQUESTS: Metric = counter(
    "gridloom_api_requests_total",
    "requests",
    &["operation", "status"],
    "Requests of the API by operation, as openapi.json names it (none: there is no such), and status.",
);
/// How long they took.
pub const API_SECONDS: Metric = histogram(
    "gridloom_api_request_seconds",
    "seconds",
    BROKER,
    &["operation"],
    "Time until the API began to answer, by operation.",
);
/// Readers of events.
pub const API_READERS: Metric = gauge(
    "gridloom_api_readers",
    "readers",
    &[],
    "Readers of events on this planner.",
);
/// Those that were cut off.
pub const API_READERS_CUT: Metric = counter(
    "gridloom_api_readers_cut_total",
    "readers",
    &[],
    "Readers of events that were cut off since they did not take what they were told.",
);
