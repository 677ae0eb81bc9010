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
