//! What must hold in every state, and what where nothing can happen any more.

use stateright::Property;

use super::ledger::{Ledger, Outcome, Record};
use super::protocol::{Case, State};
use super::queue::Queue;
use super::worker::Lease;

/// An acknowledged tile has its outcome in the ledger.
pub(crate) const ACKNOWLEDGED: &str = "acknowledged means committed";
/// No two sessions execute, or report, under one fence: no second success without a takeover.
pub(crate) const ONCE: &str = "committed once";
/// A shard's attempt is issued by one wave.
pub(crate) const ONE_WAVE: &str = "an attempt is issued by one wave";
/// Of several copies of a tile at most one is unmarked.
pub(crate) const ONE_UNMARKED: &str = "never two unmarked copies";
/// And that one was stored before the others: only then is its first delivery the first.
pub(crate) const UNMARKED_FIRST: &str = "an unmarked copy is the first";
/// A tile stands on the queue once: what was listed cannot be outdated by another planner's batch.
pub(crate) const ONE_COPY: &str = "a tile is queued once";
/// A takeover never repeats what stood settled before it.
pub(crate) const NOT_REPEATED: &str = "a takeover repeats nothing";
/// No further attempt is issued while the newest holder of the last one still executes it.
pub(crate) const NOT_BESIDE: &str = "no retry beside the holder";
/// Where nothing can happen any more, the shard is committed.
pub(crate) const ENDS: &str = "committed in the end";

pub(crate) fn all() -> Vec<Property<Case>> {
    vec![
        Property::always(ACKNOWLEDGED, |_, state: &State| {
            !state.breaches.acknowledged
        }),
        Property::always(ONCE, |_, state: &State| committed_once(state)),
        Property::always(ONE_WAVE, |_, state: &State| one_wave(&state.ledger)),
        Property::always(ONE_UNMARKED, |_, state: &State| !state.breaches.second_copy),
        Property::always(UNMARKED_FIRST, |_, state: &State| !state.breaches.late_copy),
        Property::always(ONE_COPY, |_, state: &State| queued_once(&state.queue)),
        Property::always(NOT_REPEATED, |_, state: &State| !state.breaches.repeated),
        Property::always(NOT_BESIDE, |_, state: &State| not_beside(state)),
        Property::always(ENDS, ends),
    ]
}

fn committed_once(state: &State) -> bool {
    let executing = (0_u8..)
        .zip(&state.workers)
        .filter_map(|(w, hold)| Some((w, hold.as_ref()?.executes_under()?)));
    let reported = state.ledger.0.iter().filter_map(|record| match record {
        Record::Outcome { by, fence, .. } => Some((*by, *fence)),
        Record::Wave { .. } | Record::Takeover { .. } => None,
    });
    let mut under = [None; 32];
    executing.chain(reported).all(|(session, fence)| {
        let holder = under[usize::from(fence)].get_or_insert(session);
        *holder == session
    })
}

fn queued_once(queue: &Queue) -> bool {
    let mut seen = 0_u32;
    queue.messages.iter().all(|message| {
        let bit = 1 << message.wave;
        let new = seen & bit == 0;
        seen |= bit;
        new
    })
}

fn one_wave(ledger: &Ledger) -> bool {
    let mut issued = 0_u32;
    ledger.0.iter().all(|record| {
        let Record::Wave { attempt, .. } = record else {
            return true;
        };
        let bit = 1 << attempt;
        let new = issued & bit == 0;
        issued |= bit;
        new
    })
}

fn not_beside(state: &State) -> bool {
    let last = state
        .ledger
        .0
        .iter()
        .rposition(|record| matches!(record, Record::Wave { .. }));
    let last = last.map_or(0, |at| at as u8 + 1);
    let mut holds = state.workers.iter().flatten();
    !holds.any(|hold| {
        hold.wave < last
            && hold.lease == Lease::Running
            && hold.executes_under() == Some(state.ledger.newest_fence(hold.wave))
    })
}

fn ends(case: &Case, state: &State) -> bool {
    let mut actions = Vec::new();
    let done = |record: &Record| {
        matches!(
            record,
            Record::Outcome {
                outcome: Outcome::Done,
                ..
            }
        )
    };
    if state.ledger.0.iter().any(done) {
        return true;
    }
    case.enabled(state, &mut actions);
    !actions.is_empty()
}
