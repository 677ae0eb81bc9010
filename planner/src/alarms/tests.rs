use std::time::Duration;

use super::*;

const SECOND: u64 = 1_000;
const START: u64 = 1_000_000 * SECOND;
const HOUR: u64 = 3_600;

fn at(seconds: u64) -> UnixMs {
    UnixMs(START + seconds * SECOND)
}

fn job() -> JobName {
    JobName::new("nightly").unwrap()
}

fn of_fire() -> Watched {
    Watched::Fire(job())
}

fn need(due: UnixMs) -> Need {
    Need {
        scheduled_at: due,
        due,
        waits: false,
    }
}

fn fires(need: Option<Need>) -> Needs {
    Needs {
        fire: need,
        runs: BTreeMap::new(),
    }
}

/// A broker with one stream: what is armed is raised when its time has come.
#[derive(Default)]
struct Stage {
    alarms: Alarms,
    now: u64,
    seq: u64,
    armed: u64,
    standing: BTreeMap<Watched, Place>,
    raised: Vec<(Watched, UnixMs)>,
    planner_is_away: bool,
}

impl Stage {
    /// Time goes on to `seconds`, with a round of the planner each second.
    fn until(&mut self, seconds: u64) {
        while self.now < seconds {
            self.now += 1;
            self.pass();
        }
    }

    fn pass(&mut self) {
        let now = at(self.now);
        for (watched, standing) in &mut self.standing {
            if standing.at.is_some_and(|at| at <= now) {
                self.seq += 1;
                *standing = Place {
                    seq: self.seq,
                    at: None,
                };
                self.raised.push((watched.clone(), now));
            }
        }
        if !self.planner_is_away {
            self.round();
        }
    }

    fn round(&mut self) {
        for action in self.alarms.actions(at(self.now)) {
            match action {
                Action::Arm {
                    alarm, expected, ..
                } => {
                    let there = self.standing.get(&alarm.watched).copied();
                    if there.map_or(0, |there| there.seq) != expected {
                        self.alarms.found(alarm.watched, there);
                        continue;
                    }
                    self.seq += 1;
                    self.armed += 1;
                    let new = Place {
                        seq: self.seq,
                        at: Some(alarm.at),
                    };
                    self.standing.insert(alarm.watched.clone(), new);
                    self.alarms.found(alarm.watched, Some(new));
                }
                Action::Withdraw(watched) => {
                    self.standing.remove(&watched);
                    self.alarms.found(watched, None);
                }
            }
        }
    }

    fn hear(&mut self, needs: Needs) {
        self.alarms.hear(job(), needs);
        self.pass();
    }

    /// A planner that opens a fire every `period` seconds, until `seconds`.
    fn fire_every(&mut self, period: u64, seconds: u64) {
        while self.now < seconds {
            let due = self.now + period;
            self.hear(fires(Some(need(at(due)))));
            self.until(due.min(seconds));
        }
    }

    fn another_planner(&mut self) {
        self.planner_is_away = false;
        self.alarms = Alarms::default();
        let standing = self.standing.clone();
        self.alarms.read(standing);
    }
}

/// The latest moment at which the alarm of a fire that is due then may be raised.
fn latest(due: u64) -> UnixMs {
    at(due) + ALARM_AFTER
}

#[test]
fn whatever_the_period_no_alarm_is_raised_while_a_planner_is_there_and_one_is_where_none_is() {
    for period in [1, 2, 7, 14, 15, 16, 25, 26, 33, 39, 40, 41, 60, 300, HOUR] {
        for dies in [0, 1, period / 2, 3 * period + 1, 5 * period + 9] {
            let mut stage = Stage::default();
            stage.fire_every(period, dies);
            assert_eq!(stage.raised, [], "period {period}, dies at {dies}");
            let due = (dies / period + 1) * period;
            stage.hear(fires(Some(need(at(due)))));
            stage.planner_is_away = true;
            stage.until(due + 2 * HOUR);
            let raised: Vec<_> = stage.raised.iter().map(|(_, raised)| *raised).collect();
            assert_eq!(raised.len(), 1, "period {period}, dies at {dies}");
            let late = raised[0] >= at(due) + ALARM_MARGIN;
            assert!(late, "nothing was late: period {period}, dies at {dies}");
            assert!(raised[0] <= latest(due), "period {period}, dies at {dies}");
        }
    }
}

#[test]
fn job_that_fires_each_second_costs_an_alarm_every_twenty_seconds_and_not_one_a_fire() {
    let mut stage = Stage::default();
    stage.fire_every(1, HOUR);
    assert!(stage.armed < HOUR / 20, "{} alarms", stage.armed);
    let mut stage = Stage::default();
    stage.fire_every(60, HOUR);
    assert_eq!(stage.armed, 60);
}

#[test]
fn change_of_leaders_raises_nothing_and_arms_nothing_again_that_is_right() {
    let mut stage = Stage::default();
    stage.fire_every(HOUR, 10);
    let armed = stage.armed;
    stage.another_planner();
    stage.hear(fires(Some(need(at(HOUR)))));
    stage.alarms.is_whole();
    stage.until(20);
    assert_eq!((stage.armed, stage.raised.len()), (armed, 0));
}

#[test]
fn alarm_of_a_job_that_nobody_knows_any_more_is_withdrawn_once_all_are_known() {
    let mut stage = Stage::default();
    stage.fire_every(HOUR, 10);
    stage.another_planner();
    stage.until(20);
    assert_eq!(stage.standing.len(), 1, "it may still be heard of");
    stage.alarms.is_whole();
    stage.until(21);
    assert_eq!(stage.standing.len(), 0);
}

#[test]
fn paused_or_ended_schedule_has_no_alarm_and_one_that_goes_on_has() {
    let mut stage = Stage::default();
    stage.hear(fires(Some(need(at(10)))));
    stage.hear(fires(None));
    stage.until(HOUR);
    assert_eq!((stage.raised.len(), stage.standing.len()), (0, 0));
    stage.hear(fires(Some(need(at(HOUR + 10)))));
    stage.planner_is_away = true;
    stage.until(HOUR + 60);
    assert_eq!(stage.raised.len(), 1);
}

#[test]
fn edit_arms_for_an_earlier_fire_and_for_a_later_one() {
    for due in [60, 2 * HOUR] {
        let mut stage = Stage::default();
        stage.hear(fires(Some(need(at(HOUR)))));
        stage.hear(fires(Some(need(at(due)))));
        stage.planner_is_away = true;
        stage.until(3 * HOUR);
        assert_eq!(stage.raised, [(of_fire(), latest(due))]);
    }
}

#[test]
fn what_waits_for_room_is_not_missed_while_a_planner_is_there_and_is_where_none_is() {
    let mut stage = Stage::default();
    let waiting = Need {
        waits: true,
        ..need(at(10))
    };
    stage.hear(fires(Some(waiting)));
    stage.until(HOUR);
    assert_eq!(stage.raised, []);
    stage.planner_is_away = true;
    stage.until(HOUR + 60);
    assert_eq!(stage.raised.len(), 1);
}

#[test]
fn fire_that_a_planner_cannot_answer_for_is_late_though_it_is_there_and_told_once() {
    let mut stage = Stage::default();
    stage.hear(fires(Some(need(at(10)))));
    stage.until(HOUR);
    assert_eq!(stage.raised, [(of_fire(), latest(10))]);
    // It could at last.
    stage.hear(fires(Some(need(at(2 * HOUR)))));
    stage.until(HOUR + 60);
    assert!(stage.standing[&of_fire()].at.is_some(), "withdrawn");
}

#[test]
fn planner_that_comes_after_the_alarm_withdraws_it_and_arms_the_next() {
    let mut stage = Stage::default();
    stage.hear(fires(Some(need(at(10)))));
    stage.planner_is_away = true;
    stage.until(100);
    stage.another_planner();
    let raised = stage.standing[&of_fire()];
    stage.alarms.hear(job(), fires(Some(need(at(200)))));
    let actions = stage.alarms.actions(at(100));
    let [
        Action::Arm {
            alarm,
            expected,
            raised: withdrawn,
        },
    ] = actions.as_slice()
    else {
        panic!("{actions:?}");
    };
    assert_eq!(
        (alarm.at, *expected, *withdrawn),
        (latest(200), raised.seq, true)
    );
}

#[test]
fn run_is_watched_until_it_is_over_and_told_once_when_it_has_to_be() {
    let run = RunId::from_fire(&job(), at(0));
    let runs = |due| Needs {
        fire: None,
        runs: BTreeMap::from([(run.clone(), need(due))]),
    };
    let watched = Watched::Run(run.clone());
    let mut stage = Stage::default();
    stage.hear(runs(at(60)));
    stage.until(59);
    stage.hear(fires(None));
    stage.until(HOUR);
    assert_eq!(
        (stage.raised.len(), stage.standing.len()),
        (0, 0),
        "over in time"
    );
    // Two leaders see it, and an edit allows it more.
    stage.hear(runs(at(HOUR + 60)));
    stage.hear(runs(at(HOUR + 90)));
    stage.until(HOUR + 70);
    stage.another_planner();
    stage.hear(runs(at(HOUR + 90)));
    stage.until(2 * HOUR);
    assert_eq!(stage.raised, [(watched.clone(), at(HOUR + 90))]);
    assert!(stage.standing.contains_key(&watched), "until it is over");
    stage.hear(fires(None));
    stage.until(2 * HOUR + 1);
    assert!(stage.standing.is_empty());
}

#[test]
fn run_whose_time_was_past_when_it_was_first_seen_is_told_at_once() {
    let run = RunId::from_fire(&job(), at(0));
    let mut stage = Stage {
        now: HOUR,
        ..Stage::default()
    };
    stage.hear(Needs {
        fire: None,
        runs: BTreeMap::from([(run, need(at(60)))]),
    });
    stage.until(HOUR + 10);
    assert_eq!(stage.raised.len(), 1);
}

#[test]
fn margin_leaves_a_change_of_leaders_its_time() {
    assert!(ALARM_MARGIN > Duration::from_secs(10));
}
