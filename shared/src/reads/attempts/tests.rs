use super::super::made_up::{Story, failed, held};
use super::*;
use crate::id::Fence;
use crate::ledger::orders::EndState;
use crate::ledger::outcomes::Status;

/// What is told of a shard of slice 0.
fn told(story: &Story, page: u32) -> ShardStory {
    let cell = Cell {
        kind: TileKind::Page,
        slice: 0,
        page,
    };
    let mut history = History::new(cell);
    let mut fold = Fold::new(RunId::new("sum_s_1").unwrap());
    for entry in &story.entries {
        history.take(&mut fold, entry);
    }
    // Whoever looks at a shard sees the run as everybody else does.
    assert_eq!(
        format!("{:?}", fold.counts()),
        format!("{:?}", story.fold().counts())
    );
    check(&fold, &history, cell).unwrap();
    history.story(&fold)
}

fn by(session: u64) -> Option<Author> {
    Some(Author::of(Session(session)))
}

/// Attempt, wave, error of what came of it.
fn results(told: &ShardStory) -> Vec<(u32, u32, Option<String>)> {
    let error = |it: &AttemptStory| it.result.as_ref().and_then(|it| it.error.clone());
    let attempts = told.attempts.iter();
    attempts
        .map(|it| (it.attempt, it.wave, error(it)))
        .collect()
}

#[test]
fn attempts_are_told_with_who_made_them_when_and_what_came_of_them() {
    let mut story = Story::of(1, 4);
    let first = story.wave(&[(0, 0, 4, 1)]);
    story.outcome(7, (0, 2), first, 2, failed("disk full"));
    let second = story.wave(&[(0, 2, 1, 2)]);
    story.outcome(8, (1, 0), second, 2, Status::Done);
    story.outcome(7, (0, 1), first, 1, failed("another shard"));
    let told = told(&story, 2);
    let wanted = [(1, 0, Some("disk full".to_owned())), (2, 1, None)];
    assert_eq!(results(&told), wanted);
    assert_eq!((told.state, told.max_attempts), (ShardState::Done, 3));
    assert_eq!(
        (told.shard.as_str(), told.retry_due.as_ref()),
        ("0/2", None)
    );
    let failure = &told.attempts[0];
    assert_eq!(
        (failure.tile, &failure.issued_at),
        (2, &story.at(2).rfc3339())
    );
    let said = failure.result.as_ref().unwrap();
    assert_eq!((&said.by, said.fence), (&by(7), first.0));
    assert_eq!(said.ended_at, story.at(3).rfc3339());
    // The first holder is known by what it said.
    assert_eq!(failure.holders[0].by, by(7));
    assert_eq!(
        (failure.holders.len(), failure.holders[0].takeover),
        (1, None)
    );
    let success = told.attempts[1].result.as_ref().unwrap();
    assert!(success.done);
    assert_eq!((success.rows, success.counters["bytes"]), (5, 70));
    assert_eq!(success.output.as_deref(), Some("file-7"));
}

#[test]
fn shard_that_failed_waits_for_its_next_attempt_until_it_is_dead() {
    let mut story = Story::of(1, 2);
    let mut fence = story.wave(&[(0, 0, 2, 1)]);
    assert_eq!(told(&story, 0).state, ShardState::Issued);
    for attempt in 1..=3 {
        let at = story.outcome(7, (attempt - 1, 0), fence, 0, failed("broken"));
        let told = told(&story, 0);
        assert_eq!(told.attempts.len() as u32, attempt);
        let due = story.at(at.0) + std::time::Duration::from_secs(1);
        if attempt < 3 {
            assert_eq!(told.state, ShardState::Retrying);
            assert_eq!(told.retry_due, Some(due.rfc3339()));
            fence = story.wave(&[(0, 0, 1, attempt + 1)]);
        } else {
            assert_eq!((told.state, told.retry_due), (ShardState::Dead, None));
        }
    }
}

#[test]
fn attempts_that_end_in_a_hold_are_none_of_those_that_it_may_have() {
    let mut story = Story::of(1, 2);
    let mut fence = story.wave(&[(0, 0, 1, 1)]);
    let numbers = |story: &Story| {
        let told = told(story, 0);
        let held = told.attempts.last().unwrap().result.as_ref().unwrap().held;
        (held, told.uncounted_attempts, told.max_attempts)
    };
    for attempt in 1..=2 {
        story.outcome(7, (attempt - 1, 0), fence, 0, held("away"));
        assert_eq!(numbers(&story), (true, attempt, 3));
        fence = story.wave(&[(0, 0, 1, attempt + 1)]);
    }
    story.outcome(7, (2, 0), fence, 0, failed("broken"));
    assert_eq!(numbers(&story), (false, 2, 3));
}

#[test]
fn takeover_is_a_further_holder_with_its_reason_and_a_higher_fence() {
    let mut story = Story::of(1, 2);
    let wave = story.wave(&[(0, 0, 2, 1)]);
    let taken = story.takeover(8, (0, 0), Reason::Count);
    story.started(8, (0, 0), taken, 0);
    story.returned(8, (0, 0));
    let again = story.takeover(9, (0, 0), Reason::Returned);
    // The one that lost it says so late: its failure does not count.
    story.outcome(7, (0, 0), wave, 0, failed("lost its lease"));
    story.outcome(9, (0, 0), again, 0, Status::Done);
    story.outcome(8, (0, 0), taken, 0, Status::Done);
    // Of a tile that has nothing left no takeover counts.
    story.takeover(10, (0, 0), Reason::Floor);
    let told = told(&story, 0);
    assert_eq!((told.state, told.attempts.len()), (ShardState::Done, 1));
    let attempt = &told.attempts[0];
    let holders: Vec<_> = attempt
        .holders
        .iter()
        .map(|it| (it.by.clone(), it.fence, it.takeover))
        .collect();
    assert_eq!(
        holders,
        [
            (by(7), wave.0, None),
            (by(8), taken.0, Some(Reason::Count)),
            (by(9), again.0, Some(Reason::Returned)),
        ]
    );
    let times = |it: &HolderStory| (it.started_at.is_some(), it.returned_at.is_some());
    assert_eq!(times(&attempt.holders[1]), (true, true));
    assert_eq!(times(&attempt.holders[2]), (false, false));
    let result = attempt.result.as_ref().unwrap();
    assert_eq!((&result.by, result.done), (&by(9), true));
    let uncounted: Vec<_> = attempt
        .uncounted
        .iter()
        .map(|it| (it.by.clone(), it.done))
        .collect();
    assert_eq!(uncounted, [(by(7), false), (by(8), true)]);
}

#[test]
fn shard_that_kills_its_workers_is_dead_by_their_takeovers() {
    let mut story = Story::of(1, 1);
    story.wave(&[(0, 0, 1, 1)]);
    for session in 1..=5 {
        let fence = story.takeover(session, (0, 0), Reason::Count);
        story.started(session, (0, 0), fence, 0);
    }
    let told = told(&story, 0);
    assert_eq!(told.state, ShardState::Dead);
    let attempt = &told.attempts[0];
    assert_eq!(attempt.holders.len(), 6);
    let result = attempt.result.as_ref().unwrap();
    assert_eq!(result.by, None);
    assert!(result.error.as_ref().unwrap().starts_with("crashed: "));
}

#[test]
fn record_that_was_appended_twice_is_told_once() {
    let mut story = Story::of(1, 2);
    let fence = story.wave(&[(0, 0, 2, 1)]);
    story.outcome(7, (0, 0), fence, 0, failed("broken"));
    let again = story.entries.last().unwrap().record.clone().unwrap();
    story.record(again);
    let told = told(&story, 0);
    assert_eq!(told.attempts[0].uncounted, []);
    assert_eq!(results(&told), [(1, 0, Some("broken".to_owned()))]);
}

#[test]
fn wave_that_the_fold_does_not_take_issues_nothing() {
    let mut story = Story::of(1, 2);
    story.wave(&[(0, 0, 2, 1)]);
    let again = story.entries.last().unwrap().record.clone().unwrap();
    story.record(again);
    assert_eq!(told(&story, 0).attempts.len(), 1);
}

#[test]
fn shard_without_an_outcome_is_cancelled_with_its_run() {
    let mut story = Story::of(1, 3);
    let fence = story.wave(&[(0, 0, 2, 1)]);
    assert_eq!(told(&story, 2).state, ShardState::NotIssued);
    story.outcome(7, (0, 0), fence, 0, failed("broken"));
    story.outcome(7, (0, 1), fence, 1, Status::Done);
    story.cancelled();
    story.closed(EndState::Cancelled);
    let states = [0, 1, 2].map(|page| told(&story, page).state);
    let wanted = [
        ShardState::Cancelled,
        ShardState::Done,
        ShardState::Cancelled,
    ];
    assert_eq!(states, wanted);
}

#[test]
fn last_attempts_are_told_and_the_earlier_ones_counted() {
    let mut story = Story::of(1, 1);
    for attempt in 1..=130 {
        story.wave(&[(0, 0, 1, attempt)]);
    }
    let told = told(&story, 0);
    assert_eq!(told.attempts.len(), ATTEMPTS_KEPT);
    assert_eq!((told.earlier_attempts, told.attempts[0].attempt), (30, 31));
}

#[test]
fn shard_that_the_grid_does_not_have_is_refused() {
    let mut story = Story::of(2, 4);
    story.wave(&[(0, 0, 4, 1)]);
    let refused = |text: &str| {
        let cell = text.parse().unwrap();
        check(&story.fold(), &History::new(cell), cell).unwrap_err()
    };
    assert!(matches!(
        refused("2/0"),
        ShardError::NoSlice { slices: 2, .. }
    ));
    assert!(matches!(
        refused("1/4"),
        ShardError::NoPage { pages: 4, .. }
    ));
    assert!(matches!(
        refused("1/probe-0"),
        ShardError::NoQuestion { .. }
    ));
}

#[test]
fn workers_are_named_where_their_names_are_known() {
    let mut story = Story::of(1, 1);
    let fence: Fence = story.wave(&[(0, 0, 1, 1)]);
    story.outcome(7, (0, 0), fence, 0, Status::Done);
    let mut told = told(&story, 0);
    told.name(&BTreeMap::from([(Session(7), "w-7".to_owned())]));
    let name = |by: &Option<Author>| by.clone().and_then(|by| by.worker);
    let attempt = &told.attempts[0];
    assert_eq!(name(&attempt.holders[0].by).as_deref(), Some("w-7"));
    assert_eq!(
        name(&attempt.result.as_ref().unwrap().by).as_deref(),
        Some("w-7")
    );
    let mut unnamed = told.clone();
    unnamed.name(&BTreeMap::new());
    assert_eq!(name(&unnamed.attempts[0].holders[0].by), None);
}
