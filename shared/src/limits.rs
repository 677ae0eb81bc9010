//! Every bound of the protocol and of memory, each with its reason, asserted against the others: whoever
//! changes one learns here what else it holds up. The rooms re-export the bounds that are theirs.
//!
//! Times that are no bound of a message or of memory stand where they are waited for; so do buffers of one
//! room alone which hold up nothing else: what they forget or refuse is asked for again.

use std::time::Duration;

mod schedules;

use schedules::SCHEDULE_BYTES;
pub use schedules::*;

// Messages.

/// Largest message that a broker takes where nobody changed its `max_payload`. Nothing larger is built, also
/// where a broker takes more.
pub const MESSAGE_MAX: usize = 1024 * 1024;
/// What a broker has to take at least. What does not follow from a job's own size is built to fit into it, or
/// to fit into the largest message of the broker at hand.
pub const MESSAGE_MIN: usize = 64 * 1024;
/// Kept free in a message for its headers and the envelope of its record.
pub const ENVELOPE_MAX: usize = 4 * 1024;
/// Most messages of one atomic batch: what the broker takes.
pub const BATCH_MAX: usize = 1_000;

// Streams.

/// Least bytes that a stream may be given: some of the largest messages fit in.
pub const STREAM_BYTES_MIN: u64 = 4 * MESSAGE_MAX as u64;
/// Bytes of a queue in the broker's memory where nobody names others: every tile of some lanes that may be outstanding
/// fits in by far, and a small machine has them.
pub const QUEUE_BYTES: u64 = 256 << 20;

// Names.

/// Longest name of a namespace, job, queue or handler, in bytes: several of them and more make one subject.
pub const NAME_MAX: usize = 48;
/// Longest id of a run, in bytes: a job's name, what kind of run it is, and what makes it unique.
pub const RUN_ID_MAX: usize = 128;
/// Longest request id of a submission, in bytes. Only its hash is kept.
pub const REQUEST_ID_MAX: usize = 256;

// Grids.

/// Most slices of a grid. A sized grid names the rows of each in one record.
pub const SLICES_MAX: u32 = 65_536;
/// Most pages of one slice: what 32 bits number with room to add a tile's pages.
pub const PAGES_MAX: u64 = 1 << 31;
/// Most shards of one run.
pub const SHARDS_MAX: u64 = 1 << 40;
/// Most rows of a sized grid, over all slices: what JSON carries without loss.
pub const ROWS_MAX: u64 = 1 << 53;
/// Most pages of one tile: what is lost with a worker is done again within moments.
pub const TILE_MAX: u32 = 1_000;
/// Longest text key that bounds a page, in bytes.
pub const KEY_MAX: usize = 256;
/// Most pages that one probe may report.
pub const PROBE_PAGES_MAX: usize = 4_096;
/// Most bytes that the bounds of those pages may take in the ledger: with long keys these are fewer than
/// [`PROBE_PAGES_MAX`] pages.
pub const PROBE_BYTES_MAX: usize = 768 * 1024;

// Attempts.

/// Most attempts that a job may give a shard.
pub const ATTEMPTS_MAX: u32 = 100;
/// Longest wait between two attempts that a job may ask for.
pub const BACKOFF_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Fastest growth of the wait from attempt to attempt.
pub const FACTOR_MAX: f64 = 100.0;
/// Longest wait that a handler may ask for, before another attempt or of the whole job: longer ones are
/// taken for this. A shard must not be put off beyond anybody's memory by a slip of units.
pub const WAIT_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Shortest hold: a shard that asks for nothing but holds, again and again, must not fill the ledger.
pub const HOLD_MIN: Duration = Duration::from_millis(100);
/// Longest attempt that a job may allow.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Shortest attempt that a job may allow: below it the broker's own round trips would not fit.
pub const TIMEOUT_MIN: Duration = Duration::from_millis(10);
/// Smallest share of dead shards that may end a run, in percent.
pub const PERCENT_MIN: f64 = 0.000_001;
/// So many dead shards end a run whose job says nothing of it: nobody looks at more of them one by one.
pub const ABORT_AFTER_DEFAULT: u64 = 10_000;

// What people send.

/// Largest `params`, as JSON text, in bytes.
pub const PARAMS_MAX: usize = 64 * 1024;
/// Deepest nesting of `params`.
pub const PARAMS_DEPTH: usize = 32;
/// Largest settings of a handler, as JSON text, in bytes.
pub const SETTINGS_MAX: usize = 64 * 1024;
/// Most things that a job names as what a submission may change.
pub const ALLOWED_MAX: usize = 100;
/// Longest name of a parameter that it may name there, in bytes.
pub const PARAM_NAME_MAX: usize = 128;
/// Largest body of an ad-hoc job message, in bytes.
pub const BODY_MAX: usize = 128 * 1024;
/// What is kept of a message that could not be understood, in bytes.
pub const EXCERPT_MAX: usize = 256;
/// What is kept of the reason why it could not, in bytes: a message may have thousands of faults.
pub const REASON_MAX: usize = 4 * 1024;
/// Longest subject that a submitter may name for its answer, in bytes.
pub const REPLY_MAX: usize = 256;
/// Most shards that one order names ([`cells`]). More are either all or to be named in several.
pub const CELLS_MAX: usize = 10_000;

// Waves.

/// Most tiles of one wave: one atomic batch publishes it.
pub const WAVE_TILES_MAX: usize = 1_000;
/// Most bytes of one wave; the last tile may go beyond it.
const WAVE_BYTES_MAX: usize = 768 * 1024;
/// Bounds of one tile of several pages, in bytes.
const TILE_BOUNDS_MAX: usize = 64 * 1024;

// Outcomes.

/// Longest error text of an outcome, in bytes.
pub const ERROR_MAX: usize = 1_024;
/// Largest result of a shard, in bytes.
pub const RESULT_MAX: usize = 1_024;
/// Most counters of one shard.
pub const COUNTERS_MAX: usize = 16;
/// Longest counter name, in bytes.
pub const COUNTER_NAME_MAX: usize = 48;
/// An entry of an outcome record that costs more bytes is closed: many of them fit into a record.
pub const ENTRY_BYTES: usize = 8 * 1024;
/// Bytes that fill an outcome record; the last tile's entry may go beyond it.
pub const OUTCOMES_BYTES: usize = 40 * 1024;
/// Largest block of outcomes that is unpacked, in bytes: each has always fitted into the smallest message. Whoever
/// packs two bytes an entry makes fifty times as much of them.
pub const BLOCK_MAX: usize = MESSAGE_MIN;
/// Sessions of which a run's fold remembers the numbers of their records, twice as many at most: those that wrote last.
pub const SESSIONS_MAX: usize = 16_384;
/// Gaps in the numbers of one session that it remembers: of those behind them it forgets the oldest.
pub const GAPS_MAX: usize = 1_024;
/// Different counters of one run: what goes beyond is not summed, and told.
pub const NAMES_MAX: usize = 4_096;

// What is under way.

/// Most tiles of a queue in flight: more than these a consumer does not hand out before some are
/// acknowledged. The broker rewrites the whole state of a consumer up to ten times a second.
pub const IN_FLIGHT_MAX: usize = 20_000;
/// Most tiles of a queue that are issued and not yet pulled: a quarter of a second of the fastest queue.
pub const QUEUED_MAX: usize = 20_000;
/// Most tiles of a queue without an outcome: those in flight, and those that wait behind them.
pub const OUTSTANDING_MAX: usize = IN_FLIGHT_MAX + QUEUED_MAX;
/// Most tiles that one worker runs at once. It gets no more: they would be all that its queue hands out.
pub const CONCURRENCY_MAX: u32 = 20_000;
/// Of this many times its slots, and [`UNACKED_MORE`], a worker may have finished and not yet acknowledged.
pub const UNACKED_TIMES: u32 = 4;
/// See [`UNACKED_TIMES`].
pub const UNACKED_MORE: u32 = 4_000;
/// Most tiles that one worker can say it holds.
pub const HELD_MAX: usize = 200_000;
/// Tiles of a run of which a worker says for how long it holds them: for people, who look at few.
pub const AGES_MAX: usize = 8;
/// Most takeovers by others that a worker remembers of tiles which it does not hold. Each comes with a record
/// in the ledger; beyond them it knows less, and takes over what it would have known to be another's.
pub const HEARD_MAX: usize = 65_536;
/// Most bytes of one packed set in a worker's answer ([`packed`]): more than 100,000 tiles, however scattered.
/// Who holds more says so.
pub const PACKED_MAX: usize = 384 * 1024;
/// Most pulls of one lane that a worker has waiting: each has a subscription of its own.
pub const PULLS_MAX: usize = 32;
/// Most bytes of what a worker's announcement names: announcements are many.
pub const NAMED_MAX: usize = 4 * 1024;
/// Most runs of whose cost an announcement tells.
pub const TOLLS_MAX: usize = 64;
/// Most runs without tiles that a worker remembers: what they cost is told by then.
pub const IDLE_RUNS_MAX: usize = 256;
/// Most queues that one worker pulls from, as it says.
pub const WORKER_QUEUES_MAX: usize = 256;
/// Most handlers that one worker has, as it says.
pub const WORKER_HANDLERS_MAX: usize = 512;
/// Most lanes that one worker pulls from: each of its queues for each of its handlers. A lane costs the broker
/// a consumer, and one of a few idle workers a waiting pull.
pub const WORKER_LANES_MAX: usize = 200;
/// Pulls that wait on an idle lane for its first tile, where more workers could: the broker looks at each of
/// them whenever one comes or ends, and three that are a cluster keep account of each. So many that hardly a lot leaves
/// a lane without (each of 200 has one with a chance of 5 %: all have none once in thirty thousand times, for half a second).
pub const BELLS: u32 = 10;
/// Most workers that are counted as waiting on a lane: of more, more lay a bell than need to. Whoever counts
/// wrongly must not leave lanes without.
pub const CROWD_MAX: u32 = 1_024;
/// Kinds of workers, by their queues and handlers, that are counted to know how many wait.
pub const CROWD_KINDS_MAX: usize = 1_000;
/// Queues of which it is told, each second.
pub const CROWDS_MAX: usize = 256;
/// Longest version of a worker, in bytes.
pub const VERSION_TEXT_MAX: usize = 64;
/// Most bytes in which a worker says what keeps its handlers from working.
pub const TROUBLE_MAX: usize = 1_024;
/// Most names of its own configuration that a worker announces.
pub const KNOWN_MAX: usize = 64;
/// Most bytes of those names.
pub const KNOWN_BYTES_MAX: usize = 2 * 1024;
/// Largest announcement of a worker, in bytes: a planner keeps one of each.
pub const PRESENCE_MAX: usize = 64 * 1024;
/// Most workers that a planner keeps: more announce themselves in vain until others are forgotten.
pub const WORKERS_MAX: usize = 10_000;
/// Most jobs, lanes, resources and the like with series of their own in the metrics of one process: the others are told
/// together. What is kept of one for ever is about 1 kB for each metric.
pub const LABELS_MAX: usize = 1_000;
/// Most bytes of names and of what they hold that are kept of all workers that the leader knows.
pub const ROSTER_BYTES: usize = 32 << 20;
/// Most workers of all queues together, each counted once for each of its queues.
pub const CREW_MAX: usize = 262_144;
/// Most messages, or places, that all workers of a queue together say that they hold: beyond it none is believed.
pub const ALL_HELD_MAX: usize = 2_000_000;
/// Deaths that are attended to or wait for that; what more workers held comes back with its ack deadline.
pub const DEATHS_MAX: usize = 256;
/// Registrations that are looked through: what goes beyond is of nobody that could be there.
pub const REGISTERED_MAX: usize = 2 * WORKERS_MAX;
/// Pulls that wait at once at one consumer. Can never be changed afterwards.
pub const PULLS_WAITING_MAX: usize = 16_384;
/// Most open runs of one queue: more submissions stay on the stream until some of them are over.
pub const OPEN_RUNS_MAX: usize = 50_000;
/// Most runs of whose cost a planner keeps the sums of one worker: with more it begins anew.
pub const COSTS_MAX: usize = 4_096;
/// Most queues of which a planner knows the workers.
pub const QUEUES_MAX: usize = 16_384;
/// Most jobs without an open run whose pace a planner remembers: others begin with tiles of one shard again.
pub const PACES_MAX: usize = 10_000;
/// Most orders that wait at once for their answer: further ones are to be given again.
pub const ORDERS_MAX: usize = 1_000;
/// Most leaps of the broker's clock that planners write down; of more, the oldest two count as one.
pub const LEAPS_MAX: usize = 32;
/// Queues that open no runs, and runs of which nothing more is planned, that the lease names.
pub const LEASE_QUEUES_MAX: usize = 20;
/// See [`LEASE_QUEUES_MAX`].
pub const LEASE_RUNS_MAX: usize = 5;
/// Most bytes of a run's first record that its tiles carry along, so that workers need not read it.
pub const FROZEN_MAX: usize = 2 * 1024;
/// Waves of one run that may be on their way to the queue at once.
pub const PUBLISHING_MAX: u32 = 4;

// A planner's memory of one run.

/// Pages that probes found and no wave has issued: no more slices are probed above this.
pub const READY_MAX: usize = 16_384;
/// Shards that failed and have attempts left: above this nothing of the run is issued for the first time.
pub const RETRYING_MAX: usize = 262_144;
/// Bytes of different errors that are kept; what goes beyond it is counted, and stands in the ledger.
pub const ERRORS_KEPT: usize = 1024 * 1024;
/// Runs of dead shards of which each keeps its own error and time: above this neighbours share them.
pub const GRAVES_EXACT: usize = 65_536;
/// Waves that are read again at once for the bounds of dead shards that are to be tried again.
pub const RECALLED_MAX: usize = 4;

// An audit.

/// Cells that an audit lists of each kind of breach; how many there are stands beside the list.
pub const LISTED_MAX: usize = 1_000;
/// Successes of one shard, each under a fence of its own, that an audit tells apart. A shard with more
/// is a breach by itself.
pub const SUCCESSES_MAX: usize = 64;

// What fits into a record of so many bytes: the largest of the broker at hand.

/// Largest record in a message of `message` bytes, with headers.
pub const fn record_of(message: usize) -> usize {
    least(message, MESSAGE_MAX).saturating_sub(ENVELOPE_MAX)
}

/// Most bytes of keys in the answer to a probe.
pub const fn probe_bytes(record: usize) -> usize {
    least(PROBE_BYTES_MAX, record.saturating_sub(RUN_OF_ONE))
}

/// Most bytes of the bounds in a tile of several pages.
pub const fn tile_bounds(record: usize) -> usize {
    least(TILE_BOUNDS_MAX, record / 4)
}

/// Most bytes of a wave before its last tile.
pub const fn wave_bytes(record: usize) -> usize {
    least(
        WAVE_BYTES_MAX,
        record.saturating_sub(tile_bounds(record) + 2 * RUN_OF_ONE),
    )
}

/// Bytes of a run of tiles in a wave, whose bounds and cursor take `keys`.
pub const fn tile_run_bytes(keys: usize) -> usize {
    TILE_RUN_BYTES + keys
}

/// Most bytes of one packed set in a worker's answer, which may have two.
pub const fn packed(record: usize) -> usize {
    least(PACKED_MAX, record.saturating_sub(ENVELOPE_MAX) / 2)
}

/// Most shards that one order names.
pub const fn cells(record: usize) -> usize {
    least(CELLS_MAX, record.saturating_sub(ENVELOPE_MAX) / CELL_BYTES)
}

const fn least(one: usize, other: usize) -> usize {
    if one < other { one } else { other }
}

/// Bytes of a key on the wire beyond its text.
const KEY_MORE: usize = 5;
/// Bytes of one run of tiles in a wave, without bounds and cursor.
const TILE_RUN_BYTES: usize = 128;
/// Bytes of one shard that an order names.
const CELL_BYTES: usize = 40;
/// Bytes of a leap of the clock, as JSON.
const LEAP_BYTES: usize = 64;
/// Bytes of a number on the wire.
const NUMBER_BYTES: usize = 9;
/// Most bytes of one shard's outcome beside its neighbours'.
const SHARD_BYTES: usize =
    ERROR_MAX + RESULT_MAX + COUNTERS_MAX * (COUNTER_NAME_MAX + 16 + 15) + 64;
/// Bytes of what a worker says of its queues, handlers and configuration.
const WORKER_SAYS_MAX: usize = (WORKER_QUEUES_MAX + WORKER_HANDLERS_MAX) * (NAME_MAX + KEY_MORE)
    + WORKER_QUEUES_MAX * NUMBER_BYTES
    + KNOWN_BYTES_MAX
    + KNOWN_MAX * KEY_MORE
    + TROUBLE_MAX;
/// Bytes of a run of one tile that is a question with the longest cursor.
const RUN_OF_ONE: usize = TILE_RUN_BYTES + KEY_MAX + KEY_MORE;
/// Bytes of a tile's place on the wire.
const PLACE_BYTES: usize = 24;
/// Largest record that is built, in bytes.
pub const RECORD_MAX: usize = record_of(MESSAGE_MAX);
/// What a record may take on the smallest broker.
const RECORD_MIN: usize = record_of(MESSAGE_MIN);

/// What follows from the broker's largest message, on the smallest broker and on the usual one.
const fn fits(record: usize) {
    assert!(
        wave_bytes(record) + tile_bounds(record) + RUN_OF_ONE <= record,
        "a wave fits into a message, also one of nothing but probes with long cursors"
    );
    assert!(
        2 * (KEY_MAX + KEY_MORE) <= tile_bounds(record),
        "a tile of one page always fits"
    );
    assert!(
        tile_bounds(record) + RUN_OF_ONE + RUN_ID_MAX + ENVELOPE_MAX <= record,
        "a tile fits into a message, with a small job in it"
    );
    assert!(
        probe_bytes(record) + RUN_OF_ONE <= record,
        "the answer to a probe fits into a message"
    );
    assert!(
        2 * (KEY_MAX + KEY_MORE) < probe_bytes(record),
        "a probe can report a page"
    );
    assert!(
        2 * packed(record) + ENVELOPE_MAX <= record,
        "an answer of both sets fits into a message"
    );
    assert!(
        cells(record) > 0 && cells(record) * CELL_BYTES <= record,
        "an order fits into a message"
    );
    assert!(
        OUTCOMES_BYTES + ENTRY_BYTES + SHARD_BYTES <= record,
        "a record of outcomes fits into a message"
    );
    assert!(
        WAVE_TILES_MAX * PLACE_BYTES + ENVELOPE_MAX <= record,
        "a takeover of a whole wave fits into a message"
    );
    assert!(
        WORKER_SAYS_MAX + NAMED_MAX + TOLLS_MAX * (RUN_ID_MAX + KEY_MORE + NUMBER_BYTES) <= record,
        "a worker of everything can announce itself"
    );
    assert!(
        LEASE_QUEUES_MAX * (NAME_MAX + 3) + LEASE_RUNS_MAX * (RUN_ID_MAX + 3) + ENVELOPE_MAX
            <= record,
        "the lease fits into a message"
    );
    assert!(
        LEAPS_MAX * LEAP_BYTES + ENVELOPE_MAX <= record,
        "what planners saw of the clock fits into a message"
    );
    // A text in JSON may take six bytes for one.
    assert!(
        6 * (REASON_MAX + EXCERPT_MAX) + ENVELOPE_MAX <= record,
        "what could not be understood can be kept"
    );
}

const _: () = {
    fits(RECORD_MIN);
    fits(RECORD_MAX);
    assert!(WAVE_TILES_MAX <= BATCH_MAX, "one batch publishes a wave");
    assert!(
        PROBE_PAGES_MAX * (1 + 2 * (NUMBER_BYTES + KEY_MORE)) <= PROBE_BYTES_MAX,
        "with integer keys a probe may report all of its pages"
    );
    assert!(
        SLICES_MAX as usize * NUMBER_BYTES
            + PARAMS_MAX
            + SETTINGS_MAX
            + ALLOWED_MAX * (PARAM_NAME_MAX + 16)
            + SCHEDULE_BYTES
            + ENVELOPE_MAX
            <= RECORD_MAX,
        "the first record of a run with the rows of each slice fits into a message"
    );
    assert!(
        PARAMS_MAX < BODY_MAX && BODY_MAX <= RECORD_MAX,
        "a submission can carry all params"
    );
    assert!(cells(RECORD_MAX) == CELLS_MAX && packed(RECORD_MAX) == PACKED_MAX);
};

const _: () = {
    assert!(
        PAGES_MAX + TILE_MAX as u64 <= u32::MAX as u64,
        "pages are numbered in 32 bits"
    );
    assert!(
        SHARDS_MAX <= SLICES_MAX as u64 * PAGES_MAX,
        "no grid is larger than its sides"
    );
    assert!(TILE_MAX as usize <= PROBE_PAGES_MAX, "a probe fills a tile");
    assert!(
        PROBE_PAGES_MAX <= READY_MAX,
        "the answer to one probe never stops the others"
    );
    assert!(
        ABORT_AFTER_DEFAULT as usize <= GRAVES_EXACT,
        "a run whose job says nothing keeps each error"
    );
    assert!(
        WAVE_TILES_MAX * PUBLISHING_MAX as usize <= RETRYING_MAX,
        "retries fill their waves"
    );
    assert!(NAME_MAX < RUN_ID_MAX, "a run's id holds its job's name");
};

const _: () = {
    assert!(
        OUTSTANDING_MAX == IN_FLIGHT_MAX + QUEUED_MAX,
        "what is outstanding is in flight or queued, and only the first is the consumer's"
    );
    assert!(
        CONCURRENCY_MAX as usize <= IN_FLIGHT_MAX,
        "a worker can be given as much as it runs at once"
    );
    assert!(
        (CONCURRENCY_MAX * (1 + UNACKED_TIMES) + UNACKED_MORE) as usize <= HELD_MAX,
        "a worker can name all that it holds"
    );
    assert!(
        FROZEN_MAX <= ENVELOPE_MAX,
        "the room that a tile leaves holds a small job"
    );
    assert!(
        WORKERS_MAX <= PULLS_WAITING_MAX && PULLS_MAX <= PULLS_WAITING_MAX,
        "workers without work have a pull each that waits"
    );
    assert!(
        WORKERS_MAX <= QUEUES_MAX && WORKER_QUEUES_MAX <= QUEUES_MAX,
        "each worker may have a queue of its own"
    );
    assert!(
        TOLLS_MAX <= IDLE_RUNS_MAX && IDLE_RUNS_MAX <= COSTS_MAX,
        "what a worker remembers of costs it can tell, and a planner keep"
    );
    assert!(
        HEARD_MAX >= IN_FLIGHT_MAX,
        "all tiles that a queue has handed out are taken over at once after a restart of the broker"
    );
    assert!(
        WORKER_SAYS_MAX + NAMED_MAX + ENVELOPE_MAX <= PRESENCE_MAX,
        "a worker of everything can announce itself"
    );
    assert!(
        WAVE_TILES_MAX * PUBLISHING_MAX as usize <= QUEUED_MAX,
        "waves on their way are not more than may be queued"
    );
    assert!(
        BACKOFF_MAX.as_secs() <= WAIT_MAX.as_secs(),
        "a job's own waits are never cut"
    );
    assert!(HOLD_MIN.as_millis() < WAIT_MAX.as_millis());
    assert!(TIMEOUT_MIN.as_millis() < TIMEOUT_MAX.as_millis());
    assert!(
        WAIT_MAX.as_millis() < u64::MAX as u128 / 4,
        "a due time is a time"
    );
};
