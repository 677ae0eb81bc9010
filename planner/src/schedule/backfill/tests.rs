//! A backfill under two leaders that stop anywhere between a record and what follows from it.

use std::time::Duration;

use gridloom_shared::schedule::Spec;
use proptest::prelude::*;

use super::*;

const START: UnixMs = UnixMs(1_767_225_600_000);

fn minutes(count: u64) -> UnixMs {
    START + Duration::from_secs(60 * count)
}

/// A job that fires each minute but the fourth, of which the first ten are run again.
fn asked(overlap: ByHand, concurrency: u32) -> Backfill {
    let spec = serde_json::json!({ "cron": "* * * * *", "except": "2026-01-02" });
    Backfill {
        by: "ada".to_owned(),
        asked_at: START,
        spec: Spec::try_from(spec).unwrap(),
        anchor: START,
        from: minutes(1),
        to: minutes(10),
        overlap,
        concurrency,
        count: 10,
        cancelled: None,
        progress: Progress::default(),
    }
}

struct Place {
    now: UnixMs,
    backfill: Backfill,
    revision: u64,
    /// How often each run was opened with success.
    opened: BTreeMap<RunId, u32>,
    open: BTreeSet<RunId>,
    other: Option<RunId>,
    scheduled: bool,
    frozen: bool,
}

/// What a leader has read and heard.
#[derive(Clone)]
struct Leader {
    term: Term,
    filling: Filling,
    revision: u64,
    own: Own,
}

impl Place {
    fn new(backfill: Backfill) -> Place {
        Place {
            now: minutes(60),
            backfill,
            revision: 1,
            opened: BTreeMap::new(),
            open: BTreeSet::new(),
            other: None,
            scheduled: true,
            frozen: false,
        }
    }

    fn leader(&self, term: u64) -> Leader {
        let backfill = self.backfill.clone();
        let plan = Plan::new(&backfill.spec, "nightly", &BTreeMap::new(), backfill.anchor);
        Leader {
            term: Term(term),
            filling: Filling {
                job: JobName::new("nightly").unwrap(),
                name: BackfillName::new("b1").unwrap(),
                backfill,
                plan: Some(plan.unwrap()),
            },
            revision: self.revision,
            own: Own {
                open: self.open.clone(),
                over: BTreeMap::new(),
            },
        }
    }

    fn cancel(&mut self) {
        self.backfill.cancelled = Some("bob".to_owned());
        self.revision += 1;
    }

    fn progress(&self) -> &Progress {
        &self.backfill.progress
    }
}

impl Leader {
    fn hear(&mut self, place: &Place) {
        let over: Vec<RunId> = self.own.open.difference(&place.open).cloned().collect();
        for run in over {
            self.own.open.remove(&run);
            self.own.over.insert(run, Some(EndState::Succeeded));
        }
        self.own.open.extend(place.open.iter().cloned());
    }

    /// Records the next step. `false`: there is none, or another leader's stands there.
    fn decide(&mut self, place: &mut Place) -> bool {
        let around = Around {
            now: place.now,
            term: self.term,
            scheduled: place.scheduled,
            frozen: place.frozen,
            other: place.other.clone(),
            own: &self.own,
        };
        let Some(progress) = self.filling.next(&around) else {
            return false;
        };
        if self.revision != place.revision {
            let (own, term) = (self.own.clone(), self.term);
            *self = Leader {
                own,
                ..place.leader(term.0)
            };
            return true;
        }
        place.backfill.progress = progress.clone();
        place.revision += 1;
        self.revision = place.revision;
        self.filling.backfill.progress = progress;
        true
    }

    fn act(&mut self, place: &mut Place) {
        for (_, run) in self.filling.to_open(&self.own) {
            if place.opened.contains_key(&run) {
                if place.open.contains(&run) {
                    self.own.open.insert(run);
                } else {
                    self.own.over.insert(run, Some(EndState::Succeeded));
                }
                continue;
            }
            *place.opened.entry(run.clone()).or_default() += 1;
            place.open.insert(run.clone());
            self.own.open.insert(run);
        }
        if self.filling.cancels() {
            place.other = None;
        }
    }

    fn settle(&mut self, place: &mut Place) {
        self.hear(place);
        self.act(place);
        for _ in 0..1_000 {
            if !self.decide(place) {
                return;
            }
            self.act(place);
        }
        panic!("decisions do not end");
    }
}

/// Lets a leader work, and ends what it opens, until nothing changes any more.
fn carried_out(place: &mut Place) -> usize {
    let (mut leader, mut most) = (place.leader(1), 0);
    for _ in 0..50 {
        leader.settle(place);
        most = most.max(place.open.len());
        place.open.clear();
    }
    most
}

#[test]
fn each_nominal_time_of_the_range_gets_a_run_and_only_so_many_at_once() {
    for concurrency in [1, 3, 64] {
        let mut place = Place::new(asked(ByHand::Allow, concurrency));
        let most = carried_out(&mut place);
        assert_eq!(most, usize::try_from(concurrency).unwrap().min(10));
        assert_eq!(place.opened.len(), 10);
        let progress = place.progress();
        assert_eq!((progress.opened, progress.succeeded), (10, 10));
        assert_eq!(progress.ended.map(|end| end.why), Some(EndedBy::Done));
    }
}

#[test]
fn what_a_calendar_takes_out_is_not_run_again() {
    let mut backfill = asked(ByHand::Allow, 64);
    let last_day = Duration::from_secs(24 * 3_600);
    backfill.from = minutes(24 * 60 - 3);
    backfill.to = backfill.from + last_day + Duration::from_secs(300);
    let mut place = Place::new(backfill);
    place.now = minutes(24 * 60 * 3);
    carried_out(&mut place);
    let progress = place.progress();
    assert_eq!((progress.opened, progress.excluded), (3 + 3, 24 * 60));
    assert_eq!(progress.ended.map(|end| end.why), Some(EndedBy::Done));
}

#[test]
fn another_run_that_is_open_is_met_as_the_overlap_policy_says() {
    for (policy, before, after) in [
        // Opened while it is open, and after it is over.
        (ByHand::Allow, 2, 10),
        (ByHand::QueueAll, 0, 10),
        (ByHand::QueueOne, 0, 1),
        (ByHand::Skip, 0, 0),
        (ByHand::CancelRunning, 2, 10),
    ] {
        let mut place = Place::new(asked(policy, 2));
        place.other = RunId::new("nightly_s_7").ok();
        let mut leader = place.leader(1);
        leader.settle(&mut place);
        let found = match policy {
            // It is cancelled by now; the loop tells of its end.
            ByHand::CancelRunning => {
                assert_eq!(place.other, None);
                leader.settle(&mut place);
                place.opened.len()
            }
            _ => place.opened.len(),
        };
        assert_eq!(found, before, "{policy:?}");
        place.other = None;
        carried_out(&mut place);
        assert_eq!(place.opened.len(), after, "{policy:?}");
        let progress = place.progress();
        assert_eq!(progress.opened + progress.skipped, 10, "{policy:?}");
        assert_eq!(progress.ended.map(|end| end.why), Some(EndedBy::Done));
    }
}

#[test]
fn it_ends_where_it_is_cancelled_or_its_job_is_gone_and_what_is_open_goes_on() {
    for cancelled in [true, false] {
        let mut place = Place::new(asked(ByHand::Allow, 2));
        let mut leader = place.leader(1);
        leader.settle(&mut place);
        if cancelled {
            place.cancel();
            leader = place.leader(2);
        } else {
            place.scheduled = false;
        }
        leader.settle(&mut place);
        let why = match cancelled {
            true => EndedBy::Cancelled,
            false => EndedBy::Deleted,
        };
        assert_eq!(place.progress().ended.map(|end| end.why), Some(why));
        assert_eq!(place.progress().running.len(), 2);
        // Applied again, it does not go on.
        place.scheduled = true;
        carried_out(&mut place);
        assert_eq!((place.opened.len(), place.progress().succeeded), (2, 2));
        assert_eq!(place.progress().ended.map(|end| end.why), Some(why));
    }
}

#[test]
fn a_freeze_holds_it_back_and_times_to_come_are_waited_for() {
    let mut place = Place::new(asked(ByHand::Allow, 64));
    place.frozen = true;
    let mut leader = place.leader(1);
    leader.settle(&mut place);
    assert!(place.opened.is_empty());
    place.frozen = false;
    place.now = minutes(4);
    leader.settle(&mut place);
    assert_eq!(place.opened.len(), 4);
    assert_eq!(leader.filling.wake(place.now), Some(minutes(5)));
    place.now = minutes(10);
    leader.settle(&mut place);
    assert_eq!(place.opened.len(), 10);
}

#[test]
fn a_request_without_measure_ends() {
    let mut backfill = asked(ByHand::Skip, 1);
    backfill.spec = Spec::try_from(serde_json::json!({ "every": "1s" })).unwrap();
    backfill.to = minutes(60 * 24 * 365);
    let mut place = Place::new(backfill);
    place.now = minutes(60 * 24 * 365 * 2);
    place.backfill.progress.opened = BACKFILL_FIRES_MAX + 1;
    let mut leader = place.leader(1);
    leader.settle(&mut place);
    let why = place.progress().ended.map(|end| end.why);
    assert_eq!((why, place.opened.len()), (Some(EndedBy::TooMany), 0));
}

#[derive(Clone, Debug)]
enum Event {
    Passes(u64),
    Settles(usize),
    /// Records one step and is stopped before it acts.
    Decides(usize),
    Acts(usize),
    Dies(usize),
    Over,
    Other(bool),
    Frozen(bool),
    Cancelled,
    Deleted,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1_u64..8).prop_map(Event::Passes),
        5 => (0_usize..2).prop_map(Event::Settles),
        3 => (0_usize..2).prop_map(Event::Decides),
        2 => (0_usize..2).prop_map(Event::Acts),
        2 => (0_usize..2).prop_map(Event::Dies),
        4 => Just(Event::Over),
        2 => any::<bool>().prop_map(Event::Other),
        1 => any::<bool>().prop_map(Event::Frozen),
        1 => prop::sample::select(vec![Event::Cancelled, Event::Deleted]),
    ]
}

fn play(place: &mut Place, leaders: &mut [Leader; 2], terms: &mut u64, event: &Event) {
    match event {
        Event::Passes(count) => place.now = place.now + Duration::from_secs(60 * count),
        Event::Settles(one) => leaders[*one].settle(place),
        Event::Decides(one) => {
            leaders[*one].decide(place);
        }
        Event::Acts(one) => leaders[*one].act(place),
        Event::Dies(one) => {
            *terms += 1;
            leaders[*one] = place.leader(*terms);
        }
        Event::Over => place.open.clear(),
        Event::Other(is) => place.other = is.then(|| RunId::new("nightly_s_7").unwrap()),
        Event::Frozen(is) => place.frozen = *is,
        Event::Cancelled => place.cancel(),
        Event::Deleted => place.scheduled = false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn each_nominal_time_has_one_run_at_most_and_what_is_decided_is_carried_out(
        policy in 0_usize..5,
        concurrency in 1_u32..4,
        events in prop::collection::vec(event(), 1..50),
    ) {
        let mut place = Place::new(asked(ByHand::ALL[policy].1, concurrency));
        place.now = START;
        let mut leaders = [place.leader(1), place.leader(2)];
        let mut terms = 2;
        let most = usize::try_from(concurrency).unwrap();
        for event in &events {
            play(&mut place, &mut leaders, &mut terms, event);
            prop_assert!(place.open.len() <= most, "{} are open", place.open.len());
        }
        place.frozen = false;
        place.other = None;
        place.now = minutes(1_000);
        prop_assert!(carried_out(&mut place) <= most);
        let progress = place.progress();
        let end = progress.ended.map(|end| end.why);
        prop_assert!(end.is_some() && progress.running.is_empty(), "{progress:?}");
        prop_assert_eq!(place.opened.len() as u64, progress.opened);
        prop_assert_eq!(progress.succeeded, progress.opened);
        let answered = progress.opened + progress.skipped + progress.excluded;
        prop_assert!(answered == 10 || end != Some(EndedBy::Done), "{progress:?}");
        prop_assert!(place.opened.values().all(|times| *times == 1));
    }
}
