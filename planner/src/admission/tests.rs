//! Flow control over simulated time: tiles that are issued run on slots, and what they cost is told as
//! workers tell it.

use std::collections::BTreeMap;

use gridloom_shared::clock::UnixMs;
use gridloom_shared::job::{GridSpec, PagesSpec, Priority, RetrySpec, SubmitSpec};
use gridloom_shared::presence::Presence;
use gridloom_shared::waiting::Waiting;

use super::*;
use crate::made_up;

const QUEUE: &str = "default";

mod lanes;

struct Busy {
    run: RunId,
    worker: usize,
    shards: u64,
    ends_ms: u64,
}

/// A queue with workers, and runs that always want room until they are issued to their end.
struct Simulation {
    admission: Admission,
    crew: Crew,
    /// Slots and handlers of each.
    workers: Vec<(u32, &'static [&'static str])>,
    at_ms: u64,
    /// Issued and not started, in order.
    queued: Vec<(RunId, u64)>,
    busy: Vec<Busy>,
    left: BTreeMap<RunId, u64>,
    shard_ms: BTreeMap<RunId, u64>,
    /// Worker-milliseconds by run, and shards that have ended.
    used_ms: BTreeMap<RunId, u64>,
    done: BTreeMap<RunId, u64>,
    most_open: usize,
}

impl Simulation {
    /// One worker with the handler of all jobs that name none.
    fn new(slots: u32) -> Simulation {
        Simulation::of(vec![(slots, &["noop"])])
    }

    fn of(workers: Vec<(u32, &'static [&'static str])>) -> Simulation {
        let mut simulation = Simulation {
            admission: Admission::new(Flow::default()),
            crew: Crew::new(Boot(Duration::ZERO)),
            workers,
            at_ms: 0,
            queued: Vec::new(),
            busy: Vec::new(),
            left: BTreeMap::new(),
            shard_ms: BTreeMap::new(),
            used_ms: BTreeMap::new(),
            done: BTreeMap::new(),
            most_open: 0,
        };
        simulation.announce();
        simulation
    }

    fn now(&self) -> Now {
        Now {
            boot: Boot(Duration::from_millis(self.at_ms)),
            broker: UnixMs(1_000_000 + self.at_ms),
        }
    }

    fn announce(&mut self) {
        for (session, (slots, handlers)) in (1..).zip(&self.workers) {
            let handlers = handlers.iter().map(|name| HandlerName::new(*name).unwrap());
            let presence = Presence {
                queues: vec![QueueName::new(QUEUE).unwrap()],
                handlers: handlers.collect(),
                capacity: *slots,
                ..made_up::presence(session)
            };
            if *slots > 0 {
                self.crew.heard(&presence, self.now().boot);
            }
        }
    }

    /// Workers pull what they have handlers and slots for, in order.
    fn pull(&mut self) {
        let mut free: Vec<usize> = self
            .workers
            .iter()
            .map(|(slots, _)| *slots as usize)
            .collect();
        self.busy.iter().for_each(|tile| free[tile.worker] -= 1);
        for (run, shards) in std::mem::take(&mut self.queued) {
            let handler = self.admission.runs[&run].handler.as_str();
            let able =
                |worker: &usize| free[*worker] > 0 && self.workers[*worker].1.contains(&handler);
            let Some(worker) = (0..free.len()).find(able) else {
                self.queued.push((run, shards));
                continue;
            };
            free[worker] -= 1;
            self.busy.push(Busy {
                worker,
                ends_ms: self.at_ms + shards * self.shard_ms[&run],
                run,
                shards,
            });
        }
    }

    fn open(&mut self, run: &str, shards: u64, shard_ms: u64, change: impl FnOnce(&mut JobSpec)) {
        let name = run.split('_').next().unwrap();
        let run = RunId::new(run).unwrap();
        let mut spec = JobSpec {
            name: JobName::new(name).unwrap(),
            handler: HandlerName::new("noop").unwrap(),
            queue: QueueName::new(QUEUE).unwrap(),
            grid: GridSpec {
                slices: 1,
                pages: PagesSpec::Count {
                    count: shards as u32,
                },
                tile: None,
            },
            retry: RetrySpec::default(),
            limits: LimitsSpec::default(),
            settings: serde_json::json!({}),
            params: serde_json::json!({}),
            submit: SubmitSpec::default(),
            schedule: None,
        };
        change(&mut spec);
        let opened = 1 + self.left.len() as u64;
        let now = self.now();
        self.admission.opened(&run, &spec, opened, 0, now);
        self.left.insert(run.clone(), shards);
        self.shard_ms.insert(run, shard_ms);
        self.want();
    }

    fn want(&mut self) {
        let now = self.now();
        for (run, left) in self.left.iter().filter(|(_, left)| **left > 0) {
            self.admission.wait(run, Some(*left), now);
        }
    }

    fn issue(&mut self) {
        let now = self.now();
        self.admission.tick(now);
        for queue in self.admission.waiting() {
            let mut turn = self.admission.turn(&queue, &self.crew, now);
            while let Some((run, room)) = self.admission.next(&turn, now) {
                let left = self.left.get_mut(&run).unwrap();
                let pages = u64::from(room.pages);
                let tiles = (room.tiles as u64).min(left.div_ceil(pages));
                let shards = (tiles * pages).min(*left);
                *left -= shards;
                let mut rest = shards;
                for _ in 0..tiles {
                    self.queued.push((run.clone(), rest.min(pages)));
                    rest -= rest.min(pages);
                }
                self.admission
                    .issued(&mut turn, &run, tiles as usize, shards);
                self.admission.decided(&run);
                self.admission.published(&run, now);
            }
        }
        self.want();
    }

    /// Lets a millisecond pass.
    fn step(&mut self) {
        self.issue();
        self.pull();
        self.most_open = self.most_open.max(self.busy.len() + self.queued.len());
        self.at_ms += 1;
        let now = self.now();
        let (ended, busy) = std::mem::take(&mut self.busy)
            .into_iter()
            .partition(|tile| tile.ends_ms <= self.at_ms);
        self.busy = busy;
        for tile in ended {
            let took_ms = tile.shards * self.shard_ms[&tile.run];
            *self.used_ms.entry(tile.run.clone()).or_default() += took_ms;
            *self.done.entry(tile.run.clone()).or_default() += tile.shards;
            self.admission.counted(&tile.run, 0, 1, now);
            let took = Duration::from_millis(took_ms);
            self.admission.measured(&tile.run, tile.shards, took);
        }
        if self.at_ms.is_multiple_of(1_000) {
            self.announce();
        }
    }

    fn until_ms(&mut self, at_ms: u64) {
        while self.at_ms < at_ms {
            self.step();
        }
    }

    fn done(&self, run: &str) -> u64 {
        self.done
            .get(&RunId::new(run).unwrap())
            .copied()
            .unwrap_or(0)
    }

    fn used_ms(&self, run: &str) -> u64 {
        self.used_ms[&RunId::new(run).unwrap()]
    }

    fn why(&mut self, run: &str) -> Option<Waiting> {
        let now = self.now();
        self.admission
            .why(&RunId::new(run).unwrap(), &self.crew, now)
    }
}

fn priority(priority: u8) -> impl FnOnce(&mut JobSpec) {
    move |spec| spec.limits.priority = Priority::new(priority).unwrap()
}

#[test]
fn jobs_with_short_and_long_shards_get_equal_worker_seconds() {
    let mut simulation = Simulation::new(16);
    simulation.open("short_s_1", 10_000_000, 10, |_| {});
    simulation.open("long_s_2", 1_000_000, 1_000, |_| {});
    simulation.until_ms(60_000);
    let (short, long) = (
        simulation.used_ms("short_s_1"),
        simulation.used_ms("long_s_2"),
    );
    let ratio = short as f64 / long as f64;
    assert!((0.9..1.1).contains(&ratio), "{short} and {long}");
    let all = (short + long) as f64 / (60_000.0 * 16.0);
    assert!(all > 0.9, "slots were idle: {all}");
}

#[test]
fn share_of_twice_the_weight_gets_twice_the_worker_seconds() {
    let mut simulation = Simulation::new(8);
    let weights = [(ShareName::new("big").unwrap(), 2.0)];
    simulation.admission = Admission::new(Flow {
        shares: Shares::new(weights).unwrap(),
        ..Flow::default()
    });
    simulation.open("big_s_1", 10_000_000, 20, |_| {});
    simulation.open("small_s_2", 10_000_000, 20, |_| {});
    simulation.until_ms(30_000);
    let ratio = simulation.used_ms("big_s_1") as f64 / simulation.used_ms("small_s_2") as f64;
    assert!((1.8..2.2).contains(&ratio), "{ratio}");
}

#[test]
fn small_run_beside_a_giant_one_is_done_within_a_second() {
    let mut simulation = Simulation::new(8);
    simulation.open("giant_s_1", 1_000_000, 10, |_| {});
    simulation.until_ms(5_000);
    simulation.open("other_s_2", 10, 10, |_| {});
    simulation.open("giant_s_3", 10, 10, |_| {});
    simulation.until_ms(6_000);
    assert_eq!(
        (simulation.done("other_s_2"), simulation.done("giant_s_3")),
        (10, 10)
    );
}

#[test]
fn runs_of_a_job_are_finished_one_after_another() {
    let mut simulation = Simulation::new(10);
    for n in 1..=20 {
        simulation.open(&format!("a_s_{n}"), 100, 10, |_| {});
    }
    simulation.until_ms(1_000);
    let done: Vec<u64> = (1..=20)
        .map(|n| simulation.done(&format!("a_s_{n}")))
        .collect();
    let begun = done
        .iter()
        .filter(|done| **done > 0 && **done < 100)
        .count();
    assert!(begun <= 2, "{done:?}");
    assert!(done[..5].iter().all(|done| *done == 100), "{done:?}");
}

#[test]
fn concurrency_of_a_job_is_kept_over_all_its_runs_and_used() {
    let mut simulation = Simulation::new(64);
    let limit = |spec: &mut JobSpec| spec.limits.concurrency = Some(10);
    simulation.open("a_s_1", 10_000, 100, limit);
    simulation.open("a_s_2", 10_000, 100, |spec| {
        spec.limits.concurrency = Some(10)
    });
    simulation.until_ms(10_000);
    assert_eq!(simulation.most_open, 10);
    let used = simulation.used_ms("a_s_1");
    assert!(used >= 95_000, "{used} of 100,000 ms");
    simulation.issue();
    assert!(matches!(
        simulation.why("a_s_2"),
        Some(Waiting::Concurrency { limit: 10, .. })
    ));
}

#[test]
fn rate_of_a_job_is_kept_and_used() {
    let mut simulation = Simulation::new(64);
    simulation.open("a_s_1", 100_000, 1, |spec| {
        spec.limits.rate = Some("500/s".parse().unwrap());
    });
    for second in 1..=5 {
        simulation.until_ms(second * 1_000);
        let done = simulation.done("a_s_1");
        let most = second * 500;
        assert!(
            (most * 95 / 100..=most).contains(&done),
            "{done} after {second} s"
        );
    }
    simulation.issue();
    assert!(matches!(
        simulation.why("a_s_1"),
        Some(Waiting::Rate { .. })
    ));
}

#[test]
fn hold_stops_all_jobs_of_its_resource_and_no_other() {
    let mut simulation = Simulation::new(4);
    let resource = |spec: &mut JobSpec| {
        spec.limits.resource = Some(ResourceName::new("warehouse").unwrap());
    };
    simulation.open("a_s_1", 1_000, 10, resource);
    simulation.open("b_s_2", 1_000, 10, |spec| {
        spec.limits.resource = Some(ResourceName::new("warehouse").unwrap());
    });
    simulation.open("c_s_3", 1_000, 10, |_| {});
    let until = UnixMs(1_000_000 + 2_000);
    simulation
        .admission
        .hold(&RunId::new("a_s_1").unwrap(), until);
    simulation.until_ms(1_900);
    assert_eq!((simulation.done("a_s_1"), simulation.done("b_s_2")), (0, 0));
    assert!(simulation.done("c_s_3") > 500);
    let held = Waiting::Hold {
        what: "warehouse".into(),
        until,
    };
    assert_eq!(simulation.why("b_s_2"), Some(held.clone()));
    // Also where no shard of the run asks for room, as all of them wait until the hold is over.
    let on_hold = |simulation: &Simulation, run| {
        let run = RunId::new(run).unwrap();
        simulation.admission.on_hold(&run, simulation.now())
    };
    assert_eq!(on_hold(&simulation, "b_s_2"), Some(held));
    assert_eq!(on_hold(&simulation, "c_s_3"), None);
    simulation.until_ms(3_000);
    assert_eq!(on_hold(&simulation, "a_s_1"), None);
    assert!(simulation.done("a_s_1") > 50 && simulation.done("b_s_2") > 50);
}

#[test]
fn urgent_run_goes_first_and_one_that_waits_rises() {
    let mut simulation = Simulation::new(4);
    simulation.open("late_s_1", 1_000_000, 10, priority(6));
    simulation.open("urgent_s_2", 1_000_000, 10, priority(5));
    simulation.until_ms(50_000);
    let before = simulation.done("late_s_1");
    assert!(before < 50, "{before} went out before the other came");
    assert!(matches!(
        simulation.why("late_s_1"),
        Some(Waiting::Behind { .. })
    ));
    simulation.until_ms(125_000);
    assert!(simulation.done("late_s_1") > before, "it starves");
}

#[test]
fn job_whose_handler_nobody_has_gets_nothing_until_somebody_comes() {
    let mut simulation = Simulation::new(4);
    simulation.open("a_s_1", 1_000, 10, |spec| {
        spec.handler = HandlerName::new("resize").unwrap();
    });
    simulation.open("b_s_2", 1_000, 10, |_| {});
    simulation.until_ms(500);
    assert_eq!(
        simulation.admission.runs[&RunId::new("a_s_1").unwrap()].outstanding,
        0
    );
    assert!(simulation.done("b_s_2") > 100);
    assert!(matches!(
        simulation.why("a_s_1"),
        Some(Waiting::NoHandler { .. })
    ));
}

#[test]
fn without_a_worker_little_is_issued_and_the_reason_says_so() {
    let mut simulation = Simulation::new(0);
    for n in 1..=1_000 {
        simulation.open(&format!("a_s_{n}"), 5, 10, |_| {});
    }
    simulation.issue();
    assert_eq!(simulation.queued.len(), 64);
    assert!(matches!(
        simulation.why("a_s_999"),
        Some(Waiting::NoWorker { .. })
    ));
}

#[test]
fn nothing_is_left_of_runs_that_are_over() {
    let mut simulation = Simulation::new(4);
    for n in 1..=50 {
        simulation.open(&format!("a_s_{n}"), 5, 10, |_| {});
    }
    simulation.until_ms(2_000);
    for n in 1..=50 {
        let run = RunId::new(format!("a_s_{n}")).unwrap();
        assert_eq!(simulation.done(run.as_str()), 5);
        let now = simulation.now();
        simulation.admission.over(&run, now);
    }
    let admission = &simulation.admission;
    assert!(admission.runs.is_empty() && admission.risers.is_empty());
    let queue = &admission.queues[&QueueName::new(QUEUE).unwrap()];
    assert!(!queue.is_waiting() && queue.open_runs() == 0);
    assert_eq!(admission.jobs[&JobName::new("a").unwrap()].outstanding, 0);
}

#[test]
fn queue_with_as_many_open_runs_as_it_may_have_is_full_until_a_tenth_is_over() {
    let mut simulation = Simulation::new(4);
    simulation.admission = Admission::new(Flow {
        open_runs: 20,
        ..Flow::default()
    });
    for n in 1..=20 {
        assert!(simulation.admission.full().is_empty());
        simulation.open(&format!("a_s_{n}"), 5, 10, |_| {});
    }
    let queue = QueueName::new(QUEUE).unwrap();
    assert!(simulation.admission.full().contains(&queue));
    for n in 1..=3 {
        assert!(simulation.admission.full().contains(&queue), "{n}");
        let now = simulation.now();
        simulation
            .admission
            .over(&RunId::new(format!("a_s_{n}")).unwrap(), now);
    }
    assert!(simulation.admission.full().is_empty());
}

#[test]
fn limits_are_those_of_the_youngest_run_in_whatever_order_runs_come() {
    let mut simulation = Simulation::new(64);
    let limit = |most| move |spec: &mut JobSpec| spec.limits.concurrency = Some(most);
    simulation.open("a_s_1", 10_000, 100, limit(5));
    simulation.until_ms(500);
    assert_eq!(simulation.most_open, 5);
    simulation.open("a_s_2", 10_000, 100, limit(20));
    simulation.until_ms(501);
    assert_eq!(simulation.most_open, 20, "the job was blocked");
    // As after a change of leader: an older run that comes later.
    let spec = {
        let job = &simulation.admission.jobs[&JobName::new("a").unwrap()];
        assert_eq!(job.newest, 2);
        job.limits.clone()
    };
    simulation.left.clear();
    simulation.open("a_s_0", 10, 100, limit(1));
    let job = &simulation.admission.jobs[&JobName::new("a").unwrap()];
    assert_eq!(job.limits, spec);
}
