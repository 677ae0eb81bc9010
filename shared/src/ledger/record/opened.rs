//! The first record of a run: what never changes of it.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;
use crate::id::{Nonce, Term};
use crate::job::JobSpec;
use crate::trace::{self, Traceparent};
use crate::wire;

use super::wave::{TileRun, Wave};

/// The first record of a run: everything about it that never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// Tells this run from an earlier one with the same id that was purged.
    pub nonce: Nonce,
    /// The job as it stood, with the submission's own parameters and grid in it.
    pub job: JobSpec,
    /// The time it was meant for: the submission's arrival, or the fire's scheduled time.
    pub scheduled_at: UnixMs,
    /// Hash of what was submitted; the same run id with another hash is a conflict.
    pub content: u64,
    /// The term of the planner that opened it.
    pub term: Term,
    /// Tiles of its first wave, where there was room for them when it was opened. Empty: waves of their own
    /// follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<TileRun>,
    /// The place in a trace that it goes on from: its submitter's, or that of a trace which it begins. `None`: nobody
    /// wants it told of, and the record is as long as ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "trace::lenient")]
    pub traceparent: Option<Traceparent>,
    /// The newest version in which workers report of it: that which its planner wrote when it opened it. So nobody who reads
    /// this record ever has to wait for what a worker reported.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub reports: u16,
}

fn first() -> u16 {
    wire::FIRST
}

fn is_first(version: &u16) -> bool {
    *version == wire::FIRST
}

impl Opened {
    /// The wave that is decided with it; `sequence` is the record's own, and that of the wave.
    pub fn wave(&self, sequence: u64) -> Option<Wave> {
        (!self.first.is_empty()).then(|| Wave {
            n: 0,
            // Nothing of the run can stand before.
            folded: sequence.saturating_sub(1),
            term: self.term,
            tiles: self.first.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::job::parse::{self, Format};
    use crate::ledger::record::PlanRecord;
    use crate::wire;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn opened(traceparent: Option<Traceparent>) -> Opened {
        Opened {
            nonce: Nonce(1),
            job: parse::parse("name = \"a\"\nhandler = \"noop\"", Format::Toml).unwrap(),
            scheduled_at: UnixMs(1),
            content: 0,
            term: Term(1),
            first: Vec::new(),
            traceparent,
            reports: 1,
        }
    }

    #[test]
    fn run_that_is_told_of_in_no_trace_has_no_byte_of_one() {
        let bytes = |opened| wire::encode(&PlanRecord::Opened(Box::new(opened)));
        let without = bytes(opened(None));
        let with = opened(Traceparent::parse(GIVEN));
        assert_eq!(bytes(with.clone()).len(), without.len() + 12 + 57);
        let read = wire::decode::<PlanRecord>(&bytes(with.clone())).unwrap();
        assert_eq!(read, PlanRecord::Opened(Box::new(with)));
        let name = b"traceparent";
        assert!(!without.windows(name.len()).any(|part| part == name));
    }

    #[test]
    fn run_is_not_lost_for_a_place_in_a_trace_that_is_none() {
        let mut value = serde_json::to_value(opened(Traceparent::parse(GIVEN))).unwrap();
        for nonsense in [json!("nonsense"), json!(null), json!("")] {
            value["traceparent"] = nonsense;
            let read: Opened = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(read, opened(None));
        }
    }
}
