//! What the leader asks a worker's engine before it acts for a dead one or publishes a tile again, and
//! what the engine answers (docs/PROTOCOL.md §6). Plain NATS, never stored.
//!
//! Sequences and places are packed as runs: the distance from the end of the run before, and the
//! length, each as LEB128. Ten thousand tiles in flight take some 20 KB, one run a few bytes.

use serde::{Deserialize, Serialize};

use crate::callback::Call;
use crate::id::{QueueName, RunId, Session};
use crate::tile::TileRef;

pub use crate::limits::{AGES_MAX, NAMED_MAX, PACKED_MAX};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Which messages of this queue do you hold?
    Queue(QueueName),
    /// Which tiles of this run do you hold?
    Run(RunId),
    /// A service says what came of this shard: do you hold it? Answered with a [`Heard`](crate::callback::Heard).
    Callback(Call),
}

/// What a worker holds, of what was asked. Its engine had taken in all deliveries that its connection
/// brought before the question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// The worker.
    pub session: Session,
    /// Stream sequences of messages of the queue, whatever their lane.
    pub sequences: Packed,
    /// Places of tiles of the run.
    pub tiles: Packed,
    /// Whether that is all: `false` where a bound cut it off.
    pub whole: bool,
    /// For how long it holds those tiles of the run that it holds longest, the longest first: at most
    /// [`AGES_MAX`]. For people; nothing is decided by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ages: Vec<Age>,
}

/// For how long a worker holds a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Age {
    /// Its place as a number: [`number_of`].
    pub tile: u64,
    /// In milliseconds, by the worker's own clock of running time.
    pub ms: u64,
}

/// A set of numbers, packed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Packed(bytes::Bytes);

impl Packed {
    /// Packs `numbers`, in any order, into at most `most` bytes. `false` where the highest ones had no
    /// room.
    pub fn pack(mut numbers: Vec<u64>, most: usize) -> (Packed, bool) {
        numbers.sort_unstable();
        numbers.dedup();
        let mut out = Vec::with_capacity(numbers.len().min(most) + 16);
        let (mut end, mut rest) = (0_u64, numbers.as_slice());
        while let Some(first) = rest.first().copied() {
            let length = rest
                .iter()
                .zip(first..)
                .take_while(|(number, expected)| **number == *expected)
                .count();
            let before = out.len();
            write(&mut out, first - end);
            write(&mut out, length as u64);
            if out.len() > most {
                out.truncate(before);
                return (Packed(out.into()), false);
            }
            end = first + (length as u64 - 1);
            rest = &rest[length..];
        }
        (Packed(out.into()), true)
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// The numbers, in order; `None` for bytes that are no such set or one of more than `most` numbers.
    pub fn unpack(&self, most: usize) -> Option<Vec<u64>> {
        let (mut numbers, mut end, mut bytes) = (Vec::new(), 0_u64, &self.0[..]);
        while !bytes.is_empty() {
            let first = end.checked_add(read(&mut bytes)?)?;
            let length = read(&mut bytes)?;
            let last = first.checked_add(length.checked_sub(1)?)?;
            if length > (most - numbers.len()) as u64 {
                return None;
            }
            numbers.extend(first..=last);
            end = last;
        }
        Some(numbers)
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A tile's place as one number, to be packed.
pub fn number_of(place: TileRef) -> u64 {
    u64::from(place.wave) << 32 | u64::from(place.index)
}

/// The place that [`number_of`] made a number.
pub fn place_of(number: u64) -> TileRef {
    TileRef {
        wave: (number >> 32) as u32,
        index: number as u32,
    }
}

fn write(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

crate::wire::spoken!(Question, Holdings);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire;

    #[test]
    fn golden_bytes_of_question_and_answer() {
        let question = Question::Queue(QueueName::new("images").unwrap());
        let bytes = wire::encode(&question);
        assert_eq!(
            bytes.escape_ascii().to_string(),
            r"\x82\xa1v\x01\xa4body\x81\xa5queue\xa6images"
        );
        assert_eq!(wire::decode(&bytes), Ok(question));
        let answer = Holdings {
            session: Session(7),
            sequences: Packed::pack(vec![1_000, 1_001, 1_002, 1_300], 64).0,
            tiles: Packed::default(),
            whole: true,
            ages: Vec::new(),
        };
        let bytes = wire::encode(&answer);
        assert_eq!(bytes.escape_ascii().to_string(), ANSWER);
        assert_eq!(wire::decode(&bytes), Ok(answer));
    }

    #[test]
    fn golden_bytes_of_ages_and_an_answer_without_them_is_read() {
        let answer = Holdings {
            session: Session(7),
            sequences: Packed::default(),
            tiles: Packed::pack(vec![number_of(TileRef { wave: 0, index: 3 })], 64).0,
            whole: true,
            ages: vec![Age {
                tile: 3,
                ms: 250_000,
            }],
        };
        let bytes = wire::encode(&answer);
        assert_eq!(bytes.escape_ascii().to_string(), AGED);
        assert_eq!(wire::decode(&bytes), Ok(answer));
    }

    const AGED: &str = r"\x82\xa1v\x01\xa4body\x85\xa7session\x07\xa9sequences\xc4\x00\xa5tiles\xc4\x02\x03\x01\xa5whole\xc3\xa4ages\x91\x82\xa4tile\x03\xa2ms\xce\x00\x03\xd0\x90";

    const ANSWER: &str = r"\x82\xa1v\x01\xa4body\x84\xa7session\x07\xa9sequences\xc4\x06\xe8\x07\x03\xaa\x02\x01\xa5tiles\xc4\x00\xa5whole\xc3";

    #[test]
    fn what_has_no_room_is_left_out_and_said() {
        let (packed, whole) = Packed::pack((0..100).map(|n| n * 3).collect(), 10);
        assert!(!whole);
        assert_eq!(packed.unpack(100), Some(vec![0, 3, 6, 9, 12]));
    }

    #[test]
    fn more_numbers_than_the_bound_and_garbage_are_refused() {
        let (packed, _) = Packed::pack((0..100).collect(), 10);
        assert_eq!(packed.unpack(99), None);
        for bad in [
            &b"\xff"[..],
            b"\x01\x00",
            b"\x01",
            b"\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            let packed = Packed(bytes::Bytes::copy_from_slice(bad));
            assert_eq!(packed.unpack(1_000), None, "{bad:?}");
        }
    }

    #[test]
    fn places_are_numbers_and_back() {
        let place = TileRef {
            wave: 7,
            index: u32::MAX,
        };
        assert_eq!(place_of(number_of(place)), place);
    }

    proptest! {
        #[test]
        fn set_survives_packing(numbers in prop::collection::btree_set(any::<u64>().prop_map(|n| n >> (n % 60)), 0..60)) {
            let plain: Vec<u64> = numbers.iter().copied().collect();
            let (packed, whole) = Packed::pack(plain.clone(), PACKED_MAX);
            prop_assert!(whole);
            prop_assert_eq!(packed.unpack(60), Some(plain));
        }
    }
}
