//! Dead pages whose bounds only their wave has.

use gridloom_shared::ledger::fold::Cell;

use super::*;

#[test]
fn bounds_of_dead_pages_are_read_from_their_wave_before_they_are_tried_again() {
    let bounds = |n: i64| Bounds(Key::Int(n), Key::Int(n + 9));
    let mut script = Script::new(1, PagesSpec::Probe, Some(1));
    script.wave(9, 0);
    script.write(&Record::Work(WorkRecord::Probed(Probed {
        session: Session(2),
        number: 0,
        tile: place(0, 0),
        fence: Fence(2),
        slice: 0,
        probe: 0,
        pages: vec![bounds(0), bounds(10), bounds(20)],
        cursor: None,
    })));
    let sequence = script.sequence + 1;
    let wave = Wave {
        n: 1,
        folded: 3,
        term: TERM,
        tiles: script.wave(9, 0),
    };
    for index in 0..3 {
        let never = Status::Failed(Failed {
            error: "ill".into(),
            retry: Retry::Never,
        });
        script.outcome(place(1, index), index, 1, never);
    }
    script.write(&Record::Plan(PlanRecord::Reopened(Reopened {
        request: 1,
        which: Which::These(vec![page(0), page(2)]),
        term: TERM,
    })));
    let waves = [sequence].into();
    assert_eq!(script.step(9, 100), Some(Action::Recall { waves }));
    assert_eq!(script.step(9, 100), None, "it is being read");
    script.run.take(Event::Recalled(vec![(sequence, wave)]));
    let again = script.wave(9, 100);
    assert_eq!(cells(&again), [(0, 0, 1, 1, 2), (0, 2, 1, 1, 2)]);
    assert_eq!(again[0].bounds, [bounds(0)]);
    assert_eq!(again[1].bounds, [bounds(20)]);
    script.finish_all();
    // Page 1 is dead.
    let closed = script.step(9, 100);
    assert!(
        matches!(closed, Some(Action::Close { closed, .. }) if closed.state == EndState::Failed)
    );
}

fn page(page: u32) -> Cell {
    Cell {
        kind: TileKind::Page,
        slice: 0,
        page,
    }
}
