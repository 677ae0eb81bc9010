//! Runs that people ask for: where they stand in the submit stream, those that wait, and those that have their answer.

use serde::{Deserialize, Serialize};

use super::super::ByHand;
use super::{Behind, State, Why, is_zero};
use crate::clock::UnixMs;
use crate::id::RunId;
use crate::limits::ANSWERED_KEPT_MAX;
use crate::submission::Stored;

/// A run that somebody asked for, and that is not opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Petition {
    /// The run.
    pub run: RunId,
    /// Its place in the submit stream; 0: not on record.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sequence: u64,
    /// When it was stored there; the epoch: not on record.
    #[serde(default, skip_serializing_if = "is_epoch")]
    pub stored_at: UnixMs,
    /// Its overlap policy.
    pub overlap: ByHand,
    /// Since when it waits.
    pub since: UnixMs,
    /// What it waits for.
    pub behind: Behind,
    /// Why it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Why>,
}

impl Petition {
    /// Where it stands in the submit stream.
    pub fn stored(&self) -> Stored {
        (self.sequence, self.stored_at)
    }
}

fn is_epoch(at: &UnixMs) -> bool {
    at.0 == 0
}

impl State {
    /// Whether what stands there in the submit stream has its answer.
    pub fn is_answered(&self, (sequence, stored_at): Stored) -> bool {
        let untimed = self.answered.len().saturating_sub(self.answered_at.len());
        self.answered.iter().enumerate().any(|(number, answered)| {
            let at = number.checked_sub(untimed);
            let at = at.and_then(|number| self.answered_at.get(number));
            *answered == sequence && at.is_none_or(|at| is_epoch(at) || *at == stored_at)
        })
    }

    /// Remembers that what stood there in the submit stream has its answer.
    pub fn answer(&mut self, (sequence, stored_at): Stored) {
        self.answered.push(sequence);
        self.answered_at.push(stored_at);
        let more = self.answered.len().saturating_sub(ANSWERED_KEPT_MAX);
        self.answered.drain(..more);
        let more = self.answered_at.len().saturating_sub(ANSWERED_KEPT_MAX);
        self.answered_at.drain(..more);
    }

    /// Whether a run by hand, which stands there in the submit stream and in a key of this revision, was opened or
    /// refused, and nothing is left to be done of that: who still has the key must not carry it out.
    pub fn has_answered(&self, run: &RunId, stored: Stored, revision: u64) -> bool {
        let mut asked = self.asked.iter().map(|asked| &asked.run);
        let mut coming = self.unopened.iter().map(|fire| &fire.run);
        let is_left = asked.any(|asked| asked == run) || coming.any(|coming| coming == run);
        !is_left && (revision <= self.asked_up_to || self.is_answered(stored))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_that_of_what_was_stored_then_and_of_an_earlier_builds_only_the_place_is_known() {
        let at = UnixMs;
        let mut state = State::new(None, at(1), at(1));
        state.answered = vec![6, 7];
        state.answer((8, at(80)));
        state.answer((7, at(90)));
        // One that waited when an earlier build kept it.
        state.answer((5, at(0)));
        for (stored, is_answered) in [
            ((5, at(5)), true),
            ((6, at(5)), true),
            ((7, at(5)), true),
            ((8, at(80)), true),
            ((8, at(81)), false),
            ((9, at(90)), false),
        ] {
            assert_eq!(state.is_answered(stored), is_answered, "{stored:?}");
        }
        for place in 100..100 + ANSWERED_KEPT_MAX as u64 {
            state.answer((place, at(place)));
        }
        assert!(!state.is_answered((6, at(5))) && !state.is_answered((8, at(80))));
        assert!(state.is_answered((100, at(100))) && !state.is_answered((100, at(101))));
    }
}
