//! Walks through every state of a case: by `stateright`, and by hand where it cannot tell.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Checker, HasDiscoveries, Model};

/// A case of one of the models.
pub(crate) trait Explored:
    Model<
        State: Clone + Debug + Hash + Eq + Send + Sync + 'static,
        Action: Copy + Debug + PartialEq + Send + Sync + 'static,
    > + Copy
    + Debug
    + Send
    + Sync
    + 'static
{
}

impl<M> Explored for M where
    M: Model<
            State: Clone + Debug + Hash + Eq + Send + Sync + 'static,
            Action: Copy + Debug + PartialEq + Send + Sync + 'static,
        > + Copy
        + Debug
        + Send
        + Sync
        + 'static
{
}

/// Explores a case in which every claim must hold. `states` is how many different states it has: a
/// case that shrinks unnoticed proves less than it says.
pub(crate) fn holds(case: impl Explored, states: usize) {
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
pub(crate) fn breaks(case: impl Explored, expected: &'static str) {
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
fn story<M: Explored>(
    case: &M,
    claim: &'static str,
    path: Vec<(M::State, Option<M::Action>)>,
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
pub(crate) fn finite<M: Explored>(case: &M) -> Vec<M::State> {
    #[derive(PartialEq)]
    enum Seen {
        OnPath,
        Done,
    }
    let mut seen: HashMap<M::State, Seen> = HashMap::new();
    let mut path: Vec<(M::State, Vec<M::State>)> = Vec::new();
    let mut entering = case.init_states();
    while let Some(state) = entering.pop() {
        match seen.get(&state) {
            Some(Seen::OnPath) => panic!("a path comes back to {state:?}"),
            Some(Seen::Done) => {}
            None => {
                let mut actions = Vec::new();
                case.actions(&state, &mut actions);
                let next = actions
                    .into_iter()
                    .filter_map(|action| case.next_state(&state, action));
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
