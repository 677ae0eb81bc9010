//! An installation for tests.

use std::collections::BTreeMap;

use gridloom_shared::id::{HandlerName, JobName, QueueName, RunId};
use gridloom_shared::ledger::summary::{GridSummary, RunState, RunSummary, ShardSummary};
use gridloom_shared::reads::failures::Failures;
use gridloom_shared::reads::queues::{HandlerStanding, QueueStanding};
use gridloom_shared::reads::workers::WorkerStanding;

use super::super::cells::Cells;
use super::super::snapshot::{Detail, Happening, Planner, Run, Server, Snapshot, Worker};

/// A run that is open, with so many shards, done and dead.
pub(in super::super) fn run(id: &str, (all, done, dead): (u64, u64, u64)) -> Run {
    let run = RunId::new(id).unwrap();
    Run {
        summary: RunSummary {
            job: JobName::new(run.job()).unwrap(),
            run,
            queue: QueueName::new("default").unwrap(),
            state: RunState::Running,
            scheduled_at: None,
            opened_at: Some("2026-11-29T13:00:00.000Z".to_owned()),
            closed_at: None,
            grid: GridSummary {
                slices: 1,
                shards: all,
            },
            shards: ShardSummary {
                planned: done + dead,
                done,
                dead,
                dead_probes: 0,
                given_up: 0,
                outstanding: 0,
                late: 0,
                retried: 0,
                taken_over: 0,
            },
            rows: 0,
            counters: BTreeMap::new(),
            more_counters: 0,
            error: None,
        },
        all_known: true,
        cancelling: false,
        shards_per_s: None,
        eta_s: None,
        waits: Vec::new(),
        strip: Vec::new(),
    }
}

/// A run that is over.
pub(in super::super) fn ended(id: &str, counts: (u64, u64, u64), state: RunState) -> Run {
    let mut run = run(id, counts);
    run.summary.state = state;
    run.summary.closed_at = Some("2026-11-29T13:00:42.000Z".to_owned());
    run
}

/// A worker that answers, with so many of its slots busy.
pub(in super::super) fn worker(name: &str, (busy, slots): (u32, u32)) -> Worker {
    Worker {
        standing: WorkerStanding {
            worker: name.to_owned(),
            session: format!("session of {name}"),
            queues: vec!["default".to_owned()],
            handlers: vec!["noop".to_owned()],
            in_flight: busy,
            capacity: slots,
            last_seen: "2026-11-29T13:00:05.000Z".to_owned(),
            started_at: "2026-11-29T12:00:00.000Z".to_owned(),
            version: "0.1.0".to_owned(),
            wire: Default::default(),
            stopping: false,
            answers: true,
            trouble: String::new(),
        },
        namesake: false,
        holds: Vec::new(),
    }
}

/// A queue with these lanes: handler, tiles that wait, workers that have it.
pub(in super::super) fn queue(name: &str, lanes: &[(&str, u64, usize)]) -> QueueStanding {
    let handlers = lanes
        .iter()
        .map(|(handler, pending, workers)| HandlerStanding {
            handler: HandlerName::new(*handler).unwrap(),
            pending: *pending,
            in_flight: 2,
            redelivered: 0,
            workers: *workers,
        });
    QueueStanding {
        queue: QueueName::new(name).unwrap(),
        pending: lanes.iter().map(|(_, pending, _)| pending).sum(),
        in_flight: 2 * lanes.len() as u64,
        redelivered: 0,
        oldest_s: Some(4.2),
        workers: lanes
            .iter()
            .map(|(.., workers)| *workers)
            .max()
            .unwrap_or(0),
        handlers: handlers.collect(),
    }
}

/// A planner.
pub(in super::super) fn planner(name: &str, term: Option<u64>) -> Planner {
    Planner {
        planner: name.to_owned(),
        term,
        trouble: String::new(),
    }
}

/// Something that has happened.
pub(in super::super) fn happening(what: &str, run: Option<&str>) -> Happening {
    Happening {
        at: "2026-11-29T13:00:04.000Z".to_owned(),
        what: what.to_owned(),
        run: run.map(|run| RunId::new(run).unwrap()),
        grave: run.is_none(),
    }
}

/// A run that is looked at closely.
pub(in super::super) fn detail(run: Run) -> Detail {
    Detail {
        run,
        handler: "noop".to_owned(),
        cells: Cells::default(),
        failures: Failures::default(),
        held: Vec::new(),
    }
}

/// An installation with a leader and a standby, two queues, two workers, an open run and one that has failed.
pub(in super::super) fn snapshot() -> Snapshot {
    let mut open = run("nightly_s_1", (12_000, 3_000, 0));
    open.summary.shards.outstanding = 16;
    open.shards_per_s = Some(250.0);
    open.eta_s = Some(36);
    Snapshot {
        at: "2026-11-29T13:00:05.000Z".to_owned(),
        namespace: "gridloom".to_owned(),
        broker: Server {
            address: "nats://127.0.0.1:4222".to_owned(),
            version: "2.15.1".to_owned(),
            cluster: None,
        },
        planners: vec![planner("planner-a", Some(7)), planner("planner-b", None)],
        pauses: Vec::new(),
        jobs: ["images", "nightly", "nightly-sums"]
            .map(|job| JobName::new(job).unwrap())
            .to_vec(),
        alarms: Vec::new(),
        shards_per_s: Some(250.0),
        runs_open: 1,
        queues: vec![queue("default", &[("noop", 40, 2), ("sql", 3, 0)])],
        runs: vec![open, ended("images_s_9", (100, 97, 3), RunState::Failed)],
        waiting: Vec::new(),
        workers: vec![worker("worker-a", (4, 16)), worker("worker-b", (16, 16))],
        events: vec![happening(
            "worker worker-b took over 3 tiles",
            Some("nightly_s_1"),
        )],
        unread: Vec::new(),
        detail: None,
    }
}
