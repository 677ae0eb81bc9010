use super::super::frame::made_up::{ended, happening, run, snapshot};
use super::*;
use gridloom_shared::id::JobName;
use gridloom_shared::ledger::summary::RunState;

fn state() -> State {
    let mut state = State::default();
    state.take(snapshot());
    state
}

fn press(state: &mut State, code: KeyCode) -> Todo {
    state.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn kind(state: &mut State, text: &str) {
    for letter in text.chars() {
        press(state, KeyCode::Char(letter));
    }
}

fn shown(state: &State) -> Vec<String> {
    let listed = state.listed();
    listed.iter().map(|run| run.id().to_string()).collect()
}

fn selected(state: &State) -> String {
    state
        .run()
        .map_or_else(String::new, |run| run.id().to_string())
}

#[test]
fn order_is_given_only_on_a_yes_and_once() {
    let mut state = state();
    assert_eq!(press(&mut state, KeyCode::Char('c')), Todo::Nothing);
    assert_eq!(press(&mut state, KeyCode::Enter), Todo::Nothing);
    assert_eq!(state.over, None);
    press(&mut state, KeyCode::Char('c'));
    let order = Order::Cancel(RunId::new("nightly_s_1").unwrap());
    assert_eq!(
        press(&mut state, KeyCode::Char('y')),
        Todo::Do(order.clone())
    );
    assert!(state.is_busy() && state.said().unwrap().contains("cancelling run nightly_s_1"));
    press(&mut state, KeyCode::Char('c'));
    assert_eq!(press(&mut state, KeyCode::Char('y')), Todo::Nothing);
    state.done(&order, "cancelled run nightly_s_1");
    let said = state.said().unwrap();
    assert!(said.contains("gridloom cancel nightly_s_1"), "{said}");
    state.now = Duration::from_secs(60);
    assert_eq!(state.said(), None);
}

#[test]
fn what_makes_no_sense_is_said_and_not_asked() {
    let mut state = state();
    press(&mut state, KeyCode::Char('r'));
    assert_eq!(state.over, None);
    assert_eq!(state.said().unwrap(), "run nightly_s_1 has no dead shards");
    press(&mut state, KeyCode::Down);
    press(&mut state, KeyCode::Char('c'));
    assert_eq!(state.said().unwrap(), "run images_s_9 is over: it failed");
    press(&mut state, KeyCode::Tab);
    press(&mut state, KeyCode::Char('c'));
    assert!(state.said().unwrap().contains("go to them with Tab"));
}

#[test]
fn selected_run_stays_selected_wherever_it_stands() {
    let mut state = state();
    press(&mut state, KeyCode::Char('j'));
    assert_eq!(selected(&state), "images_s_9");
    let mut more = snapshot();
    more.runs.insert(0, run("a_s_1", (1, 0, 0)));
    more.runs.insert(0, run("b_s_1", (1, 0, 0)));
    state.take(more);
    assert_eq!(selected(&state), "images_s_9");
    press(&mut state, KeyCode::Char('s'));
    assert_eq!((state.sort, state.picked(Pane::Runs)), (Sort::Dead, 0));
    // It is gone: the selection stays where it was.
    let mut less = snapshot();
    less.runs.truncate(1);
    state.take(less);
    assert_eq!(selected(&state), "nightly_s_1");
}

#[test]
fn runs_are_filtered_as_it_is_typed_and_escape_takes_it_back() {
    let mut state = state();
    press(&mut state, KeyCode::Char('f'));
    kind(&mut state, "FAIL");
    assert_eq!(shown(&state), ["images_s_9"]);
    // Letters are no orders meanwhile.
    kind(&mut state, "q?c");
    assert!(shown(&state).is_empty() && state.run().is_none());
    press(&mut state, KeyCode::Esc);
    assert_eq!((shown(&state).len(), state.filter.as_str()), (2, ""));
    press(&mut state, KeyCode::Char('f'));
    kind(&mut state, "night");
    press(&mut state, KeyCode::Enter);
    assert_eq!(shown(&state), ["nightly_s_1"]);
    press(&mut state, KeyCode::Esc);
    assert_eq!(shown(&state).len(), 2);
}

#[test]
fn runs_are_sorted_by_what_is_asked_for() {
    let mut state = state();
    let mut seen = snapshot();
    let mut fast = run("fast_s_1", (10, 9, 0));
    fast.shards_per_s = Some(900.0);
    fast.summary.opened_at = Some("2026-11-29T12:00:00.000Z".to_owned());
    seen.runs.push(fast);
    seen.runs
        .push(ended("zeta_s_1", (10, 5, 5), RunState::Failed));
    state.take(seen);
    assert_eq!(shown(&state)[..2], ["nightly_s_1", "fast_s_1"]);
    for first in ["zeta_s_1", "nightly_s_1", "fast_s_1", "fast_s_1"] {
        press(&mut state, KeyCode::Char('s'));
        assert_eq!(shown(&state)[0], first, "{:?}", state.sort);
    }
    press(&mut state, KeyCode::Char('s'));
    assert_eq!(state.sort, Sort::Newest);
}

#[test]
fn log_opens_the_run_that_a_line_is_about() {
    let mut state = state();
    let mut seen = snapshot();
    seen.events.insert(0, happening("the broker is back", None));
    state.take(seen);
    press(&mut state, KeyCode::BackTab);
    press(&mut state, KeyCode::BackTab);
    press(&mut state, KeyCode::BackTab);
    assert_eq!(state.pane, Pane::Workers);
    press(&mut state, KeyCode::Tab);
    assert_eq!(state.pane, Pane::Log);
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.detail, None);
    press(&mut state, KeyCode::Down);
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.detail, RunId::new("nightly_s_1").ok());
    // Keys are about the run that is open, whatever pane lies below.
    press(&mut state, KeyCode::Char('c'));
    assert!(matches!(state.over, Some(Over::Ask(_))));
    press(&mut state, KeyCode::Char('n'));
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.detail, None);
}

#[test]
fn it_ends_by_q_and_by_control_c_whatever_is_open() {
    let mut state = state();
    assert_eq!(press(&mut state, KeyCode::Char('q')), Todo::Quit);
    press(&mut state, KeyCode::Char('f'));
    assert_eq!(press(&mut state, KeyCode::Char('q')), Todo::Nothing);
    let stop = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(state.key(stop), Todo::Quit);
    // Other keys of that kind are no letters.
    let other = KeyEvent::new(KeyCode::Char('r'), KeyModifiers::CONTROL);
    assert_eq!(state.key(other), Todo::Nothing);
    assert_eq!(state.filter, "q");
}

#[test]
fn what_is_not_seen_takes_no_key_and_is_there_again_once_it_is() {
    let mut state = state();
    press(&mut state, KeyCode::Char('F'));
    state.is_hidden = true;
    for letter in ['y', 'F', 'y', 'c', 'r', 'p', '/'] {
        assert_eq!(press(&mut state, KeyCode::Char(letter)), Todo::Nothing);
    }
    assert_eq!(press(&mut state, KeyCode::Char('q')), Todo::Quit);
    state.is_hidden = false;
    assert_eq!(
        press(&mut state, KeyCode::Char('y')),
        Todo::Do(Order::Freeze)
    );
}

#[test]
fn key_for_a_pause_is_about_the_selected_run_or_asks_which_job() {
    let mut state = state();
    press(&mut state, KeyCode::Char('p'));
    let job = |name: &str| JobName::new(name).unwrap();
    let asked = press(&mut state, KeyCode::Char('y'));
    assert_eq!(asked, Todo::Do(Order::Pause(job("nightly"))));
    // Among the workers no run is meant.
    press(&mut state, KeyCode::Tab);
    press(&mut state, KeyCode::Char('p'));
    assert!(matches!(state.over, Some(Over::Jobs(_))));
    press(&mut state, KeyCode::Down);
    press(&mut state, KeyCode::Down);
    press(&mut state, KeyCode::Down);
    kind(&mut state, "night");
    // The last of fewer is selected now.
    press(&mut state, KeyCode::Enter);
    let asked = press(&mut state, KeyCode::Char('y'));
    assert_eq!(asked, Todo::Do(Order::Pause(job("nightly-sums"))));
    press(&mut state, KeyCode::Char('P'));
    kind(&mut state, "none");
    press(&mut state, KeyCode::Enter);
    assert!(matches!(state.over, Some(Over::Jobs(_))));
    press(&mut state, KeyCode::Esc);
    assert_eq!(state.over, None);
    let mut seen = snapshot();
    seen.jobs.clear();
    state.take(seen);
    press(&mut state, KeyCode::Char('P'));
    assert_eq!((&state.over, state.doing.len()), (&None, 2));
}

#[test]
fn all_jobs_are_paused_on_a_yes_alone() {
    let mut state = state();
    press(&mut state, KeyCode::Char('F'));
    assert_eq!(press(&mut state, KeyCode::Enter), Todo::Nothing);
    press(&mut state, KeyCode::Char('F'));
    let asked = press(&mut state, KeyCode::Char('y'));
    assert_eq!(asked, Todo::Do(Order::Freeze));
}
