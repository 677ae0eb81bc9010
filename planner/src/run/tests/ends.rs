//! Orders by people, and how runs end that do not succeed.

use gridloom_shared::ledger::orders::Dropped;
use gridloom_shared::limits::CELLS_MAX;
use gridloom_shared::tile::Cell;

use super::*;

fn order(script: &mut Script, record: PlanRecord) {
    script.write(&Record::Plan(record));
}

fn cancelled(request: u64) -> PlanRecord {
    PlanRecord::Cancelled(Cancelled {
        request,
        aborted: None,
        term: TERM,
    })
}

fn closed_as(action: Option<Action>) -> EndState {
    match action {
        Some(Action::Close { closed, .. }) => closed.state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn cancelled_run_decides_nothing_more_and_is_closed_once_it_is_halted() {
    let mut script = Script::new(1, PagesSpec::Count { count: 40 }, None);
    script.wave(4, 0);
    order(&mut script, cancelled(1));
    script.run.stale = true;
    assert!(!script.run.wants_room(UnixMs(0)));
    assert_eq!(script.step(4, 0), Some(Action::Halt { sequence: 3 }));
    assert_eq!(script.step(4, 0), None);
    script.run.take(Event::Halted);
    assert_eq!(closed_as(script.step(4, 0)), EndState::Cancelled);
}

#[test]
fn tiles_that_were_on_their_way_are_removed_once_they_have_landed() {
    let mut script = Script::new(1, PagesSpec::Count { count: 40 }, None);
    let Some(Action::Decide { wave, .. }) = script.step(4, 0) else {
        panic!("nothing to decide");
    };
    script.write(&Record::Plan(PlanRecord::Wave(Arc::unwrap_or_clone(wave))));
    script.run.take(Event::Decided);
    order(&mut script, cancelled(1));
    assert!(matches!(script.step(4, 0), Some(Action::Halt { .. })));
    script.run.take(Event::Halted);
    assert_eq!(script.step(4, 0), None, "a batch may still land");
    script.run.take(Event::Published);
    assert!(matches!(script.step(4, 0), Some(Action::Halt { .. })));
    script.run.take(Event::Halted);
    assert_eq!(closed_as(script.step(4, 0)), EndState::Cancelled);
}

#[test]
fn order_waits_for_the_wave_before_it_and_waves_wait_for_the_order() {
    let mut script = Script::new(1, PagesSpec::Count { count: 40 }, None);
    assert!(script.run.may_order());
    let Some(Action::Decide { wave, .. }) = script.step(4, 0) else {
        panic!("nothing to decide");
    };
    assert!(!script.run.may_order(), "the wave is being written");
    script.run.take(Event::Decided);
    assert!(!script.run.may_order(), "the wave is not read back");
    script.write(&Record::Plan(PlanRecord::Wave(Arc::unwrap_or_clone(wave))));
    assert!(script.run.may_order());
    script.run.take(Event::OrderBegun);
    assert_eq!(script.step(4, 0), None);
    script.run.take(Event::OrderWritten { sequence: 3 });
    assert_eq!(script.step(4, 0), None, "the order is not read back");
    order(&mut script, cancelled(1));
    assert!(matches!(script.step(4, 0), Some(Action::Halt { .. })));
}

#[test]
fn wave_that_came_after_another_planners_order_is_decided_anew() {
    let mut script = Script::new(1, PagesSpec::Count { count: 40 }, None);
    assert!(matches!(script.step(4, 0), Some(Action::Decide { .. })));
    script.run.take(Event::Outrun);
    let dropped = gridloom_shared::ledger::orders::Dropped {
        request: 1,
        which: Which::All,
        closed: false,
        left: 0,
        term: TERM,
    };
    order(&mut script, PlanRecord::Dropped(dropped));
    assert_eq!(script.step(4, 0), Some(Action::Refill));
    script.run.take(Event::Refilled);
    assert!(matches!(
        script.step(4, 0),
        Some(Action::Decide { expected: 2, .. })
    ));
}

/// A run of two shards that died.
fn with_two_dead() -> Script {
    let mut script = Script::new(1, PagesSpec::Count { count: 2 }, None);
    script.wave(4, 0);
    for index in 0..2 {
        let never = Status::Failed(Failed {
            error: "ill".into(),
            retry: Retry::Never,
        });
        script.outcome(TileRef { wave: 0, index }, index, 1, never);
    }
    script
}

#[test]
fn reopened_run_issues_its_dead_shards_again_and_is_closed_anew() {
    let mut script = with_two_dead();
    assert_eq!(closed_as(script.step(4, 0)), EndState::Failed);
    script.run.phase = Phase::Idle;
    let reopened = Reopened {
        request: 1,
        which: Which::All,
        term: TERM,
    };
    order(&mut script, PlanRecord::Reopened(reopened));
    let again = script.wave(4, 100);
    assert_eq!(cells(&again), [(0, 0, 1, 2, 2)]);
    script.finish_all();
    assert_eq!(closed_as(script.step(4, 100)), EndState::Succeeded);
}

#[test]
fn retry_of_one_that_was_given_up_is_none_of_those_that_are_left() {
    let mut script = with_two_dead();
    let cell = Cell {
        kind: TileKind::Page,
        slice: 0,
        page: 0,
    };
    let dropped = Dropped {
        request: 1,
        which: Which::These(vec![cell]),
        closed: false,
        left: 1,
        term: TERM,
    };
    order(&mut script, PlanRecord::Dropped(dropped));
    // As many are left as it names.
    assert_eq!(script.run.fold().dead_kept(), 1);
    let retry = Command {
        request: 2,
        verb: Verb::Retry,
        run: script.run.fold().run().clone(),
        slice: Some(0),
        page: Some(0),
        error_like: None,
    };
    let reopened = Reopened {
        request: 2,
        which: Which::These(vec![cell]),
        term: TERM,
    };
    let wanted = Judged::Write(PlanRecord::Reopened(reopened), 1);
    assert_eq!(judge(script.run.fold(), &retry, TERM, CELLS_MAX), wanted);
}

#[test]
fn run_ends_itself_when_too_many_shards_are_dead() {
    let mut script = Script::new(1, PagesSpec::Count { count: 40 }, None);
    script.limit(AbortAfter::DeadPercent(5.0));
    script.wave(4, 0);
    for index in 0..2 {
        assert!(script.run.wants_room(UnixMs(0)));
        let never = Status::Failed(Failed {
            error: "ill".into(),
            retry: Retry::Never,
        });
        script.outcome(TileRef { wave: 0, index }, index, 1, never);
    }
    assert!(!script.run.wants_room(UnixMs(0)));
    let Some(Action::Abort {
        cancelled,
        expected,
    }) = script.step(4, 0)
    else {
        panic!("it goes on");
    };
    assert_eq!(expected, script.run.fold().last_plan());
    script.run.take(Event::OrderWritten {
        sequence: script.sequence + 1,
    });
    order(&mut script, PlanRecord::Cancelled(cancelled));
    assert!(matches!(script.step(4, 0), Some(Action::Halt { .. })));
    script.run.take(Event::Halted);
    let closed = script.step(4, 0);
    assert!(
        matches!(&closed, Some(Action::Close { closed, .. })
            if closed.error.as_deref().is_some_and(|error| error.starts_with("aborted: 2 shards"))),
        "{closed:?}"
    );
    assert_eq!(closed_as(closed), EndState::Failed);
}

#[test]
fn orders_are_judged_by_how_the_run_stands() {
    let command = |request, verb, slice, page| Command {
        request,
        verb,
        run: RunId::new("sum_s_1").unwrap(),
        slice,
        page,
        error_like: None,
    };
    let judged =
        |script: &Script, command: &Command| judge(script.run.fold(), command, TERM, CELLS_MAX);
    let cancel = command(1, Verb::Cancel, None, None);
    let retry = command(2, Verb::Retry, None, None);
    let empty = Fold::new(RunId::new("sum_s_1").unwrap());
    assert!(matches!(
        judge(&empty, &cancel, TERM, CELLS_MAX),
        Judged::Answer(Answer::Misuse { .. })
    ));
    let mut script = Script::new(1, PagesSpec::Count { count: 2 }, None);
    assert!(matches!(
        judged(&script, &retry),
        Judged::Answer(Answer::Nothing { .. })
    ));
    assert!(matches!(
        judged(&script, &cancel),
        Judged::Write(PlanRecord::Cancelled(_), 0)
    ));
    order(&mut script, cancelled(1));
    assert_eq!(
        judged(&script, &cancel),
        Judged::Answer(Answer::Done { shards: 0 })
    );
    let other = command(3, Verb::Cancel, None, None);
    assert!(matches!(
        judged(&script, &other),
        Judged::Answer(Answer::Nothing { .. })
    ));
    assert!(matches!(
        judged(&script, &retry),
        Judged::Answer(Answer::Refused { .. })
    ));
    let alive = command(4, Verb::Drop, Some(0), Some(1));
    let like = Command {
        error_like: Some("lost".to_owned()),
        ..command(5, Verb::Drop, None, None)
    };
    for nobody in [&alive, &like] {
        assert!(matches!(
            judged(&script, nobody),
            Judged::Answer(Answer::Misuse { .. })
        ));
    }
}

/// A run with one wave on its way to the queue.
fn on_its_way() -> Script {
    let mut script = Script::new(1, PagesSpec::Count { count: 3 }, None);
    let decided = script.step(1, 0);
    let Some(Action::Decide { wave, .. }) = decided else {
        panic!("{decided:?}");
    };
    script.run.take(Event::Decided);
    order(&mut script, PlanRecord::Wave(Arc::unwrap_or_clone(wave)));
    script
}

/// Plays the end of a run that ends itself, and returns its error.
fn ends_itself(script: &mut Script) -> String {
    assert!(!script.run.wants_room(UnixMs(0)));
    let Some(Action::Abort { cancelled, .. }) = script.step(9, 0) else {
        panic!("it goes on");
    };
    let sequence = script.sequence + 1;
    script.run.take(Event::OrderWritten { sequence });
    order(script, PlanRecord::Cancelled(cancelled));
    assert!(matches!(script.step(9, 0), Some(Action::Halt { .. })));
    script.run.take(Event::Halted);
    match script.step(9, 0) {
        Some(Action::Close { closed, .. }) if closed.state == EndState::Failed => {
            closed.error.unwrap()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn run_whose_next_wave_can_never_be_written_ends_itself() {
    let mut script = on_its_way();
    script.run.take(Event::Published);
    assert!(matches!(script.step(1, 0), Some(Action::Decide { .. })));
    script.run.take(Event::Unwritable("too large".into()));
    assert_eq!(ends_itself(&mut script), "too large");
}

#[test]
fn run_whose_tiles_the_queue_can_never_take_ends_itself() {
    let mut script = on_its_way();
    script.run.take(Event::Published);
    script.run.take(Event::Unsendable("too large".into()));
    assert_eq!(ends_itself(&mut script), "too large");

    let mut script = on_its_way();
    script.run.take(Event::PublishLost);
    assert_eq!(script.step(1, 0), Some(Action::Refill));
    script.run.take(Event::Refilled);
    script.run.take(Event::Unsendable("too large".into()));
    // It is looked for on the queue again and again, and that is no use.
    script.run.take(Event::Looked);
    script.run.take(Event::Looked);
    assert_eq!(ends_itself(&mut script), "too large");
}

#[test]
fn run_that_ended_itself_goes_on_once_somebody_orders_that() {
    let mut script = on_its_way();
    script.run.take(Event::Published);
    script.run.take(Event::Unsendable("too large".into()));
    ends_itself(&mut script);
    let reopened = Reopened {
        request: 1,
        which: Which::All,
        term: TERM,
    };
    script.run.take(Event::Outrun);
    order(&mut script, PlanRecord::Reopened(reopened));
    assert_eq!(script.step(1, 0), Some(Action::Refill));
}
