//! The trace that a run is a part of, written as W3C Trace Context has it, and which span of it is which. Pure.
//!
//! Ids follow from what a span is about: whoever tells of the same thing, before a failover or after it, gives it the
//! same id, and a worker knows the parent of what it tells of without being told
//! (docs/decisions/0043-ids-of-spans-are-computed.md).
//!
//! | span | its parent | who tells of it |
//! |------|------------|-----------------|
//! | [`Part::Begin`]: the submission or the fire, until the run is open | the submitter's span, or none | who opens the run |
//! | [`Part::Run`]: from then until it is closed | the one above | the leader, at its end |
//! | [`Part::Wave`]: decided and put on the queue | the run | who decides it |
//! | [`Part::Attempt`]: one execution of a shard | the run | the worker |
//!
//! What somebody else may have written is taken in by the rules of the standard: whatever is malformed is as if nothing
//! were there, and never an error.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::id::{Fence, Nonce, RunId};
use crate::tile::{Cell, TileKind};

/// The header of a message, by the standard; its letters may be written large.
pub const TRACEPARENT: &str = "traceparent";
/// The variable in which a process is told of the span that it belongs to.
pub const VARIABLE: &str = "TRACEPARENT";
/// Bytes of one, in the version that is written here.
const LENGTH: usize = 55;
/// More than one of any version to come has.
const LENGTH_MAX: usize = 256;
/// Flags that are understood: sampled, and an id by chance.
const FLAGS: u8 = 0b11;
const SAMPLED: u8 = 0b01;

/// Names a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// Names a span of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

/// A place in a trace: under which span something happens, and whether the trace is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Traceparent {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    flags: u8,
}

/// What a span is about, in its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The submission or the fire, until the run is open.
    Begin,
    /// The run.
    Run,
    /// A wave, by its number.
    Wave(u32),
    /// An execution of a shard.
    Attempt {
        /// The shard, or the question of a probe.
        cell: Cell,
        /// Number of the attempt.
        attempt: u32,
        /// The fence of a holder that took the tile over; `None`: that of its wave.
        taken: Option<Fence>,
    },
}

impl Traceparent {
    /// What a header or a variable says, if it is one by the standard.
    pub fn parse(text: &str) -> Option<Traceparent> {
        let bytes = text.as_bytes();
        if !(LENGTH..=LENGTH_MAX).contains(&bytes.len()) {
            return None;
        }
        let [version] = hex::<1>(&bytes[..2])?;
        // A later version may have more behind it.
        let ends = bytes.len() == LENGTH || version > 0 && bytes[LENGTH] == b'-';
        let parted = [2, 35, 52].iter().all(|at| bytes[*at] == b'-');
        if version == 0xff || !ends || !parted {
            return None;
        }
        let trace = hex::<16>(&bytes[3..35]).filter(|id| *id != [0; 16])?;
        let span = hex::<8>(&bytes[36..52]).filter(|id| *id != [0; 8])?;
        let [flags] = hex::<1>(&bytes[53..55])?;
        Some(Traceparent {
            trace: TraceId(trace),
            span: SpanId(span),
            flags: flags & FLAGS,
        })
    }

    /// The beginning of a trace of its own, which is told of: that of a run which nobody brought a trace for.
    pub fn begin(run: &RunId, nonce: Nonce) -> Traceparent {
        let hash = Sha256::new()
            .chain_update(b"trace")
            .chain_update(nonce.0.to_be_bytes())
            .chain_update(run.as_str());
        let begun = Traceparent {
            trace: TraceId(not_zero(&hash.finalize())),
            span: SpanId([0; 8]),
            flags: FLAGS,
        };
        begun.at(nonce, Part::Begin)
    }

    /// Whether whoever began the trace wants it told of.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The same place in a trace of which nothing more is told below it.
    #[must_use]
    pub fn unsampled(self) -> Traceparent {
        Traceparent {
            flags: self.flags & !SAMPLED,
            ..self
        }
    }

    /// A span of a run in this trace; `nonce` is the run's.
    #[must_use]
    pub fn at(self, nonce: Nonce, part: Part) -> Traceparent {
        Traceparent {
            span: self.span_of(nonce, part),
            ..self
        }
    }

    /// The id of a span of a run in this trace.
    pub fn span_of(&self, nonce: Nonce, part: Part) -> SpanId {
        let hash = Sha256::new()
            .chain_update(self.trace.0)
            .chain_update(nonce.0.to_be_bytes());
        let hash = match part {
            Part::Begin => hash.chain_update(b"begin"),
            Part::Run => hash.chain_update(b"run"),
            Part::Wave(n) => hash.chain_update(b"wave").chain_update(n.to_be_bytes()),
            Part::Attempt {
                cell,
                attempt,
                taken,
            } => hash
                .chain_update(match cell.kind {
                    TileKind::Page => b"page",
                    TileKind::Probe => b"ask_",
                })
                .chain_update(cell.slice.to_be_bytes())
                .chain_update(cell.page.to_be_bytes())
                .chain_update(attempt.to_be_bytes())
                .chain_update(taken.map_or(0, |fence| fence.0).to_be_bytes()),
        };
        SpanId(not_zero(&hash.finalize()))
    }

    /// The span that the one about the submission or the fire is a part of; `None` where the run began the trace.
    pub fn submitter(&self, nonce: Nonce) -> Option<SpanId> {
        (self.span != self.span_of(nonce, Part::Begin)).then_some(self.span)
    }
}

impl TraceId {
    /// Whether a share of `ratio` of all traces has this one in it, as other tools decide it: by its last bytes.
    pub fn is_within(&self, ratio: f64) -> bool {
        let low: [u8; 8] = std::array::from_fn(|at| self.0[8 + at]);
        let place = u64::from_be_bytes(low) >> 1;
        ratio >= 1.0 || (place as f64) < ratio * (1_u64 << 63) as f64
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace
            .0
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.span
            .0
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{:02x}", self.flags)
    }
}

impl Serialize for Traceparent {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Reads a field that may hold one. What is none is as if it were not there: a record is not lost for it.
pub(crate) fn lenient<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Traceparent>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.and_then(|text| Traceparent::parse(&text)))
}

/// Digits as the standard has them: no large letters.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

/// The beginning of a hash; an id of zeros is none.
fn not_zero<const N: usize>(hash: &[u8]) -> [u8; N] {
    let mut id = [0; N];
    id.copy_from_slice(&hash[..N]);
    if id == [0; N] {
        id[N - 1] = 1;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn run() -> RunId {
        RunId::new("a_s_7").unwrap()
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        let given = Traceparent::parse(GIVEN).unwrap();
        assert_eq!(given.to_string(), GIVEN);
        assert!(given.is_sampled() && !given.unsampled().is_sampled());
        assert!(given.unsampled().to_string().ends_with("-00"));
        // Flags that nobody knows yet are left out.
        let odd = Traceparent::parse(&GIVEN.replace("-01", "-fc")).unwrap();
        assert!(odd.to_string().ends_with("-00") && !odd.is_sampled());
    }

    #[test]
    fn later_version_is_read_as_far_as_it_is_known() {
        let given = Traceparent::parse(GIVEN);
        for text in [
            GIVEN.replacen("00", "01", 1),
            GIVEN.replacen("00", "cc", 1) + "-what-comes-later",
        ] {
            assert_eq!(Traceparent::parse(&text), given, "{text}");
        }
    }

    #[test]
    fn whatever_is_malformed_is_none() {
        for text in [
            String::new(),
            "00".to_owned(),
            GIVEN.to_uppercase(),
            GIVEN.replacen("00", "ff", 1),
            format!("{GIVEN}-more"),
            format!("{GIVEN} "),
            GIVEN.replacen("00", "01", 1) + "more",
            GIVEN.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GIVEN.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GIVEN.replace("-01", "_01"),
            GIVEN.replace("-01", "-0g"),
            GIVEN.replace("4bf9", "4é9"),
            GIVEN.replacen("00", "01", 1) + &format!("-{}", "x".repeat(LENGTH_MAX)),
            "é".repeat(40),
        ] {
            assert_eq!(Traceparent::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn span_is_called_alike_by_everybody_and_each_otherwise() {
        let given = Traceparent::parse(GIVEN).unwrap();
        let attempt = |page, attempt, taken: Option<u64>| Part::Attempt {
            cell: Cell {
                kind: TileKind::Page,
                slice: 0,
                page,
            },
            attempt,
            taken: taken.map(Fence),
        };
        let parts = [
            Part::Begin,
            Part::Run,
            Part::Wave(0),
            Part::Wave(1),
            attempt(0, 1, None),
            attempt(1, 1, None),
            attempt(0, 2, None),
            attempt(0, 1, Some(9)),
        ];
        let ids = |nonce| parts.map(|part| given.span_of(Nonce(nonce), part));
        assert_eq!(ids(7), ids(7));
        let all: std::collections::HashSet<SpanId> = ids(7).into_iter().chain(ids(8)).collect();
        assert_eq!(all.len(), 2 * parts.len());
    }

    /// Ids are written by one process and looked for by another, of another build.
    #[test]
    fn golden_ids() {
        let begun = Traceparent::begin(&run(), Nonce(7));
        assert_eq!(begun.to_string(), GOLDEN[0]);
        assert_eq!(begun.at(Nonce(7), Part::Run).to_string(), GOLDEN[1]);
    }

    const GOLDEN: [&str; 2] = [
        "00-f810a236beacacb01f0618b5e666112d-451cc36d8632aca3-03",
        "00-f810a236beacacb01f0618b5e666112d-7b86738bc3870b21-03",
    ];

    #[test]
    fn run_that_begins_its_trace_has_no_submitter() {
        let nonce = Nonce(7);
        let begun = Traceparent::begin(&run(), nonce);
        assert!(begun.is_sampled());
        assert_eq!(begun.submitter(nonce), None);
        let given = Traceparent::parse(GIVEN).unwrap();
        assert_eq!(given.submitter(nonce), Some(given.span));
        assert_ne!(begun.trace, Traceparent::begin(&run(), Nonce(8)).trace);
    }

    #[test]
    fn share_of_the_traces_is_about_as_large_as_asked() {
        let within = |ratio| {
            let traces = (0..2_000).map(|n| Traceparent::begin(&run(), Nonce(n)).trace);
            traces.filter(|trace| trace.is_within(ratio)).count()
        };
        assert_eq!((within(0.0), within(1.0)), (0, 2_000));
        assert!((120..=280).contains(&within(0.1)), "{}", within(0.1));
    }
}
