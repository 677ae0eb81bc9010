//! The engine as real processes against a real broker, while things are killed, stopped and fed
//! nonsense. The oracle judges what is left.
//!
//! A test that failed names its seed: `GRIDLOOM_TEST_SEED=... cargo test -p gridloom-tests` plays it
//! with the same choices.
#![expect(
    clippy::print_stderr,
    reason = "seeds and measurements, for who reads the output of a test"
)]

#[path = "scenarios/alarms.rs"]
mod alarms;
#[path = "scenarios/answers.rs"]
mod answers;
#[path = "scenarios/api.rs"]
mod api;
#[path = "scenarios/applied.rs"]
mod applied;
#[path = "scenarios/asked.rs"]
mod asked;
#[path = "scenarios/audits.rs"]
mod audits;
#[path = "scenarios/backfills.rs"]
mod backfills;
#[path = "scenarios/backup.rs"]
mod backup;
#[path = "scenarios/begun.rs"]
mod begun;
#[path = "scenarios/blocks.rs"]
mod blocks;
#[path = "scenarios/bounded.rs"]
mod bounded;
#[path = "scenarios/by_hand.rs"]
mod by_hand;
#[path = "scenarios/calendars.rs"]
mod calendars;
#[path = "scenarios/changes.rs"]
mod changes;
#[path = "scenarios/clock.rs"]
mod clock;
#[path = "scenarios/cluster.rs"]
mod cluster;
#[path = "scenarios/commands.rs"]
mod commands;
#[path = "scenarios/connection.rs"]
mod connection;
#[path = "scenarios/console.rs"]
mod console;
#[path = "scenarios/crashes.rs"]
mod crashes;
#[path = "scenarios/damage.rs"]
mod damage;
#[path = "scenarios/databases.rs"]
mod databases;
#[path = "scenarios/dead.rs"]
mod dead;
#[path = "scenarios/doctor.rs"]
mod doctor;
#[path = "scenarios/effects.rs"]
mod effects;
#[path = "scenarios/elastic_job.rs"]
mod elastic_job;
#[path = "scenarios/failing.rs"]
mod failing;
#[path = "scenarios/failover.rs"]
mod failover;
#[path = "scenarios/faults.rs"]
mod faults;
#[path = "scenarios/fires.rs"]
mod fires;
#[path = "scenarios/flow.rs"]
mod flow;
#[path = "scenarios/fresh.rs"]
mod fresh;
#[path = "scenarios/golang.rs"]
mod golang;
#[path = "scenarios/hot.rs"]
mod hot;
#[path = "scenarios/http_jobs.rs"]
mod http_jobs;
#[path = "scenarios/imported.rs"]
mod imported;
#[path = "scenarios/in_memory.rs"]
mod in_memory;
#[path = "scenarios/java.rs"]
mod java;
#[path = "scenarios/late.rs"]
mod late;
#[path = "scenarios/lists.rs"]
mod lists;
#[path = "scenarios/logs.rs"]
mod logs;
#[path = "scenarios/lost.rs"]
mod lost;
#[path = "scenarios/machine.rs"]
mod machine;
#[path = "scenarios/metrics.rs"]
mod metrics;
#[path = "scenarios/mixed.rs"]
mod mixed;
#[path = "scenarios/newcomer.rs"]
mod newcomer;
#[path = "scenarios/orders.rs"]
mod orders;
#[path = "scenarios/permissions.rs"]
mod permissions;
#[path = "scenarios/planners.rs"]
mod planners;
#[path = "scenarios/power.rs"]
mod power;
#[path = "scenarios/programs.rs"]
mod programs;
#[path = "scenarios/python.rs"]
mod python;
#[path = "scenarios/queue.rs"]
mod queue;
#[path = "scenarios/refused.rs"]
mod refused;
#[path = "scenarios/retention.rs"]
mod retention;
#[path = "scenarios/runs.rs"]
mod runs;
#[path = "scenarios/says.rs"]
mod says;
#[path = "scenarios/schedules.rs"]
mod schedules;
#[path = "scenarios/sdk_test.rs"]
mod sdk_test;
#[path = "scenarios/secrets.rs"]
mod secrets;
#[path = "scenarios/services.rs"]
mod services;
#[path = "scenarios/settings.rs"]
mod settings;
#[path = "scenarios/shown.rs"]
mod shown;
#[path = "scenarios/site.rs"]
mod site;
#[path = "scenarios/slips.rs"]
mod slips;
#[path = "scenarios/slow_disk.rs"]
mod slow_disk;
#[path = "scenarios/small.rs"]
mod small;
#[path = "scenarios/snapshot.rs"]
mod snapshot;
#[path = "scenarios/starting.rs"]
mod starting;
#[path = "scenarios/submissions.rs"]
mod submissions;
#[path = "scenarios/summaries.rs"]
mod summaries;
#[path = "scenarios/takeover.rs"]
mod takeover;
#[path = "scenarios/told.rs"]
mod told;
#[path = "scenarios/top.rs"]
mod top;
#[path = "scenarios/traced.rs"]
mod traced;
#[path = "scenarios/traces.rs"]
mod traces;
#[path = "scenarios/typed.rs"]
mod typed;
#[path = "scenarios/typescript.rs"]
mod typescript;
#[path = "scenarios/unknown.rs"]
mod unknown;
#[path = "scenarios/upgrades.rs"]
mod upgrades;
