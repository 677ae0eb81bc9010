//! Who is known, who is dead, and how much is kept of them.

use super::*;
use crate::made_up;

const NOBODY: Event = Event::Nobody(Ground::Settled);

fn at(seconds: u64) -> Boot {
    Boot(Duration::from_secs(seconds))
}

fn presence(session: u64) -> Presence {
    Presence {
        queues: vec![queue()],
        ..made_up::presence(session)
    }
}

fn queue() -> QueueName {
    QueueName::new("images").unwrap()
}

fn dies(roster: &mut Roster, session: u64) {
    let deaths: Vec<_> = (0..3)
        .filter_map(|_| roster.learn(Session(session), NOBODY, at(10)))
        .collect();
    assert_eq!(deaths.len(), 1);
}

#[test]
fn worker_that_died_while_stopping_is_dead_and_one_that_said_goodbye_is_not() {
    let mut roster = Roster::new(1, at(0));
    for session in [1, 2] {
        let mut stopping = presence(session);
        stopping.stopping = true;
        roster.heard(&stopping, at(1));
    }
    let mut goodbye = presence(2);
    goodbye.gone = true;
    roster.heard(&goodbye, at(1));
    dies(&mut roster, 1);
    assert_eq!(roster.standing(Session(1)), Life::Dead);
    assert_eq!(roster.standing(Session(2)), Life::Unknown);
    assert_eq!(roster.learn(Session(2), NOBODY, at(10)), None);
}

#[test]
fn only_the_living_are_asked_and_whoever_wakes_up_is_asked_again() {
    let mut roster = Roster::new(1, at(0));
    roster.heard(&presence(1), at(1));
    roster.heard(&presence(2), at(1));
    dies(&mut roster, 1);
    assert_eq!(roster.of_queue(&queue()), [Session(2)]);
    roster.registered(&presence(1));
    assert_eq!(roster.of_queue(&queue()), [Session(2)]);
    roster.heard(&presence(1), at(1));
    assert_eq!(roster.of_queue(&queue()), [Session(1), Session(2)]);
}

#[test]
fn dead_are_forgotten_after_a_while_and_the_living_never() {
    let mut roster = Roster::new(1, at(0));
    roster.heard(&presence(1), at(1));
    roster.heard(&presence(2), at(1));
    dies(&mut roster, 1);
    roster.forget(at(129));
    assert_eq!(roster.standing(Session(1)), Life::Dead);
    roster.forget(at(1_000));
    assert_eq!(roster.to_ask(at(1_000)), [Session(2)]);
}

#[test]
fn so_many_are_kept_and_no_more_and_the_dead_make_room() {
    let mut roster = Roster::new(1, at(0));
    for session in 0..WORKERS_MAX as u64 {
        roster.heard(&presence(session), at(1));
    }
    roster.heard(&presence(1_000_000), at(1));
    assert_eq!(roster.standing(Session(1_000_000)), Life::Unknown);
    dies(&mut roster, 7);
    roster.heard(&presence(1_000_000), at(1));
    assert_eq!(roster.standing(Session(1_000_000)), Life::Lives);
    assert_eq!(roster.standing(Session(7)), Life::Unknown);
    assert_eq!(roster.to_ask(at(10)).len(), WORKERS_MAX);
}

#[test]
fn ground_is_fresh_after_a_new_connection() {
    let mut roster = Roster::new(1, at(0));
    assert_eq!(roster.ground(at(100)), Ground::Settled);
    roster.connected(1, at(100));
    assert_eq!(roster.ground(at(101)), Ground::Settled);
    roster.connected(2, at(200));
    assert_eq!(roster.ground(at(201)), Ground::Fresh);
    assert_eq!(roster.ground(at(206)), Ground::Settled);
}

#[test]
fn crowd_is_who_lives_and_has_a_slot_free_where_they_are_more_than_need_to_wait() {
    let name = |name: &str| HandlerName::new(name).unwrap();
    let mut roster = Roster::new(1, at(0));
    let mut says = |session: u64, handlers: &[&str], change: fn(&mut Presence)| {
        let mut presence = presence(session);
        presence.handlers = handlers.iter().map(|handler| name(handler)).collect();
        change(&mut presence);
        roster.heard(&presence, at(1));
    };
    let few = u64::from(BELLS);
    (0..few).for_each(|session| says(session, &["resize", "words"], |_| ()));
    says(few, &["resize"], |_| ());
    says(few + 1, &["words"], |presence| presence.in_flight = 4);
    says(few + 2, &["words"], |presence| presence.stopping = true);
    says(few + 3, &["words"], |_| ());
    dies(&mut roster, few + 3);
    let crowd = BTreeMap::from([(name("resize"), BELLS + 1)]);
    assert_eq!(roster.crowds(), BTreeMap::from([(queue(), crowd)]));
}

/// After how many silent rounds the last of `workers` was dead, where each had answered within `took`.
fn rounds(workers: u64, took: Duration, silent: &[Session]) -> usize {
    let mut roster = Roster::new(1, at(0));
    for session in (0..workers).map(Session) {
        roster.heard(&presence(session.0), at(99));
        roster.answered(session, took, at(99));
    }
    let mut died = (1..).map(|round| roster.silent(silent, ms(round * 250)).len());
    1 + died.position(|died| died == silent.len()).unwrap()
}

#[test]
fn silence_among_quick_answers_is_a_death_after_a_second_and_among_slow_ones_after_three() {
    let quick = Duration::from_millis(3);
    let one = [Session(0)];
    assert_eq!(rounds(3, quick, &one), 4);
    assert_eq!(rounds(2, quick, &one), 4);
    assert_eq!(rounds(3, Duration::from_millis(150), &one), 8);
    assert_eq!(rounds(3, Duration::from_millis(300), &one), 12);
    assert_eq!(rounds(1, quick, &one), 12, "alone");
    assert_eq!(rounds(3, quick, &[Session(0), Session(1)]), 12, "most");
}

#[test]
fn worker_that_never_answered_and_one_that_is_slow_itself_have_three_seconds() {
    let mut roster = Roster::new(1, at(0));
    (0..5).for_each(|session| roster.heard(&presence(session), at(99)));
    let (slow, quick) = (Duration::from_millis(400), Duration::from_millis(2));
    (1..5).for_each(|session| roster.answered(Session(session), quick, at(99)));
    let died = |roster: &mut Roster, session, rounds| {
        (0..rounds).any(|_| !roster.silent(&[Session(session)], at(100)).is_empty())
    };
    assert!(!died(&mut roster, 0, 11) && died(&mut roster, 0, 1));
    // One slow one makes none of the others slow.
    roster.answered(Session(1), slow, at(101));
    assert!(!died(&mut roster, 2, 3) && died(&mut roster, 2, 1));
    assert!(!died(&mut roster, 1, 11) && died(&mut roster, 1, 1));
}

#[test]
fn where_most_of_many_fall_silent_together_the_last_to_come_back_are_not_dead_for_that() {
    let mut roster = Roster::new(1, at(0));
    let all: Vec<Session> = (0..20).map(Session).collect();
    for session in &all {
        roster.heard(&presence(session.0), at(99));
        roster.answered(*session, Duration::from_millis(3), at(99));
    }
    let mut silent = |silent: &[Session], rounds: std::ops::Range<u64>| -> usize {
        let each = rounds.map(|round| ms(100_000 + round * 250));
        each.map(|now| roster.silent(silent, now).len()).sum()
    };
    assert_eq!(silent(&all, 0..20), 0, "five seconds");
    assert_eq!(silent(&all[..3], 20..39), 0, "these were heard last");
    assert_eq!(silent(&all[..3], 39..40), 3, "and these are dead after ten");
    // Ten seconds after the silence of all one is judged as ever.
    assert_eq!(silent(&all[4..5], 60..63), 1);
}

const DIES: Session = Session(0);

fn ms(ms: u64) -> Boot {
    Boot(Duration::from_secs(100) + Duration::from_millis(ms))
}

/// How long after its death, in milliseconds, one of `workers` is found dead which had announced itself each
/// second, `phase` after each round, and how often it was asked before.
fn found(workers: u64, phase: u64, dies: u64) -> (u64, u64) {
    let mut roster = Roster::new(1, at(0));
    (0..workers).for_each(|session| roster.heard(&presence(session), ms(phase)));
    let (mut asked, mut said) = (0, phase);
    for round in 1.. {
        let now = round * 250;
        while said + 1_000 <= now && said + 1_000 < dies {
            said += 1_000;
            roster.heard(&presence(DIES.0), ms(said));
        }
        if !roster.to_ask(ms(now)).contains(&DIES) {
            continue;
        }
        let event = if now < dies { Event::Heard } else { NOBODY };
        asked += u64::from(now < dies);
        if roster.learn(DIES, event, ms(now)).is_some() {
            return (now - dies, asked);
        }
    }
    unreachable!("rounds go on")
}

#[test]
fn of_many_workers_who_was_just_heard_is_not_asked_and_a_dead_one_is_found_within_a_second_all_the_same()
 {
    let stories = |workers: u64| {
        let phases = (0..250).step_by(31);
        phases.flat_map(move |phase| {
            let deaths = (10_001..11_000).step_by(37);
            deaths.map(move |dies| found(workers, phase, dies))
        })
    };
    let worst = |workers| stories(workers).map(|(found, _)| found).max();
    let mean = |workers| {
        let (sum, count) = stories(workers).fold((0, 0), |(sum, n), (ms, _)| (sum + ms, n + 1));
        sum / count
    };
    let few = ALL_ASKED as u64;
    assert!(worst(few) <= Some(750) && mean(few) <= 640, "{}", mean(few));
    assert!(stories(few).all(|(_, asked)| asked >= 40), "each round");
    assert!(worst(few + 1) <= Some(1_050), "{:?}", worst(few + 1));
    assert!(mean(few + 1) <= 800, "{}", mean(few + 1));
    assert!(
        stories(few + 1).all(|(_, asked)| asked <= 22),
        "every other one"
    );
}

#[test]
fn of_many_workers_those_are_asked_each_time_who_are_missed_or_dead_or_were_never_heard() {
    let mut roster = Roster::new(1, at(0));
    (0..=ALL_ASKED as u64).for_each(|session| roster.registered(&presence(session)));
    let everybody = roster.to_ask(ms(0)).len();
    assert_eq!(everybody, ALL_ASKED + 1);
    for session in 2..=ALL_ASKED as u64 {
        roster.heard(&presence(session), ms(0));
    }
    dies(&mut roster, 1);
    assert_eq!(roster.to_ask(ms(250)), [Session(0), Session(1)]);
    roster.learn(Session(7), NOBODY, ms(300));
    for round in [500, 750, 1_000] {
        assert!(roster.to_ask(ms(round)).contains(&Session(7)));
    }
    roster.heard(&presence(3), ms(1_000));
    assert!(!roster.to_ask(ms(1_001)).contains(&Session(3)));
    roster.connected(2, ms(1_002));
    assert_eq!(roster.to_ask(ms(1_003)).len(), everybody);
}

#[test]
fn names_without_end_are_not_kept_and_room_is_given_back() {
    let mut roster = Roster::new(1, at(0));
    let liar = |session| Presence {
        handlers: (0..180)
            .map(|n| HandlerName::new(format!("h{n:047}")).unwrap())
            .collect(),
        trouble: "t".repeat(1_000),
        knows: vec!["k".repeat(2_000)],
        ..presence(session)
    };
    for session in 0..WORKERS_MAX as u64 {
        roster.heard(&liar(session), at(1));
    }
    let kept = roster.of_queue(&queue()).len();
    assert!(kept > 1_000 && kept < WORKERS_MAX, "{kept}");
    assert!(roster.bytes <= ROSTER_BYTES);
    assert!(
        roster
            .workers
            .values()
            .all(|worker| worker.presence.trouble.is_empty())
    );
    for session in 0..WORKERS_MAX as u64 {
        let mut goodbye = liar(session);
        goodbye.gone = true;
        roster.heard(&goodbye, at(2));
    }
    assert_eq!(roster.bytes, 0);
}
