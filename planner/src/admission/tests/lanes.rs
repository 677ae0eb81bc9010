//! Jobs of several handlers on one queue: what their workers share decides what they wait for.

use super::*;

fn handler(name: &str) -> impl FnOnce(&mut JobSpec) {
    move |spec| spec.handler = HandlerName::new(name).unwrap()
}

impl Simulation {
    fn outstanding(&self, run: &str) -> usize {
        self.admission.runs[&RunId::new(run).unwrap()].outstanding
    }
}

const HOUR_MS: u64 = 3_600_000;

#[test]
fn hours_on_some_workers_do_not_hold_up_what_others_run() {
    let mut simulation = Simulation::of(vec![(2, &["slow"]), (2, &["quick"])]);
    simulation.open("a_s_1", 10_000, HOUR_MS, handler("slow"));
    simulation.until_ms(1_000);
    simulation.open("b_s_2", 10_000, 10, handler("quick"));
    simulation.until_ms(6_000);
    assert!(
        simulation.done("b_s_2") >= 900,
        "{}",
        simulation.done("b_s_2")
    );
    assert_eq!(simulation.outstanding("a_s_1"), 2 + 64);
    assert!(matches!(
        simulation.why("a_s_1"),
        Some(Waiting::QueueFull { handler, outstanding: 66, .. }) if handler.as_str() == "slow"
    ));
}

#[test]
fn workers_that_some_hours_leave_free_are_kept_busy() {
    let mut simulation = Simulation::of(vec![
        (4, &["slow"]),
        (4, &["slow", "quick"]),
        (4, &["quick"]),
    ]);
    simulation.open("a_s_1", 10_000, HOUR_MS, handler("slow"));
    simulation.until_ms(1_000);
    simulation.open("b_s_2", 10_000, 10, handler("quick"));
    simulation.until_ms(6_000);
    assert!(
        simulation.done("b_s_2") >= 1_800,
        "{}",
        simulation.done("b_s_2")
    );
}

#[test]
fn tiles_whose_last_worker_is_gone_hold_up_nobody() {
    let mut simulation = Simulation::of(vec![(2, &["quick"]), (32, &["slow"])]);
    simulation.open("a_s_1", 10_000, HOUR_MS, handler("slow"));
    simulation.until_ms(1_000);
    simulation.workers[1].0 = 0;
    simulation.busy.clear();
    simulation.crew.died(made_up::presence(2).session);
    simulation.open("b_s_2", 10_000, 10, handler("quick"));
    simulation.until_ms(6_000);
    assert_eq!(simulation.outstanding("a_s_1"), 32 + 64);
    assert!(
        simulation.done("b_s_2") >= 900,
        "{}",
        simulation.done("b_s_2")
    );
    assert!(matches!(
        simulation.why("a_s_1"),
        Some(Waiting::NoHandler { .. })
    ));
}

#[test]
fn handlers_that_all_workers_have_share_one_window() {
    let mut simulation = Simulation::of(vec![(4, &["slow", "quick"]), (4, &["quick", "slow"])]);
    simulation.open("a_s_1", 10_000, 100, handler("slow"));
    simulation.until_ms(1_000);
    simulation.open("b_s_2", 10_000, 100, handler("quick"));
    simulation.until_ms(60_000);
    assert_eq!(simulation.most_open, 8 + 64);
    let (a, b) = (simulation.used_ms("a_s_1"), simulation.used_ms("b_s_2"));
    let ratio = (a - 8 * 1_000) as f64 / b as f64;
    assert!((0.9..1.1).contains(&ratio), "{a} and {b}");
}

#[test]
fn share_pays_on_each_lane_for_what_it_uses_on_others() {
    let mut simulation = Simulation::of(vec![(4, &["slow"]), (4, &["quick"])]);
    let rich = |name: &'static str| {
        move |spec: &mut JobSpec| {
            spec.handler = HandlerName::new(name).unwrap();
            spec.limits.share = Some(ShareName::new("rich").unwrap());
        }
    };
    simulation.open("a_s_1", 1_000_000, 20, rich("slow"));
    simulation.open("b_s_2", 1_000_000, 20, rich("quick"));
    simulation.open("c_s_3", 1_000_000, 20, handler("quick"));
    simulation.until_ms(30_000);
    let rich = simulation.used_ms("a_s_1") + simulation.used_ms("b_s_2");
    let ratio = rich as f64 / simulation.used_ms("c_s_3") as f64;
    assert!((0.9..1.2).contains(&ratio), "{ratio}");
}

#[test]
fn urgent_run_goes_first_though_several_lanes_fill_its_workers() {
    let mut simulation = Simulation::of(vec![(8, &["left", "both"]), (8, &["right", "both"])]);
    for (run, name) in [("a_s_1", "left"), ("b_s_2", "right")] {
        simulation.open(run, 1_000_000, 10, |spec| {
            priority(7)(spec);
            handler(name)(spec);
        });
    }
    simulation.until_ms(5_000);
    simulation.open("urgent_s_3", 300, 10, |spec| {
        priority(1)(spec);
        handler("both")(spec);
    });
    assert!(matches!(
        simulation.why("a_s_1"),
        Some(Waiting::Behind { .. })
    ));
    let before = simulation.done("a_s_1") + simulation.done("b_s_2");
    simulation.until_ms(6_000);
    assert_eq!(simulation.done("urgent_s_3"), 300);
    let others = simulation.done("a_s_1") + simulation.done("b_s_2") - before;
    assert!(others >= 1_100, "slots were idle: {others}");
}

#[test]
fn run_of_other_workers_is_behind_nobody() {
    let mut simulation = Simulation::of(vec![(2, &["slow"]), (2, &["quick"])]);
    simulation.open("a_s_1", 10_000, HOUR_MS, |spec| {
        priority(9)(spec);
        handler("slow")(spec);
    });
    simulation.open("b_s_2", 10_000, 10, |spec| {
        priority(0)(spec);
        handler("quick")(spec);
    });
    simulation.until_ms(1_000);
    assert!(matches!(
        simulation.why("a_s_1"),
        Some(Waiting::QueueFull { .. })
    ));
}

#[test]
fn run_keeps_the_handler_that_its_job_had_when_it_was_opened() {
    let mut simulation = Simulation::of(vec![(2, &["slow"]), (2, &["quick"])]);
    simulation.open("a_s_1", 100_000, 10, handler("slow"));
    simulation.open("a_s_2", 100_000, 10, handler("gone"));
    simulation.until_ms(1_000);
    assert!(simulation.done("a_s_1") > 180);
    assert!(matches!(
        simulation.why("a_s_2"),
        Some(Waiting::NoHandler { .. })
    ));
}

#[test]
fn lanes_without_an_open_run_are_forgotten() {
    let mut simulation = Simulation::new(4);
    for n in 1..=1_000 {
        let run = format!("a_s_{n}");
        simulation.open(&run, 5, 10, |spec| {
            spec.handler = HandlerName::new(format!("h{n}")).unwrap();
        });
        let now = simulation.now();
        simulation.admission.over(&RunId::new(run).unwrap(), now);
        simulation.left.clear();
    }
    let queue = &simulation.admission.queues[&QueueName::new(QUEUE).unwrap()];
    assert!(queue.lanes() <= 64, "{}", queue.lanes());
}

#[test]
fn standing_says_of_every_queue_who_works_what_is_before_them_and_why_others_wait() {
    let mut simulation = Simulation::of(vec![(2, &["quick"]), (3, &["quick", "other"])]);
    simulation.open("a_s_1", 10_000, HOUR_MS, handler("slow"));
    simulation.open("b_s_2", 10_000, HOUR_MS, handler("quick"));
    simulation.until_ms(1_000);
    let standing = |simulation: &mut Simulation, no_room| {
        let now = simulation.now();
        let crew = &simulation.crew;
        simulation.admission.standing(crew, no_room, now)
    };
    let all = standing(&mut simulation, false);
    assert_eq!((all.len(), all[0].workers), (1, 2));
    let waiting = BTreeMap::from([("no_handler", 1), ("queue_full", 1)]);
    assert_eq!(all[0].waiting, waiting);
    let (quick, slow) = (&all[0].lanes[0], &all[0].lanes[1]);
    assert_eq!((quick.workers, quick.slots, quick.runs), (2, 5, 1));
    assert_eq!((quick.window, quick.outstanding), (5 + 64, 5 + 64));
    assert_eq!((slow.workers, slow.slots, slow.runs), (0, 0, 1));
    // What is on hold is said before that there is no room.
    assert!(
        standing(&mut simulation, true)[0]
            .waiting
            .contains_key("no_room")
    );
    let (run, until) = (RunId::new("b_s_2").unwrap(), simulation.now().broker);
    let until = until + Duration::from_secs(7);
    simulation.admission.hold(&run, until);
    let all = standing(&mut simulation, true);
    assert_eq!(
        all[0].waiting,
        BTreeMap::from([("hold", 1), ("no_handler", 1)])
    );
    let held = simulation.admission.held(simulation.now());
    assert_eq!(held.jobs[0].1, Duration::from_secs(7));
    assert!(held.jobs.len() == 1 && held.resources.is_empty());
    // Without any worker that is what is said.
    simulation
        .workers
        .iter_mut()
        .for_each(|worker| worker.0 = 0);
    simulation.busy.clear();
    simulation.until_ms(10_000);
    let all = standing(&mut simulation, false);
    assert_eq!(
        (all[0].workers, &all[0].waiting),
        (0, &BTreeMap::from([("no_worker", 2)]))
    );
    assert!(simulation.admission.held(simulation.now()).jobs.is_empty());
}
