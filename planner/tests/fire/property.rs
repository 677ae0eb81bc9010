//! Two leaders that decide in any order, of which each may be stopped between a record and what follows from it, while
//! people change everything and the clock is set: the rules of [`check`] hold, and what was decided is carried out in
//! the end.

use std::time::Duration;

use gridloom_planner::schedule::{Halt, Wish};
use gridloom_shared::clock::UnixMs;
use gridloom_shared::id::RunId;
use gridloom_shared::ledger::record::EndState;
use gridloom_shared::schedule::record::{Decision, Verdict, Why};
use gridloom_shared::schedule::{ByHand, Calendar, MisfirePolicy, Spec};
use proptest::prelude::*;

use crate::check;
use crate::world::{CALENDAR, Did, Leader, Place};

#[derive(Clone, Debug)]
enum Event {
    /// So many milliseconds pass.
    Passes(u64),
    /// The clock is set back.
    SetBack(u64),
    /// A leader decides and acts until nothing is left.
    Settles(usize),
    /// A leader records one decision and is stopped before it acts.
    Decides(usize),
    /// A leader carries out what its last record asks for.
    Acts(usize),
    /// A leader dies; the next one reads the ledger.
    Dies(usize),
    Over(EndState),
    ByHand,
    /// A run is asked for with an overlap policy; late, behind others that came after it.
    Asks(usize, bool),
    /// Somebody cancels one that was asked for, or it can be opened no more for another reason.
    Spoils(usize, usize),
    /// One that was asked for lately comes in once more, behind its answer.
    AsksAgain(usize),
    Halts(bool),
    Resumes(bool, Option<MisfirePolicy>),
    Openings(bool),
    Applied(usize),
    Deleted,
    /// The calendar says something else; `None`: it is deleted.
    Says(Option<usize>),
    /// A leader hears what it says.
    Hears(usize),
}

const SPECS: &[&str] = &[
    r#"{"every": "10s"}"#,
    r#"{"every": "10s", "overlap": "queue_one", "jitter": "8s"}"#,
    r#"{"every": "7s", "overlap": "queue_all", "queue_max": 3, "misfire": {"policy": "run_all", "window": "1m", "max": 4}}"#,
    r#"{"every": "20s", "overlap": "cancel_running", "misfire": {"policy": "skip"}}"#,
    r#"{"every": "5s", "overlap": "allow", "spread": "4s", "misfire": {"policy": "run_once", "window": "30s"}}"#,
    r#"{"every": "10s", "overlap": "queue_all", "max_fires": 5}"#,
    r#"{"cron": "*/15 * * * * *", "end": "2026-01-01T00:05:00Z", "overlap": "queue_one"}"#,
    r#"{"after": "10s"}"#,
    r#"{"every": "5s", "overlap": "allow", "pause_after_failures": 2}"#,
    r#"{"every": "10s", "overlap": "queue_all", "pause_after_failures": 1, "misfire": {"policy": "run_all"}}"#,
    r#"{"every": "10s", "overlap": "allow", "except": "office"}"#,
    r#"{"every": "10s", "overlap": "queue_all", "jitter": "8s", "only": "office", "misfire": {"policy": "run_all", "window": "5m", "max": 4}}"#,
    r#"{"after": "10s", "except": "office"}"#,
];

/// What the calendar may say: times within the first minutes of a story, all of them, and none.
const CALENDARS: &[&str] = &[
    r#"{"times": ["00:00:20-00:01"]}"#,
    r#"{"times": ["00:01-00:05"]}"#,
    r#"{"times": ["00:00:05-00:00:30", "00:04-00:20"]}"#,
    r#"{"dates": ["01-01"]}"#,
    r#"{"weekdays": ["SUN"]}"#,
];

fn calendar(index: usize) -> Calendar {
    let mut value: serde_json::Value = serde_json::from_str(CALENDARS[index]).unwrap();
    value["name"] = CALENDAR.into();
    value["timezone"] = "UTC".into();
    Calendar::try_from(value).unwrap()
}

fn spec(index: usize) -> Spec {
    let value: serde_json::Value = serde_json::from_str(SPECS[index]).unwrap();
    Spec::try_from(value).unwrap()
}

fn event() -> impl Strategy<Value = Event> {
    let policy = prop_oneof![
        Just(None),
        Just(Some(MisfirePolicy::Skip)),
        Just(Some(MisfirePolicy::RunOnce)),
        Just(Some(MisfirePolicy::RunAll { max: 3 })),
    ];
    prop_oneof![
        6 => (1_u64..20_000).prop_map(Event::Passes),
        1 => (20_000_u64..400_000).prop_map(Event::Passes),
        1 => (1_u64..60_000).prop_map(Event::SetBack),
        5 => (0_usize..2).prop_map(Event::Settles),
        3 => (0_usize..2).prop_map(Event::Decides),
        2 => (0_usize..2).prop_map(Event::Acts),
        1 => (0_usize..2).prop_map(Event::Dies),
        2 => Just(Event::Over(EndState::Succeeded)),
        2 => Just(Event::Over(EndState::Failed)),
        1 => Just(Event::ByHand),
        3 => (0_usize..4, any::<bool>()).prop_map(|(policy, late)| Event::Asks(policy, late)),
        1 => (0_usize..8, 0_usize..3).prop_map(|(which, why)| Event::Spoils(which, why)),
        2 => (0_usize..4).prop_map(Event::AsksAgain),
        1 => any::<bool>().prop_map(Event::Halts),
        2 => (any::<bool>(), policy).prop_map(|(frozen, missed)| Event::Resumes(frozen, missed)),
        1 => any::<bool>().prop_map(Event::Openings),
        2 => (0..SPECS.len()).prop_map(Event::Applied),
        1 => Just(Event::Deleted),
        2 => (0..CALENDARS.len()).prop_map(|index| Event::Says(Some(index))),
        1 => Just(Event::Says(None)),
        3 => (0_usize..2).prop_map(Event::Hears),
    ]
}

/// Something is wrong with one of the runs that were asked for.
fn spoil(wishes: &mut [Wish], which: usize, why: usize) {
    let (by, reason) = (String::new(), String::new());
    let faults = [Why::Withdrawn { by }, Why::Deleted, Why::Unfit { reason }];
    if let Some(wish) = wishes.get_mut(which) {
        wish.fault = Some(faults[why].clone());
    }
}

struct Story {
    place: Place,
    leaders: [Leader; 2],
    term: u64,
    asked: Vec<Wish>,
    /// The first record that goes against what the calendar said then.
    misjudged: Option<String>,
}

impl Story {
    fn new() -> Story {
        // 2026-01-01T00:00:00Z
        let place = Place::new(UnixMs(1_767_225_600_000));
        let leaders = [place.leader(1), place.leader(2)];
        let term = 2;
        Story {
            place,
            leaders,
            term,
            asked: Vec::new(),
            misjudged: None,
        }
    }

    fn play(&mut self, event: &Event) {
        let before = self.place.ledger.len();
        self.happens(event);
        let (Event::Settles(one) | Event::Decides(one)) = event else {
            return;
        };
        if self.leaders[*one].has_heard(&self.place) {
            let mut new = before..self.place.ledger.len();
            let misjudged = new.find_map(|index| check::misjudged(&self.place, index));
            self.misjudged = self.misjudged.take().or(misjudged);
        }
    }

    fn happens(&mut self, event: &Event) {
        let place = &mut self.place;
        match event {
            Event::Passes(ms) => place.now = place.now + Duration::from_millis(*ms),
            Event::SetBack(ms) => place.now = UnixMs(place.now.0 - ms),
            Event::Settles(one) => {
                let did = self.leaders[*one].settle(place);
                if did.iter().any(|did| matches!(did, Did::Refused)) {
                    self.read_again(*one);
                }
            }
            Event::Decides(one) => {
                if let Some(Did::Refused) = self.leaders[*one].decide(place) {
                    self.read_again(*one);
                }
            }
            Event::Acts(one) => {
                self.leaders[*one].act(place);
            }
            Event::Dies(one) => self.read_again(*one),
            Event::Over(end) => {
                for run in place.open_runs() {
                    place.end_run(&run, *end);
                }
            }
            Event::ByHand => {
                let run = RunId::from_submission(&place.job, place.now.0);
                place.runs.open.insert(run);
            }
            Event::Asks(policy, late) => self.ask(ByHand::ALL[*policy].1, *late),
            Event::AsksAgain(before) => self.ask_again(*before),
            Event::Spoils(which, why) => spoil(&mut place.wishes, *which, *why),
            Event::Halts(frozen) => place.halt(Halt {
                frozen: *frozen,
                from: place.now,
                until: None,
                by: String::new(),
                note: String::new(),
                missed: None,
            }),
            Event::Resumes(frozen, missed) => {
                let now = place.now;
                let mut lasting = place.halts.iter_mut();
                let lasting = lasting.find(|halt| halt.frozen == *frozen && halt.until.is_none());
                if let Some(halt) = lasting {
                    halt.until = Some(now.max(halt.from));
                    halt.missed = *missed;
                    place.pause_revision += u64::from(!frozen);
                }
            }
            Event::Openings(work) => place.openings_work = *work,
            Event::Applied(index) => {
                place.spec = Some(spec(*index));
                place.since = place.now;
            }
            Event::Deleted => {
                place.spec = None;
                place.since = place.now;
            }
            Event::Says(index) => place.say(index.map(calendar)),
            Event::Hears(one) => self.leaders[*one].hear(place),
        }
    }

    fn ask(&mut self, overlap: ByHand, late: bool) {
        let sequence = 1 + self.asked.len() as u64;
        let wish = Wish {
            run: RunId::from_request(&self.place.job, &sequence.to_string()),
            stored: (sequence, self.place.now),
            revision: 0,
            overlap,
            fault: None,
        };
        self.asked.push(wish.clone());
        self.place.keep(wish, late);
    }

    fn ask_again(&mut self, before: usize) {
        let Story { asked, place, .. } = self;
        let Some(wish) = asked.iter().rev().nth(before) else {
            return;
        };
        if place.wishes.iter().all(|there| there.run != wish.run) {
            place.keep(wish.clone(), false);
        }
    }

    fn read_again(&mut self, one: usize) {
        self.term += 1;
        self.leaders[one] = self.place.leader(self.term);
    }

    /// Everybody lets the leader work, and runs end.
    fn come_to_rest(&mut self) {
        self.place.openings_work = true;
        if self.place.calendars.is_empty() {
            self.place.say(Some(calendar(0)));
        }
        self.play(&Event::Passes(600_000));
        let now = self.place.now;
        for halt in &mut self.place.halts {
            halt.until = Some(halt.until.unwrap_or(now).min(now).max(halt.from));
        }
        self.place.halts.retain(|halt| !halt.covers(now));
        self.read_again(0);
        for _ in 0..200 {
            self.play(&Event::Settles(0));
            self.play(&Event::Over(EndState::Succeeded));
            // What it has paused itself, people end.
            self.play(&Event::Resumes(false, None));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn each_nominal_time_has_one_answer_and_what_is_decided_is_carried_out(
        events in prop::collection::vec(event(), 1..60),
    ) {
        let mut story = Story::new();
        for event in &events {
            story.play(event);
            prop_assert_eq!(check::breach(&story.place), None);
            prop_assert_eq!(&story.misjudged, &None);
        }
        story.come_to_rest();
        prop_assert_eq!(check::breach(&story.place), None);
        prop_assert_eq!(&story.misjudged, &None);
        prop_assert_eq!(check::undecided(&story.place), None);
        let place = &story.place;
        prop_assert_eq!(&place.wishes, &Vec::new());
        for record in &place.ledger {
            if let Decision::Opened { run, .. }
            | Decision::Asked {
                run,
                answer: Verdict::Opened { .. },
            } = &record.decision
            {
                prop_assert!(place.opened.contains_key(run), "{} was never opened", run);
            }
            if let Decision::Asked {
                run,
                answer: Verdict::Refused { .. },
            } = &record.decision
            {
                prop_assert!(!place.opened.contains_key(run), "{} was opened", run);
            }
        }
        if let Some(last) = place.ledger.last() {
            prop_assert_eq!(&last.state.queued, &Vec::new());
            let waits = last.state.asked.iter().filter(|asked| asked.refused.is_none());
            prop_assert_eq!(waits.count(), 0);
            prop_assert_eq!(&last.state.carried, &Vec::new());
            // However many come after it.
            for wish in place.followed.iter().filter(|wish| !place.again.contains(&wish.run)) {
                prop_assert!(wish.revision <= last.state.asked_up_to, "{} is not counted", wish.run);
            }
        }
    }
}
