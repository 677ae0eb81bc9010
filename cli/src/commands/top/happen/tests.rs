use super::super::frame::made_up::{planner, snapshot, worker};
use super::*;

fn news(run: &str, what: What) -> News {
    News {
        at: UnixMs(1_700_000_000_000),
        run: RunId::new(run).unwrap(),
        what,
    }
}

fn words(told: &[Happening]) -> Vec<&str> {
    told.iter().map(|one| one.what.as_str()).collect()
}

#[test]
fn takeovers_name_the_worker_and_the_reason_and_are_told_together() {
    let names = BTreeMap::from([(Session(8), "worker-b".to_owned())]);
    let taken = |session, reason| What::TakenOver {
        session: Session(session),
        tiles: 2,
        reason,
    };
    let all = [
        news("a_s_1", taken(8, Reason::Count)),
        news("a_s_1", taken(8, Reason::Count)),
        news("a_s_1", What::Died { shards: 1 }),
    ];
    let told = of_runs(&all, &names);
    let wanted = [
        "worker worker-b took over 4 tiles of run a_s_1: whoever held them was lost",
        "1 shard of run a_s_1 is dead",
    ];
    assert_eq!(words(&told), wanted);
    assert!(told[1].grave && !told[0].grave);
    // Of a worker that is not known its life is told.
    let told = of_runs(&[news("a_s_1", taken(9, Reason::Again))], &names);
    assert!(told[0].what.contains(&Session(9).to_string()));
}

#[test]
fn many_runs_that_begin_or_end_at_once_are_counted() {
    let few: Vec<News> = (0..2)
        .map(|n| news(&format!("a_s_{n}"), What::Opened))
        .collect();
    let told = of_runs(&few, &BTreeMap::new());
    assert_eq!(words(&told), ["run a_s_0 is open", "run a_s_1 is open"]);
    assert!(told[0].run.is_some());
    let ended = |n| news(&format!("a_s_{n}"), What::Closed(RunState::Failed));
    let many: Vec<News> = (0..1_000).map(ended).collect();
    let told = of_runs(&many, &BTreeMap::new());
    assert_eq!(words(&told), ["1,000 runs failed"]);
    assert!(told[0].grave);
}

#[test]
fn leader_that_falls_silent_and_its_successor_are_told() {
    let (mut before, mut after) = (snapshot(), snapshot());
    assert_eq!(between(&before, &after), []);
    after.planners = vec![planner("planner-b", None)];
    let told = between(&before, &after);
    assert!(
        told[0]
            .what
            .contains("planner-a answers no more: nobody leads")
    );
    assert!(told[0].grave);
    before = after.clone();
    after.planners = vec![planner("planner-b", Some(8))];
    assert_eq!(
        words(&between(&before, &after)),
        ["planner planner-b leads, term 8"]
    );
    // One that does not know yet that it is deposed leads no more.
    before = after.clone();
    after.planners.push(planner("planner-a", Some(7)));
    assert_eq!(between(&before, &after), []);
}

#[test]
fn workers_that_come_and_go_are_told() {
    let (before, mut after) = (snapshot(), snapshot());
    after.workers.remove(0);
    after.workers[0].standing.answers = false;
    after.workers.push(worker("worker-c", (0, 4)));
    let told = between(&before, &after);
    let wanted = [
        "worker worker-c answers",
        "worker worker-a is gone",
        "worker worker-b is silent",
    ];
    assert_eq!(words(&told), wanted);
    let mut many = snapshot();
    many.workers
        .extend((0..9).map(|n| worker(&format!("w-{n}"), (0, 1))));
    let told = between(&before, &many);
    assert_eq!(
        words(&told),
        ["workers w-0, w-1, w-2, w-3 and 5 more answer"]
    );
}

#[test]
fn pauses_that_begin_and_end_are_told() {
    use super::super::snapshot::Pause;
    let (before, mut after) = (snapshot(), snapshot());
    after.pauses.push(Pause {
        job: None,
        words: "all paused by ann".to_owned(),
    });
    let told = between(&before, &after);
    assert_eq!(
        (words(&told), told[0].grave),
        (vec!["all paused by ann"], true)
    );
    let told = between(&after, &before);
    assert_eq!(words(&told), ["the schedules of all jobs are resumed"]);
}
