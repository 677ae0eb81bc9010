//! Walks through every state of a case: by `stateright`, and by hand where it cannot tell.

use std::collections::{BTreeSet, HashMap};

use stateright::{Checker, HasDiscoveries, Model};

use super::protocol::{Case, State};

/// Explores a case in which every claim must hold. `states` is how many different states it has: a
/// case that shrinks unnoticed proves less than it says.
pub(crate) fn holds(case: Case, states: usize) {
    let checker = case.checker().spawn_bfs().join();
    if let Some((claim, path)) = checker.discoveries().into_iter().next() {
        let story = story(&case, claim, path.into_vec());
        panic!("{claim:?} does not hold in {case:#?}:\n{story}");
    }
    assert_eq!(checker.unique_state_count(), states, "states of {case:#?}");
}

/// Explores a case whose rules are broken until a claim does not hold, which must be `expected`.
/// Shows how it came to that.
#[allow(
    clippy::print_stderr,
    reason = "the counter-example is what these tests are for; the harness shows it on request"
)]
pub(crate) fn breaks(case: Case, expected: &'static str) {
    let only = BTreeSet::from([expected]);
    let checker = case.checker();
    let checker = checker
        .finish_when(HasDiscoveries::AnyOf(only))
        .spawn_bfs()
        .join();
    let Some(path) = checker.discovery(expected) else {
        panic!("{expected:?} holds although a rule is broken: {case:#?}");
    };
    eprintln!(
        "{expected:?} does not hold, among {} states:\n{}",
        checker.unique_state_count(),
        story(&case, expected, path.into_vec())
    );
}

/// The actions up to the first state in which the claim does not hold.
fn story<A: std::fmt::Debug>(
    case: &Case,
    claim: &'static str,
    path: Vec<(State, Option<A>)>,
) -> String {
    let condition = case.property(claim).condition;
    let mut lines = Vec::new();
    for (state, action) in path {
        if !condition(case, &state) {
            lines.push(format!("{state:?}"));
            break;
        }
        lines.extend(action.map(|action| format!("  {action:?}")));
    }
    lines.join("\n")
}

/// Every state of a case. Panics where a path comes back to a state that it has been in: then a
/// state without actions would not be the only way to fail to end.
pub(crate) fn finite(case: &Case) -> Vec<State> {
    #[derive(PartialEq)]
    enum Seen {
        OnPath,
        Done,
    }
    let mut seen: HashMap<State, Seen> = HashMap::new();
    let mut path: Vec<(State, Vec<State>)> = Vec::new();
    let mut entering = case.init_states();
    while let Some(state) = entering.pop() {
        match seen.get(&state) {
            Some(Seen::OnPath) => panic!("a path comes back to {state:?}"),
            Some(Seen::Done) => {}
            None => {
                let mut actions = Vec::new();
                case.enabled(&state, &mut actions);
                let next = actions.iter().map(|action| case.after(&state, *action));
                let next = next.collect();
                seen.insert(state.clone(), Seen::OnPath);
                path.push((state, next));
            }
        }
        while let Some((state, next)) = path.last_mut() {
            if let Some(next) = next.pop() {
                entering.push(next);
                break;
            }
            seen.insert(state.clone(), Seen::Done);
            path.pop();
        }
    }
    seen.into_keys().collect()
}
