use std::time::Duration;

use super::super::made_up::{Story, failed, held};
use super::*;
use crate::id::RunId;
use crate::ledger::orders::EndState;
use crate::ledger::outcomes::Status;
use crate::ledger::record::Reason;

fn taken(story: &Story) -> (Fold, Worked) {
    let mut fold = Fold::new(RunId::new("sum_s_1").unwrap());
    let mut worked = Worked::default();
    for entry in &story.entries {
        worked.take(&mut fold, entry);
    }
    (fold, worked)
}

fn told(story: &Story) -> RunWork {
    let (fold, worked) = taken(story);
    worked.told(&fold, UnixMs(0), &BTreeMap::new())
}

fn of(work: &RunWork, session: u64) -> WorkerShare {
    let session = Some(Session(session).to_string());
    let found = work.workers.iter().find(|one| one.session == session);
    found.unwrap().clone()
}

#[test]
fn each_worker_has_what_it_committed_and_failed_where_it_said_so() {
    let mut story = Story::of(1, 4);
    let fence = story.wave(&[(0, 0, 4, 1)]);
    story.outcome(7, (0, 0), fence, 0, Status::Done);
    story.outcome(8, (0, 1), fence, 1, failed("busy"));
    story.outcome(8, (0, 2), fence, 2, held("429"));
    story.outcome(7, (0, 3), fence, 3, Status::Done);
    let work = told(&story);
    assert_eq!((work.at, work.span_ms, work.spans), (6, 250, 21));
    assert_eq!(work.from, story.at(1).rfc3339());
    let seven = of(&work, 7);
    assert_eq!((seven.done, seven.failed, seven.first), (2, 0, 4));
    // From a second after the opening, when the wave was issued; commits after two seconds and five.
    let mut commits = vec![0; 17];
    (commits[4], commits[16]) = (1, 1);
    assert_eq!(seven.commits, commits);
    assert_eq!(seven.held, [17]);
    let eight = of(&work, 8);
    assert_eq!((eight.done, eight.failed, eight.taken_over), (0, 2, 0));
    assert_eq!(eight.failures, [12, 1, 16, 1]);
}

#[test]
fn success_that_comes_after_the_first_is_nobodys_a_second_time() {
    let mut story = Story::of(1, 1);
    let fence = story.wave(&[(0, 0, 1, 1)]);
    let later = story.takeover(8, (0, 0), Reason::Count);
    story.outcome(8, (0, 0), later, 0, Status::Done);
    story.outcome(7, (0, 0), fence, 0, Status::Done);
    let work = told(&story);
    let (seven, eight) = (of(&work, 7), of(&work, 8));
    assert_eq!((seven.done, eight.done), (0, 1));
    assert_eq!((seven.taken_over, eight.taken_over), (0, 1));
    assert_eq!(eight.takeovers, [8, 1]);
    // It has held it since it took it over, and not since the wave; the other one since the wave.
    assert_eq!((eight.first, eight.held), (8, vec![5]));
    assert_eq!((seven.first, seven.held), (4, vec![13]));
}

#[test]
fn what_is_claimed_with_care_is_no_takeover() {
    let mut story = Story::of(1, 1);
    story.wave(&[(0, 0, 1, 1)]);
    story.takeover(8, (0, 0), Reason::Floor);
    assert_eq!(told(&story).workers, []);
}

#[test]
fn nobody_held_anything_before_they_were_there() {
    let mut story = Story::of(1, 1);
    let fence = story.wave(&[(0, 0, 1, 1)]);
    for _ in 0..20 {
        story.returned(9, (5, 5));
    }
    story.outcome(7, (0, 0), fence, 0, Status::Done);
    let (fold, worked) = taken(&story);
    let registered = Registered {
        worker: "late".into(),
        started_at: story.at(22),
    };
    let work = worked.told(
        &fold,
        UnixMs(0),
        &BTreeMap::from([(Session(7), registered)]),
    );
    let seven = of(&work, 7);
    assert_eq!(seven.worker.as_deref(), Some("late"));
    assert_eq!(seven.first as u64 * work.span_ms, 21_000);
    // Whoever only hands back is not there at all.
    assert_eq!(work.workers.len(), 1);
}

#[test]
fn long_run_has_longer_spans_and_nothing_is_lost_by_that() {
    let mut story = Story::of(1, 900);
    let fence = story.wave(&[(0, 0, 900, 1)]);
    for page in 0..900 {
        story.outcome(page % 2, (0, page as u32), fence, page as u32, Status::Done);
    }
    story.closed(EndState::Succeeded);
    let work = told(&story);
    // 902 s: 250 ms four times too short for 96 of them, 16 s for 57.
    assert_eq!((work.span_ms, work.spans), (16_000, 57));
    let done: Vec<u64> = work.workers.iter().map(|one| one.done).collect();
    assert_eq!(done, [450, 450]);
    let summed: u32 = work.workers[0].commits.iter().sum();
    assert_eq!(summed, 450);
    // And a run of which nothing is said any more goes on until now.
    let (fold, worked) = taken(&story);
    assert_eq!(
        worked.told(&fold, UnixMs(u64::MAX), &BTreeMap::new()).spans,
        57
    );
}

#[test]
fn run_that_goes_on_is_told_until_now() {
    let mut story = Story::of(1, 2);
    let fence = story.wave(&[(0, 0, 2, 1)]);
    story.outcome(7, (0, 0), fence, 0, Status::Done);
    let (fold, worked) = taken(&story);
    let now = story.at(1) + Duration::from_secs(48);
    let work = worked.told(&fold, now, &BTreeMap::new());
    assert_eq!((work.span_ms, work.spans), (1_000, 49));
    assert_eq!(of(&work, 7).commits, [0, 1]);
}

#[test]
fn many_workers_are_told_in_few_bytes_and_all_of_their_work() {
    let mut story = Story::of(1, 6_000);
    let fences: Vec<Fence> = (0..6)
        .map(|wave| story.wave(&[(0, 1_000 * wave, 1_000, 1)]))
        .collect();
    for page in 0..6_000_u64 {
        let status = if page.is_multiple_of(3) {
            failed("busy")
        } else {
            Status::Done
        };
        let (wave, index) = (page as u32 / 1_000, page as u32 % 1_000);
        let fence = fences[wave as usize];
        story.outcome(page % 500, (wave, index), fence, page as u32, status);
    }
    let (fold, worked) = taken(&story);
    assert!(worked.shares.len() <= SESSIONS_MAX && worked.memory() < 1 << 20);
    let work = worked.told(&fold, UnixMs(0), &BTreeMap::new());
    assert_eq!(work.workers.len(), WORKERS_MAX + 1);
    let joined = work.workers.last().unwrap();
    assert!(joined.session.is_none() && joined.sessions == 480);
    let sum = |of: fn(&WorkerShare) -> u64| work.workers.iter().map(of).sum::<u64>();
    assert_eq!((sum(|one| one.done), sum(|one| one.failed)), (4_000, 2_000));
    let bytes = serde_json::to_vec(&work).unwrap().len();
    assert!(bytes < 24_000, "{bytes}");
}

#[test]
fn run_of_the_same_id_that_comes_later_begins_anew() {
    let mut story = Story::of(1, 1);
    let fence = story.wave(&[(0, 0, 1, 1)]);
    story.outcome(7, (0, 0), fence, 0, Status::Done);
    let mut opened = story.entries[0].clone();
    if let Ok(Record::Plan(PlanRecord::Opened(opened))) = &mut opened.record {
        opened.nonce = crate::id::Nonce(2);
    }
    (opened.sequence, opened.at) = (4, story.at(4));
    story.entries.push(opened);
    let work = told(&story);
    assert_eq!(
        (work.from, work.workers),
        (story.at(4).rfc3339(), Vec::new())
    );
}

/// Somebody who did one shard.
const DONE: Span = Span {
    done: 1,
    failed: 0,
    taken_over: 0,
    held: false,
};

fn begun() -> Worked {
    Worked {
        from: Some(UnixMs(0)),
        ..Worked::default()
    }
}

#[test]
fn what_is_joined_has_spans_as_long_as_those_of_others() {
    let mut worked = begun();
    let at = UnixMs(2 * SPAN_MS);
    worked.note(Session(1), (at, at), DONE);
    let share = worked.shares.remove(&Session(1)).unwrap();
    worked.join(Session(1), &share);
    let late = UnixMs(SPAN_MS * SPANS_MAX as u64);
    worked.note(Session(2), (late, late), DONE);
    assert_eq!(worked.span_ms, 2 * SPAN_MS);
    let done: Vec<u32> = worked.joined.spans.iter().map(|span| span.done).collect();
    assert_eq!(done, [0, 1]);
}

#[test]
fn of_too_many_the_one_that_was_silent_for_longest_is_joined() {
    let mut worked = begun();
    for session in 0..SESSIONS_MAX as u64 {
        let at = UnixMs(if session == 5 { 10 } else { 20 + session % 7 });
        worked.note(Session(session), (at, at), DONE);
    }
    worked.note(Session(u64::MAX), (UnixMs(30), UnixMs(30)), DONE);
    assert_eq!(worked.joined_sessions, BTreeSet::from([Session(5)]));
    assert_eq!(worked.joined.sum(|span| span.done), 1);
}

#[test]
fn those_who_did_most_are_told_apart() {
    let (fold, mut worked) = taken(&Story::of(1, 1));
    let many = WORKERS_MAX as u64 + 2;
    for session in 0..many {
        let done = Span {
            done: 1 + session as u32,
            ..DONE
        };
        worked.note(Session(session), (UnixMs(0), UnixMs(0)), done);
    }
    let work = worked.told(&fold, UnixMs(0), &BTreeMap::new());
    assert_eq!(work.workers.len(), WORKERS_MAX + 1);
    assert_eq!(of(&work, many - 1).done, many);
    let joined = work.workers.last().unwrap();
    assert_eq!((joined.sessions, joined.done), (2, 1 + 2));
}

#[test]
fn of_too_many_fences_the_oldest_are_forgotten() {
    let mut worked = begun();
    let last = FENCES_MAX as u64;
    (0..=last).for_each(|n| worked.remember(Fence(n), UnixMs(n)));
    let kept = worked.fences.keys();
    let (first, last) = (kept.clone().next(), kept.last());
    assert_eq!(
        (first, last),
        (Some(&Fence(1)), Some(&Fence(FENCES_MAX as u64)))
    );
}

#[test]
fn what_was_out_under_a_fence_that_is_forgotten_was_out_when_it_is_told_of() {
    let mut story = Story::of(1, 1);
    let fence = story.wave(&[(0, 0, 1, 1)]);
    story.outcome(7, (0, 0), fence, 0, Status::Done);
    let mut fold = Fold::new(RunId::new("sum_s_1").unwrap());
    let mut worked = Worked::default();
    for entry in &story.entries {
        worked.take(&mut fold, entry);
        worked.fences.clear();
    }
    let work = worked.told(&fold, UnixMs(0), &BTreeMap::new());
    let seven = of(&work, 7);
    assert_eq!(
        (seven.first as u64 * work.span_ms, seven.held),
        (2_000, vec![1])
    );
}
